"""Items in the page: all of them are there, as text alone, and none is read before it is asked for."""

import json
from pathlib import Path

import pytest
from report_runs import unpack, write_eval, write_judged, write_record
from test_report import EVIL, Page, write_answers

from boresight.records import Message
from boresight.report import write_report
from boresight.report.items import PART, Column, Item, ItemSet, embed, snippets
from boresight.report.text import FULL


def page(tmp_path: Path, *given: Path) -> tuple[str, dict]:
    write_report(given, tmp_path / "r.html")
    html = (tmp_path / "r.html").read_text(encoding="utf-8")
    return html, unpack(html)


def user(text: str) -> list[Message]:
    return [Message(role="user", content=text)]


def test_every_item_is_in_its_part_with_all_systems_answers(tmp_path: Path) -> None:
    scores = {f"s-{i}": float(i % 2) for i in range(PART + 7)}
    write_eval(tmp_path / "runs", "a", "mmlu", "0-shot", scores)
    write_eval(tmp_path / "runs", "b", "mmlu", "0-shot", dict(list(scores.items())[5:]), output="other")
    _, blocks = page(tmp_path, tmp_path / "runs")
    assert blocks["items-sets"]["sets"][0] == {
        "name": "mmlu 0-shot", "columns": [["a (base)", "score"], ["b (base)", "score"]],
        "count": len(scores), "note": "",
    }  # fmt: skip
    index = blocks["items-0"]
    assert index["ids"] == list(scores) and index["said"][3] == "Q: s-3?" and index["groups"][3] == "s"
    assert index["values"] == [list(scores.values()), [None] * 5 + list(scores.values())[5:]]
    assert (len(blocks["items-0-0"]), len(blocks["items-0-1"])) == (PART, 7)
    last = blocks["items-0-1"][-1]
    assert last["references"] == ["right"] and [each["text"] for each in last["answers"]] == [
        "is 0.0",
        "other",
    ]
    assert ["strict read", "read 0.0"] in last["answers"][0]["facts"] and "prompt" not in last["answers"][1]
    assert [each["by"] for each in blocks["items-0-0"][0]["answers"]] == ["a (base)"]


def test_a_prompt_that_only_one_system_had_stands_with_its_answer(tmp_path: Path) -> None:
    write_eval(tmp_path / "runs", "a", "gsm", "cot", {"x": 1.0})
    write_eval(tmp_path / "runs", "b", "gsm", "cot", {"x": 0.0}, prompt=[{"role": "user", "content": "else"}])
    _, blocks = page(tmp_path, tmp_path / "runs")
    assert blocks["items-0-0"][0]["answers"][1]["prompt"] == [["user", "else"]]


def test_hostile_text_is_data_and_its_hidden_characters_are_spelt_out(tmp_path: Path) -> None:
    evil = EVIL + "</script><script>alert(3)</script>\x1b"
    hostile = {
        "output": evil,
        "prompt": [{"role": "user", "content": evil}],
        "read": {evil: evil},
        "note": evil,
    }
    write_eval(tmp_path / "runs", "m", "gsm", "cot", {"x": 1.0}, references=[evil], **hostile)
    html, blocks = page(tmp_path, tmp_path / "runs")
    assert "alert(" not in html
    item = blocks["items-0-0"][0]
    assert item["answers"][0]["text"].startswith("<script>alert(1)</script>")
    assert "⟨U+202E⟩evil⟨U+200B⟩" in item["prompt"][0][1] and item["references"][0].endswith("⟨U+001B⟩")
    assert [a for tag, a in Page(html).elements if tag == "script" and not a.get("type")] == [{}]


def test_of_a_book_both_ends_are_kept() -> None:
    item = Item("a", user("Begin " + "x" * 10**6 + " end?"), "", [None])
    kept = unpack(str(embed([ItemSet("s", [], [item])])))["items-0-0"][0]["prompt"][0][1]
    assert kept.startswith("Begin") and kept.endswith("end?") and len(kept) < FULL + 100
    assert f"{10**6 + 11 - FULL:,} characters left out" in kept


def test_a_list_shows_where_prompts_are_unlike_their_neighbours() -> None:
    items = [Item(f"{n}", user(f"Rules.\nQ: one\nA: 1\n\nQ: {n}?\nA:"), "", []) for n in range(3)]
    assert snippets(items) == ["Q: 0? A:", "Q: 1? A:", "Q: 2? A:"]
    assert snippets([Item("a", [], "", [])]) == [""]


def test_verdicts_stand_beside_the_answers_they_are_of(tmp_path: Path) -> None:
    said = [
        ("p1", "ab", 1.0),
        ("p1", "ba", 1.0),
        ("p2", "ab", 1.0),
        ("p2", "ba", 0.0),
        ("p3", "ab", 1.0),
        ("p3", "ba", None),
    ]
    judged = write_judged(tmp_path, said, "9 7\nfor <b>reasons</b>")
    _, blocks = page(tmp_path, judged)
    assert blocks["items-sets"]["sets"][0]["columns"] == [["ours by gpt", "preference"]]
    assert blocks["items-0"]["values"] == [[1.0, 0.5, None]]  # half of a comparison is none
    first = blocks["items-0-0"][0]
    assert [each["text"] for each in first["answers"]] == ["ours says p1", "theirs says p1"]
    assert [each["outcome"] for each in first["verdicts"]] == ["ours is better"] * 2
    assert first["verdicts"][1]["facts"] == [["shown first", "theirs"]]
    assert first["verdicts"][0]["text"] == "9 7\nfor <b>reasons</b>"
    assert blocks["items-0-0"][2]["verdicts"][1]["outcome"] == "no verdict"


@pytest.mark.parametrize("change", ["gone", "another"])
def test_answers_that_are_not_what_was_judged_are_not_shown_beside_verdicts(
    tmp_path: Path, change: str
) -> None:
    judged = write_judged(tmp_path, [("p1", "ab", 1.0)])
    ours = tmp_path / "ours.jsonl"
    if change == "gone":
        ours.unlink()
    else:
        ours.write_text(ours.read_text().replace("says", "said"))
    _, blocks = page(tmp_path, judged)
    assert "ours.jsonl is not what was judged any more" in blocks["items-sets"]["sets"][0]["note"]
    assert blocks["items-0-0"][0]["answers"] == [] and len(blocks["items-0-0"][0]["verdicts"]) == 1


def test_held_out_answers_are_there_too(tmp_path: Path) -> None:
    _, blocks = page(tmp_path, write_answers(tmp_path / "a", "m", {"s": 0.5, "t": 0.9}, range(30)))
    assert blocks["items-sets"]["sets"][0]["count"] == 30
    assert sum(blocks["items-0"]["values"][0]) == sum(
        each["answers"][0]["good"] for each in blocks["items-0-0"]
    )


def test_columns_are_numbers_rounded_for_reading() -> None:
    item = Item("a", user("q"), "g", [1 / 3, None])
    blocks = unpack(str(embed([ItemSet("s", [Column("x", "score"), Column("y", "score")], [item])])))
    assert blocks["items-0"]["values"] == [[0.3333], [None]]


def test_a_rating_is_the_best_over_references_and_the_mean_over_runs(tmp_path: Path) -> None:
    about = {"id": "q", "models": ["m"], "judge": "gpt", "verdict": "so", "draw": 0}
    scores = {(0, 0): 1.0, (0, 1): 3.0, (1, 0): 2.0, (1, 1): 1.0}  # by run and reference
    rows = [about | {"run": run, "reference": r, "score": score} for (run, r), score in scores.items()]
    rows.append(about | {"id": "p", "run": 0, "reference": 0, "score": None, "reason": "no score"})
    counts = {"rubric": "r@1", "results": [], "canaries": [], "agreement": []}
    rated = write_record(tmp_path / "rated", "judge rate", {"files": []}, counts)
    (rated / "judgments.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    _, blocks = page(tmp_path, rated)
    assert blocks["items-0"]["values"] == [[2.5, None]]
    assert [said["outcome"] for said in blocks["items-0-0"][0]["verdicts"]] == [
        "m: 1",
        "m: 3",
        "m: 2",
        "m: 1",
    ]
