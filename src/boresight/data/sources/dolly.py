"""Dolly 15k (Conover et al. 2023), written from scratch by people.

{"instruction": "When was it founded?", "context": "Founded in 1902, …", "response": "In 1902."}
"""

from typing import Any

from boresight.data.sources.fields import Found, Reading, answered, text
from boresight.data.sources.join import join


def dolly(row: dict[str, Any], reading: Reading) -> Found:
    """One conversation a row, its context read as an input."""
    prompt = join(text(row, "instruction"), text(row, "context", default=""), reading)
    yield answered("dolly", prompt, text(row, "response"), row, reading)
