"""Judging as a user asks for it: judges and rubric by name, a run directory, what came out."""

from pathlib import Path
from typing import Any

from boresight.errors import UserError
from boresight.evaluate.judges.asking import Asking, Foreseen
from boresight.evaluate.judges.rubric import Rubric, load_rubric
from boresight.evaluate.judges.run import Job, foresee_job, run_job
from boresight.evaluate.judges.unique import is_unique
from boresight.progress import counting, quiet_transformers, say
from boresight.runs import RECORD, read_run


def judge(job: Job, rubric: str, asking: Asking, output: Path, force: bool = False) -> dict[str, Any]:
    """Do a job, or go on with it: its `directory`, `results`, a row a judge, and what it cost.

    Raises:
        UserError: rubric, files or judges cannot be used, or requests failed, and the same command goes on.
    """
    quiet_transformers()
    done = not force and (output / RECORD).is_file() and read_run(output)["finished"]
    result = run_job(job, _rubric_for(job, rubric), asking, output, counting, force)
    if done:
        say(f"{output}: already done; nothing has changed")
    return {"directory": str(output), **result}


def foresee(job: Job, rubric: str, asking: Asking) -> Foreseen:
    """What a job would take; nobody is asked.

    Raises:
        UserError: rubric or files cannot be used.
    """
    quiet_transformers()
    return foresee_job(job, _rubric_for(job, rubric), asking)


def _rubric_for(job: Job, name: str) -> Rubric:
    if job.task == "rate" and (dummy := [judge for judge in job.judges if is_unique(judge)]):
        raise UserError(f"--judge {dummy[0]}: compares two answers; it cannot rate one")
    return load_rubric(name, job.task)
