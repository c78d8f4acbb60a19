"""`boresight data …`: conversations from files, shown and tokenised."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from boresight.cli import data_clean, data_describe, data_import, data_long, data_mix
from boresight.cli.console import print_result
from boresight.cli.options import AsJson, Engine, TemplateName, TokenizerModel
from boresight.progress import is_screen, printable

if TYPE_CHECKING:
    from rich.text import Text

    from boresight.chat import Chat, Tokenised

app = typer.Typer(help="Import, mix, clean, read, make and tokenise conversations.", no_args_is_help=True)
app.command("import")(data_import.import_)
app.command("mix")(data_mix.mix)
app.command("clean")(data_clean.clean)
app.command("describe")(data_describe.describe)
app.command("long")(data_long.long)


@app.command()
def show(
    file: Annotated[Path, typer.Argument(help="A conversations file.")],
    row: Annotated[int, typer.Option("--row", min=1, help="Which conversation, from 1.")] = 1,
    model: TokenizerModel = "pocket",
    template: TemplateName = "tulu",
    as_json: AsJson = False,
) -> None:
    """Print one conversation as the model is trained on it, its target tokens coloured.

    Where there are no colours, as in a file, targets stand between ⟨ and ⟩.

    Example: boresight data show gsm8k.jsonl --row 3 --model pocket --template tulu
    """
    from itertools import islice

    from rich.console import Console

    from boresight.errors import UserError
    from boresight.records import Conversation, read_records
    from boresight.stages.conversations import load_chat, with_targets

    conversation = next(islice(read_records(file, Conversation), row - 1, None), None)
    if conversation is None:
        raise UserError(f"{file}: has no conversation {row}")
    chat = load_chat(model, template)
    tokenised = with_targets(conversation, chat, f"{file}: conversation {row}")
    if as_json:
        pieces = [chat.tokenizer.decode([token]) for token in tokenised.tokens]
        marked = [{"token": p, "target": bool(t)} for p, t in zip(pieces, tokenised.targets, strict=True)]
        print_result({"id": conversation.id, "tokens": marked}, True, "")
    else:
        colours = is_screen(sys.stdout)
        screen = Console(highlight=False, soft_wrap=True, force_terminal=colours)
        screen.print(_marked(chat, tokenised, "{}" if colours else "⟨{}⟩"))


@app.command()
def tokenise(
    file: Annotated[Path, typer.Argument(help="A conversations file.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The token store, a directory.")],
    model: TokenizerModel = "pocket",
    template: TemplateName = "tulu",
    max_length: Annotated[int, typer.Option(min=2, help="Most tokens of a conversation.")] = 2048,
    engine: Engine = "local",
    as_json: AsJson = False,
) -> None:
    """Tokenise conversations to flat arrays on disk, and say what was dropped or cut.

    Example: boresight data tokenise gsm8k.jsonl -o gsm8k.tokens --model pocket
    """
    from boresight.data.engine import open_engine
    from boresight.data.tokenise import prepare_file
    from boresight.stages.conversations import load_chat

    chat = load_chat(model, template)
    with open_engine(engine) as opened:
        store = prepare_file(file, chat, output, max_length, opened)
    counts = store.manifest["counts"]
    size = f"{counts['sequences']:,} sequences, {counts['tokens']:,} tokens, {counts['targets']:,} targets"
    lost = f"{counts['cut']} cut, dropped: {counts['dropped'] or 'none'}"
    print_result(counts, as_json, f"{output}: {size}, {lost}")


def _marked(chat: "Chat", tokenised: "Tokenised", mark: str) -> "Text":
    """Targets as `mark`, in green."""
    from rich.text import Text

    text = Text()
    for piece, target in chat.pieces(tokenised):
        shown = printable(piece)
        text.append(mark.format(shown) if target else shown, style="bold green" if target else "dim")
    return text
