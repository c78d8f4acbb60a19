"""`boresight serve`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from boresight.cli.options import (
    ContextLength,
    Host,
    Port,
    Preset,
    PresetOverrides,
    ServersTokenizer,
    TokenTimeout,
)
from boresight.progress import quiet_transformers, say, working

if TYPE_CHECKING:
    from boresight.incontext.alignment import Alignment


def serve(
    model: Annotated[
        str, typer.Argument(help="A directory, a hub id, pocket, or an upstream: http://host:8000/v1#NAME")
    ],
    demonstrations: Annotated[
        list[str] | None,
        typer.Option(help="NAME=POOL: serve MODEL+NAME with a conversations file. May be repeated."),
    ] = None,
    preset: Preset = "default",
    set_: PresetOverrides = None,
    name: Annotated[str | None, typer.Option(help="The base's name. Default: the end of MODEL.")] = None,
    host: Host = "127.0.0.1",
    port: Port = 8000,
    api_key_file: Annotated[
        Path | None, typer.Option(help="Keys that clients may show, one a line. Or BORESIGHT_SERVE_API_KEY.")
    ] = None,
    no_key: Annotated[bool, typer.Option("--no-key", help="Let everybody in, at any host.")] = False,
    tokenizer: ServersTokenizer = None,
    context: ContextLength = None,
    max_waiting: Annotated[
        int, typer.Option(min=1, help="Answers that may wait for their first token; others get 429.")
    ] = 256,
    max_body: Annotated[int, typer.Option(min=1, help="Bytes of a request.")] = 4 * 2**20,
    timeout: TokenTimeout = 120.0,
    cors: Annotated[
        list[str] | None,
        typer.Option(help="An origin whose pages may ask, as https://example.org. May be repeated."),
    ] = None,
    show_demonstrations: Annotated[
        bool, typer.Option("--show-demonstrations", help="Tell the texts of what was shown when asked.")
    ] = False,
) -> None:
    """Serve a base model as a chat model, to anything that speaks OpenAI's interface.

    Example: boresight serve pocket --demonstrations helpful=pool.jsonl

    Example: boresight serve http://127.0.0.1:8001/v1#llama --tokenizer llama --demonstrations a=a.jsonl
    """
    from boresight.serve import listening, start
    from boresight.serve.app import Access, create_app
    from boresight.serve.metrics import Metrics
    from boresight.serve.served import Served
    from boresight.serve.service import Service

    quiet_transformers()
    listening.log_requests()
    keys = listening.read_keys(api_key_file)
    access = Access(keys, listening.allowed_hosts(host, keys, no_key), cors or (), max_body)
    at = listening.bind(host, port)
    with working("loading"):
        base, backend, of = start.open_base(model, tokenizer, context, name, timeout)
        alignments = start.open_alignments(demonstrations or [], preset, set_ or [], of, lambda done: None)
        served = Served(base, alignments, show_demonstrations)
    for alignment in alignments.values():
        say(_described(alignment))
    say(f"http://{listening.address_of(at)}/v1 serves {', '.join(model['id'] for model in served.listed(0))}")
    listening.run(create_app(Service(served, backend, Metrics(), max_waiting), access), at)


def _described(alignment: "Alignment") -> str:
    pool = alignment.pool
    left_out = ", ".join(f"{n:,} × {why}" for why, n in pool.dropped.items())
    return f"{alignment.name}: {len(pool):,} demonstrations" + f"; left out: {left_out}" * bool(left_out)
