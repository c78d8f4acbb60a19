"""What the scripted server says: it judges, teaches, and answers anything else in one sentence."""

import re

from faulty_server import Body

FIVE = "\n".join(f"{n}. What is said of number {n}?" for n in range(1, 6))
SAID = {
    "number the questions": FIVE,
    "Two people answered": "The second does not know.\n[[same: no]]",
    "Check the answer": "All of it stands there.\n[[grounded: yes]]\n[[complete: yes]]",
    "from what you know": "It cannot be known.",
    "[[A]] if the first": "The first is better.\n[[A]]",
    "Your first line must hold two numbers": "8 6\nThe first is better.",
}
"""By what is asked for in the prompt."""


def answer(body: Body) -> str:
    """The answer to a request; a rating is the one that the rubric gives as its example."""
    text = body["prompt"] if "prompt" in body else body["messages"][-1]["content"]
    for asked, said in SAID.items():
        if asked in text:
            return said
    example = re.search(r"\[\[\d+\]\]\s*$", text)
    return f"It is so.\n{example[0].strip()}" if example else "It is so."
