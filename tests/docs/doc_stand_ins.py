"""What the pages' commands need and no test machine has, and what stands in for it. All else runs as written.

`{server}` is a server with scripted answers (`doc_server.py`); `{port}` and `{next_port}` are free ports.
"""

import re
from typing import NamedTuple


class StandIn(NamedTuple):
    """On `page` (on all if it is empty), what the pattern `written` finds is run as `runs` instead."""

    written: str
    runs: str
    why: str
    page: str = ""

    def at(self, **places: object) -> "StandIn":
        """The same with the servers' places filled in."""
        return self._replace(runs=self.runs.format(**places))


def stand_in(text: str, stand_ins: list[StandIn]) -> str:
    """`text` with every match replaced."""
    for each in stand_ins:
        text = re.sub(each.written, each.runs, text, flags=re.MULTILINE)
    return text


TABLE = (
    StandIn(r"^make( .*)?$", ":", "it sets up the checkout and runs what CI runs by itself"),
    StandIn(r"^pip install .*$", ":", "test machines reach no registry, and have the extras"),
    StandIn(r"^docker build .*$", ":", "test machines run no containers"),
    StandIn(
        r"^docker run .* --entrypoint torchrun boresight ", "torchrun ", "test machines run no containers"
    ),
    StandIn(r"^docker run .*? boresight ", "boresight ", "test machines run no containers"),
    StandIn(
        r"\bMODEL\b|huggyllama/llama-7b|meta-llama/Llama-2-(7|13)b-hf",
        "pocket",
        "the user's own; 13 to 26 GB",
    ),
    StandIn(
        r"http://127\.0\.0\.1:8000/v1#name --tokenizer owner/name",
        "{server}#name --tokenizer pocket",
        "the user's own server",
    ),
    StandIn(r"URL#NAME", "{server}#NAME", "the user's own server"),
    StandIn(r"https://host/v1", "{server}", "the user's own server"),
    StandIn(r"http://127\.0\.0\.1:8000", "http://127.0.0.1:{port}", "the port may be taken"),
    StandIn(r"http://127\.0\.0\.1:8100", "http://127.0.0.1:{next_port}", "the port may be taken"),
    StandIn(r"--port 8100", "--port {next_port}", "the port may be taken"),
    StandIn(
        r"^(boresight|\.venv/bin/boresight) (study )?serve",
        r"in_background \1 \2serve --port {port}",
        "a server runs until it is stopped; here until the next one on its port, or the end of the page",
    ),
    StandIn(
        r"^(boresight|\.venv/bin/boresight) chat",
        r"echo 'Why is the sky blue?' | \1 chat --max-tokens 16",
        "nobody types, and nobody waits for hundreds of words of a tiny model",
    ),
    StandIn(r"^curl ", "curl --fail-with-body ", "an answer that is an error is one"),
    StandIn(r"--nnodes 4 --nproc-per-node 8 .* HOST:29500", "--nproc-per-node 2", "one machine of two cores"),
    StandIn(r"--nproc-per-node 8", "--nproc-per-node 2", "two cores"),
    StandIn(
        r"train.replicas=4 --set train.sequence_parallel=4 -o",
        "train.sequence_parallel=2 -o",
        "two ranks share a row, or have a copy each",
    ),
    StandIn(r"THUDM/LongAlign-7B-64k-base", "models/mine", "13 GB, and eight GPUs"),
    StandIn(r"--set train.replicas=4", "--set train.replicas=2", "two ranks have no four copies"),
    StandIn(
        r"--data benchmarks/",
        "--data benchmarks/ --data mmlu=benchmarks/mmlu#anatomy,virology --data bbh=benchmarks/bbh#navigate",
        "the files there are of these parts alone",
    ),
    StandIn(r"--count 5000|--count 80", "--count 5", "480 questions take minutes", "docs/in_context.md"),
    StandIn(
        r"^boresight lab -o runs/lab$",
        "boresight lab --help",
        "half an hour; tests/lab runs all of it in small",
        "docs/lab.md",
    ),
    StandIn(
        r"pocket build -o pocket-build --seed 0",
        "pocket build -o pocket-build --seed 0 --tokens 8192",
        "an hour of one core",
        "docs/pocket.md",
    ),
    StandIn(
        r"messages hub:\S+", "messages conversations.jsonl", "no test machine reaches the hub", "docs/data.md"
    ),
    StandIn(r"gsm8k hub:\S+", "gsm8k train.jsonl", "no test machine reaches the hub", "docs/data.md"),
    StandIn(r"/shared/", "shared/", "it lies beside, not at the root", "docs/scale.md"),
)
