"""The page of what a recipe may say, made from the schema that `boresight schema` prints."""

from collections.abc import Iterator
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from boresight.recipe import Recipe

Schema = dict[str, Any]
LIMITS = {"exclusiveMinimum": ">", "minimum": "≥", "exclusiveMaximum": "<", "maximum": "≤"}
INTRODUCTION = """# Recipe

A recipe is a YAML file for [`boresight train`](commands/train.md). What it leaves out has the default below;
a key that is not below is refused, with file, line and the nearest name. `--set train.epochs=1` on the
command line overrides the file. `boresight schema > schema.json` writes the same for editors.
"""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the page."""
    schema = Recipe.model_json_schema()
    text = "\n".join([INTRODUCTION, *keys(schema, ""), *sections(schema, "", schema["$defs"])])
    files.append(File.generated(config, "reference/recipe.md", content=text))
    return files


def sections(schema: Schema, path: str, kinds: dict[str, Schema]) -> Iterator[str]:
    """A section for each key, at any depth, whose value has keys itself."""
    for name, value in schema["properties"].items():
        for kind in map(kinds.__getitem__, kinds_in(value)):
            inner = f"{path}{name}"
            yield from ("", f"## {inner}", "", kind["description"], "", *keys(kind, f"{inner}."))
            yield from sections(kind, f"{inner}.", kinds)


def keys(schema: Schema, path: str) -> Iterator[str]:
    """A table with a row for each key: what it takes, its default, what it means."""
    required = schema.get("required", [])
    yield from ("| key | takes | default | meaning |", "|---|---|---|---|")
    for name, value in schema["properties"].items():
        section = f"{path}{name}".replace(".", "")
        unless_given = "required" if name in required else default(value)
        meaning = " ".join(value["description"].split())
        yield f"| `{name}` | {takes(value, section)} | {unless_given} | {meaning} |"


def takes(schema: Schema, section: str) -> str:
    """In words: `integer > 0`, the names that are allowed, or the section that has the keys."""
    if "$ref" in schema:
        return f"[keys](#{section})"
    if "anyOf" in schema:
        return ", or ".join(takes(kind, section) for kind in schema["anyOf"] if kind.get("type") != "null")
    if names := schema.get("enum", [schema["const"]] if "const" in schema else []):
        return ", ".join(f"`{name}`" for name in names)
    if schema["type"] == "array":
        items = schema.get("prefixItems", [schema.get("items")])
        return f"list of {takes(items[0], section)}"
    limits = [f"{sign} {schema[key]}" for key, sign in LIMITS.items() if key in schema]
    return f"{schema.get('format', schema['type'])} {' and '.join(limits)}".strip()


def default(schema: Schema) -> str:
    """As YAML has it; nothing for what is off unless it is given, or has defaults of its own."""
    value = schema.get("default")
    if value is None or isinstance(value, dict):
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def kinds_in(schema: Schema) -> list[str]:
    """Names of the kinds with keys that a value may be of."""
    inner = [schema, schema.get("items", {}), *schema.get("anyOf", [])]
    return [kind["$ref"].rpartition("/")[2] for kind in inner if "$ref" in kind]
