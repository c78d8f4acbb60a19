"""Win rates as a user asks for them: files of verdicts by name, all there is to tell of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from boresight.evaluate.answers import read_answers, with_answers
from boresight.evaluate.comparisons import Pair, Source, gather
from boresight.evaluate.judges.unique import UNIQUE, counter
from boresight.evaluate.over_systems import Fitted, Point, line_through, over_systems, read_leaderboard
from boresight.evaluate.winrate import Difference, WinRate, differences, measure, unread_json
from boresight.progress import quiet_transformers, working


class Told(NamedTuple):
    """All there is to tell: systems; pairs on which nothing can be read; differences; systems together; and
    published ones."""

    rates: list[WinRate]
    unread: list[Pair]
    apart: list[Difference]
    fitted: list[Fitted]
    published: list[Point]
    tokens: str
    """What unique tokens are counted in."""

    def as_json(self) -> dict[str, Any]:
        """One system's keys stand at the top; several are a list."""
        systems = [rate.as_json() for rate in self.rates if not rate.pair.canary]
        systems += [unread_json(pair) for pair in self.unread if not pair.canary]
        canaries = [rate.as_json() for rate in self.rates if rate.pair.canary]
        result: dict[str, Any] = {"tokens": self.tokens, "canaries": canaries}
        if self.published:
            line = line_through(self.published)
            result["leaderboard"] = {"characters": line and line.as_json()}
        if len(systems) == 1:
            return systems[0] | result
        named = [d._asdict() | {"win_rate": d.win_rate.value, "ci95": d.win_rate[1:]} for d in self.apart]
        fits = [fitted.as_json() for fitted in self.fitted]
        return {"systems": systems, "differences": named, "over_systems": fits, **result}


def win_rates(
    files: Sequence[str],
    answers: Sequence[str] = (),
    tokenizer: str | None = None,
    leaderboard: Path | None = None,
    seed: int = 0,
) -> Told:
    """What files of verdicts say, whatever their format; each as FILE or SYSTEM=FILE.

    Args:
        answers: what was judged, where the verdicts hold none.
        tokenizer: whose unique tokens are counted; None: words.
        leaderboard: AlpacaEval's table of systems (CSV).
        seed: of the bootstrap.

    Raises:
        UserError: a file cannot be read, or is of no known format.
    """
    quiet_transformers()
    count = counter(f"{UNIQUE}:{tokenizer}" if tokenizer else UNIQUE)
    published = read_leaderboard(leaderboard) if leaderboard else []
    with working("reading"):
        pairs = gather([_source(file) for file in files])
        pairs = with_answers(pairs, read_answers([_source(file) for file in answers]))
    read = [pair for pair in pairs if pair.read]
    with working("counting"):
        rates = measure(read or pairs, count, seed)
        apart = differences([pair for pair in read if not pair.canary], seed)
    unread = [pair for pair in pairs if not pair.read]
    return Told(rates, unread, apart, over_systems(rates), published, tokenizer or "words")


def _source(text: str) -> Source:
    """FILE or SYSTEM=FILE; a file whose name has an = in it is a file."""
    name, equals, path = text.partition("=")
    named = equals and name and "/" not in name and not Path(text).exists()
    return Source(Path(path), name) if named else Source(Path(text))
