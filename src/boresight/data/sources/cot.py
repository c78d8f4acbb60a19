"""CoT: the chain-of-thought part of Flan V2, `cot_zsopt.jsonl` and `cot_fsopt.jsonl`.

    {"inputs": "Q: … Let's think step by step.", "targets": "There are … So the answer is 4."}

TÜLU draws 50,000 rows of each of the two files. Not reproduced: which rows, and that they come shuffled; here
the draw depends on the seed and the file's name, and keeps the file's order.
"""

from typing import Any

from boresight.data.sources.fields import Found, Reading
from boresight.data.sources.flan_v2 import flan_v2

ROWS_OF_A_FILE = 50_000


def cot(row: dict[str, Any], reading: Reading) -> Found:
    """One conversation a row."""
    return flan_v2(row, reading, "cot")
