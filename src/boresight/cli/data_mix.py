"""`boresight data mix`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from boresight.cli.console import console, print_result, quiet_transformers

if TYPE_CHECKING:
    import yaml
    from pydantic import ValidationError

    from boresight.data.mix import Taken
    from boresight.data.mixture import Mixture

Places = dict[tuple[Any, ...], str]
"""Where on the command line a key was set."""


def mix(
    mixture: Annotated[Path, typer.Argument(help="A mixture file, YAML.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The JSON Lines file to write.")],
    data: Annotated[
        Path | None, typer.Option(help="Where the mixture's relative paths begin. Default: beside it.")
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Override a key: members.cot.at_most=5000")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Draw conversations from several sources, so many of each, into one file.

    Example: boresight data mix mixtures/human-gpt.yaml --data downloads -o tulu-mixture.jsonl

    Example: boresight data mix mixtures/longalign.yaml --set members.long.at_most=5000 -o longalign-5k.jsonl
    """
    from boresight.data.mix import mix as draw
    from boresight.models.load import load_tokenizer

    quiet_transformers()
    loaded = load_mixture(mixture, set_, data)
    splits = any(member.split and not member.is_left_out for member in loaded.members.values())
    tokenizer = load_tokenizer(loaded.model) if splits and loaded.model else None
    with console.status("reading") as status:
        taken = draw(loaded, output, tokenizer, lambda name: status.update(f"reading {name}"))
    members = {name: part._asdict() for name, part in taken.items()}
    total = sum(part.chosen for part in taken.values())
    result = {"file": str(output), "conversations": total, "members": members}
    print_result(result, as_json, f"{_table(taken, total)}{output}: {total:,} conversations")


def load_mixture(path: Path, overrides: list[str] | None = None, data: Path | None = None) -> "Mixture":
    """Read a mixture file and apply `key=value` overrides; relative files start at `data` or beside it.

    Raises:
        UserError: names file and line, or the override, and what would be valid.
    """
    import yaml
    from pydantic import ValidationError

    from boresight.data.mixture import Mixture
    from boresight.errors import UserError
    from boresight.recipe import _override

    try:
        text = path.read_text(encoding="utf-8")
        node, values = yaml.compose(text), yaml.safe_load(text)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: {getattr(error, 'strerror', None) or 'not UTF-8 text'}") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise UserError(f"{path}:{line}: not YAML: {error.problem}") from error
    if not isinstance(values, dict):
        raise UserError(f"{path}: a mixture is a mapping of keys to values")
    _anchor(values, data or path.parent)
    set_by: Places = {}
    for override in overrides or []:
        set_by[_override(values, override)] = override
    try:
        return Mixture.model_validate(values)
    except ValidationError as error:
        raise UserError(_explain(error, path, node, set_by)) from error


def _anchor(values: dict[str, Any], directory: Path) -> None:
    """Make the files' relative paths start at a directory; what is malformed is left to be refused."""
    from boresight.data.hub import PREFIX

    members = values.get("members")
    for member in members.values() if isinstance(members, dict) else []:
        files = member.get("files") if isinstance(member, dict) else None
        if isinstance(files, list):
            member["files"] = [
                str(directory / Path(file).expanduser())
                if isinstance(file, str) and not file.startswith(PREFIX)
                else file
                for file in files
            ]


def _explain(error: "ValidationError", path: Path, node: "yaml.Node | None", set_by: Places) -> str:
    from boresight.data.mixture import Member, Mixture
    from boresight.recipe import _line, nearest

    # A misspelled key is both unknown and missing; the unknown one says more.
    first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
    location = first["loc"]
    name = ".".join(map(str, location))
    said_on = next((f"--set {said}" for key, said in set_by.items() if location[: len(key)] == key), None)
    place = said_on or f"{path}:{_line(node, location)}"
    match first["type"]:
        case "extra_forbidden":
            valid = (Mixture if len(location) == 1 else Member).model_fields
            return f"{place}: unknown key {name!r}{nearest(str(location[-1]), valid)}"
        case "missing":
            return f"{place}: {name!r} is missing"
        case "value_error":
            return f"{place}: {name}: {first['msg'].removeprefix('Value error, ')}"
        case _:
            return f"{place}: {name}: {first['msg']}, not {first['input']!r}"


def _table(taken: "dict[str, Taken]", total: int) -> str:
    """A line a member, and one for each reason that something was left out."""
    from rich.console import Console
    from rich.table import Table

    table = Table()
    table.add_column("member")
    for column in ("rows", "conversations", "in the mixture", "share"):
        table.add_column(column, justify="right")
    for name, (rows, found, chosen, _) in taken.items():
        table.add_row(name, f"{rows:,}", f"{found:,}", f"{chosen:,}", f"{chosen / total:.1%}")
    screen = Console(width=None if Console().is_terminal else 80)
    with screen.capture() as captured:
        screen.print(table)
    lost = (f"{name}: {n:,} × {why}\n" for name, part in taken.items() for why, n in part.dropped.items())
    left_out = "".join(lost)
    return captured.get() + (f"left out, of\n{left_out}" if left_out else "")
