"""`boresight eval` against a server that fails, under a limit: goes on, pays once, says what it cost."""

from pathlib import Path

from benchmark_files import write_benchmarks
from command_line import Run
from faulty_server import Body, FaultyServer, at_first


def adder(body: Body) -> str:
    """A chat model that adds, and shows how."""
    asked = body["messages"][-1]["content"].rsplit("What is ", 1)[1]
    return f"I count on my fingers. So the answer is {int(asked.split()[0]) + 2}."


def test_a_server_that_fails_under_a_limit(boresight: Run, tmp_path: Path) -> None:
    data, output = write_benchmarks(tmp_path / "benchmarks"), tmp_path / "run"
    settings = ("--tasks", "gsm:cot,gsm:direct", "--data", data, "--concurrency", 1, "-o", output, "--json")
    with FaultyServer(adder, at_first("cut", None)) as server:
        arguments = ("eval", f"{server.url}#adder", *settings, "--price", "1,2")
        stopped = boresight(*arguments, "--max-cost", "0.02")
        early = len(server.paid)
        done = boresight(*arguments, "--max-cost", "10").json
        again = boresight(*arguments).json
        told = boresight(*(each for each in arguments if each != "--json")).stdout
        report = boresight("report", output, "-o", tmp_path / "report.html")
    assert stopped.returncode == 1 and "higher limit goes on" in stopped.stderr
    assert 0 < early < len(server.paid) and set(server.paid.values()) == {1}
    assert again == done and [row["scores"][row["headline"]]["value"] for row in done["results"]] == [
        1.0,
        1.0,
    ]
    totals = [row["cost"]["total"] for row in done["results"]]
    # Each answer was cut off once: what was charged for that is counted with it, whoever asked.
    assert all(total["prompt_tokens"] > total["new_tokens"] > 0 for total in totals)
    prices = [(t["prompt_tokens"] + 2 * t["new_tokens"]) / 1e6 for t in totals]
    assert [total["dollars"] for total in totals] == [round(price, 6) for price in prices]
    assert told.count("paid in all: ") == 2 and f"{totals[0]['new_tokens']:,} written, $" in told
    assert (output / "adder" / "chat" / "gsm-cot").is_dir()
    assert report.returncode == 0 and 'id="cost"' in (tmp_path / "report.html").read_text()
