"""How groups of commands are listed and stopped."""

from collections.abc import Mapping, Sequence
from signal import SIGINT
from typing import Any, ClassVar

from typer.core import TyperGroup

from boresight.errors import Interrupted


class Group(TyperGroup):
    """Lists its commands, if need be under headings, each with the whole first sentence of its help."""

    headings: ClassVar[Mapping[str, Sequence[str]]] = {}

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Typer's own would cut sentences off at the end of a line."""
        for heading, names in (self.headings or {"Commands": list(self.commands)}).items():
            with formatter.section(heading):
                formatter.write_dl([(name, self.commands[name].get_short_help_str(1000)) for name in names])

    def invoke(self, ctx: Any) -> Any:
        """Run a command; Ctrl-C ends it with a line, not with a traceback or in silence."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise Interrupted("stopped by Ctrl-C", SIGINT) from error
