"""One prompt of an instruction and its input.

`fixed` joins them with a blank line. The published scripts drew one of 14 weighted templates with an input
and one of 14 without (TÜLU, Wang et al. 2023; open-instruct), from one generator for all datasets, so that
a prompt depended on what had been converted before.

Not reproduced: the templates of which we know only that they share the remaining weight, for which their
fixed fallback stands; and the draws themselves, which here depend on the seed and the row alone. The authors'
trainer strips every message, so templates that differ in closing white space are the same to a model.
"""

from random import Random

from boresight.data.sources.fields import Reading

WITH_INPUT = {
    "{instruction}\n\n{context}\n\n": 0.2 + 0.6,  # and the fallback
    "{instruction}\n{context}\n": 0.1,
    "Below is an instruction that describes a task, paired with an input that provides further context. "
    "Write a response that appropriately completes the request.\n\n### Instruction:\n{instruction}\n\n"
    "### Input:\n{context}\n\n### Response:": 0.1,
}
"""Template → weight; the third is Alpaca's own prompt (Taori et al. 2023)."""
WITHOUT_INPUT = {
    "{instruction}\n\n": 0.2 + 0.6,  # and the fallback
    "{instruction}\n": 0.1,
    "{instruction}": 0.1,
}


def join(instruction: str, context: str, reading: Reading) -> str:
    """The prompt; both are stripped, and a blank context is none."""
    instruction, context = instruction.strip(), context.strip()
    if not reading.published:
        return f"{instruction}\n\n{context}" if context else instruction
    templates = WITH_INPUT if context else WITHOUT_INPUT
    draw = Random(f"{reading.seed} {instruction} {context}".encode("utf-8", "surrogatepass"))
    template = draw.choices(list(templates), list(templates.values()))[0]
    return template.format(instruction=instruction, context=context)
