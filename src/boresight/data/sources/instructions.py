"""Instruction, input, output: the shape of Alpaca, Code-Alpaca and the self-instruct seed tasks.

    {"instruction": "Name the colour.", "input": "sky", "output": "Blue."}
    {"instruction": "…", "instances": [{"input": "…", "output": "…"}]}

An input that is not blank follows the instruction after a blank line.
"""

from typing import Any

from boresight.data.sources.fields import text, turn
from boresight.errors import UserError
from boresight.records import Conversation


def instructions(row: dict[str, Any], place: str) -> list[Conversation]:
    """One conversation a row, or one an instance."""
    instruction = text(row, "instruction", place).strip()
    instances = row.get("instances", [row])
    if not isinstance(instances, list) or not all(isinstance(i, dict) for i in instances):
        raise UserError(f"{place}: `instances` is not a list of objects")
    found = []
    for instance in instances:
        context = text(instance, "input", place, default="").strip()
        prompt = f"{instruction}\n\n{context}" if context else instruction
        found.append(turn("instructions", prompt, text(instance, "output", place)))
    return found
