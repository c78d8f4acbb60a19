"""What judges and people said, in the report; costs; needles."""

import json
from pathlib import Path

import pytest
from report_runs import unpack, write_judged, write_record
from test_report import EVIL, Page, words

from boresight.errors import UserError
from boresight.evaluate.ratings import compare, read_ratings
from boresight.report import write_report
from boresight.report.costs import Cost, read_costs, total
from boresight.report.source import open_runs

VERDICTS = [(f"p{i}", order, float(i % 3 > 0)) for i in range(9) for order in ("ab", "ba")]


def said(tmp_path: Path, *given: Path) -> str:
    write_report(given, tmp_path / "r.html")
    return words(Page((tmp_path / "r.html").read_text(encoding="utf-8")))


def ratings(path: Path, models: list[str], preferences: list[float]) -> Path:
    rows = [
        {
            "id": f"p{i}", "models": models, "rater": EVIL, "answers": {"preference": value},
            "prompt": [{"role": "user", "content": "Why?"}], "outputs": ["a", "b"],
            "time": "2026-01-01T00:00:00Z",
        }
        for i, value in enumerate(preferences)
    ]  # fmt: skip
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_wins_and_what_the_order_did_are_those_of_the_run(tmp_path: Path) -> None:
    text = said(tmp_path, write_judged(tmp_path, [*VERDICTS, ("p9", "ab", None), ("p9", "ba", 1.0)]))
    assert "ours has a win rate of 66.7 % against theirs, by gpt." in text
    assert "ours against theirs" in text and "66.7 / 0.0 / 33.3" in text  # p0, p3 and p6 are lost
    assert "50.0 22.7–77.3 100.0 70.1–100.0 9 1 not read" in text
    assert "1,200" in text and "0.50" in text  # the cost


def test_what_all_runs_cost_is_a_sum_even_if_one_does_not_know(tmp_path: Path) -> None:
    runs = [
        write_record(tmp_path / str(n), "judge pairs", {}, {"results": [], "canaries": [], "cost": {"total": {
            "prompt_tokens": 10, "new_tokens": 1, "dollars": dollars}}})
        for n, dollars in enumerate((0.5, None, 0.004))
    ]  # fmt: skip
    costs = read_costs(open_runs(runs))
    assert total(costs) == Cost("all together", 30, 3, 0.504, more=True)
    assert total(costs[::2]) == Cost("all together", 20, 2, 0.504)


def test_judges_beside_people_agree_as_agreement_says(tmp_path: Path) -> None:
    judged = write_judged(tmp_path, VERDICTS)
    people = ratings(tmp_path / "ratings.jsonl", ["theirs", "ours"], [0.0, 0.25, 0.5, 1, 0, 0, 0.75, 0.25, 0])
    found = compare(read_ratings(judged / "judgments.jsonl"), read_ratings(people)).agreement
    text = said(tmp_path, judged, people)
    assert "Judges against people" in text
    assert f"{100 * found.pairwise.value:.1f}" in text and f"{found.spearman.value:.2f}" in text
    others = ratings(tmp_path / "others.jsonl", ["x", "y"], [1.0, 0.0])
    assert "too few items in common" in said(tmp_path, judged, others)


def test_raters_go_by_numbers_and_their_ratings_stand_beside_the_answers(tmp_path: Path) -> None:
    people = ratings(tmp_path / "ratings.jsonl", ["a", "b"], [1.0, 0.5])
    write_report([people], tmp_path / "r.html")
    html = (tmp_path / "r.html").read_text(encoding="utf-8")
    blocks = unpack(html)
    assert EVIL not in json.dumps(blocks, ensure_ascii=False) and blocks["items-0"]["values"] == [[1.0, 0.5]]
    (rating,) = blocks["items-0-0"][0]["verdicts"]
    assert (rating["by"], rating["outcome"]) == ("rater 1", "a is better")


def test_results_of_a_study_are_shown_and_no_rater_is_named(tmp_path: Path) -> None:
    def share(value: float) -> dict:
        return {"value": value, "ci95": [value - 0.1, value + 0.1]}

    preference = {
        "question": "preference",
        "kind": "preference",
        "n": 40,
        "win": share(0.25),
        "tie": share(0.5),
    }
    preference |= {"loss": share(0.25), "win_plus_half_ties": share(0.5), "steps": {}}
    acceptable = {
        "question": "fine <b>",
        "kind": "yes_no",
        "systems": {"A": {"n": 40, **share(0.8)}, "B": None},
    }
    group = {
        "systems": ["A", "B"],
        "items": 20,
        "prompts": 20,
        "ratings": 40,
        "questions": [acceptable, preference],
    }
    results = {"published": False, "ratings": 40, "left_out": {"invalid": 2, "gold": 0}, "raters": 2}
    results |= {"comparisons": [group], "systems": [], "progress": [{"name": "Ada Lovelace"}]}
    path = tmp_path / "results.json"
    path.write_text(json.dumps(results))
    text = said(tmp_path, path)
    assert (
        "40 ratings by 2 people" in text and "Left out: 2 invalid." in text and "25.0 / 50.0 / 25.0" in text
    )
    assert "fine <b> A 80.0 %" in text and "Ada" not in text


def test_files_of_another_kind_are_refused(tmp_path: Path) -> None:
    for content, why in (("{}", "not what `boresight study results"), ("{", "no readable JSON")):
        (tmp_path / "odd.json").write_text(content)
        with pytest.raises(UserError, match=why):
            write_report([tmp_path / "odd.json"], tmp_path / "r.html")


def test_a_map_of_needles_is_drawn_with_what_was_found(tmp_path: Path) -> None:
    cells = [{"length": n, "depth": d, "recall": d / 100, "n": 1} for n in (500, 900) for d in (0, 50, 100)]
    counts = {"cells": cells, "unit": "tokens", "found": 2, "total": 6, "ci95": [0.1, 0.7], "copied": 0.5}
    runs = [
        write_record(tmp_path / name, "needle", {"model": f"m/{name}"}, counts) for name in ("one", "two")
    ]
    for run in runs:
        answer = {
            "id": "n",
            "prompt": [],
            "output": "o",
            "model": "m",
            "needle": "n",
            "length": 500,
            "depth": 0,
        }
        answer |= {"prompt_length": 499, "depth_reached": 0.1, "recall": 0.5, "reference": "r"}
        (run / "answers.jsonl").write_text(json.dumps(answer) + "\n")
    write_report(runs, tmp_path / "r.html")
    page = Page((tmp_path / "r.html").read_text(encoding="utf-8"))
    maps = [
        a["aria-label"]
        for tag, a in page.elements
        if tag == "svg" and "recall in percent" in (a["aria-label"] or "")
    ]
    assert "one found 2 of 6 needles. two found 2 of 6" in words(page)
    assert len(maps) == 2 and "500 tokens: 0 50 100" in (maps[0] or "")
    assert "2 of 6 wholly found (95 % interval 10.0–70.0 %); a sentence like it came back in 50.0 %" in words(
        page
    )
    ids = page.values("id")
    assert len(ids) == len(set(ids))
