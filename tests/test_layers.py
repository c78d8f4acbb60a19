"""The shape of the package: imports run one way, files and functions stay small."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "boresight"
ROOMS = [
    "errors", "extras", "files", "settings_file", "records", "runs", "stats", "chat", "models", "data",
    "train", "incontext", "evaluate", "serve", "study", "report", "pocket", "recipe", "progress", "stages",
    "lab", "library", "cli", "__main__",
]  # fmt: skip
"""From the top down: a room imports only from itself and from those before it."""
FILES = sorted(PACKAGE.rglob("*.py"))
MOST_LINES, MOST_FUNCTION_LINES, MOST_PACKAGE_LINES = 400, 60, 36000


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    modules: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            modules.append(node.module or "")
    return {module.split(".")[1] for module in modules if module.startswith("boresight.")}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_imports_only_from_rooms_above_and_stays_small(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert len(lines) <= MOST_LINES
    if path == PACKAGE / "__init__.py":
        return
    own = ROOMS.index(room_of(path))
    below = {room for room in imported_rooms(path) if ROOMS.index(room) > own}
    assert not below, f"imports from below: {below}"
    for node in ast.walk(ast.parse("\n".join(lines))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < MOST_FUNCTION_LINES, node.name


def test_training_and_in_context_alignment_know_nothing_of_each_other() -> None:
    for room, other in (("train", "incontext"), ("incontext", "train")):
        for path in (PACKAGE / room).rglob("*.py"):
            assert other not in imported_rooms(path)


def test_the_package_stays_small() -> None:
    assert sum(len(path.read_text().splitlines()) for path in FILES) <= MOST_PACKAGE_LINES


def test_the_test_sees_an_upward_import(tmp_path: Path) -> None:
    bad = tmp_path / "bad.py"
    bad.write_text("def f():\n    from boresight.cli import app\n")
    assert imported_rooms(bad) == {"cli"}
