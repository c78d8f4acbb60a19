"""`boresight needle MODEL`: how well a model finds a sentence in a long text, by length and depth."""

from typing import Annotated, Any

import typer

from boresight.cli import costs
from boresight.cli.completion import in_folder
from boresight.cli.console import print_result
from boresight.cli.options import (
    AsJson,
    Concurrency,
    Force,
    MaxCost,
    Model,
    PriceText,
    RunDirectory,
    Seed,
    ServersTokenizer,
)


def needle(
    model: Model,
    output: RunDirectory,
    haystack: Annotated[
        str, typer.Option(help="A file or a folder of texts; or pocket, pages of the pocket world.")
    ] = "pocket",
    needles: Annotated[
        str,
        typer.Option(
            help="published, chinese, pocket, or a YAML file.", autocompletion=in_folder("evaluate/needles")
        ),
    ] = "published",
    lengths: Annotated[
        str, typer.Option(help="In tokens: published, 1000,2000 or 1000-8000:8 for eight.")
    ] = "published",
    depths: Annotated[str, typer.Option(help="In percent: published, 0,50,100 or 0-100:11.")] = "published",
    samples: Annotated[int, typer.Option(min=1, help="Haystacks for every cell.")] = 1,
    max_tokens: Annotated[int, typer.Option(min=1, help="Most tokens of an answer.")] = 128,
    tokenizer: ServersTokenizer = None,
    base: Annotated[
        bool, typer.Option("--base", help="Continue the text; a local model without template does.")
    ] = False,
    concurrency: Concurrency = 16,
    price: PriceText = None,
    max_cost: MaxCost = None,
    seed: Seed = 42,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Hide a sentence in long texts and ask for it, over a grid of lengths and depths.

    Run again, it goes on where it was stopped.

    Example: boresight needle pocket -o runs/needle --needles pocket --lengths 512-4096:8 --max-tokens 8

    Example: boresight needle http://127.0.0.1:8000/v1#name --tokenizer owner/name
    --haystack essays/ -o runs/needle
    """
    from boresight.stages.needles import Asked, find_needles, grid_of

    asked = Asked(model, tokenizer, base, haystack, concurrency, price, max_cost)
    grid = grid_of(lengths, depths, samples, max_tokens, seed)
    result = find_needles(asked, grid, needles, output, force)
    print_result(result, as_json, _describe(result))


def _describe(result: dict[str, Any]) -> str:
    low, high = result["ci95"]
    return (
        f"{result['directory']}: {result['recall']:.1%} of the keywords found; all of them in "
        f"{result['found']:,} of {result['total']:,} answers ({low:.1%} to {high:.1%})\n"
        f"no needle stands farther than {result['farthest']:.2f} % from its depth\n"
        f"{_cost(result['cost'])}{result['directory']}/needle.svg"
    )


def _cost(cost: dict[str, Any]) -> str:
    """What a server was paid; nothing of a model in this process."""
    asked = cost["total"]["prompt_tokens"]
    return f"{costs.in_all(cost['total'])}; {costs.last(cost)}\n" if asked else ""
