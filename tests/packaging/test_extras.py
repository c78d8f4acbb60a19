"""What is imported is declared; and without its extra a command says in one line what to install."""

import ast
import runpy
import sys
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from importlib.metadata import packages_distributions, requires
from io import StringIO
from pathlib import Path

import pytest
from missing_extras import COMMANDS, Needs, write_inputs
from published import EXTRAS, PROJECT, ROOT, declared, plain

from boresight.cli.doctor import OUR_OWN
from boresight.errors import UserError
from command_line import Run

BROUGHT = {
    "huggingface-hub": "transformers",
    "markupsafe": "jinja2",
    "packaging": "transformers",
    "pydantic-core": "pydantic",
    "starlette": "fastapi",
}
"""Parts of a dependency that has them as packages of their own, and fixes their versions."""
OPTIONAL = {"flash-attn", "ipython"}
"""Used where they are there: the one compiles against the torch it finds, the other comes with notebooks."""
CORE = declared(PROJECT["dependencies"])


@cache
def trees() -> list[ast.Module]:
    return [ast.parse(path.read_text(encoding="utf-8")) for path in (ROOT / "src").rglob("*.py")]


def distributions(modules: set[str]) -> set[str]:
    """Those that modules come from; a module that is not installed stands for itself."""
    known = packages_distributions()
    return {plain(name) for module in modules for name in known.get(module, [module])}


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def named_for_later(tree: ast.AST) -> Iterator[str]:
    """What `require("a", "its extra")` and `import_module("a.b")` bring."""
    least = {"require": 2, "import_module": 1, "_installed": 2}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in least:
            words = [each.value for each in node.args if isinstance(each, ast.Constant)]
            if len(words) >= least[node.func.id]:
                yield str(words[0])


def third_party(find: Callable[[ast.AST], Iterator[str]]) -> set[str]:
    names = {name.partition(".")[0] for tree in trees() for name in find(tree)}
    return distributions(names - set(sys.stdlib_module_names) - {"boresight"})


def test_every_import_is_of_a_core_dependency_and_every_core_dependency_is_imported() -> None:
    found = third_party(imported)
    assert found - CORE - OPTIONAL <= BROUGHT.keys()
    assert found >= CORE
    for part, whole in BROUGHT.items():
        assert whole in CORE and part in declared(requires(whole) or [])


def test_what_is_imported_when_asked_for_is_of_an_extra_and_every_extra_is_asked_for() -> None:
    found = third_party(named_for_later) - CORE - OPTIONAL
    wanted = {name for extra, names in EXTRAS.items() if extra not in OUR_OWN for name in names}
    assert found == wanted


def test_development_brings_every_extra_that_is_tested() -> None:
    not_here = {"wandb"}  # tests/train/test_track.py has one of its own in place of it
    for extra in EXTRAS.keys() - set(OUR_OWN):
        assert EXTRAS[extra] - not_here <= EXTRAS["dev"], extra


@pytest.mark.parametrize("needs", COMMANDS, ids=str)
def test_without_its_extra_a_command_says_so_in_one_line(
    needs: Needs, tmp_path: Path, boresight: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert plain(needs.package) in EXTRAS[needs.extra] | {"faiss"}
    write_inputs(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", StringIO())
    monkeypatch.setitem(sys.modules, needs.package, None)
    ended = boresight(*needs.arguments)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert [line for line in ended.stderr.splitlines() if "boresight" in line] == [needs.message]


def test_the_commands_cover_every_extra_that_a_command_has() -> None:
    assert {needs.extra for needs in COMMANDS} == EXTRAS.keys() - set(OUR_OWN) - {"harness"}


def test_the_harness_is_a_library_and_says_so_when_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "boresight.evaluate.harness", raising=False)
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    with pytest.raises(UserError, match=r"^lm_eval is not installed: pip install 'boresight\[harness\]'$"):
        import_module("boresight.evaluate.harness")


def test_the_harness_s_command_line_says_so_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "boresight.evaluate.harness", raising=False)
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("boresight.evaluate.harness", run_name="__main__")
    assert ended.value.code == 2
    said = "boresight: lm_eval is not installed: pip install 'boresight[harness]'\n"
    assert capsys.readouterr() == ("", said)
