"""`boresight winrate FILE…`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from boresight.cli.console import drawn, print_result
from boresight.cli.options import AsJson, Seed

if TYPE_CHECKING:
    from boresight.evaluate.comparisons import Pair
    from boresight.evaluate.over_systems import Fitted
    from boresight.evaluate.winrate import WinRate
    from boresight.stages.winrates import Told
    from boresight.stats import Interval

FIGURES = ("length.svg", "unique_tokens.svg", "counting_judge.svg")
MEASURES = {
    "characters": "characters",
    "unique_tokens": "unique tokens",
    "counting_judge": "that of a judge that counts unique tokens",
}
"""What a line over systems is by."""


def winrate(
    files: Annotated[
        list[str],
        typer.Argument(help="Verdicts: judgments, AlpacaEval's or two-score ones; SYSTEM=FILE names."),
    ],
    answers: Annotated[
        list[str] | None,
        typer.Option(
            help="What was judged, where the verdicts hold none: FILE or SYSTEM=FILE. May be repeated."
        ),
    ] = None,
    tokenizer: Annotated[
        str | None, typer.Option(help="Whose unique tokens: a directory, a hub id, pocket. Default: words.")
    ] = None,
    leaderboard: Annotated[
        Path | None, typer.Option(help="AlpacaEval's table of systems (CSV): win rate by length, of all.")
    ] = None,
    seed: Seed = 0,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="A directory for figures by length and unique tokens."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say how often systems win, with errors: verdicts of judges as win, tie and loss, whatever their format.

    Example: boresight winrate tulu-2-dpo-7b/annotations.json text_davinci_001/annotations.json

    Files of one system are further draws: boresight winrate mine=first.jsonl mine=second.jsonl
    """
    from boresight.stages.winrates import win_rates

    told = win_rates(files, answers or [], tokenizer, leaderboard, seed)
    result = told.as_json()
    if output:
        result["figures"] = _draw(told, output)
    print_result(result, as_json, _show(told) + "".join(f"\n{f}" for f in result.get("figures", [])))


def _draw(told: "Told", output: Path) -> list[str]:
    from boresight.errors import UserError
    from boresight.report.winrate import counting_judge_figure, length_figure, unique_tokens_figure
    from boresight.runs import atomic_write

    if not told.fitted:
        raise UserError("-o: figures need the answers; name them with --answers")
    output.mkdir(parents=True, exist_ok=True)
    drawn = (
        length_figure(told.fitted, told.published),
        unique_tokens_figure(told.fitted),
        counting_judge_figure(told.fitted),
    )
    for name, figure in zip(FIGURES, drawn, strict=True):
        atomic_write(output / name, figure)
    return [str(output / name) for name in FIGURES]


def _show(told: "Told") -> str:
    from rich.table import Table

    from boresight.evaluate.over_systems import line_through

    table = Table()
    table.add_column("system", overflow="fold")
    half = "win + tie/2\n(95 % interval)"
    for column in ("win", "tie", "loss", half, "± over\ndraws", "length-\ncontrolled", "n"):
        table.add_column(column, justify="right")
    for rate in told.rates:
        shares = (f"{share.value:.1f}" for share in (rate.win, rate.tie, rate.loss))
        halved, spread, controlled = rate.half_ties, rate.sd_over_draws, rate.controlled
        table.add_row(
            rate.pair.canary or rate.pair.system, *shares, f"{halved.value:.1f}\n({_ends(halved)})",
            "–" if spread is None else f"{spread:.1f}",
            "–" if controlled is None else f"{100 * controlled.win_rate.value:.1f}", f"{sum(rate.counts):,}",
        )  # fmt: skip
    notes = [line for rate in told.rates for line in _notes(rate)]
    for pair in told.unread:
        notes.append(
            f"{pair.system} against {pair.baseline} by {pair.judge or 'its judge'}: nothing can be read"
        )
        notes += _unparsed(pair)
    notes += [
        f"{d.a} − {d.b}: {d.win_rate.value:+.1f} points ({_ends(d.win_rate)}), {d.n_prompts:,} common prompts"
        for d in told.apart
    ]
    notes += [line for fitted in told.fitted for line in _lines(fitted)]
    if told.published:
        notes.append(
            f"win rate by characters, of the leaderboard: {line_through(told.published) or 'no line'}"
        )
    if any(rate.controlled for rate in told.rates):
        notes.append("length-controlled: our own fit, not the published one")
    if any(rate.sd_over_draws is not None for rate in told.rates):
        notes.append("± over draws: population standard deviation of the strict win rate")
    return drawn(table, width=100) + "\n".join(notes)


def _lines(fitted: "Fitted") -> list[str]:
    """Of systems together; with a word of warning where they were not judged alike."""
    by = f" (judged by {', '.join(judge or 'one without name' for judge in fitted.judges)})"
    lines = [
        f"win rate by {what}{by}: {line}"
        for name, what in MEASURES.items()
        if (line := getattr(fitted, name))
    ]
    if lines and len(fitted.baselines) > 1:
        lines.append(f"  these are of {len(fitted.baselines)} baselines: unlike things on one line")
    return lines


def _notes(rate: "WinRate") -> list[str]:
    """What the table has no room for, a line each."""
    pair, texts, positions = rate.pair, rate.texts, rate.positions
    by = f" by {pair.judge}" if pair.judge else ""
    notes = [f"{pair.system} against {pair.baseline}{by}: standard error {rate.standard_error:.2f}"]
    if abs(rate.win_rate.value - rate.half_ties.value) > 0.005:
        notes[0] += f"; mean preference {rate.win_rate.value:.2f} ({_ends(rate.win_rate)})"
    if positions:
        notes.append(
            f"  both orders of {positions.n:,}: the same verdict {positions.consistency.value:.1f} % "
            f"({_ends(positions.consistency)}), the first wins {positions.first.value:.1f} % "
            f"({_ends(positions.first)})"
        )
    if texts:
        means = (
            f"{ours:,.0f} against {theirs:,.0f} {what}"
            for what, (ours, theirs) in (
                ("characters", texts.characters),
                ("words", texts.words),
                ("unique tokens", texts.unique_tokens),
            )
        )
        notes.append(
            f"  mean answer: {', '.join(means)}; counting these wins {texts.counting_win_rate.value:.1f} %"
        )
    return notes + _unparsed(pair)


def _unparsed(pair: "Pair") -> list[str]:
    return [f"  not read: {n:,} × {why}" for why, n in pair.unparsed.most_common()]


def _ends(interval: "Interval") -> str:
    return f"{interval.low:.1f} to {interval.high:.1f}"
