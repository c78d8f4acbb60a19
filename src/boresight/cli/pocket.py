"""`boresight pocket …`: the model that comes with the package."""

from pathlib import Path
from typing import Annotated

import typer

from boresight.cli.console import print_result
from boresight.cli.options import AsJson, Force, JsonLines, Seed
from boresight.errors import UserError
from boresight.progress import counting, quiet_transformers

app = typer.Typer(help="The pocket model and its world.", no_args_is_help=True)


@app.command()
def build(
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Working directory; the model is in its base/.")
    ],
    seed: Seed = 0,
    tokens: Annotated[
        int | None,
        typer.Option(min=4096, help="Tokens of pages to train on, 4,096 a step. Default: 16 million."),
    ] = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Pretrain the pocket base model from a seed; run again, it resumes.

    Example: boresight pocket build -o pocket-build --tokens 1000000
    """
    from boresight.pocket.build import STEP_TOKENS, TOKENS, Progress
    from boresight.pocket.build import build as build_model

    quiet_transformers()
    asked = tokens or TOKENS
    seen = Progress(0, asked // STEP_TOKENS, float("nan"))
    with counting("pretrain", seen.steps, lambda: f"loss {seen.loss:.4f}") as done:

        def show(step: Progress) -> None:
            nonlocal seen
            before, seen = seen, step
            done(step.step - before.step)

        base = build_model(output, seed, asked, show, force)
    print_result({"model": str(base)}, as_json, str(base))


@app.command()
def conversations(
    output: JsonLines,
    count: Annotated[
        int, typer.Option(min=1, help="Conversations, or with --held-out, questions a family.")
    ] = 4000,
    seed: Seed = 0,
    long: Annotated[int, typer.Option(min=0, help="So many of them are about long documents.")] = 0,
    held_out: Annotated[bool, typer.Option("--held-out", help="Questions never asked in training.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write conversations of the pocket world.

    Example: boresight pocket conversations -o train.jsonl --count 4000 --long 200
    """
    from boresight.pocket.conversations import held_out_conversations, mixed_conversations
    from boresight.records import write_records

    if long > count:
        raise UserError(f"--long {long}: more than the {count} of --count")
    made = held_out_conversations(count, seed) if held_out else mixed_conversations(count, long, seed)
    written = write_records(output, made)
    print_result(
        {"file": str(output), "conversations": written}, as_json, f"{output}: {written:,} conversations"
    )
