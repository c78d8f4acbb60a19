"""`boresight chat`."""

import sys
from collections.abc import Iterator
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Annotated

import typer

from boresight.cli.options import (
    ContextLength,
    Model,
    Preset,
    PresetOverrides,
    ServersTokenizer,
    TokenTimeout,
)
from boresight.errors import Unfinished, UserError
from boresight.progress import console, quiet_transformers, working

if TYPE_CHECKING:
    from asyncio import Runner

    from boresight.cli.talk import Answerer, Context
    from boresight.records import Message
    from boresight.serve.errors import ApiError

HELP = """\
/demos   what the last answer was shown: id, score, tokens, first line
/clear   forget the conversation
/help    this
/exit    leave, as Ctrl-D does
Ctrl-C stops an answer. A message that begins with / takes a space before it."""
FIRST_LINE = 80
"""Characters of a demonstration in a list."""


def chat(
    model: Model,
    demonstrations: Annotated[
        str | None, typer.Option(help="A conversations file, or a preset that brings its own, as urial.")
    ] = None,
    preset: Preset = "default",
    set_: PresetOverrides = None,
    tokenizer: ServersTokenizer = None,
    context: ContextLength = None,
    temperature: Annotated[
        float | None, typer.Option(min=0, max=2, help="Default: 0.7 with demonstrations, else the model's.")
    ] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="Most tokens of an answer.")] = None,
    timeout: TokenTimeout = 120.0,
) -> None:
    """Talk to a model; answers appear as they are written. /help lists the commands.

    Where standard input is no terminal, every line of it is a message, and only answers are printed.

    Example: boresight chat pocket --demonstrations pool.jsonl

    Example: echo "Why is the sky blue?" | boresight chat http://127.0.0.1:8000/v1#pocket+helpful
    """
    from asyncio import Runner

    from boresight.cli.talk import Chatting, Settings, open_continuing
    from boresight.models.open import is_url, named

    if demonstrations is None and (preset != "default" or set_):
        raise UserError("--preset and --set say how demonstrations are shown; give --demonstrations POOL")
    quiet_transformers()
    settings = Settings(temperature, max_tokens, timeout)
    with working("loading"):
        answerer: Answerer
        if is_url(model) and demonstrations is None:
            if tokenizer or context:
                raise UserError("--tokenizer and --context go with --demonstrations; the server itself chats")
            answerer = Chatting(*named(model), settings)
        else:
            answerer = open_continuing(
                model, demonstrations, preset, set_ or [], tokenizer, context, settings
            )
    with Runner() as runner:
        runner.run(answerer.start())
        try:
            _converse(_Talk(answerer, runner))
        finally:
            runner.run(answerer.close())


class _Talk:
    """A conversation so far, and what its last answer was shown."""

    def __init__(self, answerer: "Answerer", runner: "Runner"):
        self.answerer = answerer
        self.messages: list[Message] = []
        self.shown: Context | None = None
        self._runner = runner

    def ask(self, question: str) -> None:
        """Print the answer as it comes; what was printed of it is remembered, even if it is broken off.

        Raises:
            ApiError: there is no answer, or it breaks off.
            KeyboardInterrupt: Ctrl-C stopped it.
        """
        self._runner.run(self._ask(question))

    async def _ask(self, question: str) -> None:
        from boresight.records import Message
        from boresight.report.text import visible

        asked = [*self.messages, Message(role="user", content=question)]
        text, finish, self.shown = "", None, None
        try:
            async with aclosing(self.answerer.answer(asked)) as answer:
                async for said in answer:
                    # A model's text could drive the terminal: its control characters are spelt out.
                    print(visible(said.text), end="", flush=True)
                    text += said.text
                    finish, self.shown = said.finish or finish, said.shown or self.shown
        finally:
            if text or finish:
                print(flush=True)
            if text:
                self.messages = [*asked, Message(role="assistant", content=text)]
        if finish == "length":
            _note("stopped at the longest answer allowed; see --max-tokens")
        if self.shown and self.shown.dropped_turns:
            _note(f"earlier rounds left out for room: {self.shown.dropped_turns}")


def _converse(talk: _Talk) -> None:
    from boresight.serve.errors import ApiError

    if not sys.stdin.isatty():
        for question in _piped():
            try:
                talk.ask(question)
            except ApiError as error:
                raise Unfinished(_words(error)) from error
        return
    with suppress(ImportError):
        import readline  # noqa: F401 -- importing it gives input() its keys
    sys.stdin.reconfigure(errors="replace")  # type: ignore[union-attr]
    _note(f"{talk.answerer.name} answers. /help lists the commands, Ctrl-D leaves.")
    for question in _typed(talk):
        try:
            talk.ask(question)
        except KeyboardInterrupt:
            _note("stopped")
        except ApiError as error:
            console.print(_words(error), style="red", markup=False, emoji=False, soft_wrap=True)


def _piped() -> Iterator[str]:
    for number, raw in enumerate(sys.stdin.buffer, 1):
        try:
            line = raw.decode().strip()
        except UnicodeDecodeError as error:
            raise UserError(f"standard input:{number}: not UTF-8 text ({error.reason})") from error
        if line:
            yield line


def _typed(talk: _Talk) -> Iterator[str]:
    """What is typed that is no command; commands are obeyed."""
    while True:
        try:
            line = input("> ")
        except KeyboardInterrupt:
            print()
            continue
        except EOFError:
            print()
            return
        match line.rstrip():
            case "":
                continue
            case "/exit":
                return
            case "/help":
                _note(HELP)
            case "/clear":
                talk.messages, talk.shown = [], None
                _note("forgotten")
            case "/demos":
                _list_demonstrations(talk.shown)
            case command if command.startswith("/"):
                _note(f"{command}: no such command; /help lists them")
            case question:
                yield question.strip()


def _list_demonstrations(shown: "Context | None") -> None:
    from boresight.report.text import label, visible

    if shown is None:
        _note("nothing is known of demonstrations: no answer yet, none were shown, or a server does not tell")
    elif not shown.demonstrations:
        _note("no demonstrations were shown")
    for id, score, tokens, question in shown.demonstrations if shown else ():
        told = "(the server keeps its text)" if question is None else question
        first = label(told.strip().partition("\n")[0], FIRST_LINE)
        print(f"{visible(id)}  score {score:.3g}  {tokens:,} tokens  {first}")


def _note(text: str) -> None:
    from boresight.report.text import visible

    console.print(visible(text), style="dim", markup=False, emoji=False, soft_wrap=True)


def _words(error: "ApiError") -> str:
    from boresight.report.text import visible

    return visible(str(error.body["error"]["message"]))
