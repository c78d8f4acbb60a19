"""Flan V2 (Longpre et al. 2023), resampled to 100k rows: `flan_v2_resampled_100k.jsonl`.

    {"inputs": "Premise: …\\nDoes it follow that …?", "targets": "Yes"}

The published scripts end a prompt with a newline, unless it has one or ends with a colon; `fixed` leaves that
to the chat template and strips it.
"""

from typing import Any

from boresight.data.sources.fields import Found, Reading, answered, text


def flan_v2(row: dict[str, Any], reading: Reading, source: str = "flan_v2") -> Found:
    """One conversation a row."""
    prompt = text(row, "inputs")
    if not reading.published:
        prompt = prompt.strip()
    elif not prompt.endswith("\n") and not prompt.rstrip().endswith(":"):
        prompt += "\n"
    yield answered(source, prompt, text(row, "targets"), row, reading)
