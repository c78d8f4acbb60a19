"""`boresight report RUN…`."""

from pathlib import Path
from typing import Annotated

import typer

from boresight.cli.console import print_result
from boresight.cli.options import AsJson


def report(
    runs: Annotated[
        list[Path],
        typer.Argument(
            help="Run directories, or directories above some; and files of `study results --json`, "
            "`study agreement --json`, `study export` and `data describe --json`."
        ),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="The HTML file.")] = Path("report.html"),
    baseline: Annotated[
        str | None, typer.Option(help="The system that others are compared with. Default: the first.")
    ] = None,
    table: Annotated[
        Path | None, typer.Option(help="Also the systems as a table for a paper: .tex or .csv")
    ] = None,
    figure: Annotated[Path | None, typer.Option(help="Also as a figure for a paper: .svg or .png")] = None,
    as_json: AsJson = False,
) -> None:
    """Write one self-contained HTML page about runs of any kind: what is there is shown.

    Example: boresight report runs/base runs/aligned runs/train -o report.html

    Example: boresight report runs/eval --baseline "pocket (base)" --table table.tex --figure figure.svg
    """
    from boresight.report import write_report

    write_report(runs, output, baseline, table, figure)
    result = {"report": str(output)}
    result |= {name: str(path) for name, path in (("table", table), ("figure", figure)) if path}
    print_result(result, as_json, "\n".join(result.values()))
