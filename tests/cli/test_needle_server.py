"""`boresight needle` against a server that chats, and fails: nothing is lost, paid twice or half written."""

import re
from pathlib import Path

import pytest

from boresight.evaluate.needle_run import ANSWERS, NeedleAnswer
from boresight.models.load import load_tokenizer
from boresight.records import read_records
from boresight.runs import alone
from command_line import Run
from faulty_server import Body, FaultyServer, at_first

NEEDLE = re.compile(r"The golden drum is with \w+\.|The white bell is with \w+\.|The red boat is with \w+\.")
GRID = ("--needles", "pocket", "--lengths", "300,600", "--depths", "0,50,100", "--max-tokens", "20")
REACH = 700
"""Characters from the end of what it was told that this model minds."""


def reader(body: Body) -> str:
    """A chat model that repeats the needle, if it stands within its reach."""
    (message,) = body["messages"]
    assert message["role"] == "user" and body["max_tokens"] == 20 and body["temperature"] == 0
    found = NEEDLE.search(message["content"][-REACH:])
    return found[0] if found else "It does not say."


def test_a_server_that_chats_and_fails(boresight: Run, tmp_path: Path) -> None:
    output = tmp_path / "run"
    with FaultyServer(reader, at_first("cut")) as server:
        arguments = ("needle", f"{server.url}#reader", "--tokenizer", "pocket", *GRID, "-o", output, "--json")
        done = boresight(*arguments, "--price", "1,2").json
        again = boresight(*arguments, "--price", "1,2", "--seed", "7", "--force").json
        told = boresight(*arguments[:-1], "--price", "1,2", "--seed", "7").stdout
    assert (done["unit"], done["total"], len(done["cells"])) == ("tokens", 18, 6)
    assert "0 requests paid for in the last attempt, $0.00; 18 were answered before" in told
    recall = {(cell["length"], cell["depth"]): cell["recall"] for cell in done["cells"]}
    assert recall[300, 100] == recall[600, 100] == 1 and recall[300, 0] == recall[600, 0] == 0
    # Starting over with another seed asks the same of the first haystack, and pays for nothing again.
    assert set(server.paid.values()) == {1} and len(server.paid) == 18
    assert again["cost"]["total"] == done["cost"]["total"] and done["cost"]["total"]["dollars"] > 0
    assert again["cost"]["paid"]["requests"] == 0 and again["cost"]["saved"]["requests"] == 18
    encode = load_tokenizer("pocket").encode
    asked = [body["messages"][0]["content"] for body in server.bodies]
    assert max(len(encode(text)) for text in asked) + 20 <= 600 < max(map(len, asked))
    for answer in read_records(output / ANSWERS, NeedleAnswer):
        assert answer.model == "reader" and abs(answer.depth_reached - answer.depth) < 100 * 16 / 270
    names = sorted(path.name for path in output.iterdir())
    assert names == ["answers.jsonl", "needle.png", "needle.svg", "run.json"], "nothing half written"


def test_a_second_command_on_the_same_directory_is_refused(boresight: Run, tmp_path: Path) -> None:
    output = tmp_path / "run"
    with FaultyServer(reader) as server, alone(output):
        refused = boresight("needle", f"{server.url}#reader", *GRID, "-o", output)
        assert not server.bodies and not output.exists()
    assert refused.returncode == 2 and "another command is at work there" in refused.stderr


@pytest.mark.parametrize("named", [True, False])
def test_lengths_are_in_characters_where_no_tokenizer_is_named(
    boresight: Run, tmp_path: Path, named: bool
) -> None:
    with FaultyServer(reader, models=("reader",)) as server:
        model = f"{server.url}#reader" if named else server.url
        done = boresight("needle", model, *GRID, "--samples", "2", "-o", tmp_path / "run", "--json").json
    assert done["unit"] == "characters" and done["total"] == 36
    lengths = [len(body["messages"][0]["content"]) for body in server.bodies]
    assert max(lengths) <= 600 - 20 and done["recall"] == 1, "all of it is within reach"
