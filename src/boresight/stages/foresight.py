"""What a training run would do and take, before it takes it."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from boresight.models.load import load_tokenizer
from boresight.progress import quiet_transformers
from boresight.recipe import Recipe
from boresight.stages.training import model_config, tokens
from boresight.train.attention import refuse_unpackable
from boresight.train.loop import model_cost, plans
from boresight.train.memory import count_parameters, estimate_memory
from boresight.train.ranks import data_size
from boresight.train.sharding import refuse_uneven_heads
from boresight.train.simulate import Waste, simulate


class Foreseen(dict[str, Any]):
    """What a run would do, by the names of `--json`; as text, for a person."""

    def __repr__(self) -> str:
        data, batches, memory = self["data"], self["batches"], self["memory"]
        parts = ", ".join(
            f"{name} {_gigabytes(memory[name])}" for name in memory if name not in ("total", "host")
        )
        host = f"; {_gigabytes(memory['host'])} of CPU memory" if memory["host"] else ""
        lines = [
            f"model    {self['model']}, {self['parameters']:,} parameters, ranks: {self['ranks']:,}",
            f"data     {data['sequences']:,} sequences, {data['tokens']:,} tokens, {data['targets']:,} of "
            f"them targets; dropped: {data['dropped'] or 'none'}; cut: {data['cut']:,}",
            f"steps    {self['steps']:,}, {self['tokens_a_step']:,.0f} tokens each on average",
            f"batches  {batches['strategy']}: {batches['rounds']:.2f} micro-batches a rank and step; "
            f"padding {batches['padding']:.1%}, idle {batches['idle']:.1%}: {batches['to_ideal']:.3f} times "
            "the ideal",
            f"memory   {_gigabytes(memory['total'])} a rank with {self['largest_micro_batch']:,} tokens in a "
            f"micro-batch, and about a tenth more for gaps: {parts}{host}",
        ]
        return "\n".join([*lines, *(f"warning  {line}" for line in self["warnings"])])


def foretell(recipe: Recipe) -> Foreseen:
    """Steps, data, waste and memory of a recipe on its own number of ranks. The data is tokenised.

    Raises:
        UserError: as training would, of model, data and settings.
    """
    quiet_transformers()
    settings, config = recipe.train, model_config(recipe)
    refuse_unpackable(config)
    refuse_uneven_heads(config, settings)
    cost = model_cost(config, count_parameters(config))
    with TemporaryDirectory() as directory:
        store = tokens(recipe, load_tokenizer(recipe.model), Path(directory) / "tokens")
        plan, _ = plans(store, settings, cost, data_size(recipe.ranks, settings))
        drawn = slice(None) if plan.sequences is None else plan.sequences
        wastes = simulate(plan.lengths[drawn], plan.target_counts[drawn], settings, cost, plan.ranks)
        counts = store.manifest["counts"]
    waste = next(waste for waste in wastes if waste.strategy == settings.batching)
    largest = max(settings.tokens_per_micro_batch, int(plan.lengths.max()))
    memory = estimate_memory(config, settings, recipe.ranks, largest)
    return Foreseen(
        model=recipe.model,
        steps=plan.total_steps,
        ranks=recipe.ranks,
        parameters=int(cost.linear),
        data=counts,
        tokens_a_step=int(plan.lengths[drawn].sum()) / waste.steps,
        batches=waste._asdict(),
        largest_micro_batch=largest,
        memory=memory._asdict() | {"total": memory.total},
        warnings=limits(waste, len(plan.lengths[drawn]), plan.ranks),
    )


def limits(waste: Waste, sequences: int, at_once: int) -> list[str]:
    """What no cut of the steps can mend, and what could. The same for every strategy, since the steps are."""
    lines = []
    if (drawn := sequences / waste.steps) < at_once:
        lines.append(
            f"A step has {drawn:,.0f} sequences: of {at_once:,} ranks at least {at_once - drawn:,.0f} stand "
            "idle. Raise train.sequences_per_step or tokens_per_step."
        )
    if waste.dominated:
        lines.append(
            f"In {waste.dominated:.0%} of steps the longest sequence alone takes longer than an even share: "
            f"no cut can be faster than {waste.to_ideal / waste.to_limit:.2f} times the ideal. Use larger "
            "steps, more train.sequence_parallel, or fewer ranks."
        )
    return lines


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.2f} GB"
