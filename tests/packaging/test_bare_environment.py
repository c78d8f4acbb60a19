"""The wheel as a stranger has it: an environment of its own, no extras, a folder far from the checkout."""

import json
import statistics
import subprocess
import sys
from pathlib import Path

import pytest
from missing_extras import COMMANDS, Needs, write_inputs
from published import EXTRAS, ROOT, Bare, Built, plain

from boresight.cli.doctor import OUR_OWN

pytestmark = pytest.mark.slow

HALF_A_SECOND = 0.5
CLOCKED = """
import os, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
spent = os.times()
print(spent.children_user + spent.children_system)
"""
IMPORT_ALL = """
import pkgutil, boresight
left = ("boresight.__main__", "boresight.evaluate.harness")  # runs; is for lm-eval, which an extra brings
for module in pkgutil.walk_packages(boresight.__path__, "boresight."):
    if module.name not in left:
        __import__(module.name)
print(boresight.__file__)
"""
TYPED = """
from boresight.stats import proportion
reveal_type(proportion(1, 2).low)
proportion("one", 2)
"""
ONE_OF_EACH = {needs.package: needs for needs in COMMANDS}.values()
PINNED = {plain(line.partition("==")[0]) for line in (ROOT / "constraints.txt").read_text().splitlines()}


def test_every_module_is_there_and_needs_no_extra(bare: Bare) -> None:
    done = bare.run("python", "-c", IMPORT_ALL)
    assert done.returncode == 0, done.stderr
    assert not Path(done.stdout.strip()).is_relative_to(ROOT)


def test_help_starts_in_half_a_second(bare: Bare) -> None:
    """Processor time, which other work on the machine does not stretch."""
    call = ("python", "-c", CLOCKED, str(bare.scripts / "boresight"), "--help")
    assert statistics.median(float(bare.run(*call).stdout) for _ in range(5)) < HALF_A_SECOND


def test_doctor_finds_nothing_wrong_and_no_extra(bare: Bare) -> None:
    done = bare.run("boresight", "doctor", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["healthy"]
    missing = {extra: {plain(name) for name in names} for extra, names in found["extras"].items()}
    assert missing == {extra: names for extra, names in EXTRAS.items() if extra not in OUR_OWN}


def test_the_demo_works(bare: Bare) -> None:
    done = bare.run("boresight", "demo", "-o", "demo")
    assert done.returncode == 0, done.stderr
    assert "</html>" in (bare.folder / "demo" / "report.html").read_text(encoding="utf-8")


def test_recipes_come_along(bare: Bare) -> None:
    recipes = bare.scripts.parent / "share" / "boresight" / "recipes"
    assert {path.name for path in recipes.iterdir()} == {path.name for path in (ROOT / "recipes").iterdir()}


def test_a_checker_of_types_sees_ours(bare: Bare) -> None:
    (bare.folder / "uses.py").write_text(TYPED)
    call = [sys.executable, "-m", "mypy", "--python-executable", bare.scripts / "python", "uses.py"]
    done = subprocess.run(call, cwd=bare.folder, capture_output=True, text=True)
    revealed, refused, _ = done.stdout.splitlines()
    assert 'Revealed type is "float"' in revealed.replace("builtins.", "")
    assert "[arg-type]" in refused


@pytest.mark.parametrize("needs", ONE_OF_EACH, ids=str)
def test_a_command_says_which_extra_it_lacks(needs: Needs, bare: Bare, tmp_path: Path) -> None:
    write_inputs(tmp_path)
    done = bare._replace(folder=tmp_path).run("boresight", *needs.arguments, said="hello\n")
    assert (done.returncode, done.stderr.splitlines()[-1:]) == (2, [needs.message])


@pytest.mark.parametrize("extra", sorted(EXTRAS))
def test_an_extra_resolves_and_all_it_brings_is_pinned(extra: str, bare: Bare, built: Built) -> None:
    what = f"boresight[{extra}] @ {built.wheel.as_uri()}"
    pins = str(ROOT / "constraints.txt")
    done = bare.run("pip", "install", "-q", "--dry-run", "--report", "-", "-c", pins, what)
    assert done.returncode == 0, done.stderr
    brought = {plain(each["metadata"]["name"]) for each in json.loads(done.stdout)["install"]}
    if extra != "track":  # wandb is not pinned: it was tested with one of ours in its place
        assert brought - {"boresight"} <= PINNED
