"""GSM8K: grade-school mathematics with worked answers (Cobbe et al., 2021).

    {"question": "Natalia sold …", "answer": "Natalia sold 48/2 = <<48/2=24>>24 clips …\\n#### 72"}

The calculator notes in angle brackets go; the result after #### becomes a closing sentence.
"""

import re
from typing import Any

from boresight.data.sources.fields import text, turn
from boresight.errors import UserError
from boresight.records import Conversation


def gsm8k(row: dict[str, Any], place: str) -> list[Conversation]:
    """One conversation a row."""
    working, mark, result = text(row, "answer", place).rpartition("####")
    if not mark:
        raise UserError(f"{place}: the answer has no result after ####")
    working = re.sub(r"<<[^<>]*>>", "", working).strip()
    return [turn("gsm8k", text(row, "question", place), f"{working}\nThe answer is {result.strip()}.")]
