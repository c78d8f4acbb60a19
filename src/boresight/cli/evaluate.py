"""`boresight eval MODEL`: benchmarks, and questions of one's own, asked of a model or all its checkpoints."""

from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

import typer

from boresight.cli.benchmarks import (
    Classifier,
    Data,
    InformationJudge,
    Limit,
    TruthJudge,
    WithoutIsolation,
    table,
)
from boresight.cli.completion import TASKS, among, several
from boresight.cli.console import print_result
from boresight.cli.eval_show import show
from boresight.cli.groups import Group
from boresight.cli.options import (
    AsJson,
    Concurrency,
    Force,
    MaxCost,
    Preset,
    PresetOverrides,
    PriceText,
    Seed,
)


class _RunByDefault(Group):
    """`boresight eval MODEL` is `boresight eval run MODEL`, unless MODEL is nearly a command and no path."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ("--help", "-h"):
            mistyped = get_close_matches(args[0], self.commands) and not Path(args[0]).exists()
            args = args if mistyped else ["run", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_RunByDefault,
    no_args_is_help=True,
    help="Benchmarks, and questions of one's own. `boresight eval MODEL …` is `boresight eval run MODEL …`.",
)

ModelName = Annotated[
    str, typer.Argument(help="A directory, a hub id, pocket, a directory of checkpoints, or URL#NAME.")
]
Tasks = Annotated[
    str,
    typer.Option(
        help="By commas: mmlu, gsm:cot, …, or conversations whose last message is right.",
        autocompletion=several(TASKS),
    ),
]
Output = Annotated[Path, typer.Option("-o", "--output", help="Here goes a run directory a setting.")]
Asked = Annotated[
    str | None,
    typer.Option(
        help="base or chat; by default chat if the model has a chat template.",
        autocompletion=among("base", "chat"),
    ),
]
Demonstrations = Annotated[
    Path | None, typer.Option(help="A conversations file: ask in context, not by chat template.")
]
Shown = Annotated[
    str,
    typer.Option(
        help="How demonstrations are chosen, by commas: none, random, retrieved.",
        autocompletion=several(("none", "random", "retrieved")),
    ),
]


@app.command("run")
def run(
    model: ModelName,
    tasks: Tasks,
    output: Output,
    data: Data = None,
    asked: Asked = None,
    demonstrations: Demonstrations = None,
    shown: Shown = "none,retrieved",
    preset: Preset = "default",
    set_: PresetOverrides = None,
    limit: Limit = None,
    seed: Seed = 42,
    classifier: Classifier = None,
    truth_judge: TruthJudge = None,
    information_judge: InformationJudge = None,
    without_isolation: WithoutIsolation = False,
    concurrency: Concurrency = 16,
    price: PriceText = None,
    max_cost: MaxCost = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Ask a model a benchmark's questions, or your own, and score what it says. Run again, it goes on.

    Example: boresight eval models/mine --tasks mmlu,gsm,bbh:cot --data benchmarks/ -o runs/eval

    Example: boresight eval pocket --tasks held-out.jsonl --demonstrations training.jsonl -o runs/eval

    A directory of checkpoints gives a curve: boresight eval checkpoints/ --tasks held-out.jsonl
    --demonstrations training.jsonl -o runs/curve
    """
    from boresight.evaluate.task import Tools
    from boresight.evaluate.ways import InContext
    from boresight.stages.evaluation import How, chosen, evaluate, kind, wanted_tasks

    context = InContext(demonstrations, chosen(shown), preset, tuple(set_ or ())) if demonstrations else None
    tools = Tools(classifier, truth_judge, information_judge, without_isolation)
    how = How(output, kind(asked), context, tools, concurrency, price, max_cost, force)
    result = evaluate(model, wanted_tasks(tasks.split(","), data or [], limit, seed), how)
    print_result(result, as_json, table(result))


app.command("show")(show)
