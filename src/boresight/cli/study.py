"""`boresight study …`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer

from boresight.cli.console import print_result
from boresight.cli.options import AsJson, Host, Port, Seed
from boresight.errors import UserError
from boresight.progress import say, working

if TYPE_CHECKING:
    from boresight.study import Study

app = typer.Typer(help="Have people rate answers, without knowing whose they are.", no_args_is_help=True)

HERE = "http://127.0.0.1:8000"
Db = Annotated[Path, typer.Option("--db", help="The study's file.")]


def _address(url: str | None) -> str | None:
    """Without a slash at its end. Looked at before anything is made: a link is shown only once."""
    if url is None:
        return None
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/") or parts.query:
        raise UserError(f"--url {url}: expected an address without a path, as https://rate.example.org")
    return url.rstrip("/")


Url = Annotated[
    str, typer.Option(callback=_address, help="Where raters reach the pages; links begin with it.")
]


@app.command("create")
def create(
    files: Annotated[
        list[Path], typer.Argument(help="Answers, a file a system, every two compared; or one of instances.")
    ],
    db: Db = Path("study.db"),
    raters: Annotated[str | None, typer.Option(help="How many, or their names: Ada,Ben")] = None,
    per_item: Annotated[int | None, typer.Option(min=1, help="Raters of each item. Default: 2.")] = None,
    single: Annotated[bool, typer.Option("--single", help="Show answers one by one, not in pairs.")] = False,
    questions: Annotated[Path | None, typer.Option(help="What is asked, as YAML.")] = None,
    instructions: Annotated[Path | None, typer.Option(help="For the raters, as Markdown.")] = None,
    gold: Annotated[Path | None, typer.Option(help="Instances whose right ratings are `expected`.")] = None,
    url: Url = HERE,
    as_json: AsJson = False,
) -> None:
    """Make a study of systems' answers, and links for its raters and its organiser, shown this once.

    Example: boresight study create ours.jsonl theirs.jsonl --raters Ada,Ben --instructions guide.md
    """
    from boresight.study import Study, create_study
    from boresight.study.design import load_design
    from boresight.study.items import items_of, read_instances

    names = _names(raters)
    shown = 1 if single else None
    design = load_design(questions, instructions, answers=shown, raters_per_item=per_item)
    items, left_out = items_of(files, design.answers)
    known = read_instances(gold) if gold else []
    if gold and (plain := [item for item in known if not item.gold]):
        raise UserError(f"{gold}: {plain[0].prompt!r}: `expected` is missing")
    organiser = create_study(db, design, [*items, *known])
    study = Study(db)
    links = _links(url, {name: study.invite(name) for name in names}, organiser)
    result = {"db": str(db), "items": len(items), "gold": len(known), "left_out": left_out, **links}
    lines = [
        f"{db}: {len(items):,} items, each for {design.raters_per_item} raters; {len(known):,} gold items"
    ]
    if left_out:
        lines.append(f"{left_out:,} answers have none beside them and are left out")
    print_result(result, as_json, "\n".join([*lines, *_link_lines(links)]))


@app.command("invite")
def invite(
    names: Annotated[
        list[str] | None, typer.Argument(help="Raters, new ones or those who need a new link.")
    ] = None,
    db: Db = Path("study.db"),
    organiser: Annotated[
        bool, typer.Option("--organiser", help="Also a new link for the organiser.")
    ] = False,
    url: Url = HERE,
    as_json: AsJson = False,
) -> None:
    """Make links. Each is shown this once; an older one of the same person ends.

    Example: boresight study invite Ada Ben --db study.db
    """
    if not names and not organiser:
        raise UserError("name the raters to invite, or say --organiser")
    from boresight.study.store import check_name

    for name in names or []:  # all of them first: a link that was made and not shown is lost
        check_name(name)
    study = _open(db)
    token = study.renew_organiser() if organiser else None
    links = _links(url, {name: study.invite(name) for name in names or []}, token)
    print_result({"db": str(db), **links}, as_json, "\n".join(_link_lines(links)))


@app.command("remove")
def remove(
    names: Annotated[list[str], typer.Argument(help="Raters to let in no more.")],
    db: Db = Path("study.db"),
    ratings: Annotated[bool, typer.Option("--ratings", help="Delete what they said, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Let raters in no more; what they had not finished goes to others.

    Example: boresight study remove Ben --ratings
    """
    study = _open(db)
    deleted = 0
    for name in names:
        if ratings:
            deleted += study.delete_rater(name)
        else:
            study.revoke(name)
    result = {"db": str(db), "removed": names, "deleted_ratings": deleted}
    print_result(result, as_json, f"{', '.join(names)} removed; {deleted:,} ratings deleted")


@app.command("serve")
def serve(
    db: Db = Path("study.db"),
    host: Host = "127.0.0.1",
    port: Port = 8000,
    url: Annotated[
        str | None,
        typer.Option(callback=_address, help="Where raters reach it, if not here: https://rate.example.org"),
    ] = None,
) -> None:
    """Serve a study's pages, on this machine alone unless --host says otherwise.

    Example: boresight study serve --db study.db
    """
    from boresight.serve import listening
    from boresight.study.web.app import create_app

    if host not in listening.LOOPBACK_NAMES and not url:
        raise UserError(f"--host {host}: others can reach it; say the address they use: --url https://…")
    study = _open(db)
    at = listening.bind(host, port)
    address = url or f"http://{listening.address_of(at)}"
    hosts = [*listening.LOOPBACK_NAMES, *([_host(url)] if url else [])]
    listening.log_requests()
    say(f"{address} serves {db}; links: boresight study invite --db {db} --url {address}")
    listening.run(create_app(study, url=address, hosts=hosts), at)


@app.command("import")
def import_(
    file: Annotated[
        Path, typer.Argument(help="TÜLU's spreadsheet (.xlsx, .csv) or ratings that we exported.")
    ],
    db: Db = Path("study.db"),
    as_json: AsJson = False,
) -> None:
    """Add ratings from a file, with their items and raters; the study is made if it is not there.

    Example: boresight study import eval_annotations_tulu_1.xlsx --db tulu.db
    """
    from boresight.study import Design, create_study
    from boresight.study.published import import_ratings, read_ratings

    organiser = None if db.exists() else create_study(db, Design(), [])
    study = _open(db)
    try:
        counts = import_ratings(study, read_ratings(file, study.design))
    except UserError:
        study.close()
        if organiser:  # A study that was made for this file goes with it.
            db.unlink()
        raise
    links = _links(HERE, {}, organiser)
    said = ", ".join(f"{n:,} {what}" for what, n in counts.items() if n and what != "rows")
    text = "\n".join([f"{file}: {counts['rows']:,} rows: {said or 'nothing new'}", *_link_lines(links)])
    # The organiser's link alone, as nobody is invited: `raters` says how many are new.
    print_result({"db": str(db), **links, **counts}, as_json, text)


@app.command("export")
def export(
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Ratings as .jsonl, or .csv for a spreadsheet.")
    ],
    db: Db = Path("study.db"),
    as_json: AsJson = False,
) -> None:
    """Write all ratings to a file.

    Example: boresight study export -o ratings.jsonl
    """
    from boresight.files import check_outputs, whole_file
    from boresight.study.export import csv_lines, jsonl_lines

    lines = {".jsonl": jsonl_lines, ".csv": csv_lines}.get(output.suffix.lower())
    if lines is None:
        raise UserError(f"{output}: name a file that ends in .jsonl or .csv")
    study = _open(db)
    check_outputs([output], [db])
    with whole_file(output) as file:
        written = sum(1 for line in lines(study) if file.write(line.encode()))
    ratings = written - (output.suffix.lower() == ".csv")
    print_result({"file": str(output), "ratings": ratings}, as_json, f"{output}: {ratings:,} ratings")


@app.command("results")
def results(
    db: Db = Path("study.db"),
    published: Annotated[
        bool, typer.Option("--as-published", help="Only the first rating of an item, as TÜLU's rates.")
    ] = False,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Say what raters found: acceptance, wins and ratings with 95 % intervals, and how far each rater is.

    Example: boresight study results --db study.db
    """
    from boresight.cli.study_text import results_text
    from boresight.study.results import measure_results

    study = _open(db)
    with working("resampling"):
        found = measure_results(study, published, seed)
    raters = [rater._asdict() for rater in study.raters()]
    print_result({**found, "progress": raters}, as_json, results_text(found, study.raters()))


@app.command("agreement")
def agreement(
    db: Db = Path("study.db"),
    pair: Annotated[
        list[str] | None, typer.Option(help="Only these two systems: A,B. May be repeated.")
    ] = None,
    judgments: Annotated[Path | None, typer.Option(help="A model's verdicts: judgments.jsonl.")] = None,
    published: Annotated[
        bool, typer.Option("--as-published", help="Only the first two raters of an item, as TÜLU counts.")
    ] = False,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Say how far raters agree with each other, and with a judge, with 95 % intervals.

    Example: boresight study agreement --db study.db --judgments runs/judged/judgments.jsonl
    """
    from boresight.cli.study_text import agreement_text
    from boresight.study.agreement import measure_agreement

    pairs = [_pair(text) for text in pair or []]
    found = measure_agreement(_open(db), pairs, published, judgments, seed)
    print_result(found, as_json, agreement_text(found))


def _open(db: Path) -> "Study":
    from boresight.study import Study

    return Study(db)


def _names(raters: str | None) -> list[str]:
    from boresight.study.store import check_name

    if raters is None:
        return []
    if raters.isdecimal():
        return [f"rater-{number}" for number in range(1, int(raters) + 1)]
    names = [name.strip() for name in raters.split(",")]
    if len(set(names)) < len(names) or not all(names):
        raise UserError(f"--raters {raters}: give a number, or different names with commas between")
    for name in names:
        check_name(name)
    return names


def _pair(text: str) -> tuple[str, str]:
    a, comma, b = text.partition(",")
    if not comma or "," in b:
        raise UserError(f"--pair {text}: expected two systems' names with a comma between")
    return a, b


def _host(url: str) -> str:
    name = urlsplit(url).hostname or ""
    return f"[{name}]" if ":" in name else name


def _links(url: str, raters: dict[str, str], organiser: str | None) -> dict[str, Any]:
    """Of the raters' tokens by name, and of the organiser's."""
    found: dict[str, Any] = {"raters": {name: f"{url}/enter/{token}" for name, token in raters.items()}}
    if organiser:
        found["organiser"] = f"{url}/organiser/enter/{organiser}"
    return found


def _link_lines(links: dict[str, Any]) -> list[str]:
    first = [("organiser", links["organiser"])] if "organiser" in links else []
    return [f"{name:16} {link}" for name, link in [*first, *links["raters"].items()]]
