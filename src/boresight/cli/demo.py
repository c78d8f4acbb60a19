"""`boresight demo`: the whole story on the pocket model."""

from pathlib import Path
from typing import Annotated, Any

import typer

from boresight.cli.console import print_result
from boresight.cli.options import AsJson, Force


def demo(
    output: Annotated[Path, typer.Option("-o", "--output", help="Where everything goes.")] = Path(
        "runs/demo"
    ),
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Align the pocket model in context and by training, for short and long, and report what changed.

    Example: boresight demo -o runs/demo
    """
    from boresight.lab.story import tell

    told = tell(output, force)
    lines = [
        *(
            f"{line.system:22} {line.short.value:6.1%} of held-out questions "
            f"({line.short.low:.1%} to {line.short.high:.1%}), asked by: {line.setting}"
            for line in told
        ),
        *(
            f"{line.system:22} {line.needles.value:6.1%} of needles in up to 4,096 tokens "
            f"({line.needles.low:.1%} to {line.needles.high:.1%})"
            for line in told
            if line.needles
        ),
    ]
    report = output / "report.html"
    result: dict[str, Any] = {"report": str(report), "systems": [line.as_json() for line in told]}
    print_result(result, as_json, "\n".join([*lines, str(report)]))
