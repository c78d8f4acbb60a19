"""`boresight data long`: long conversations from documents, made by a teacher."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from boresight.cli import costs
from boresight.cli.console import print_result
from boresight.cli.options import (
    AsJson,
    Concurrency,
    DryRun,
    Force,
    MaxCost,
    PriceText,
    Retries,
    RunDirectory,
    Seed,
    TokenizerModel,
)
from boresight.errors import UserError
from boresight.progress import counting, quiet_transformers

if TYPE_CHECKING:
    from boresight.data.long.run import Job
    from boresight.models.prices import Price


def long(
    documents: Annotated[list[str], typer.Argument(help="Files, folders, saved datasets, hub:owner/name.")],
    output: RunDirectory,
    teacher: Annotated[str, typer.Option(help="An endpoint and its model: https://host/v1#name.")],
    model: TokenizerModel,
    limit: Annotated[int | None, typer.Option(min=1, help="Most documents. Default: all.")] = None,
    min_length: Annotated[int, typer.Option(min=1, help="Fewest tokens of a document.")] = 8192,
    max_length: Annotated[int, typer.Option(min=1, help="Most tokens of a document.")] = 65536,
    lengths: Annotated[
        str, typer.Option(help="even, natural, or ranges: 8192-16384:1,16384-65536:3")
    ] = "even",
    exclude: Annotated[
        list[str] | None, typer.Option(help="A source to leave out, by name. May be repeated.")
    ] = None,
    licence: Annotated[str, typer.Option(help="Of documents that do not tell theirs.")] = "unknown",
    prompts: Annotated[
        list[Path] | None, typer.Option(help="A file that adds a language or replaces one. May be repeated.")
    ] = None,
    verify: Annotated[bool, typer.Option(help="Have the teacher check its answers.")] = True,
    concurrency: Concurrency = 16,
    retries: Retries = 6,
    price: PriceText = None,
    max_cost: MaxCost = None,
    seed: Seed = 42,
    dry_run: DryRun = False,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Have a teacher ask and answer questions about long documents, as LongAlign did, and check the answers.

    Run again, it goes on where it was stopped, and pays for no answer twice.

    Example: boresight data long books/ -o runs/long --teacher http://127.0.0.1:8000/v1#teacher
    --model meta-llama/Llama-2-7b-hf --limit 10000 --exclude books3
    """
    from boresight.data.long.choose import Wanted
    from boresight.data.long.prompts import PromptBook
    from boresight.data.long.run import Asking, Job, run_job
    from boresight.models.open import named
    from boresight.models.prices import Spending, parse_price, price_of

    quiet_transformers()
    if min_length > max_length:
        raise UserError(f"--min-length {min_length} is more than --max-length {max_length}")
    url, name = named(teacher, ask=not dry_run)
    wanted = Wanted(min_length, max_length, limit, lengths, tuple(exclude or ()), seed)
    job = Job(documents, licence, wanted, model, url, name, verify)
    cost = parse_price(price) if price else price_of(name)
    Spending(cost, max_cost)  # refuses a limit without a price
    book, asking = PromptBook(prompts or []), Asking(concurrency, retries, cost, max_cost)
    if dry_run:
        foreseen = _foresee(job, cost)
        print_result(foreseen, as_json, _foretold(foreseen))
        return
    counts = run_job(job, output, book, asking, counting, force)
    print_result({"directory": str(output), **counts}, as_json, _describe(output, counts))


def _foresee(job: "Job", price: "Price | None") -> dict[str, Any]:
    from tempfile import TemporaryDirectory

    from boresight.data.long.make import foresee
    from boresight.data.long.run import choose_documents
    from boresight.models.prices import Tokens

    with TemporaryDirectory() as scratch:
        chosen = choose_documents(job, Path(scratch) / "documents.jsonl", counting)
    foreseen = foresee(chosen.chosen, chosen.tokens, job.verify)
    dollars = price and round(price.of(Tokens(foreseen.prompt_tokens, foreseen.new_tokens)), 2)
    return {"documents": chosen._asdict(), **foreseen._asdict(), "dollars": dollars}


def _foretold(foreseen: dict[str, Any]) -> str:
    documents, dollars = foreseen["documents"], foreseen["dollars"]
    return (
        f"{documents['chosen']:,} documents of {documents['read']:,}, {documents['tokens']:,} tokens; "
        f"left out: {_reasons(documents['left_out'])}\n"
        f"at most {foreseen['requests']:,} requests; the teacher reads about "
        f"{foreseen['prompt_tokens']:,} tokens and writes about {foreseen['new_tokens']:,}: "
        + ("its price is not known; see --price" if dollars is None else f"about ${dollars:,.2f}")
    )


def _describe(output: Path, counts: dict[str, Any]) -> str:
    made, cost, documents = counts["conversations"], counts["cost"], counts["documents"]
    return (
        f"{output / 'conversations.jsonl'}: {sum(made.values()):,} conversations ({_reasons(made)}); "
        f"discarded: {_reasons(counts['discarded'])}\n"
        f"{documents['chosen']:,} documents of {documents['read']:,}; "
        f"left out: {_reasons(documents['left_out'])}\n"
        f"{costs.in_all(cost['total'])}; {costs.last(cost)}"
    )


def _reasons(counts: dict[str, int]) -> str:
    return ", ".join(f"{n:,} × {reason}" for reason, n in sorted(counts.items())) or "nothing"
