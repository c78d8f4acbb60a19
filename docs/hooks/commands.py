"""Pages of the command line, a page a command or group, made from what `--help` is made of."""

import re
from collections.abc import Iterator
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from typer.core import TyperGroup
from typer.main import get_command

from boresight.cli import app

Command = Any
"""A command or a group of commands; Typer keeps the class of both to itself."""
FOLDER = "reference/commands"
CODE = re.compile(r"(`[^`]*`)")
MARKUP = re.compile(r"([\\*_\[|])")
INTRODUCTION = """# Command line

What `boresight COMMAND --help` says, on pages. `--json`, where there is one, prints one document on
standard output; messages and progress go to standard error. A mistake in what was asked ends with exit
code 2 and one line that names it; work that failed and may go better next time, with 1.
`boresight --install-completion` teaches your shell the commands, their options, and the names they take:
of sources, tasks, presets, rubrics.
"""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages, and one that lists them."""
    group = get_command(app)
    assert isinstance(group, TyperGroup)
    pages = {f"{name}.md": page(f"boresight {name}", command) for name, command in group.commands.items()}
    for name, text in {"index.md": overview(group), **pages}.items():
        files.append(File.generated(config, f"{FOLDER}/{name}", content=text))
    return files


def overview(group: TyperGroup) -> str:
    """What every command does, in a sentence, and the way to its page."""
    rows = [
        (f"[`{path}`]({name}.md#{path.replace(' ', '-')})", plain(help_of(command)[0]))
        for name, top in group.commands.items()
        for path, command in walk(f"boresight {name}", top)
        if not isinstance(command, TyperGroup)
    ]
    return "\n".join([INTRODUCTION, *table(("command", "what it does"), rows)])


def page(path: str, top: Command) -> str:
    """A section for every command below one, itself included."""
    lines: list[str] = []
    for below, command in walk(path, top):
        lines += section(below, command, "#" if command is top else "##")
    return "\n".join(lines)


def walk(path: str, command: Command) -> Iterator[tuple[str, Command]]:
    """A command and those below it, with the words that call them."""
    yield path, command
    if isinstance(command, TyperGroup):
        for name, below in command.commands.items():
            yield from walk(f"{path} {name}", below)


def section(path: str, command: Command, level: str) -> Iterator[str]:
    """A heading, the help, how the command is called, its examples, and a table of what it takes."""
    paragraphs = help_of(command)
    examples = [text.removeprefix("Example: ") for text in paragraphs if text.startswith("Example: ")]
    yield f"{level} {path}\n"
    yield from (f"{plain(text)}\n" for text in paragraphs if not text.startswith("Example: "))
    if not isinstance(command, TyperGroup):
        context = command.context_class(command, info_name=path)
        usage = " ".join((path, *command.collect_usage_pieces(context)))
        yield from (f"```bash\n{call}\n```\n" for call in (usage, *examples))
        records = [parameter.get_help_record(context) for parameter in command.get_params(context)]
        rows = [(f"`{record[0]}`", plain(record[1])) for record in records if record]
        yield from (*table(("argument or option", "meaning"), rows), "")


def help_of(command: Command) -> list[str]:
    """The help's paragraphs, each on one line."""
    return [" ".join(paragraph.split()) for paragraph in (command.help or "").split("\n\n")]


def table(head: tuple[str, str], rows: list[tuple[str, str]]) -> list[str]:
    """A Markdown table of two columns."""
    return [f"| {' | '.join(row)} |" for row in (head, ("---", "---"), *rows)]


def plain(text: str) -> str:
    """Text that Markdown leaves as it is, but for code between backticks."""
    parts = CODE.split(text)
    return "".join(part if part.startswith("`") else escape(part) for part in parts)


def escape(text: str) -> str:
    """Text without markup."""
    return MARKUP.sub(r"\\\1", text).replace("<", "&lt;")
