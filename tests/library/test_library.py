"""`import boresight`: its names, what they cost, and that they do what the commands do."""

import doctest
import inspect
import json
import re
import subprocess
import sys
from base64 import b64decode
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import boresight as library
from boresight.library.shown import Answers, Found
from boresight.models.requests import Generation, Request, Sampling, Shown
from boresight.records import Conversation, Message, Response, read_records
from boresight.runs import read_run
from command_line import Run

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "library.md").read_text()
CALLS = [name for name in library.__all__ if inspect.isfunction(getattr(library, name))]
TALK = [Message(role="user", content="2 + 2?"), Message(role="assistant", content="4")]
HOSTILE = "<script>alert(1)</script>\u202e"


def test_nothing_but_the_standard_library_is_imported_before_it_is_used() -> None:
    code = """
import sys
before = set(sys.modules)
import boresight
dir(boresight), boresight.__all__
print(*{name.partition(".")[0] for name in set(sys.modules) - before} - sys.stdlib_module_names)
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (ended.stdout, ended.stderr) == ("boresight\n", "")


def test_the_page_lists_every_call_and_no_other() -> None:
    assert set(re.findall(r"boresight\.(\w+)\(", PAGE)) == {*CALLS, "Conversation", "Message"}
    assert dir(library) == library.__all__ == sorted(library.__all__)


@pytest.mark.parametrize("name", CALLS)
def test_a_call_says_what_it_takes_gives_and_raises(name: str) -> None:
    said = inspect.getdoc(getattr(library, name)) or ""
    parameters = inspect.signature(getattr(library, name)).parameters
    if name != "write_records":  # which is of another room, and whose arguments say what they are
        assert "Raises:\n    UserError" in said
        assert list(parameters) == re.findall(r"^    (\w+):", said.partition("Args:")[2], re.MULTILINE)[:-1]
    assert not [each for each, about in parameters.items() if about.annotation is inspect.Parameter.empty]


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="trian_model"):
        library.trian_model  # noqa: B018


@pytest.mark.parametrize("place", ["data", "training", "models", "measures"])
def test_examples_in_docstrings_run(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    module = import_module(f"boresight.library.{place}")
    failed, tried = doctest.testmod(module, extraglobs={"boresight": library, "TALK": TALK})
    assert not failed and (tried or place != "data")


def test_what_notebooks_show_is_escaped() -> None:
    message = Message(role="user", content=HOSTILE)
    answer = Response(id="1", prompt=[message], output=HOSTILE, model="m")
    shown = [
        Answers([answer])._repr_html_(),
        Found({}, [{HOSTILE: HOSTILE}])._repr_html_(),
        library.show_targets(Conversation(messages=[message, TALK[1]]))._repr_html_(),
    ]
    for html in shown:
        assert "&lt;script&gt;" in html and "<script" not in html and "\u202e" not in html


def test_a_figure_changes_nothing_around_it() -> None:
    svg = '<svg aria-label="of &lt;m&gt; &#39;x&#39;"><style>* { color: red }</style></svg>'
    html = Found({}, figure=svg)._repr_html_()
    assert "<style" not in html and "alt='of &lt;m&gt; &#39;x&#39;'" in html
    assert b64decode(html.partition("base64,")[2].partition("'")[0]) == svg.encode()


def test_a_table_in_words_has_its_columns_below_their_names() -> None:
    found = Found({"a": 1}, [{"system": "m", "value": 0.12345}, {"system": "longer", "value": None}])
    assert repr(found) == "system  value\nm       0.123\nlonger  –"
    assert found == {"a": 1} and repr(Found({"a": 1})) == "{'a': 1}"


def test_a_notebook_shows_a_mistake_as_one_line() -> None:
    error = library.UserError("no such file")
    assert error._render_traceback_() == ["boresight: no such file"]


class Scripted:
    """Answers with the number of the request, and remembers what it was asked."""

    name = "scripted"

    def generate(
        self, requests: Sequence[Request], progress: Callable[[int], None], *answered: object
    ) -> list[Generation]:
        self.asked = list(requests)
        progress(len(requests))
        return [
            Generation(str(at), "length", demonstrations=(Shown("d", 1.5, 9),)) for at in range(len(requests))
        ]


def test_generate_asks_each_prompt_as_often_as_it_is_told() -> None:
    model, talk = Scripted(), Conversation(id="t", messages=TALK)
    answers = library.generate(model, ["2 + 2?", talk, TALK[:1]], draws=2, temperature=0.5, seed=7)  # type: ignore[arg-type]
    assert [(each.output, each.draw) for each in answers] == [(str(n), n % 2) for n in range(6)]
    assert all(request.prompt == (TALK[0],) for request in model.asked)
    assert {request.sampling for request in model.asked} == {Sampling(256, 0.5, seed=7)}
    assert [each.reference for each in answers] == [None, None, "4", "4", None, None]
    assert [each.id for each in answers[2:4]] == ["t", "t"] and answers[0].id == answers[4].id
    assert answers[0].finish_reason == "length" and answers[0].model == "scripted"
    assert answers[0].demonstrations == [{"id": "d", "score": 1.5, "tokens": 9}]  # type: ignore[attr-defined]


def test_a_base_model_is_not_asked_to_chat() -> None:
    with pytest.raises(library.UserError, match=r"pocket: .*align_model"):
        library.generate(library.load_model("pocket"), ["2 + 2?"])


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"modle": "pocket"}, "recipe: unknown key 'modle'; did you mean 'model'?"),
        ({"train": {"stpes": 3}}, "recipe: unknown key 'train.stpes'; did you mean 'steps'?"),
        ({"data": [{"path": "x", "source": "gsm8"}]}, "did you mean 'gsm8k'?"),
        ({"max_length": -1}, "recipe: max_length"),
    ],
)
def test_a_recipe_in_python_is_checked_as_a_file_is(changed: dict[str, object], said: str) -> None:
    with pytest.raises(library.UserError) as refused:
        library.plan_training({"model": "pocket", "data": [{"path": "x"}], **changed})
    assert said in str(refused.value) and "\n" not in str(refused.value)


def test_rows_that_are_left_out_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "rows.jsonl"
    rows = ({"instruction": "Say it.", "output": output} for output in ("It.", "", "", "This."))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert [c.messages[1].content for c in library.read_conversations([path], "alpaca")] == ["It.", "This."]
    assert capsys.readouterr().err == "left out: 2 × an empty answer\n"
    with pytest.raises(library.UserError, match="did you mean 'alpaca'"):
        library.read_conversations(path, source="aplaca")


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with conversations to train on and to ask, and a recipe."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BORESIGHT_CACHE", str(tmp_path / "cache"))
    talks = (
        Conversation(messages=[TALK[0].model_copy(update={"content": f"{n} + {n}?"}), TALK[1]])
        for n in range(4)
    )
    library.write_records("rows.jsonl", talks)
    (tmp_path / "recipe.yaml").write_text(
        "model: pocket\nmax_length: 64\ndata: [{path: rows.jsonl}]\ntrain: {steps: 1, precision: fp32}\n"
    )
    return tmp_path


def test_calls_and_commands_do_the_same(files: Path, boresight: Run) -> None:
    """What a call has done, the command finds done; and what the one returns, the other prints."""
    recipe = {
        "model": "pocket",
        "max_length": 64,
        "data": [{"path": "rows.jsonl"}],
        "train": {"steps": 1, "precision": "fp32"},
    }
    assert boresight("train", "recipe.yaml", "--dry-run", "--json").json == library.plan_training(recipe)
    tuned = library.train_model(recipe, "runs/tuned")
    assert tuned == library.train_model("recipe.yaml", "runs/tuned")
    again = boresight("train", "recipe.yaml", "-o", "runs/tuned", "--json")
    assert again.json == tuned.counts and "already done" in again.stderr
    assert "data:image/svg+xml" in tuned._repr_html_() and str(tuned.model) in tuned._repr_html_()

    found = library.evaluate_model(
        "pocket", "rows.jsonl", "runs/eval", demonstrations="rows.jsonl", shown="retrieved"
    )
    pool = ("--demonstrations", "rows.jsonl", "--shown", "retrieved")
    again = boresight("eval", "pocket", "--tasks", "rows.jsonl", *pool, "-o", "runs/eval", "--json")
    assert again.json == found and "already done" in again.stderr
    (row,) = found.table
    assert row["items"] == 4 and row["low"] <= row["value"] <= row["high"]

    report = library.write_report(["runs/eval", tuned.directory], files / "page.html")
    assert report == {"report": str(files / "page.html")} and "<svg" in (files / "page.html").read_text()
    assert read_run(tuned.directory)["finished"]


def test_answers_are_judged_and_counted(files: Path, boresight: Run) -> None:
    prompt = [TALK[0]]
    for name, outputs in {"many": ["a b c", "a b", "a"], "few": ["a", "a b", "a b"]}.items():
        rows = (Response(id=str(n), prompt=prompt, output=o, model=name) for n, o in enumerate(outputs))
        library.write_records(f"{name}.jsonl", rows)
    judged = library.judge_pairs("many.jsonl", "few.jsonl", "unique-tokens", "runs/judged")
    shares = {"win": 100 / 3, "tie": 100 / 3, "loss": 100 / 3, "win_plus_half_ties": 50.0, "n_total": 3}
    assert {key: judged.table[0][key] for key in shares} == pytest.approx(shares)
    asked = ("pairs", "many.jsonl", "few.jsonl", "--judge", "unique-tokens", "-o", "runs/judged", "--json")
    assert boresight("judge", *asked).json == judged
    rates = library.win_rates("runs/judged/judgments.jsonl")
    assert boresight("winrate", "runs/judged/judgments.jsonl", "--json").json == rates
    assert rates.table[0]["win"] == pytest.approx(100 / 3)


def test_needles_are_found_by_calls_as_by_commands(files: Path, boresight: Run) -> None:
    cells: dict[str, Any] = {"lengths": [200], "depths": [0, 100], "max_tokens": 4}
    found = library.find_needles("pocket", "runs/needle", needles="pocket", **cells)
    sizes = ("--needles", "pocket", "--lengths", "200", "--depths", "0,100", "--max-tokens", "4")
    again = boresight("needle", "pocket", "-o", "runs/needle", *sizes, "--json")
    assert again.json == found and "already done" in again.stderr
    assert [(cell["length"], cell["depth"]) for cell in found.table] == [(200, 0), (200, 100)]
    assert "<svg" in found.figure


def test_a_served_model_is_aligned_where_it_is_served() -> None:
    with pytest.raises(library.UserError, match="boresight serve"):
        library.align_model(Scripted(), "rows.jsonl")  # type: ignore[arg-type]


def test_an_aligned_model_answers_with_what_it_was_shown(files: Path) -> None:
    aligned = library.align_model("pocket", "rows.jsonl", overrides=["policy.budget=100"])
    (answer,) = library.generate(aligned, ["3 + 3?"], max_tokens=4)
    pool = {each.id for each in read_records(files / "rows.jsonl", Conversation)}
    shown = [each["id"] for each in answer.demonstrations]  # type: ignore[attr-defined]
    assert shown and set(shown) <= pool
