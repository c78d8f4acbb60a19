"""What would be published, and how it is built and tried."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def plain(name: str) -> str:
    """The name of a distribution as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(lines: list[str]) -> set[str]:
    """Names of what is required."""
    return {plain(Requirement(line).name) for line in lines}


EXTRAS = {name: declared(lines) for name, lines in PROJECT["optional-dependencies"].items()}


class Built(NamedTuple):
    """What would be published: both made from the working tree."""

    wheel: Path
    sdist: Path


def build(tree: Path, into: Path, *targets: str) -> None:
    """A wheel, a source distribution, or both, as pyproject.toml says."""
    asked = [word for target in targets for word in ("-t", target)]
    call = [sys.executable, "-m", "hatchling", "build", "-d", str(into), *asked]
    subprocess.run(call, cwd=tree, check=True, capture_output=True)


class Bare(NamedTuple):
    """An environment with the wheel and its dependencies, and a folder far from the checkout."""

    scripts: Path
    folder: Path

    def run(self, *call: str, said: str = "") -> subprocess.CompletedProcess[str]:
        """A program of the environment, in the folder; nothing is found by a variable of ours."""
        ours = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
        environment = {name: value for name, value in os.environ.items() if name not in ours}
        words = [str(self.scripts / call[0]), *call[1:]]
        return subprocess.run(
            words, cwd=self.folder, env=environment, input=said, capture_output=True, text=True
        )

    def install(self, *what: str) -> None:
        """Packages in the versions of constraints.txt."""
        done = self.run("pip", "install", "-q", "-c", str(ROOT / "constraints.txt"), *what)
        assert done.returncode == 0, done.stderr
