"""Arguments and options that several commands have, said once."""

from pathlib import Path
from typing import Annotated

import typer

from boresight.cli.completion import among, in_folder

Model = Annotated[
    str, typer.Argument(help="A directory, a hub id, pocket, or a server: http://host:8000/v1#NAME")
]
RecipeFile = Annotated[Path, typer.Argument(help="A recipe file, YAML.")]
RunDirectory = Annotated[Path, typer.Option("-o", "--output", help="The run directory.")]
JsonLines = Annotated[Path, typer.Option("-o", "--output", help="The JSON Lines file to write.")]
Figure = Annotated[Path | None, typer.Option("-o", "--output", help="Draw it, as an SVG file.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Force = Annotated[bool, typer.Option("--force", help="Start over whatever is there; paid answers are kept.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only tell what it would take; do nothing.")]
Seed = Annotated[int, typer.Option(help="Decides all that is drawn at random.")]
Concurrency = Annotated[int, typer.Option(min=1, help="Requests under way together.")]
Retries = Annotated[int, typer.Option(min=0, help="Of a request that gets no answer.")]
PriceText = Annotated[str | None, typer.Option(help="Dollars for a million tokens, read and written: 3,15")]
MaxCost = Annotated[float | None, typer.Option(min=0, help="Most dollars, in all attempts.")]
Preset = Annotated[
    str,
    typer.Option(
        help="default, han2023, urial, pocket, or a YAML file.", autocompletion=in_folder("incontext/presets")
    ),
]
PresetOverrides = Annotated[
    list[str] | None,
    typer.Option("--set", help="Override a key of the preset: policy.budget=1000. May be repeated."),
]
RecipeOverrides = Annotated[
    list[str] | None,
    typer.Option("--set", help="Override a key of the recipe: train.epochs=1. May be repeated."),
]
ServersTokenizer = Annotated[
    str | None, typer.Option("--tokenizer", help="Of a server's model: a directory or a hub id.")
]
ContextLength = Annotated[int | None, typer.Option(min=1, help="Tokens, instead of the model's own.")]
TokenTimeout = Annotated[float, typer.Option("--timeout", min=0.1, help="Seconds to a server's next token.")]
Host = Annotated[str, typer.Option(help="Where to listen.")]
Port = Annotated[int, typer.Option(help="0 takes a free one.")]
TokenizerModel = Annotated[
    str, typer.Option("--model", help="Whose tokenizer: a directory, a hub id, or pocket.")
]
TemplateName = Annotated[
    str,
    typer.Option("--template", help="tulu, chatml, or own.", autocompletion=among("tulu", "chatml", "own")),
]
Engine = Annotated[
    str, typer.Option(help="local, or ray: here or at RAY_ADDRESS.", autocompletion=among("local", "ray"))
]
