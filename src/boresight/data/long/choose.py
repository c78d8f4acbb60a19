"""From all documents to those that are asked about: read twice, so that memory holds numbers, never texts."""

from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import py3langid
from transformers import PreTrainedTokenizerFast

from boresight.data.long.documents import Document, not_read, read_all
from boresight.data.long.sample import draw, parse_ranges
from boresight.errors import UserError
from boresight.records import write_records

BATCH = 64
EXCLUDED = "from an excluded source"
EMPTY = "an empty document"
TWICE = "the same text as another document"
SHORT = "shorter than the limit"
LONG = "longer than the limit"
NOT_DRAWN = "not drawn"
HALF = "half a surrogate pair, which is no text"
SAMPLE = 2000
"""Characters, from the middle of a document, that its language is told by."""


class Wanted(NamedTuple):
    """Which documents: of `low` through `high` tokens, at most `number`, spread as `lengths` says; none of
    the sources in `exclude`, whatever their case."""

    low: int
    high: int
    number: int | None
    lengths: str
    exclude: tuple[str, ...]
    seed: int


class Chosen(NamedTuple):
    """How many documents were read and chosen, and why the others, and files of other kinds, were not."""

    read: int
    chosen: int
    tokens: int
    left_out: dict[str, int]


def choose(
    names: list[str],
    licence: str,
    wanted: Wanted,
    tokenizer: PreTrainedTokenizerFast,
    output: Path,
    progress: Callable[[int], None] = lambda done: None,
) -> Chosen:
    """Write the chosen documents, as JSON Lines that appear whole or not at all, in an order of their own.

    Which are chosen follows from the seed and their texts, whatever files they stand in.

    Raises:
        UserError: a file cannot be read, or no document can be used.
    """
    out = not_read(names)
    tokens, keys, read = _measure(read_all(names, licence), wanted, tokenizer, out, progress)
    ranges = parse_ranges(wanted.lengths, wanted.low, wanted.high)
    taken = draw(tokens, keys, len(tokens) if wanted.number is None else wanted.number, ranges)
    if not len(taken):
        why = ", ".join(f"{n:,} × {reason}" for reason, n in out.most_common())
        raise UserError(
            f"no documents of {wanted.low:,} to {wanted.high:,} tokens; left out: {why or 'nothing'}"
        )
    out[NOT_DRAWN] += len(tokens) - len(taken)
    chosen = dict(zip(keys[taken].tolist(), tokens[taken].tolist(), strict=True))
    write_records(output, _with_languages(_again(names, licence, chosen, wanted)))
    return Chosen(read, len(taken), int(tokens[taken].sum()), {why: n for why, n in out.items() if n})


def _measure(
    documents: Iterator[Document],
    wanted: Wanted,
    tokenizer: PreTrainedTokenizerFast,
    out: Counter[str],
    progress: Callable[[int], None],
) -> tuple[np.ndarray, np.ndarray, int]:
    """Lengths and keys [documents that may be drawn], and how many were read."""
    seen: set[int] = set()
    lengths, keys, read = array("q"), array("q"), 0
    while batch := list(islice(documents, BATCH)):
        read += len(batch)
        usable = [document for document in batch if not _drop(_unfit(document, wanted), out)]
        for document, length in zip(usable, _lengths(usable, tokenizer), strict=True):
            key = _key(document, wanted.seed)
            short, long = length < wanted.low, length > wanted.high
            if not _drop(SHORT if short else LONG if long else TWICE if key in seen else None, out):
                seen.add(key)
                lengths.append(length)
                keys.append(key)
        progress(len(batch))
    return np.array(lengths, np.int64), np.array(keys, np.int64), read


def _unfit(document: Document, wanted: Wanted) -> str | None:
    if document.source.casefold() in {name.casefold() for name in wanted.exclude}:
        return EXCLUDED
    if any("\ud800" <= character <= "\udfff" for character in document.text):
        return HALF
    return None if document.text else EMPTY


def _drop(reason: str | None, out: Counter[str]) -> bool:
    if reason:
        out[reason] += 1
    return reason is not None


def _lengths(documents: list[Document], tokenizer: PreTrainedTokenizerFast) -> list[int]:
    texts = [document.text for document in documents]
    return (
        [len(ids) for ids in tokenizer(texts, truncation=False, verbose=False)["input_ids"]] if texts else []
    )


def _key(document: Document, seed: int) -> int:
    return int.from_bytes(
        blake2b(f"{seed} {document.id}".encode(), digest_size=8).digest(), "big", signed=True
    )


def _again(names: list[str], licence: str, chosen: dict[int, int], wanted: Wanted) -> Iterator[Document]:
    for document in read_all(names, licence):
        if not _unfit(document, wanted) and (length := chosen.pop(_key(document, wanted.seed), None)):
            yield document.model_copy(update={"tokens": length})


def _with_languages(documents: Iterable[Document]) -> Iterator[Document]:
    for document in documents:
        start = max(0, (len(document.text) - SAMPLE) // 2)
        language, _ = py3langid.classify(document.text[start : start + SAMPLE])
        yield document.model_copy(update={"language": str(language)})
