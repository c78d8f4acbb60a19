"""A user's own files are checked against the library's types: those of the page pass, wrong ones do not."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "library.md"
BLOCK = re.compile(r'```python title="(\w+\.py)"\n(.*?)```', re.DOTALL)
WRONG = """\
import boresight

boresight.load_model(7)
boresight.trian_model({}, "run")
rates: list[float] = boresight.win_rates("verdicts.jsonl")
"""


@pytest.mark.slow
def test_a_users_files_are_checked(tmp_path: Path) -> None:
    files = dict(BLOCK.findall(PAGE.read_text())) | {"wrong.py": WRONG}
    assert len(files) > 3
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", *files]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True).stdout.splitlines()
    found = [(line.partition(": ")[0], line.rpartition("[")[2]) for line in said if ": error: " in line]
    kinds = ("arg-type]", "attr-defined]", "assignment]")
    assert found == [(f"wrong.py:{line}", kind) for line, kind in zip((3, 4, 5), kinds, strict=True)]
