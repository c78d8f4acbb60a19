"""The command line: `boresight --help`.

Commands are thin: they read arguments, call one stage, show progress and say what came out.

Exit codes: 0; 1, where the work failed and the same command may go better; 2, the user's mistake, as one
message on standard error; 130 and 143, where Ctrl-C or SIGTERM stopped it.
"""

import errno
import os
import sys
from typing import Annotated, ClassVar

import typer

from boresight.cli import (
    agreement,
    chat,
    data,
    demo,
    doctor,
    evaluate,
    judge,
    lab,
    needle,
    plan,
    pocket,
    report,
    schema,
    score,
    serve,
    study,
    train,
    winrate,
)
from boresight.cli.console import print_result
from boresight.cli.groups import Group
from boresight.cli.options import AsJson
from boresight.errors import Interrupted, Unfinished, UserError
from boresight.files import DISK
from boresight.progress import printable, say

WELCOME = """\
boresight aligns pretrained language models to follow instructions, and measures what changed.

  boresight demo                                       all of it on a small model, in minutes
  boresight data import SOURCE FILE -o data.jsonl      conversations from files as they are published
  boresight train RECIPE -o runs/mine                  fine-tune a model
  boresight chat MODEL --demonstrations data.jsonl     or show it examples in context, and talk to it
  boresight eval MODEL --tasks mmlu,gsm -o runs/eval   ask it benchmarks or questions of your own
  boresight report runs/ -o report.html                all results on one page

boresight --help lists all commands; boresight COMMAND --help explains one, with examples.
"""
ABOUT = """\
Align pretrained language models to follow instructions, and measure what changed.

Results go to standard output, with --json as one document; messages and progress to standard error.

Exit codes: 0; 1 where the work failed and may go better next time; 2 where what was asked cannot be; 130
after Ctrl-C."""


class _All(Group):
    headings: ClassVar = {
        "Align": ("demo", "train", "plan", "chat", "serve"),
        "Measure": ("eval", "score", "judge", "winrate", "study", "agreement", "needle", "report"),
        "Data": ("data", "pocket", "lab"),
        "Help": ("doctor", "schema", "version"),
    }


app = typer.Typer(
    cls=_All,
    help=ABOUT,
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # The boxes of rich cut options' names off on narrow screens.
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo")(demo.demo)
app.command("train")(train.train)
app.command("plan")(plan.plan)
app.command("chat")(chat.chat)
app.command("serve")(serve.serve)
app.add_typer(evaluate.app, name="eval")
app.command("score")(score.score)
app.command("needle")(needle.needle)
app.command("lab")(lab.lab)
app.add_typer(judge.app, name="judge", cls=Group)
app.command("winrate")(winrate.winrate)
app.add_typer(study.app, name="study", cls=Group)
app.command("agreement")(agreement.agreement)
app.command("report")(report.report)
app.add_typer(data.app, name="data", cls=Group)
app.add_typer(pocket.app, name="pocket", cls=Group)
app.command("doctor")(doctor.doctor)
app.command("schema")(schema.schema)


@app.command("version")
def version(as_json: AsJson = False) -> None:
    """Print the version.

    Example: boresight version
    """
    from importlib.metadata import version as version_of

    number = version_of("boresight")
    print_result({"boresight": number}, as_json, f"boresight {number}")


def _print_version(wanted: bool) -> None:
    if wanted:
        version()
        raise typer.Exit


@app.callback()
def start(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Without a command, say how to begin."""
    if context.invoked_subcommand is None:
        print(WELCOME, end="")


def main() -> None:
    """Entry point: run a command; the user's mistakes end in exit code 2 and no traceback."""
    try:
        app()
    except UserError as error:
        _fail(str(error), 1 if isinstance(error, Unfinished) else 2)
    except Interrupted as stopped:
        say(f"boresight: {stopped}")
        sys.exit(128 + stopped.signal)
    except OSError as error:
        # One that names no file is no path of the user's, but for a full disk.
        if error.filename is None and error.errno not in DISK:
            raise
        _fail(f"{error.filename or 'output'}: {error.strerror}")
    except RuntimeError as error:
        cause = error.__context__  # Before Python 3.13, `Path.resolve` hides the error of links in a circle.
        if not (isinstance(cause, OSError) and cause.errno == errno.ELOOP):
            raise
        _fail(f"{cause.filename}: {cause.strerror}")


def _fail(message: str, code: int = 2) -> None:
    rank = os.environ.get("RANK", "0")
    said = printable(message)  # It may quote a file.
    typer.echo(f"boresight: {said}" if rank == "0" else f"boresight, rank {rank}: {said}", err=True)
    sys.exit(code)
