"""GSM8K: grade-school mathematics with worked answers (Cobbe et al., 2021).

    {"question": "Natalia sold …", "answer": "Natalia sold 48/2 = <<48/2=24>>24 clips …\\n#### 72"}

The calculator notes in angle brackets go; the result after #### becomes a closing sentence.
"""

import re
from typing import Any

from boresight.data.sources.fields import Found, MalformedError, Reading, text, turn


def gsm8k(row: dict[str, Any], reading: Reading) -> Found:
    """One conversation a row; both readings are the same."""
    working, mark, result = text(row, "answer").rpartition("####")
    if not mark:
        raise MalformedError("the answer has no result after ####")
    working = re.sub(r"<<[^<>]*>>", "", working).strip()
    yield turn("gsm8k", text(row, "question"), f"{working}\nThe answer is {result.strip()}.")
