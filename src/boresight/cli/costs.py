"""What servers' answers cost, in words; of a run's `cost`."""

from typing import Any


def in_all(total: dict[str, Any]) -> str:
    """What was paid in all attempts."""
    tokens = f"{total['prompt_tokens']:,} tokens read and {total['new_tokens']:,} written"
    return f"paid in all: {tokens}{_dollars(total)}"


def last(cost: dict[str, Any]) -> str:
    """What the last attempt paid for, and what had been paid before."""
    paid, saved = cost["paid"], cost["saved"]
    guessed = f", {paid['estimated']:,} at their most, as nobody told" if paid["estimated"] else ""
    return (
        f"{paid['requests']:,} requests paid for in the last attempt{_dollars(paid)}{guessed}; "
        f"{saved['requests']:,} were answered before"
    )


def _dollars(cost: dict[str, Any]) -> str:
    return "" if cost["dollars"] is None else f", ${cost['dollars']:,.2f}"
