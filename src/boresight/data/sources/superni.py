"""Super-NaturalInstructions (Wang et al. 2022): a directory of tasks, one JSON object a file.

    {"Definition": ["Answer the question."], "Positive Examples": [{"input": "…", "output": "…"}, …],
     "Instances": [{"id": "task1-…", "input": "…", "output": ["…", "…"]}, …]}

Of a checkout of natural-instructions the tasks of `splits/xlingual/train_tasks.txt`, of any other directory
all `*.json`, compressed or not. Of each task 80 instances are drawn, the first 60 of them asked plainly and
the others after two of its positive examples; a task of up to 80 gives all, in its order. Tasks of MMLU are
left out: they would leak a benchmark. The answer is the first given, or, in `fixed`, the first that is not
blank.

Not reproduced: the draws, and the white space of the layout of examples, of which we know the parts alone.
"""

from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from boresight.data.rows import Row, read_object
from boresight.data.sources.fields import (
    NOT_DRAWN,
    Drop,
    Found,
    MalformedError,
    Reading,
    answered,
    objects,
    text,
)
from boresight.data.sources.join import join
from boresight.errors import UserError
from boresight.records import enumerate_lines

PLAIN, WITH_EXAMPLES, EXAMPLES = 60, 20, 2
SPLIT = Path("splits/xlingual/train_tasks.txt")


def read_tasks(path: Path | str) -> Iterator[Row]:
    """The tasks of a directory, or the one of a file; each with its file's name, as `task`.

    Raises:
        UserError: there is nothing at `path`, or a task of its list has no file.
    """
    for file in _task_files(Path(path)):
        row = read_object(file)
        task = file.name.partition(".")[0]
        yield row if row.error else row._replace(value={**row.value, "task": task})


def _task_files(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
    elif (path / SPLIT).is_file():
        for number, line in enumerate_lines(path / SPLIT):
            file = path / "tasks" / f"{line.strip()}.json"
            if not file.is_file():
                raise UserError(f"{path / SPLIT}:{number}: there is no {file}")
            yield file
    else:
        found = [file for file in path.iterdir() if file.name.endswith((".json", ".json.gz", ".json.zst"))]
        yield from sorted(found, key=lambda file: file.name)


def superni(row: dict[str, Any], reading: Reading) -> Found:
    """Up to 80 conversations a task."""
    task = text(row, "task", default="")
    if "_mmmlu_" in task:
        yield Drop("a task of MMLU, which would leak", {"task": task})
        return
    definition, examples = _texts(row, "Definition")[0], objects(row, "Positive Examples")
    instances = objects(row, "Instances")
    draw = Random(f"{reading.seed} {task}")
    if len(instances) > PLAIN + WITH_EXAMPLES:
        yield Drop(NOT_DRAWN, {"task": task}, len(instances) - PLAIN - WITH_EXAMPLES)
        instances = draw.sample(instances, PLAIN + WITH_EXAMPLES)
    for index, instance in enumerate(instances):
        shown = None if index < PLAIN else draw.sample(examples, min(EXAMPLES, len(examples)))
        try:
            prompt, answer = _prompt(definition, shown, instance, reading), _answer(instance, reading)
        except MalformedError as error:
            raise MalformedError(f"instance {instance.get('id')}: {error}") from error
        yield answered("superni", prompt, answer, {"task": task, **instance}, reading)


def _prompt(
    definition: str, examples: list[dict[str, Any]] | None, instance: dict[str, Any], reading: Reading
) -> str:
    asked = text(instance, "input")
    if examples is None:
        return join(definition, asked, reading)
    shown = [f"Input: {text(e, 'input').strip()}\nOutput: {text(e, 'output').strip()}" for e in examples]
    return "\n\n".join([definition.strip(), *shown, f"Input: {asked.strip()}\nOutput:"])


def _answer(instance: dict[str, Any], reading: Reading) -> str:
    answers = _texts(instance, "output")
    return answers[0] if reading.published else next(filter(str.strip, answers), "")


def _texts(row: dict[str, Any], key: str) -> list[str]:
    value = row.get(key)
    if not isinstance(value, list) or not value or not all(isinstance(item, str) for item in value):
        raise MalformedError(f"`{key}` is missing" if value is None else f"`{key}` is not a list of texts")
    return value
