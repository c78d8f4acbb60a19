"""Unnatural Instructions (Honovich et al. 2022): the core data.

    {"instruction": "Sort them.", "instances": [{"input": "b a", "constraints": "None.", "output": "a b"}]}

Constraints follow the instruction on a line of their own, unless there are none.
"""

from typing import Any

from boresight.data.sources.fields import Found, Reading, answered, objects, text
from boresight.data.sources.join import join


def unnatural(row: dict[str, Any], reading: Reading) -> Found:
    """One conversation an instance."""
    instruction = text(row, "instruction")
    for instance in objects(row, "instances"):
        constraints = text(instance, "constraints", default="").strip()
        none = constraints.lower() in ("", "none", "none.")
        asked = instruction if none else f"{instruction}\n{constraints}"
        prompt = join(asked, text(instance, "input", default=""), reading)
        part = {"instruction": instruction, **instance}
        yield answered("unnatural", prompt, text(instance, "output"), part, reading)
