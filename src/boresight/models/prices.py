"""What answers cost: prices of hosted models, and a running count that stops at a limit.

    spending = Spending(price_of("gpt-4o-mini"), limit=5.0)

The limit holds: what a request may cost at most is set aside before it is sent, and gives way to what it did
cost once the answer is there.
"""

import datetime
import math
import re
from importlib.resources import files
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict

from boresight.errors import Unfinished, UserError
from boresight.settings_file import load_settings

DATED = re.compile(r"-(latest|\d{4}-\d{2}-\d{2}|\d{8}|\d{4})$")
"""What a release adds to its model's name."""


class Tokens(NamedTuple):
    """Of a prompt and of its answer."""

    prompt: int
    new: int


NOTHING = Tokens(0, 0)


class Price(NamedTuple):
    """Dollars per million tokens of a prompt and of its answer."""

    prompt: float
    new: float

    def of(self, tokens: Tokens) -> float:
        """Dollars for so many tokens."""
        return (self.prompt * tokens.prompt + self.new * tokens.new) / 1e6


class Prices(BaseModel):
    """The file of prices."""

    model_config = ConfigDict(extra="forbid")

    as_of: datetime.date
    models: dict[str, Price]


class OverBudget(Unfinished):
    """The next request could cost more than is left of the limit."""


class Spending:
    """Tokens and dollars of a run: of answers paid for, and of those that a cache gave.

    Threads, event loops and endpoints may share one, if the price is the same.

    Args:
        price: if known; without it tokens alone are counted.
        limit: most dollars to spend; what the cache gives is free.
        before: what was paid for by earlier runs of the same work; the limit is for all together.

    Raises:
        UserError: a limit without a price, or below zero.
    """

    def __init__(self, price: Price | None = None, limit: float | None = None, before: Tokens = NOTHING):
        if limit is not None and price is None:
            raise UserError(
                "a limit on the cost needs the model's price: "
                "give --price IN,OUT in dollars per million tokens (0,0 for a server of your own)"
            )
        if limit is not None and not limit >= 0:
            raise UserError(f"a limit of {limit} dollars: expected zero or more")
        self.price, self.limit, self.before = price, limit, before
        self.paid = self.saved = self._set_aside = NOTHING
        self.requests_paid = self.requests_saved = self.estimated = 0
        self._lock = Lock()

    def reserve(self, worst: Tokens) -> bool:
        """Set aside what a request may cost at most; False if others in flight must end first.

        Raises:
            OverBudget: it could exceed what is left when all of them have ended as cheaply as can be.
        """
        with self._lock:
            if self.price and self.limit is not None:
                spent, cost = self.price.of(self.total), self.price.of(worst)
                if spent + cost > self.limit:
                    raise OverBudget(
                        f"${spent:.4f} of ${self.limit:.4f} are spent, and the next request may cost "
                        f"${cost:.4f}; the same command with a higher limit goes on from here"
                    )
                if spent + self.price.of(self._set_aside) + cost > self.limit:
                    return False
            self._set_aside = _sum(self._set_aside, worst)
        return True

    def release(self, worst: Tokens) -> None:
        """Take back what was set aside for a request that cost nothing."""
        with self._lock:
            self._set_aside = _less(self._set_aside, worst)

    def pay(self, worst: Tokens, used: Tokens | None) -> None:
        """Count a request that was paid for, by the worst case where nobody said what it used."""
        with self._lock:
            self._set_aside = _less(self._set_aside, worst)
            self.paid = _sum(self.paid, used or worst)
            self.requests_paid += 1
            self.estimated += used is None

    def save(self, used: Tokens) -> None:
        """Count an answer that had been paid for before."""
        with self._lock:
            self.saved = _sum(self.saved, used)
            self.requests_saved += 1

    @property
    def total(self) -> Tokens:
        """All that was paid for, before and now."""
        return _sum(self.before, self.paid)

    def so_far(self) -> str:
        """What was paid in all, in words: of the limit, or in tokens where no price is known."""
        if self.price is None:
            return f"{sum(self.total):,} tokens"
        limit = "" if self.limit is None else f" of ${self.limit:,.2f}"
        return f"${self.price.of(self.total):,.2f}{limit}"

    def as_json(self) -> dict[str, Any]:
        """Tokens and dollars: in `total`, what was paid before included; `paid` now, `estimated` of the
        requests at their worst; `saved` now, by answers paid for before."""
        paid = {"requests": self.requests_paid, **self.priced(self.paid), "estimated": self.estimated}
        saved = {"requests": self.requests_saved, **self.priced(self.saved)}
        return {"total": self.priced(self.total), "paid": paid, "saved": saved, "limit": self.limit}

    def priced(self, tokens: Tokens) -> dict[str, Any]:
        """Tokens and what they cost, for a run's record; dollars are None where no price is known."""
        dollars = None if self.price is None else round(self.price.of(tokens), 6)
        return {"prompt_tokens": tokens.prompt, "new_tokens": tokens.new, "dollars": dollars}


def price_of(model: str) -> Price | None:
    """What a hosted model costs, if its name or that of the model it is a release of is known."""
    models = load_settings(Path(str(files("boresight"))) / "models" / "prices.yaml", Prices).models
    return models.get(model) or models.get(DATED.sub("", model))


def parse_price(text: str) -> Price:
    """`IN,OUT` in dollars per million tokens, e.g. `2.5,10`.

    Raises:
        UserError: it is no such pair.
    """
    try:
        prompt, new = map(float, text.split(","))
    except ValueError:
        prompt = new = math.nan
    if not (0 <= prompt < math.inf and 0 <= new < math.inf):
        raise UserError(f"--price {text}: expected IN,OUT in dollars per million tokens, e.g. 2.5,10")
    return Price(prompt, new)


def _sum(a: Tokens, b: Tokens) -> Tokens:
    return Tokens(a.prompt + b.prompt, a.new + b.new)


def _less(a: Tokens, b: Tokens) -> Tokens:
    return Tokens(a.prompt - b.prompt, a.new - b.new)
