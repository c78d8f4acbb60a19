"""A text as a vector: any encoder of sentence-transformers, or a plain one of transformers with mean pooling.

Contriever (Izacard et al. 2022) is a plain one: the mean over the tokens, compared by dot product.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from boresight.errors import UserError
from boresight.extras import require
from boresight.runs import digest

Similarity = Literal["dot", "cosine"]
LONGEST = 512
"""Tokens of a text that are read, at most: what Contriever was trained on."""
BATCH = 64


class Encoder:
    """An encoder by name: a directory or a hub id.

    Raises:
        UserError: sentence-transformers is not installed, or there is no such encoder.
    """

    def __init__(self, name: str, similarity: Similarity = "dot"):
        package = require("sentence_transformers", "dense")
        path = Path(name).expanduser()
        if not path.is_dir() and (path.exists() or name.startswith((".", "/", "~")) or name.count("/") > 1):
            raise UserError(f"{name}: no such encoder directory")
        try:
            self._model = package.SentenceTransformer(str(path) if path.is_dir() else name)
        except (OSError, ValueError) as error:
            reason = str(error).strip().partition("\n")[0]
            raise UserError(f"{name}: no encoder can be loaded: {reason}") from error
        self._model.max_seq_length = min(self._model.max_seq_length or LONGEST, LONGEST)
        self._cosine = similarity == "cosine"
        self.made_of = {
            "encoder": digest(path) if path.is_dir() else name,
            "similarity": similarity,
            "longest": self._model.max_seq_length,
        }
        """What decides the vectors."""

    @property
    def width(self) -> int:
        """Numbers in a vector."""
        return int(self._model.get_embedding_dimension())

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors [texts, width], float32; of length 1 where they are compared by cosine."""
        vectors: np.ndarray = self._model.encode(
            list(texts), batch_size=BATCH, show_progress_bar=False, normalize_embeddings=self._cosine
        )
        return np.ascontiguousarray(vectors, dtype=np.float32)
