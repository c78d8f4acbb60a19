"""Nearest questions by the dot product of their vectors.

Vectors are stored as they are and memory-mapped. Up to 50,000, FAISS compares a query with every one of
them. Beyond, that takes longer than an answer may wait: FAISS compares it with one bit of each number
(RaBitQ: Gao and Long 2024), which brings up hundreds of candidates. Either way scores are computed from the
stored vectors, in float64, so that they and their order do not depend on how a question was found.
"""

from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from boresight.extras import require
from boresight.incontext.cache import kept
from boresight.incontext.encoder import Encoder
from boresight.incontext.pool import Pool
from boresight.incontext.retrieve import Hit, best

VECTORS, BITS = "vectors.npy", "bits.faiss"
CHUNK = 4096
"""Questions embedded at a time."""
COMPARED = 50_000
"""Most vectors that a query is compared with, one and all."""
SPARE = 64
"""Found beyond those asked for, and left out again by the exact scores."""
SPARE_BY_BITS = 480
"""The same, where they are found by bits."""
SAMPLE = 50_000
"""Vectors that the middle, from which bits tell the direction, is taken from."""


class Dense:
    """The retriever; a score is a dot product.

    Args:
        encoder: of the questions and the queries alike.
        compared: most vectors for which the search is exact.
        progress: called with the number of questions just embedded, if the vectors are not kept already.

    Raises:
        UserError: faiss is not installed.
    """

    def __init__(
        self,
        pool: Pool,
        encoder: Encoder,
        cache: Path | None = None,
        compared: int = COMPARED,
        progress: Callable[[int], None] = lambda done: None,
    ):
        self._faiss = require("faiss", "dense")
        self._encoder = encoder
        made_of = {"pool": pool.fingerprint, **encoder.made_of}
        directory = kept("vectors", made_of, lambda into: _embed(pool, encoder, into, progress), cache)
        self._vectors = np.load(directory / VECTORS, mmap_mode="r")
        self._bits = None
        if len(pool) > compared:
            made_of |= {"sample": SAMPLE, "faiss": self._faiss.__version__}
            directory = kept("bits", made_of, lambda into: self._write_bits(into / BITS), cache)
            self._bits = self._faiss.read_index(str(directory / BITS))

    def search(self, queries: Sequence[str], count: int) -> list[list[Hit]]:
        """See `Retriever`; beyond `compared` vectors, nearly the best."""
        return self.search_vectors(self._encoder.encode(queries), count) if queries else []

    def search_vectors(self, queries: np.ndarray, count: int) -> list[list[Hit]]:
        """The same for queries [n, width] that are vectors already, float32."""
        spare = SPARE if self._bits is None else SPARE_BY_BITS
        found = min(count + spare, len(self._vectors))
        if self._bits is None:
            dot = self._faiss.METRIC_INNER_PRODUCT
            _, near = self._faiss.knn(queries, self._vectors, found, metric=dot)
        else:
            _, near = self._bits.search(queries, found)
        return [self._ranked(query, np.sort(row), count) for query, row in zip(queries, near, strict=True)]

    def _ranked(self, query: np.ndarray, near: np.ndarray, count: int) -> list[Hit]:
        scores = self._vectors[near].astype(np.float64) @ query.astype(np.float64)
        return [Hit(int(near[hit.index]), hit.score) for hit in best(scores, count)]

    def _write_bits(self, path: Path) -> None:
        """The index of bits. Turning all vectors at random spreads what an encoder puts into few numbers."""
        faiss, (size, width) = self._faiss, self._vectors.shape
        bits = faiss.IndexRaBitQFastScan(width, faiss.METRIC_INNER_PRODUCT)
        index = faiss.IndexPreTransform(faiss.RandomRotationMatrix(width, width), bits)
        drawn = np.random.default_rng(0).choice(size, min(SAMPLE, size), replace=False)
        index.train(np.asarray(self._vectors[np.sort(drawn)]))
        for start in range(0, size, CHUNK):
            index.add(np.asarray(self._vectors[start : start + CHUNK]))
        faiss.write_index(index, str(path))


def _embed(pool: Pool, encoder: Encoder, directory: Path, progress: Callable[[int], None]) -> None:
    shape = (len(pool), encoder.width)
    vectors = np.lib.format.open_memmap(directory / VECTORS, mode="w+", dtype=np.float32, shape=shape)
    prompts, done = pool.prompts(), 0
    while chunk := list(islice(prompts, CHUNK)):
        vectors[done : done + len(chunk)] = encoder.encode(chunk)
        done += len(chunk)
        progress(len(chunk))
    vectors.flush()
