"""The needle test as a user asks for it: model, grid and haystack by name; run directory and heat map."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from boresight.data.long.documents import read_all
from boresight.errors import Unfinished, UserError
from boresight.evaluate.needle import PUBLISHED_DEPTHS, PUBLISHED_LENGTHS, Needle, load_needles
from boresight.evaluate.needle_grid import Grid, continuation, lay_out, messages, numbers
from boresight.evaluate.needle_haystack import gather
from boresight.evaluate.needle_measure import Measure, Prompt, in_characters, in_tokens
from boresight.evaluate.needle_run import ask, tally
from boresight.files import whole_file
from boresight.models.endpoint import EndpointError
from boresight.models.load import context_length, load_config, load_tokenizer, resolve
from boresight.models.open import is_url, open_model
from boresight.models.prices import Spending
from boresight.models.requests import Model
from boresight.pocket.pages import facts_page
from boresight.pocket.world import World
from boresight.progress import counting, quiet_transformers, say
from boresight.report.heat_map import heat_map, heat_map_png
from boresight.runs import Run, alone, atomic_write, beside
from boresight.stages.spending import spending

POCKET = "pocket"
"""The haystack that comes along: pages of the pocket world."""
PAID = ".answers.sqlite"
CHARACTERS = 8
"""Of text that are read for each token asked for; of what has longer ones, some is said again."""


class Asked(NamedTuple):
    """The model, as it was named, and how it is to be asked."""

    model: str
    tokenizer: str | None = None
    base: bool = False
    haystack: str = POCKET
    concurrency: int = 16
    price: str | None = None
    max_cost: float | None = None


def grid_of(lengths: str, depths: str, samples: int, room: int, seed: int) -> Grid:
    """The grid that lengths and depths say, as `numbers` reads them, with `room` tokens for an answer.

    Raises:
        UserError: they say none.
    """
    at = numbers("--depths", depths, PUBLISHED_DEPTHS)
    if at[-1] > 100:
        raise UserError(f"--depths {depths}: a depth is at most 100 percent")
    return Grid(numbers("--lengths", lengths, PUBLISHED_LENGTHS), at, samples, room, seed)


def find_needles(asked: Asked, grid: Grid, needles: str, output: Path, force: bool = False) -> dict[str, Any]:
    """Ask every cell of a grid, or go on with it; returns what came out.

    Raises:
        UserError: model, needles or haystack cannot be used, or a server fails.
    """
    quiet_transformers()
    hidden = load_needles(needles)
    decides = {key: getattr(asked, key) for key in ("model", "tokenizer", "base", "haystack")}
    config = {**decides, "needles": [each.model_dump() for each in hidden], **grid._asdict()}
    local = [] if is_url(asked.model) else [Path(resolve(asked.model))]
    inputs = [path for path in (Path(asked.haystack), *local) if path.exists()]
    with alone(output), Run(output, "needle", config, inputs, seed=grid.seed, force=force) as run:
        if run.finished:
            say(f"{output}: already done; nothing has changed")
        else:
            paid = beside(output, PAID)
            costs = spending(asked.model, asked.price, asked.max_cost, paid)
            asking = _open(asked, grid, paid, costs)
            answers, left_out = _ask(asking, asked.haystack, hidden, grid, output)
            counts = tally(answers) | {"unit": asking.measure.unit, "left_out": left_out}
            _draw(output, counts, asking.model.name)
            run.finish(counts | {"cost": costs.as_json()})
    return {"directory": str(output), **run.record["counts"]}


class _Asking(NamedTuple):
    model: Model
    measure: Measure
    prompt: Callable[[str, Needle], Prompt]


def _open(asked: Asked, grid: Grid, paid: Path, costs: Spending) -> _Asking:
    """The model, what counts its prompts' lengths, and how it is asked.

    Args:
        paid: the file of a server's answers. It lies beside the run directory, so that starting over does not
            throw away what was paid for.
    """
    name, tokenizer = asked.model, asked.tokenizer
    if is_url(name):
        measure = in_tokens(load_tokenizer(tokenizer), begun=True) if tokenizer else in_characters()
        if not tokenizer:
            say("lengths are in characters; --tokenizer NAME counts tokens, and the chat template's too")
        # A server begins a text to be continued by itself.
        way = continuation("") if asked.base else messages
        opened = open_model(name, cache=paid, concurrency=asked.concurrency, spending=costs)
        return _Asking(opened, measure, way)
    if tokenizer:
        raise UserError("--tokenizer is for a server's model; a model in this process has its own")
    own = load_tokenizer(name)
    context = context_length(load_config(name))
    if context is not None and grid.lengths[-1] > context:
        raise UserError(
            f"--lengths: {grid.lengths[-1]:,} is more than the {context:,} tokens of {name}'s context; "
            f"for instance --lengths {context // 8}-{context}:8"
        )
    continues = asked.base or own.chat_template is None
    way = continuation(own.bos_token or "") if continues else messages
    return _Asking(open_model(name), in_tokens(own), way)


def _ask(
    asking: _Asking, haystack: str, needles: list[Needle], grid: Grid, output: Path
) -> tuple[list[Any], int]:
    """The answer of every cell, and the number of sentences that were left out."""
    texts = gather(_texts(haystack), needles, CHARACTERS * grid.lengths[-1])
    if texts.left_out:
        say(f"{texts.left_out:,} sentences of the haystack tell what a needle tells; they are left out")
    laid = lay_out(texts.sentences, needles, grid, asking.measure, asking.prompt)
    with counting("asking", len(laid)) as progress:
        try:
            answers = ask(asking.model, laid, asking.prompt, grid.room, output, progress)
        except EndpointError as error:
            raise Unfinished(f"{error}; the same command goes on from here") from error
    return answers, texts.left_out


def _texts(haystack: str) -> Iterable[str]:
    if haystack == POCKET and not Path(haystack).exists():
        return _pages()
    return (document.text for document in read_all([haystack]))


def _pages() -> Iterator[str]:
    """Facts about the pocket world's citizens without end, always the same; no needle is of their kind."""
    world, random = World(), Random(0)
    while True:
        yield facts_page(world, random)


def _draw(output: Path, counts: dict[str, Any], model: str) -> None:
    cells = {(cell["length"], cell["depth"]): cell["recall"] for cell in counts["cells"]}
    atomic_write(output / "needle.svg", heat_map(cells, model, counts["unit"]))
    with whole_file(output / "needle.png") as file:
        file.write(heat_map_png(cells, model, counts["unit"]))
