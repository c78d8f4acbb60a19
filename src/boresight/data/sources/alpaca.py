"""Alpaca (Taori et al. 2023), Code-Alpaca (Chaudhary 2023) and GPT4-Alpaca (Peng et al. 2023): JSON lists.

    {"instruction": "Name three primary colors.", "input": "", "output": "Red, blue and yellow."}

TÜLU takes the English file of GPT4-Alpaca alone; which file is read is yours to say. Alpaca's empty answers,
which the published reading keeps, are dropped and counted.
"""

from typing import Any

from boresight.data.sources.fields import Found, Reading
from boresight.data.sources.instructions import published_instructions


def alpaca(row: dict[str, Any], reading: Reading) -> Found:
    """One conversation a row."""
    return published_instructions("alpaca", row, reading)


def code_alpaca(row: dict[str, Any], reading: Reading) -> Found:
    """One conversation a row."""
    return published_instructions("code_alpaca", row, reading)


def gpt4_alpaca(row: dict[str, Any], reading: Reading) -> Found:
    """One conversation a row."""
    return published_instructions("gpt4_alpaca", row, reading)
