"""`boresight train RECIPE --dry-run`: what a run would do and take, before it takes it."""

from typing import TYPE_CHECKING, Any

from boresight.errors import UserError

if TYPE_CHECKING:
    from boresight.recipe import Recipe


def foretell(recipe: "Recipe") -> dict[str, Any]:
    """Steps, data, waste and memory of a recipe on its own number of ranks. The data is tokenised.

    Raises:
        UserError: as training would, of model, data and settings.
    """
    from pathlib import Path
    from tempfile import TemporaryDirectory

    from boresight.cli.console import quiet_transformers
    from boresight.cli.train import model_config, tokens
    from boresight.models.load import load_tokenizer
    from boresight.train.attention import refuse_unpackable
    from boresight.train.loop import model_cost, plans
    from boresight.train.memory import count_parameters, estimate_memory
    from boresight.train.sharding import refuse_uneven_heads
    from boresight.train.simulate import simulate

    quiet_transformers()
    settings, config = recipe.train, model_config(recipe)
    refuse_unpackable(config)
    refuse_uneven_heads(config, settings)
    cost = model_cost(config, count_parameters(config))
    with TemporaryDirectory() as directory:
        store = tokens(recipe, load_tokenizer(recipe.model), Path(directory) / "tokens")
        plan, _ = plans(store, settings, cost, data_ranks(recipe.ranks, recipe))
        drawn = slice(None) if plan.sequences is None else plan.sequences
        wastes = simulate(plan.lengths[drawn], plan.target_counts[drawn], settings, cost, plan.ranks)
        counts = store.manifest["counts"]
    batches = next(waste._asdict() for waste in wastes if waste.strategy == settings.batching)
    largest = max(settings.tokens_per_micro_batch, int(plan.lengths.max()))
    memory = estimate_memory(config, settings, recipe.ranks, largest)
    return {
        "steps": plan.total_steps,
        "ranks": recipe.ranks,
        "parameters": int(cost.linear),
        "data": counts,
        "tokens_a_step": int(plan.lengths[drawn].sum()) / batches["steps"],
        "batches": batches,
        "largest_micro_batch": largest,
        "memory": memory._asdict() | {"total": memory.total},
    }


def data_ranks(ranks: int, recipe: "Recipe") -> int:
    """How many micro-batches are computed at the same time: ranks in a sequence-parallel group share one.

    Raises:
        UserError: the ranks cannot be divided so.
    """
    for name in ("sequence_parallel", "replicas"):
        if ranks % (parts := getattr(recipe.train, name)):
            raise UserError(f"train.{name}: {parts} does not divide {ranks} ranks")
    return ranks // recipe.train.sequence_parallel


def describe(recipe: "Recipe", foreseen: dict[str, Any]) -> str:
    """What was foretold, for a person."""
    data, batches, memory = foreseen["data"], foreseen["batches"], foreseen["memory"]
    parts = ", ".join(
        f"{name} {_gigabytes(memory[name])}" for name in memory if name not in ("total", "host")
    )
    host = f"; {_gigabytes(memory['host'])} of CPU memory" if memory["host"] else ""
    lines = [
        f"model    {recipe.model}, {foreseen['parameters']:,} parameters, on {foreseen['ranks']:,} ranks",
        f"data     {data['sequences']:,} sequences, {data['tokens']:,} tokens, {data['targets']:,} of them "
        f"targets; dropped: {data['dropped'] or 'none'}; cut: {data['cut']:,}",
        f"steps    {foreseen['steps']:,}, {foreseen['tokens_a_step']:,.0f} tokens each on average",
        f"batches  {batches['strategy']}: {batches['rounds']:.2f} micro-batches a rank and step; padding "
        f"{batches['padding']:.1%}, idle {batches['idle']:.1%}: {batches['to_ideal']:.3f} times the ideal",
        f"memory   {_gigabytes(memory['total'])} a rank with {foreseen['largest_micro_batch']:,} tokens in a "
        f"micro-batch, and about a tenth more for gaps: {parts}{host}",
    ]
    return "\n".join([*lines, *warnings(foreseen)])


def warnings(foreseen: dict[str, Any]) -> list[str]:
    """What no way of batching can mend, and what could."""
    batches = foreseen["batches"]
    if not batches["dominated"]:
        return []
    least = batches["to_ideal"] / batches["to_limit"]
    return [
        f"warning  in {batches['dominated']:.0%} of steps the longest sequence alone takes longer than an "
        f"even share: no cut can be faster than {least:.2f} times the ideal. Raise train.sequences_per_step "
        "or train.sequence_parallel, or use fewer ranks"
    ]


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.2f} GB"
