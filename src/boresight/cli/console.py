"""Results of commands, on standard output; messages and progress are `boresight.progress`."""

import json
import sys
from typing import TYPE_CHECKING, Any

from boresight.progress import is_screen

if TYPE_CHECKING:
    from rich.console import RenderableType


def print_result(result: dict[str, Any], as_json: bool, text: str) -> None:
    """The result of a command: one JSON document, or a sentence."""
    print(json.dumps(result, indent=2, ensure_ascii=False) if as_json else text)


def drawn(*parts: "RenderableType", width: int = 80) -> str:
    """Tables and bars as text for standard output: as wide as the terminal, elsewhere as `width`."""
    from rich.console import Console

    screen = is_screen(sys.stdout)
    paper = Console(width=None if screen else width, highlight=False, force_terminal=screen)
    with paper.capture() as captured:
        for part in parts:
            paper.print(part)
    return captured.get()
