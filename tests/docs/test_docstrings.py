"""Every public name of the package says what it is; every key of a recipe too."""

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

from pydantic.json_schema import JsonSchemaValue

from boresight.recipe import Recipe

PACKAGE = Path(__file__).parents[2] / "src" / "boresight"
Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def undocumented(tree: ast.Module, module: str) -> Iterator[str]:
    """Names of the module, and of the classes, functions and methods whose names are public all the way."""
    if not ast.get_docstring(tree):
        yield module
    yield from undocumented_in(tree, module)


def undocumented_in(scope: ast.Module | ast.ClassDef, path: str) -> Iterator[str]:
    for node in definitions(scope.body):
        if node.name.startswith("_"):
            continue
        if not ast.get_docstring(node):
            yield f"{path}.{node.name}"
        if isinstance(node, ast.ClassDef):
            yield from undocumented_in(node, f"{path}.{node.name}")


def definitions(body: Iterable[ast.AST]) -> Iterator[Definition]:
    """Those of a body, also those that stand in an `if` or a `try` of it."""
    for node in body:
        if isinstance(node, Definition):
            yield node
        elif isinstance(node, ast.If | ast.Try):
            yield from definitions(ast.iter_child_nodes(node))


def test_every_public_name_has_a_docstring() -> None:
    files = sorted(PACKAGE.rglob("*.py"))
    assert files
    missing = [
        name
        for path in files
        for name in undocumented(ast.parse(path.read_text()), path.relative_to(PACKAGE).as_posix())
    ]
    assert not missing


def test_every_key_of_a_recipe_has_a_docstring() -> None:
    schema: JsonSchemaValue = Recipe.model_json_schema()
    kinds = {"Recipe": schema, **schema["$defs"]}
    keys = {f"{kind}.{key}": value for kind, of in kinds.items() for key, value in of["properties"].items()}
    assert "TrainSettings.learning_rate" in keys
    assert not [key for key, value in keys.items() if not value.get("description")]


def test_the_walk_sees_what_is_missing() -> None:
    source = '''
import sys
class Seen:
    """It is."""
    def method(self): ...
    def _own(self): ...
    class Inner:
        x: int
if sys.platform:
    async def late(): ...
else:
    def other(): """It is."""
class _Private:
    def method(self): ...
def outer():
    """It is."""
    def inner(): ...
'''
    assert list(undocumented(ast.parse(source), "m")) == ["m", "m.Seen.method", "m.Seen.Inner", "m.late"]
