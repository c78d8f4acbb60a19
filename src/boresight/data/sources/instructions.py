"""Instruction, input, output: the shape of Alpaca and of all that followed it.

    {"instruction": "Name the colour.", "input": "sky", "output": "Blue."}
    {"instruction": "…", "instances": [{"input": "…", "output": "…"}]}

An input that is not blank follows the instruction after a blank line (`join.py`).
"""

from collections.abc import Iterator
from typing import Any

from boresight.data.sources.fields import Found, Reading, answered, objects, text, turn
from boresight.data.sources.join import join


def instructions(row: dict[str, Any], reading: Reading) -> Found:
    """One conversation a row, or one an instance, whatever the reading."""
    for prompt, answer, _ in _asked(row, Reading()):
        yield turn("instructions", prompt, answer)


def published_instructions(source: str, row: dict[str, Any], reading: Reading) -> Found:
    """The same of a published dataset, by its rules."""
    for prompt, answer, part in _asked(row, reading):
        yield answered(source, prompt, answer, part, reading)


def _asked(row: dict[str, Any], reading: Reading) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Prompt, answer, and the part of the row they are from."""
    instruction = text(row, "instruction")
    for instance in objects(row, "instances") if "instances" in row else [row]:
        prompt = join(instruction, text(instance, "input", default=""), reading)
        yield prompt, text(instance, "output"), {"instruction": instruction, **instance}
