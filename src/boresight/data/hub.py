"""Datasets of the Hugging Face hub, and those that `datasets` has saved.

hub:openai/gsm8k#main:train     owner/name, its configuration, its split; the last two may be left out
saved/                          a directory that `save_to_disk` wrote
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from boresight.errors import UserError
from boresight.extras import require

PREFIX = "hub:"
NAME = re.compile(r"hub:(?P<name>[\w.-]+/[\w.-]+)(#(?P<config>[^:#]+))?(:(?P<split>[^:#]+))?")


def below(directory: Path, file: Any) -> Any:
    """A file below a directory; what lies on the hub, or is no path, stays, for a schema to judge."""
    if not isinstance(file, str) or file.startswith(PREFIX):
        return file
    return str(directory / Path(file).expanduser())


def read_hub(name: str) -> Iterator[dict[str, Any]]:
    """The rows of `hub:owner/name#config:split`, streamed; the split is train unless named.

    Raises:
        UserError: the name is malformed, or the hub has no such dataset or cannot be reached.
    """
    parts = NAME.fullmatch(name)
    if not parts:
        raise UserError(
            f"{name}: expected hub:owner/name, hub:owner/name#config or hub:owner/name#config:split"
        )
    datasets = require("datasets", "hub")
    split = parts["split"] or "train"
    try:
        yield from datasets.load_dataset(parts["name"], parts["config"], split=split, streaming=True)
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        raise UserError(f"{name}: {_first_line(error)}") from error


def read_saved(directory: Path) -> Iterator[dict[str, Any]]:
    """The rows of a saved dataset, memory-mapped.

    Raises:
        UserError: the directory holds none, or several splits.
    """
    if (directory / "dataset_dict.json").is_file():
        splits = sorted(path.parent.name for path in directory.glob("*/state.json"))
        if len(splits) != 1:
            raise UserError(f"{directory}: several splits; name one of its folders: {', '.join(splits)}")
        directory = directory / splits[0]
    elif not (directory / "state.json").is_file():
        raise UserError(f"{directory}: a directory, and no saved dataset; name the files in it")
    try:
        yield from require("datasets", "hub").load_from_disk(str(directory))
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{directory}: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
