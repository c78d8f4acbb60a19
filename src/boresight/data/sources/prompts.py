"""Prompt and completion.

{"prompt": "Name the colour of the sky.", "completion": "Blue."}
"""

from typing import Any

from boresight.data.sources.fields import Found, Reading, text, turn


def prompts(row: dict[str, Any], reading: Reading) -> Found:
    """One conversation a row; both readings are the same."""
    yield turn("prompts", text(row, "prompt"), text(row, "completion"))
