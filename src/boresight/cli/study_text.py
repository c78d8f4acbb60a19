"""Results and agreement of a study as text."""

from collections.abc import Sequence
from typing import Any

from boresight.progress import printable
from boresight.study.overview import RaterProgress

MEASURES = {
    "raw": "equal answers",
    "tie_discounted": "tie-discounted agreement",
    "kappa": "Cohen's kappa",
    "alpha": "Krippendorff's alpha",
}
WINS = {"win": "wins", "tie": "ties", "loss": "loses", "win_plus_half_ties": "wins + ties/2"}
CORRELATIONS = {
    "spearman": "Spearman's rho with their mean",
    "kendall": "Kendall's tau-b with their mean",
    "pairwise": "the same verdict as their mean",
}


def results_text(found: dict[str, Any], raters: Sequence[RaterProgress]) -> str:
    """A line for each share, by question and system."""
    left_out = ", ".join(f"{n:,} {what.replace('_', ' ')}" for what, n in found["left_out"].items() if n)
    lines = [f"{found['ratings']:,} ratings by {found['raters']} raters; left out: {left_out or 'none'}"]
    for group in found["comparisons"]:
        first, *second = map(printable, group["systems"])
        lines.append(
            f"{' against '.join([first, *second])}: {group['items']:,} items, {group['ratings']:,} ratings"
        )
        for question in group["questions"]:
            if question["kind"] == "preference":
                lines += _wins(question, first)
            else:
                shares = question["systems"].items()
                lines += [_share(question, name, share) for name, share in shares if share]
    if len(found["comparisons"]) > 1:
        lines.append("over all comparisons")
        lines += [_share(row, row["system"], row) for row in found["systems"]]
    lines += [_progress(rater) for rater in raters]
    return "\n".join(lines)


def _share(question: dict[str, Any], name: str, share: dict[str, Any]) -> str:
    found = _estimate(share, percent=question["kind"] == "yes_no")
    return f"  {question['question']:14} {printable(name):24} {found} of {share['n']:,}"


def _wins(question: dict[str, Any], first: str) -> list[str]:
    if not question["n"]:
        return []
    lines = [
        f"  {question['question']:14} {f'{first} {label}':24} {_estimate(question[name])}"
        for name, label in WINS.items()
    ]
    steps = ", ".join(f"{100 * share['value']:.1f} %" for share in question["steps"].values())
    return [*lines, f"  {'':14} clearly first to clearly second: {steps}"]


def _estimate(found: dict[str, Any], percent: bool = True) -> str:
    if found["value"] is None:
        return "–"
    low, high = found["ci95"]
    if percent:
        return f"{100 * found['value']:.1f} % ({100 * low:.1f} to {100 * high:.1f})"
    return f"{found['value']:.3f} ({low:.3f} to {high:.3f})"


def _progress(rater: RaterProgress) -> str:
    parts = [f"{rater.rated:,} rated"]
    if rater.flagged:
        parts.append(f"{rater.flagged:,} of them flagged")
    if rater.median_seconds is not None:
        parts.append(f"{rater.median_seconds:.0f} s each (median)")
    if rater.gold[1]:
        parts.append(f"gold {rater.gold[0]} of {rater.gold[1]}")
    if rater.state == "revoked":
        parts.append("revoked")
    return f"{printable(rater.name):16} {', '.join(parts)}"


def agreement_text(found: dict[str, Any]) -> str:
    """A line for each measure, by question."""
    how = "the first two raters of an item" if found["published"] else "every two raters of an item"
    lines = [
        f"{found['with_two_raters']:,} of {found['items']:,} items have two raters or more of "
        f"{found['raters']}; compared: {how}"
    ]
    for row in found["questions"]:
        lines.append(f"{row['question']}, {row['labels']} labels, {row['units']:,} answers or pairs")
        lines += [f"  {name:32} {_estimate(row[key], False)}" for key, name in MEASURES.items() if key in row]
    if judge := found.get("judge"):
        only = judge["only_in"]
        lines.append(
            f"{judge['file']}: {judge['items']:,} items in common; {only[0]:,} only there, "
            f"{only[1]:,} only rated; {judge['unparsed']:,} unparsed"
        )
        lines += [
            f"  {name:32} {_estimate(judge['with_mean'][key], False)}" for key, name in CORRELATIONS.items()
        ]
        beside = judge.get("with_each_rater", {})
        lines += [
            f"  {name + ', a rater':32} {_estimate(beside[key], False)}"
            for key, name in MEASURES.items()
            if key in beside
        ]
    return "\n".join(lines)
