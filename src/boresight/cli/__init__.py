"""The command line: `boresight --help`.

Commands are thin: they read arguments, call one stage, show progress and say what came out. A UserError
becomes one message on standard error and exit code 2.
"""

import errno
import os
import sys

import typer

from boresight.cli import data, demo, plan, pocket, report, train
from boresight.cli.console import say
from boresight.errors import Interrupted, UserError

app = typer.Typer(
    help="Align pretrained language models to follow instructions, and measure what changed.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=True,
)
app.command("demo")(demo.demo)
app.command("train")(train.train)
app.command("plan")(plan.plan)
app.command("report")(report.report)
app.add_typer(data.app, name="data")
app.add_typer(pocket.app, name="pocket")


def main() -> None:
    """Entry point: run a command; the user's mistakes end in exit code 2 and no traceback."""
    try:
        app()
    except UserError as error:
        _fail(str(error))
    except Interrupted as stopped:
        say(f"boresight: {stopped}")
        sys.exit(128 + stopped.signal)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
            raise
        _fail(f"{error.filename or 'output'}: {error.strerror}")


def _fail(message: str) -> None:
    rank = os.environ.get("RANK", "0")
    typer.echo(f"boresight: {message}" if rank == "0" else f"boresight, rank {rank}: {message}", err=True)
    sys.exit(2)
