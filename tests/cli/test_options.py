"""The same option is the same in every command: short form, type, default, and what is said of it."""

from collections import defaultdict
from typing import Any, NamedTuple

from test_help import COMMANDS

APART = {
    "--output": "what is written differs; -o is the same, and a path",
    "--seed": "0 of judges and where intervals alone are resampled; 42 where data is drawn, as in recipes",
    "--set": "what is overridden differs",
    "--data": "places of tasks, or where a mixture's paths begin",
    "--demonstrations": "one pool, or several with names",
    "--lengths": "of prompts, of documents, or a file of them",
    "--limit": "of what differs",
    "--max-length": "in tokens, or without a model in characters",
    "--min-length": "in tokens, or without a model in characters",
    "--max-tokens": "the model's own, or the little that a needle takes",
    "--model": "optional where lengths may be in characters",
    "--template": "optional where lengths may be in characters",
    "--tokenizer": "of a server's model, or whose tokens are counted in place of words",
    "--questions": "asked of raters, or those that were answered",
    "--rubric": "each task has its own",
    "--base": "a way of asking needles, or the model of the lab",
    "--as-published": "of results the first rating, of agreement the first two raters",
    "--timeout": "to a server's next token, or of a whole answer",
    "--url": "of links, or of this server",
}
"""Options that differ, and why."""


class Look(NamedTuple):
    """What a user sees of an option."""

    short: tuple[str, ...]
    type: str
    default: str
    help: str
    panel: str | None


def looks() -> dict[str, dict[str, Look]]:
    """Every option of all commands, by its long name and command."""
    found: dict[str, dict[str, Look]] = defaultdict(dict)
    for path, command in COMMANDS.items():
        for parameter in command.params:
            if parameter.param_type_name == "option":
                found[long_name(parameter)][" ".join(path)] = look(parameter)
    return found


def long_name(parameter: Any) -> str:
    return next(name for name in parameter.opts if name.startswith("--"))


def look(parameter: Any) -> Look:
    short = tuple(name for name in parameter.opts if not name.startswith("--"))
    kind = str(parameter.type_descriptor.annotation)
    return Look(short, kind, str(parameter.default), parameter.help, parameter.rich_help_panel)


def test_the_same_option_is_the_same_everywhere() -> None:
    differ = {name for name, by in looks().items() if len(set(by.values())) > 1}
    assert differ == APART.keys(), {name: looks()[name] for name in differ ^ APART.keys()}


def test_what_must_be_the_same_even_so() -> None:
    for name, by in looks().items():
        assert len({each.short for each in by.values()}) == 1, name
    assert {each.short for each in looks()["--output"].values()} == {("-o",)}
    assert all("Path" in each.type for each in looks()["--output"].values())
    assert {each.default for each in looks()["--seed"].values()} == {"0", "42"}


def test_every_option_is_explained_in_a_sentence() -> None:
    for name, by in looks().items():
        for command, each in by.items():
            assert each.help and each.help[0] not in " .", (command, name)


def test_names_are_of_one_pattern() -> None:
    """Words with hyphens between; one letter only for what is typed all the time."""
    assert all(name == name.lower() and "_" not in name for name in looks())
    assert {short for by in looks().values() for each in by.values() for short in each.short} == {"-o"}
