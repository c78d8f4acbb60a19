"""What runs cost, by their own account."""

from collections.abc import Iterable
from typing import NamedTuple

from boresight.report.source import Source


class Cost(NamedTuple):
    """Tokens and dollars in all attempts of a run, or of all of them; dollars are None where no price is
    known, and `more` says that some are not in them."""

    name: str
    prompt_tokens: int
    new_tokens: int
    dollars: float | None
    more: bool = False


def read_costs(sources: Iterable[Source]) -> list[Cost]:
    """Of every finished run that asked somebody for money or says that it did not."""
    found = []
    for source in sources:
        total = (source.counts.get("cost") or {}).get("total")
        if total and (total["prompt_tokens"] or total["new_tokens"]):
            found.append(Cost(source.name, total["prompt_tokens"], total["new_tokens"], total["dollars"]))
    return found


def total(costs: list[Cost]) -> Cost:
    """Of all."""
    known = [cost.dollars for cost in costs if cost.dollars is not None]
    return Cost(
        "all together",
        sum(cost.prompt_tokens for cost in costs),
        sum(cost.new_tokens for cost in costs),
        sum(known) if known else None,
        more=len(known) < len(costs),
    )
