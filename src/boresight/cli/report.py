"""`boresight report RUN…`."""

from pathlib import Path
from typing import Annotated

import typer

from boresight.cli.console import print_result


def report(
    runs: Annotated[list[Path], typer.Argument(help="Run directories, the baseline first.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The HTML file.")] = Path("report.html"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Write one self-contained HTML page about runs.

    Example: boresight report runs/base runs/aligned runs/train -o report.html
    """
    from boresight.report import write_report

    write_report(runs, output)
    print_result({"report": str(output)}, as_json, str(output))
