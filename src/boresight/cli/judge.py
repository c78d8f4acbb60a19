"""`boresight judge pairs` and `boresight judge rate`: what models think of answers."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from boresight.cli import costs
from boresight.cli.completion import among
from boresight.cli.console import print_result
from boresight.cli.options import (
    AsJson,
    Concurrency,
    DryRun,
    Force,
    MaxCost,
    PriceText,
    Retries,
    RunDirectory,
    Seed,
)

if TYPE_CHECKING:
    from boresight.evaluate.judges.asking import Asking, Foreseen
    from boresight.evaluate.judges.run import Job

app = typer.Typer(help="Have a model judge answers, two side by side or one by one.", no_args_is_help=True)

Judges = Annotated[
    list[str], typer.Option("--judge", help="URL#NAME, a local model, or unique-tokens. May be repeated.")
]
Questions = Annotated[
    Path | None, typer.Option(help="Of each question `query` and `answer`, by `id`, `idx` or `prompt`.")
]
Canaries = Annotated[bool, typer.Option("--canaries", help="Also judge what must come out as is known.")]
RATING = ("longbench-chat", "longbench-chat-zero-shot", "longbench-qa", "longbench-summary", "needle")
Tries = Annotated[int, typer.Option(min=1, max=100, help="Replies without a verdict are asked again.")]
Timeout = Annotated[float, typer.Option(min=0.1, help="Seconds for one attempt.")]


@app.command("pairs")
def pairs(
    first: Annotated[Path, typer.Argument(help="A system's answers.")],
    second: Annotated[Path, typer.Argument(help="The answers of the system it is compared with.")],
    judge: Judges,
    output: RunDirectory,
    rubric: Annotated[
        str, typer.Option(help="two-scores, choice, or a file.", autocompletion=among("two-scores", "choice"))
    ] = "two-scores",
    order: Annotated[
        str,
        typer.Option(
            help="both, random (one by seed and prompt), or given.",
            autocompletion=among("both", "random", "given"),
        ),
    ] = "both",
    questions: Questions = None,
    canaries: Canaries = False,
    tries: Tries = 3,
    concurrency: Concurrency = 16,
    retries: Retries = 6,
    timeout: Timeout = 600.0,
    price: PriceText = None,
    max_cost: MaxCost = None,
    seed: Seed = 0,
    dry_run: DryRun = False,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Have judges compare two systems' answers to the same prompts, in both orders.

    Answers are our responses, AlpacaEval's model_outputs.json, or In-Context Alignment's outputs. Run again,
    it goes on where it was stopped, and pays for no reply twice.

    Example: boresight judge pairs mine.jsonl baseline.json --judge https://host/v1#gpt-4 -o runs/judged
    """
    from boresight.evaluate.judges.asking import Asking
    from boresight.evaluate.judges.run import Job

    job = Job("pairs", [first, second], judge, questions, order=order, canaries=canaries)  # type: ignore[arg-type]
    asking = Asking(tries, seed, concurrency, retries, timeout, limit=max_cost)
    _do(job, rubric, asking, price, output, dry_run, force, as_json)


@app.command("rate")
def rate(
    files: Annotated[list[Path], typer.Argument(help="Answers, a file a system.")],
    judge: Judges,
    output: RunDirectory,
    rubric: Annotated[
        str,
        typer.Option(
            help="longbench-chat, longbench-chat-zero-shot, longbench-qa, longbench-summary, needle; a file.",
            autocompletion=among(*RATING),
        ),
    ] = "longbench-chat",
    questions: Questions = None,
    examples: Annotated[
        Path | None, typer.Option(help="LongBench-Chat's scored answers, few_shots.json.")
    ] = None,
    runs: Annotated[int, typer.Option(min=1, max=999, help="How often each answer is judged.")] = 1,
    canaries: Canaries = False,
    tries: Tries = 3,
    concurrency: Concurrency = 16,
    retries: Retries = 6,
    timeout: Timeout = 600.0,
    price: PriceText = None,
    max_cost: MaxCost = None,
    seed: Seed = 0,
    dry_run: DryRun = False,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Have judges score answers, beside a reference and answers that people have scored.

    Example: boresight judge rate mine.jsonl --questions longbench-chat.jsonl --examples few_shots.json
    --judge https://host/v1#gpt-4 --runs 2 -o runs/rated
    """
    from boresight.evaluate.judges.asking import Asking
    from boresight.evaluate.judges.run import Job

    job = Job("rate", files, judge, questions, examples, runs=runs, canaries=canaries)
    asking = Asking(tries, seed, concurrency, retries, timeout, limit=max_cost)
    _do(job, rubric, asking, price, output, dry_run, force, as_json)


def _do(
    job: "Job",
    rubric: str,
    asking: "Asking",
    price: str | None,
    output: Path,
    dry_run: bool,
    force: bool,
    as_json: bool,
) -> None:
    from boresight.models.prices import parse_price
    from boresight.stages.judging import foresee, judge

    asking = asking._replace(price=parse_price(price)) if price else asking
    if dry_run:
        foreseen = foresee(job, rubric, asking)
        print_result(foreseen._asdict(), as_json, _foretold(foreseen))
        return
    result = judge(job, rubric, asking, output, force)
    print_result(result, as_json, _describe(output, result))


def _foretold(foreseen: "Foreseen") -> str:
    dollars = foreseen.dollars
    return (
        f"{foreseen.requests:,} requests; judges read about {foreseen.prompt_tokens:,} tokens and write "
        f"about {foreseen.new_tokens:,}: "
        + ("a price is not known; see --price" if dollars is None else f"about ${dollars:,.2f}")
    )


def _describe(output: Path, result: dict[str, Any]) -> str:
    describe = _pairs if "only_in" in result else _rating
    lines = [describe(row) for row in result["results"]]
    lines += [f"only in {name}: {n:,} prompts" for name, n in result.get("only_in", {}).items() if n]
    if left_out := result.get("left_out"):
        lines.append(f"{left_out:,} answers are to tasks that the rubric is not for; they are not judged")
    lines += [f"canary: {describe(row)}" for row in result["canaries"]]
    lines += [_agreed(row) for row in result["agreement"]]
    lines += _costs(result["cost"])
    return "\n".join([*lines, str(output / "judgments.jsonl")])


def _costs(cost: dict[str, Any]) -> list[str]:
    """What each judge was paid now, and what all of them cost in all attempts."""
    lines = [f"{judge}: {costs.last(each)}" for judge, each in cost["judges"].items()]
    return [*lines, costs.in_all(cost["total"])] if lines else []


def _pairs(row: dict[str, Any]) -> str:
    start = f"{row['system']} against {row['baseline']}, judged by {row['judge']}: "
    left_out = f"{row['unparsed']:,} verdicts unparsed, {row['failed']:,} of them failed"
    if not row["n_total"]:
        return start + left_out
    low, high = row["ci95"]
    shares = ", ".join(f"{row[name]:.1f}% {name}" for name in ("win", "tie", "loss"))
    text = (
        f"{start}win + tie/2 {row['win_plus_half_ties']:.1f}% ({low:.1f} to {high:.1f}) of "
        f"{row['n_total']:,}; {shares}; {left_out}"
    )
    if positions := row["positions"]:
        text += (
            f"; the first shown wins {positions['first_position_rate']:.1f}%, "
            f"the same wins in both orders {positions['consistency']:.1f}%"
        )
    return text


def _rating(row: dict[str, Any]) -> str:
    counts = f"{row['scored']:,} scored, {row['unparsed']:,} unparsed, {row['failed']:,} of them failed"
    start = f"{row['model']}, judged by {row['judge']}: "
    if row["mean"] is None:
        return start + counts
    (low, high), (least, most) = row["ci95"], row["percent_ci95"]
    spread = "" if row["sd_over_runs"] is None else f"; ± {row['sd_over_runs']:.2f} over {row['n_runs']} runs"
    groups = [group for group in (row["by_task"], row["by_language"]) if len(group) > 1]
    parts = [_part(name, part) for group in groups for name, part in group.items()]
    return (
        f"{start}{row['mean']:.2f} ({low:.2f} to {high:.2f}), of 100: {row['percent']:.1f} ({least:.1f} to "
        f"{most:.1f}){spread}; {counts}" + "".join(f"\n  {part}" for part in parts)
    )


def _part(name: str, row: dict[str, Any]) -> str:
    if row["mean"] is None:
        return f"{name}: none scored of {row['n_prompts']:,}"
    low, high = row["ci95"]
    return f"{name}: {row['mean']:.2f} ({low:.2f} to {high:.2f}), of {row['n_prompts']:,} questions"


def _agreed(row: dict[str, Any]) -> str:
    start = f"{' and '.join(row['judges'])}: "
    if "comparisons" in row:
        shown = "nothing in common" if row["agreement"] is None else f"agree on {row['agreement']:.1%}"
        return f"{start}{shown}"
    rank = row.get("spearman", {}).get("value")
    return start + ("no rank correlation" if rank is None else f"Spearman {rank:.3f}")
