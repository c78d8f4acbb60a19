"""`boresight agreement A B`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from boresight.cli.console import print_result
from boresight.cli.options import AsJson, Seed

if TYPE_CHECKING:
    from boresight.stats import Interval


def agreement(
    a: Annotated[Path, typer.Argument(help="Ratings or judgments, JSON Lines, or CSV with id and score.")],
    b: Annotated[Path, typer.Argument(help="The same items rated by another.")],
    field: Annotated[
        str | None, typer.Option(help="The column, or key of answers. Default: score, or preference.")
    ] = None,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Say how far two raters agree, as a judge and people: rank correlations and pairs, with 95 % intervals.

    Example: boresight agreement judge.jsonl people.csv
    """
    from boresight.evaluate.ratings import compare, read_ratings

    ratings = read_ratings(a, field), read_ratings(b, field)
    found = compare(*ratings, seed)
    measures = {
        "spearman": found.agreement.spearman,
        "kendall": found.agreement.kendall,
        "pairwise": found.agreement.pairwise,
        "mean_difference": found.agreement.difference,
    }
    result = {
        "items": found.agreement.items,
        "prompts": found.agreement.clusters,
        **{name: _json(interval) for name, interval in measures.items()},
        "pairs": found.pairs,
        "means": found.means,
        "only_in": found.only,
        "unparsed": [each.unread for each in ratings],
    }
    names = ("Spearman's rho", "Kendall's tau-b", "the same order", "difference of means")
    lines = [f"{found.agreement.items:,} items of {found.agreement.clusters:,} prompts"]
    lines += [f"{name:20} {_text(interval)}" for name, interval in zip(names, measures.values(), strict=True)]
    lines.append(f"means {found.means[0]:.2f} and {found.means[1]:.2f}; pairs: {found.pairs}")
    for path, only, each in zip((a, b), found.only, ratings, strict=True):
        if only or each.unread:
            lines.append(f"{path}: {only:,} items that the other has not; {each.unread:,} ratings not read")
    print_result(result, as_json, "\n".join(lines))


def _json(interval: "Interval") -> dict[str, Any]:
    known = interval.value == interval.value
    return {"value": interval.value, "ci95": interval[1:]} if known else {"value": None, "ci95": None}


def _text(interval: "Interval") -> str:
    if interval.value != interval.value:
        return "–  (one rater gives every item the same)"
    return f"{interval.value:.3f}  ({interval.low:.3f} to {interval.high:.3f})"
