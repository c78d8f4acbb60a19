"""What servers' answers cost, in words; of a run's `cost`."""

from typing import Any


def in_all(total: dict[str, Any]) -> str:
    """What was paid in all attempts."""
    tokens = f"{total['prompt_tokens']:,} tokens read and {total['new_tokens']:,} written"
    return f"paid in all: {tokens}{_dollars(total)}"


def now(cost: dict[str, Any]) -> str:
    """What this attempt paid for, and what had been paid before."""
    paid, saved = cost["paid"], cost["saved"]
    return (
        f"{paid['requests']:,} requests paid for now{_dollars(paid)}; "
        f"{saved['requests']:,} were answered before"
    )


def _dollars(cost: dict[str, Any]) -> str:
    return "" if cost["dollars"] is None else f", ${cost['dollars']:,.2f}"
