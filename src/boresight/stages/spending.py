"""What a server's answers cost, and may cost, in all attempts at a run."""

from pathlib import Path

from boresight.models.cache import Cache
from boresight.models.prices import NOTHING, Spending, parse_price, price_of


def spending(model: str, price: str | None, most: float | None, paid: Path) -> Spending:
    """Counts from what was paid before.

    Args:
        model: a MODEL, whose price is known or given.
        price: as the user says it: dollars for a million tokens, read and written.
        paid: the file of answers.

    Raises:
        UserError: the price cannot be read, or there is a limit and no price.
    """
    before = Cache(paid).tokens() if paid.exists() else NOTHING
    return Spending(parse_price(price) if price else price_of(model.partition("#")[2]), most, before)
