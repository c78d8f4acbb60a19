"""Judging against a real HTTP server that fails on purpose: none lost, none paid twice."""

import json
import re
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from boresight.records import Judgment, read_records
from boresight.runs import alone
from command_line import Run
from faulty_server import Body, FaultyServer, asked, at_random, never

PROMPTS = 1000
KINDS = ("429", "500", "hang", "cut", "not JSON")
SHOWN = re.compile(r"\[(first|second) answer, \w+\]\n(.*?)\n\[end of", re.DOTALL)


def worth(answer: str) -> int:
    return int(answer.split()[-1])


def judge(body: Body) -> str:
    """A judge who sees what answers are worth, and thinks a little better of the first one."""
    answers = dict(SHOWN.findall(body["messages"][0]["content"]))
    first, second = worth(answers["first"]), worth(answers["second"])
    return f"{min(10, first + 1)} {second}\nI have weighed them: {first} and {second}."


def sometimes_speechless(body: Body) -> str:
    """The same judge, who forgets the scores in some replies, whatever was asked."""
    return judge(body) if Random(asked(body)).random() > 0.02 else "Both have their merits."


def write_answers(path: Path, name: str, prompts: int = PROMPTS) -> Path:
    """A file as AlpacaEval has it; what answers are worth follows from names."""
    rows = [
        {
            "instruction": f"Question {i}",
            "output": f"The answer of {name} to {i} is worth {Random(f'{name} {i}').randint(1, 9)}",
            "generator": name,
        }
        for i in range(prompts)
    ]
    path.write_text(json.dumps(rows))
    return path


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    return [write_answers(tmp_path / f"{name}.json", name) for name in ("mine", "theirs")]


def arguments(files: list[Path], output: Path, server: FaultyServer, *more: str) -> list[str]:
    return [
        "boresight", "judge", "pairs", *map(str, files), "-o", str(output),
        "--judge", f"{server.url}#model", "--timeout", "5", "--concurrency", "32", "--json", *more,
    ]  # fmt: skip


@pytest.fixture
def run(boresight: Run) -> Run:
    return lambda *given: boresight(*arguments(*given)[1:])


def verdicts(output: Path) -> list[tuple[Any, ...]]:
    rows = read_records(output / "judgments.jsonl", Judgment)
    return [(row.id, (row.model_extra or {})["order"], row.preference, row.verdict) for row in rows]


@pytest.mark.slow
def test_nothing_is_lost_among_faults_nor_paid_twice_after_two_kills(
    run: Run, files: list[Path], tmp_path: Path
) -> None:
    output = tmp_path / "run"
    with FaultyServer(sometimes_speechless, at_random(0.08, seed=1, kinds=KINDS), hang=60.0) as server:
        for paid in (500, 1300):
            server.kill_after(paid, [sys.executable, "-m", *arguments(files, output, server)])
            assert not (output / "judgments.jsonl").exists()
        done = run(files, output, server).json
        again = run(files, output, server).json
    assert set(server.paid.values()) == {1}, "a reply was paid for twice"
    speechless = sum(Random(body).random() <= 0.02 for body in server.paid)
    assert len(server.paid) == 2 * PROMPTS + speechless and speechless > 20
    assert sum(server.seen.values()) - sum(server.paid.values()) > 100, "faults there were"
    assert again["results"] == done["results"]
    faultless = tmp_path / "faultless"
    with FaultyServer(judge, never) as server:
        without = run(files, faultless, server).json
    for key in ("results", "agreement", "canaries", "only_in", "judgments", "rubric"):
        assert done[key] == without[key]
    assert done["results"][0]["n_total"] == PROMPTS and not done["results"][0]["unparsed"]
    assert verdicts(output) == verdicts(faultless)


def expected(prompts: int) -> Counter[str]:
    """Wins by both orders, of the judge above, worked out here."""
    found: Counter[str] = Counter()
    for i in range(prompts):
        a, b = (Random(f"{name} {i}").randint(1, 9) for name in ("mine", "theirs"))
        signs = [((a + 1 > b) - (a + 1 < b)), ((a > b + 1) - (a < b + 1))]
        found["n_wins" if sum(signs) > 0 else "n_losses" if sum(signs) < 0 else "n_ties"] += 1
        found["same"] += signs[0] == signs[1]
    return found


def test_the_table_is_right(run: Run, tmp_path: Path) -> None:
    files = [write_answers(tmp_path / f"{name}.json", name, 60) for name in ("mine", "theirs")]
    write_answers(files[1], "theirs", 55)
    with FaultyServer(judge) as server:
        done = run(files, tmp_path / "run", server).json
    (row,), counts = done["results"], expected(55)
    assert {name: row[name] for name in ("n_wins", "n_ties", "n_losses")} == {
        name: counts[name] for name in ("n_wins", "n_ties", "n_losses")
    }
    assert row["positions"]["consistency"] == pytest.approx(100 * counts["same"] / 55)
    assert row["win_plus_half_ties"] == pytest.approx(100 * (counts["n_wins"] + counts["n_ties"] / 2) / 55)
    assert row["positions"]["first_position_rate"] > 50, "the judge likes what it sees first"
    assert done["only_in"] == {"mine": 5, "theirs": 0}
    rows = list(read_records(tmp_path / "run" / "judgments.jsonl", Judgment))
    extra = rows[0].model_extra or {}
    assert extra["prompt"].startswith("two-scores@") and extra["fingerprint"] == "fp_1"
    assert extra["parameters"] == {"temperature": 0.2, "max_new_tokens": 500, "seed": 0}
    assert rows[0].models == ["mine", "theirs"] and {r.judge for r in rows} == {"model"}
    assert Counter((r.model_extra or {})["order"] for r in rows) == {"ab": 55, "ba": 55}


def test_what_no_try_can_read_is_counted_and_kept(run: Run, tmp_path: Path) -> None:
    files = [write_answers(tmp_path / f"{name}.json", name, 10) for name in ("mine", "theirs")]

    def silent(body: Body) -> str:
        return "No." if "to 3 is" in body["messages"][0]["content"] else judge(body)

    with FaultyServer(silent) as server:
        done = run(files, tmp_path / "run", server, "--tries", "2").json
    (row,) = done["results"]
    assert (row["n_total"], row["unparsed"], row["failed"]) == (9, 2, 0)
    assert row["unparsed_reasons"] == {"no verdict on its line": 2}
    kept = [r for r in read_records(tmp_path / "run" / "judgments.jsonl", Judgment) if r.preference is None]
    assert [r.verdict for r in kept] == ["No.", "No."] and len(server.paid) == 18 + 4


def test_a_refused_request_is_a_failure_and_others_are_asked_again(run: Run, tmp_path: Path) -> None:
    files = [write_answers(tmp_path / f"{name}.json", name, 10) for name in ("mine", "theirs")]
    broken = True

    def faults(body: Body, before: int) -> str | None:
        return "no choices" if broken and "to 7 is" in body["messages"][0]["content"] else None

    with FaultyServer(judge, faults) as server:
        failed = run(files, tmp_path / "run", server, "--retries", "0")
        assert failed.returncode == 1 and "2 of 20 requests got no answer" in failed.stderr
        assert "same command again" in failed.stderr and "Traceback" not in failed.stderr
        broken = False
        assert run(files, tmp_path / "run", server).json["results"][0]["n_total"] == 10
    assert set(server.paid.values()) == {1}
    with FaultyServer(judge, finish_reason="content_filter") as server:
        done = run(files, tmp_path / "filtered", server).json
    (row,) = done["results"]
    assert (row["failed"], row["unparsed"], row["n_total"], row["win"]) == (20, 20, 0, None)


@pytest.mark.parametrize(
    ("answer", "how", "said"),
    [
        (judge, {"faults": lambda body, before: "500"}, "20 requests in a row got no answer"),
        (lambda body: "Both are\x1b fine.", {}, "none of the first 50 replies gives a verdict"),
        (judge, {"finish_reason": "content_filter"}, "none of the first 50 replies gives a verdict"),
    ],
    ids=["gone", "speechless", "refusing"],
)
def test_a_judge_that_is_gone_or_of_no_use_ends_the_run_soon(
    run: Run, tmp_path: Path, answer: Callable[[Body], str], how: dict[str, Any], said: str
) -> None:
    files = [write_answers(tmp_path / f"{name}.json", name, 150) for name in ("mine", "theirs")]
    with FaultyServer(answer, **how) as server:
        failed = run(files, tmp_path / "run", server, "--retries", "0")
    assert failed.returncode == 1 and said in failed.stderr and "\x1b" not in failed.stderr
    assert len(server.bodies) < 250


def test_answers_that_leave_a_judge_speechless_do_not_end_a_run(run: Run, tmp_path: Path) -> None:
    files = [write_answers(tmp_path / f"{name}.json", name, 100) for name in ("mine", "theirs")]

    def speaks_once(body: Body) -> str:
        return judge(body) if "to 3 is" in body["messages"][0]["content"] else "I cannot say."

    with FaultyServer(speaks_once) as server:
        (row,) = run(files, tmp_path / "run", server, "--tries", "1").json["results"]
    assert (row["n_total"], row["unparsed"]) == (1, 198)


def test_starting_over_pays_for_nothing_again(run: Run, tmp_path: Path) -> None:
    files = [write_answers(tmp_path / f"{name}.json", name, 20) for name in ("mine", "theirs")]
    with FaultyServer(judge) as server:
        first = run(files, tmp_path / "run", server, "--price", "1,2").json
        other = ("--order", "random", "--price", "1,2")
        refused = run(files, tmp_path / "run", server, *other)
        assert refused.returncode == 2 and "changed: config.order" in refused.stderr
        again = run(files, tmp_path / "run", server, "--force", *other).json
    assert set(server.paid.values()) == {1} and len(server.paid) == 40
    assert again["cost"]["judges"]["model"]["saved"]["requests"] == 20
    assert again["cost"]["total"] == first["cost"]["total"], "what was paid before counts"


def test_a_second_command_on_the_same_directory_is_refused(run: Run, tmp_path: Path) -> None:
    files = [write_answers(tmp_path / f"{name}.json", name, 5) for name in ("mine", "theirs")]
    with FaultyServer(judge) as server:
        with alone(tmp_path / "run"):
            refused = run(files, tmp_path / "run", server)
        assert not server.bodies and not (tmp_path / "run").exists()
        done = run(files, tmp_path / "run", server)
    assert refused.returncode == 2 and "another command is at work there" in refused.stderr
    assert done.returncode == 0


def test_the_limit_holds_over_interruptions_and_judges(run: Run, tmp_path: Path) -> None:
    files = [write_answers(tmp_path / f"{name}.json", name, 50) for name in ("mine", "theirs")]
    output, price = tmp_path / "run", ("--price", "1000,1000")
    with FaultyServer(judge) as server:
        without = run(files, output, server, "--max-cost", "1")
        assert without.returncode == 2 and "--price" in without.stderr
        limits = [run(files, output, server, *price, "--max-cost", "15") for _ in range(2)]
        assert all(each.returncode == 1 and "spent" in each.stderr for each in limits), limits[0].stderr
        assert 0 < sum(server.paid.values()) < 100
        assert run(files, output, server, *price, "--max-cost", "500").returncode == 0
        paid = sum(server.paid.values())
        assert paid == 100
        second = ("--judge", f"{server.url}#other")
        both = tmp_path / "both"
        cost = run(files, both, server, *price, "--max-cost", "500", *second).json["cost"]
        spent = cost["total"]["dollars"]
        assert spent == pytest.approx(sum(each["paid"]["dollars"] for each in cost["judges"].values()))
        again = tmp_path / "again"
        limited = run(files, again, server, *price, "--max-cost", str(0.75 * spent), *second)
    assert limited.returncode == 1 and (tmp_path / "again.judge.other.sqlite").exists(), (
        "the second judge met the limit"
    )


def test_a_dry_run_asks_nothing_and_writes_nothing(run: Run, tmp_path: Path) -> None:
    files = [write_answers(tmp_path / f"{name}.json", name, 100) for name in ("mine", "theirs")]
    with FaultyServer(judge) as server:
        told = run(files, tmp_path / "run", server, "--dry-run", "--price", "1,2").json
        unknown = run(files, tmp_path / "run", server, "--dry-run").json
        assert not server.bodies and not (tmp_path / "run").exists()
        real = run(files, tmp_path / "run", server, "--price", "1,2").json
    assert told["requests"] == 200 and unknown["dollars"] is None
    paid = real["cost"]["judges"]["model"]["paid"]
    assert {**real["cost"]["total"], "requests": 200, "estimated": 0} == paid
    assert told["prompt_tokens"] == pytest.approx(paid["prompt_tokens"], rel=0.2)
    assert told["dollars"] == pytest.approx((told["prompt_tokens"] + 2 * told["new_tokens"]) / 1e6, abs=1e-4)
