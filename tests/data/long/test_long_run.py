"""The whole command against a real HTTP server that fails on purpose."""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Lock

import pytest

from boresight.models.local import LocalModel
from boresight.models.prices import Tokens
from boresight.models.requests import Request, Sampling
from boresight.records import Conversation, read_records
from command_line import Run
from faulty_server import FAULTS, Body, FaultyServer, at_first, at_random, never

FIVE = "\n".join(f"{n}. What is said of number {n}?" for n in range(1, 6))
DOCUMENTS = 300
KINDS = tuple(fault for fault in FAULTS if fault != "null content")  # which is an answer: an empty one


def teacher(body: Body) -> str:
    """A teacher whose answers depend on the document's number, so that every outcome occurs."""
    text = body["messages"][0]["content"]
    if "number the questions" in text:
        return FIVE if number(text) % 10 else "I would rather not."
    if "Two people answered" in text:
        return "[[same: yes]]" if number(text) % 10 == 1 else "[[same: no]]"
    if "Check the answer" in text:
        bad = number(text) % 10
        return f"[[grounded: {'no' if bad == 2 else 'yes'}]]\n[[complete: {'no' if bad == 3 else 'yes'}]]"
    if "from what you know" in text:
        return "It cannot be known."
    return f"It is document {number(text)}."


def number(text: str) -> int:
    return int(text.partition("document ")[2].split()[0].rstrip("."))


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    path = tmp_path / "documents.jsonl"
    rows = [{"text": f"This is document {i} " + "of many words " * (20 + i % 50)} for i in range(DOCUMENTS)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def arguments(documents: Path, output: Path, server: FaultyServer, *more: str) -> list[str]:
    return [
        "boresight", "data", "long", str(documents), "-o", str(output),
        "--model", "pocket", "--teacher", f"{server.url}#model",
        "--min-length", "10", "--max-length", "1000", "--json", *more,
    ]  # fmt: skip


@pytest.fixture
def run(boresight: Run) -> Run:
    return lambda *given: boresight(*arguments(*given)[1:])


def outcomes(output: Path) -> tuple[dict[int, str], Counter[str]]:
    """Conversations by document number, and reasons of the discarded."""
    conversations = {
        number(c.messages[0].content): c.messages[1].content
        for c in read_records(output / "conversations.jsonl", Conversation)
    }
    discarded = [json.loads(line) for line in (output / "discarded.jsonl").open()]
    return conversations, Counter(row["reason"] for row in discarded)


def require_everything(output: Path) -> None:
    conversations, reasons = outcomes(output)
    kept = [i for i in range(DOCUMENTS) if i % 10 > 3]
    first = {i: answer.partition(".")[0] for i, answer in conversations.items()}
    assert first == {i: f"It is document {i}" for i in kept}
    assert reasons == {
        "no numbered questions in the proposal": 30,
        "answerable without the document": 30,
        "not grounded in the document": 30,
        "an incomplete answer": 30,
    }


class Pocket:
    """The pocket model goes on where the script's answers end: a server with a model behind it."""

    def __init__(self) -> None:
        self._model, self._lock = LocalModel("pocket"), Lock()

    def __call__(self, body: Body) -> str:
        said = teacher(body)
        if not said.startswith("It "):  # a proposal or a verdict, which it cannot write
            return said
        with self._lock:
            (written,) = self._model.generate(
                [Request(f"Q: {said}\nA:", Sampling(24, 1.0, seed=body["seed"]))]
            )
        return f"{said} {written.text}"


@pytest.mark.parametrize("behind", [lambda: teacher, pytest.param(Pocket, marks=pytest.mark.slow)])
def test_nothing_is_lost_among_faults_nor_paid_twice_after_two_kills(
    run: Run, documents: Path, tmp_path: Path, behind: Callable[[], Callable[[Body], str]]
) -> None:
    output = tmp_path / "run"
    with FaultyServer(behind(), at_random(0.15, seed=1, kinds=KINDS), hang=0.5, wait="0.1") as server:
        for paid in (300, 800):
            server.kill_after(paid, [sys.executable, "-m", *arguments(documents, output, server)])
            assert not (output / "conversations.jsonl").exists()
        done = run(documents, output, server)
        assert done.returncode == 0, done.stderr
        again = run(documents, output, server)
    require_everything(output)
    assert set(server.paid.values()) == {1}, "an answer was paid for twice"
    counts = json.loads(done.stdout)
    cost = counts["cost"]
    assert cost["saved"]["requests"] >= 800
    assert json.loads(again.stdout)["conversations"] == counts["conversations"]


def test_documents_that_fail_are_named_and_tried_again(run: Run, documents: Path, tmp_path: Path) -> None:
    output = tmp_path / "run"
    broken = True

    def faults(body: Body, before: int) -> str | None:
        text = body["messages"][0]["content"]
        return "no choices" if broken and "number the questions" in text and number(text) in (7, 8) else None

    few(documents, 20)
    with FaultyServer(teacher, faults) as server:
        failed = run(documents, output, server, "--retries", "1")
        assert failed.returncode == 1 and "2 documents failed" in failed.stderr, failed.stderr
        assert "same command again" in failed.stderr and "Traceback" not in failed.stderr
        broken = False
        done = run(documents, output, server)
    assert done.returncode == 0, done.stderr
    assert sorted(outcomes(output)[0]) == [4, 5, 6, 7, 8, 9, 14, 15, 16, 17, 18, 19]
    assert set(server.paid.values()) == {1}


def test_a_teacher_that_is_gone_ends_the_run_soon(run: Run, documents: Path, tmp_path: Path) -> None:
    with FaultyServer(teacher, lambda body, before: "500") as server:
        begun = time.monotonic()
        failed = run(documents, tmp_path / "run", server, "--retries", "0")
    assert failed.returncode == 1 and "in a row failed" in failed.stderr, failed.stderr
    assert time.monotonic() - begun < 60


def test_the_limit_holds_over_interruptions(run: Run, documents: Path, tmp_path: Path) -> None:
    output, price = tmp_path / "run", ("--price", "1000,1000")
    with FaultyServer(teacher, never) as server:
        without = run(documents, output, server, "--max-cost", "1")
        assert without.returncode == 2 and "--price" in without.stderr
        assert not output.exists()
        spent = [run(documents, output, server, *price, "--max-cost", "30") for _ in range(2)]
        paid = sum(server.paid.values())
        assert all(run_.returncode == 1 and "30" in run_.stderr for run_ in spent), spent[1].stderr
        before = paid
        assert run(documents, output, server, *price, "--max-cost", "30").returncode == 1
        assert sum(server.paid.values()) - before <= 1, "a second attempt has no second budget"
        assert run(documents, output, server).returncode == 0
    require_everything(output)


def few(documents: Path, number: int) -> None:
    documents.write_text("".join(documents.read_text().splitlines(True)[:number]))


def worst(body: Body) -> Tokens:
    """What an attempt may be charged: a byte of the prompt is at most a token."""
    size = sum(len(message["content"].encode()) for message in body["messages"])
    return Tokens(size, int(body["max_tokens"]))


@pytest.mark.parametrize("fault", ["no usage", "not JSON", "cut"])
def test_the_limit_holds_over_interruptions_whatever_the_server_tells(
    run: Run, documents: Path, tmp_path: Path, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("boresight.models.endpoint.FIRST_PAUSE", 0.01)
    few(documents, 30)
    faults = (lambda body, before: fault) if fault == "no usage" else at_first(fault)
    options = ("--price", "1000,1000", "--max-cost", "40", "--concurrency", "3", "--retries", "1")
    with FaultyServer(teacher, faults) as server:
        attempts = [run(documents, tmp_path / "run", server, *options) for _ in range(4)]
        assert all(each.returncode == 1 and "of $40.0000 are spent" in each.stderr for each in attempts)
        charged = sum(sum(worst(body)) for body in server.bodies) / 1000
        # Faults count at their worst; the answers after them at what they took, which is next to nothing.
        assert 0.5 * 40 < charged < 40 * (1 if fault == "no usage" else 2)
        limit = [each.stderr.partition(" of $40")[0].rpartition("$")[2] for each in attempts]
        assert all(float(spent) <= 40 for spent in limit)
        assert run(documents, tmp_path / "run", server).returncode == 0


def test_the_cost_that_is_told_is_that_of_all_attempts(run: Run, documents: Path, tmp_path: Path) -> None:
    few(documents, 30)
    output = tmp_path / "run"
    with FaultyServer(teacher) as server:
        assert run(documents, output, server, "--price", "1000,1000", "--max-cost", "10").returncode == 1
        first = sum(server.paid.values())
        done = run(documents, output, server, "--price", "1000,1000")
    assert done.returncode == 0, done.stderr
    cost = json.loads(done.stdout)["cost"]
    assert first > 0 and cost["paid"]["requests"] == sum(server.paid.values()) - first
    assert cost["saved"]["requests"] >= first, "those of the first attempt, and equal ones of this one"
    assert cost["total"]["dollars"] > cost["paid"]["dollars"] > 0
    read = sum(len(json.dumps(body, sort_keys=True)) // 4 for body in server.bodies)
    assert cost["total"]["prompt_tokens"] == read
    assert json.loads((output / "run.json").read_text())["counts"]["cost"] == cost


@pytest.mark.parametrize(
    ("number", "said"), [(5, "5 × refused by the teacher"), (60, "20 documents in a row")]
)
def test_a_teacher_that_refuses_everything_finishes_nothing(
    run: Run, documents: Path, tmp_path: Path, number: int, said: str
) -> None:
    few(documents, number)
    with FaultyServer(teacher, refuse={"temperature": "too hot"}) as server:
        refused = run(documents, tmp_path / "run", server)
        assert refused.returncode == 1 and said in refused.stderr, refused.stderr
        assert "HTTP 400" in refused.stderr and "Traceback" not in refused.stderr
        assert json.loads((tmp_path / "run" / "run.json").read_text())["finished"] is None
        server.refuse.clear()
        assert run(documents, tmp_path / "run", server).returncode == 0


def test_a_run_that_makes_no_conversation_is_not_finished(run: Run, documents: Path, tmp_path: Path) -> None:
    few(documents, 30)
    with FaultyServer(lambda body: "I would rather not.") as server:
        refused = run(documents, tmp_path / "run", server)
    assert refused.returncode == 1
    assert "no document gave a conversation: 30 × no numbered questions" in refused.stderr
    assert json.loads((tmp_path / "run" / "run.json").read_text())["finished"] is None


def test_what_a_filter_cut_is_discarded_and_paid_for_once(run: Run, documents: Path, tmp_path: Path) -> None:
    few(documents, 10)

    def finish(body: Body) -> str:
        text = body["messages"][0]["content"]
        return "content_filter" if "number the questions" in text and number(text) == 7 else "stop"

    with FaultyServer(teacher, finish_reason=finish) as server:
        assert run(documents, tmp_path / "run", server).returncode == 0
    conversations, reasons = outcomes(tmp_path / "run")
    assert 7 not in conversations and reasons["refused by the teacher (content filter)"] == 1
    assert set(server.paid.values()) == {1}


def test_starting_over_keeps_what_was_paid_for(run: Run, documents: Path, tmp_path: Path) -> None:
    few(documents, 20)
    with FaultyServer(teacher) as server:
        assert run(documents, tmp_path / "run", server).returncode == 0
        few(documents, 10)
        changed = run(documents, tmp_path / "run", server)
        assert changed.returncode == 2 and "--force keeps" in changed.stderr, changed.stderr
        paid = sum(server.paid.values())
        again = run(documents, tmp_path / "run", server, "--force")
    assert again.returncode == 0 and sum(server.paid.values()) == paid
    cost = json.loads(again.stdout)["cost"]
    assert cost["paid"]["requests"] == 0 and cost["total"]["prompt_tokens"] > cost["saved"]["prompt_tokens"]


def test_two_commands_in_one_directory(run: Run, documents: Path, tmp_path: Path) -> None:
    few(documents, 10)
    output, begun, free = tmp_path / "run", Event(), Event()

    def answer(body: Body) -> str:
        begun.set()
        free.wait(60)
        return teacher(body)

    with FaultyServer(answer) as server:
        first = subprocess.Popen([sys.executable, "-m", *arguments(documents, output, server)])
        assert begun.wait(120)
        for more in ((), ("--force",)):
            second = run(documents, output, server, *more)
            assert second.returncode == 2 and "another command is at work there" in second.stderr
        free.set()
        assert first.wait(120) == 0
    assert sorted(outcomes(output)[0]) == [4, 5, 6, 7, 8, 9]


def test_the_cost_so_far_stands_beside_the_progress(
    run: Run, documents: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few(documents, 10)
    notes: list[str] = []

    @contextmanager
    def counting(
        title: str, total: int | None, note: Callable[[], str] = lambda: ""
    ) -> Iterator[Callable[[int], None]]:
        yield lambda done: notes.append(note())

    monkeypatch.setattr("boresight.cli.data_long.counting", counting)
    with FaultyServer(teacher) as server:
        done = run(documents, tmp_path / "run", server, "--price", "1000,1000", "--max-cost", "500")
    assert (
        notes[0] == ""
        and notes[-1] == f"${json.loads(done.stdout)['cost']['total']['dollars']:.2f} of $500.00"
    )


def test_a_dry_run_asks_not_even_for_the_model(run: Run, documents: Path, tmp_path: Path) -> None:
    with FaultyServer(teacher) as server:
        pass
    nobody = ("--teacher", server.url, "--dry-run")
    told = run(documents, tmp_path / "run", server, *nobody)
    assert told.returncode == 0 and json.loads(told.stdout)["dollars"] is None, told.stderr
    told = run(documents, tmp_path / "run", server, *nobody, "--price", "1,2")
    assert json.loads(told.stdout)["dollars"] > 0
    told = run(documents, tmp_path / "run", server, *nobody, "--max-cost", "1")
    assert told.returncode == 2 and "--price" in told.stderr


def test_a_dry_run_asks_nothing_and_writes_nothing(run: Run, documents: Path, tmp_path: Path) -> None:
    with FaultyServer(teacher) as server:
        told = run(documents, tmp_path / "run", server, "--dry-run", "--price", "1,2")
        assert not server.bodies
    foreseen = json.loads(told.stdout)
    tokens = foreseen["documents"]["tokens"]
    assert foreseen["documents"]["chosen"] == DOCUMENTS and foreseen["requests"] == 5 * DOCUMENTS
    assert foreseen["prompt_tokens"] > 3 * tokens and foreseen["dollars"] > 0
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--lengths", "odd"), "--lengths odd"),
        (("--min-length", "999"), "no documents of 999 to 1,000 tokens"),
        (("--price", "1"), "--price 1"),
        (("--prompts", "none.yaml"), "none.yaml"),
        (("--min-length", "100000"), "--min-length"),
        (("--model", "nowhere/at/all"), "no such model"),
    ],
)
def test_bad_options_are_named_and_leave_nothing(
    run: Run, documents: Path, tmp_path: Path, more: tuple[str, ...], message: str
) -> None:
    with FaultyServer(teacher) as server:
        refused = run(documents, tmp_path / "run", server, *more)
    assert refused.returncode == 2 and message in refused.stderr, refused.stderr
    assert "Traceback" not in refused.stderr
    assert not (tmp_path / "run").exists()


def test_the_key_is_nowhere(
    run: Run, documents: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(os.environ, "BORESIGHT_API_KEY", "sk-secret-key")
    few(documents, 5)
    with FaultyServer(teacher, key="sk-secret-key") as server:
        done = run(documents, tmp_path / "run", server)
        assert done.returncode == 0, done.stderr
        monkeypatch.setitem(os.environ, "BORESIGHT_API_KEY", "sk-other-key")
        refused = run(documents, tmp_path / "other", server)
    assert refused.returncode == 2 and "refuses the key" in refused.stderr
    said = done.stdout + done.stderr + refused.stdout + refused.stderr
    files = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert "sk-" not in said and not any(b"sk-" in content for content in files)
