"""The names that a shell completes: `boresight --install-completion`.

Somebody waits for them at every Tab: they are had without importing what they name.
"""

from collections.abc import Callable, Iterable, Sequence
from importlib.resources import files
from pathlib import Path

SOURCES = (
    "superni", "cot", "flan_v2", "dolly", "oasst1", "self_instruct", "unnatural", "alpaca", "code_alpaca",
    "gpt4_alpaca", "baize", "sharegpt", "gsm8k", "messages", "conversations", "instructions", "prompts",
)  # fmt: skip
"""As `data.sources` has them, whose import takes longer than a person waits."""
TASKS = (
    "mmlu", "gsm", "bbh", "tydiqa", "humaneval", "toxigen", "truthfulqa", "truthfulqa_mc",
    "longbench", "longbench_judged", "longbench_chat",
)  # fmt: skip
"""As `evaluate.tasks` has them."""


def among(*names: str) -> Callable[[], Iterable[str]]:
    """Completes one of these; a shell completes files where none of them begins so."""
    return lambda: names


def several(names: Sequence[str]) -> Callable[[str], Iterable[str]]:
    """Completes the last of names with commas between them."""

    def complete(incomplete: str) -> Iterable[str]:
        before, comma, _ = incomplete.rpartition(",")
        return [before + comma + name for name in names if name not in before.split(",")]

    return complete


def in_folder(folder: str) -> Callable[[], Iterable[str]]:
    """Completes a YAML file of the package, by its name."""
    return lambda: sorted(path.stem for path in Path(str(files("boresight")), folder).glob("*.yaml"))
