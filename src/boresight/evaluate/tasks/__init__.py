"""The benchmarks, one file each."""

from importlib import import_module

from boresight.errors import UserError
from boresight.evaluate.task import Task
from boresight.settings_file import nearest

NAMES = (
    "mmlu",
    "gsm",
    "bbh",
    "tydiqa",
    "humaneval",
    "toxigen",
    "truthfulqa",
    "truthfulqa_mc",
    "longbench",
    "longbench_judged",
    "longbench_chat",
)


def load_task(name: str) -> Task:
    """The benchmark of that name.

    Raises:
        UserError: there is none.
    """
    if name not in NAMES:
        raise UserError(f"no task is called {name!r}{nearest(name, NAMES)}")
    task: Task = import_module(f"{__name__}.{name}").TASK
    return task
