"""Experiments in small, run for real on the pocket model: what they find is written down, and done once."""

from pathlib import Path

import pytest

from boresight.lab import controls, ladder, long_data, methods, mixtures, samples, table1
from boresight.lab.bench import SETTINGS, Lab
from boresight.lab.experiments import EXPERIMENTS, read_results, run_lab
from boresight.pocket import conversations


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name, value in [
        (samples, "EACH_FAMILY", 1), (samples, "POOL", 40), (table1, "FEW", 20),
        (ladder, "SEEDS", (1, 2)), (ladder, "BUDGET", 100), (table1, "DRAWS", 2),
        (controls, "POOL", 60), (controls, "BUDGET", 100),
        (long_data, "CONVERSATIONS", 16), (long_data, "LENGTHS", "256,512"), (long_data, "DEPTHS", "0,100"),
        (long_data, "LONG", {long_data.NONE: 0, long_data.SOME: 1, long_data.MOST: 2}),
        (conversations, "LONG_WORDS", (50, 100)), (long_data, "NEEDLES", 1),
        (methods, "CONVERSATIONS", 16), (methods, "LONG", 2), (methods, "LENGTHS", "256"),
        (mixtures, "CONVERSATIONS", 8),
    ]:  # fmt: skip
        monkeypatch.setattr(module, name, value)
    monkeypatch.setitem(SETTINGS, "epochs", 1)


def test_one_experiment_is_done_once(small: None, tmp_path: Path) -> None:
    (first,) = run_lab("pocket", tmp_path, ["controls"])
    assert first.name == "controls" and first.seconds > 0
    assert len(first.tables[0].rows) == 7
    (again,) = run_lab("pocket", tmp_path, ["controls"])
    assert again == first
    assert "Controls" in (tmp_path / "lab.html").read_text()
    assert (tmp_path / "lab.md").read_text().startswith("# What the laboratory found")


@pytest.mark.slow
def test_the_whole_laboratory_in_small(small: None, tmp_path: Path) -> None:
    results = run_lab("pocket", tmp_path)
    assert [result.name for result in results] == list(EXPERIMENTS)
    assert read_results(tmp_path) == results
    assert all(result.claims and result.tables for result in results)
    maps = next(result for result in results if result.name == "long-data").figures
    assert len(maps) == 4


def test_starting_over_forgets_runs_and_nothing_else(tmp_path: Path) -> None:
    ours, others = tmp_path / "arms" / "ours", tmp_path / "arms" / "others"
    for folder in (ours, others, tmp_path / "data"):
        folder.mkdir(parents=True)
    (ours / "run.json").write_text("{}")
    (others / "thesis.txt").write_text("dear")
    (tmp_path / "data" / "mine.jsonl").write_text("{}")
    Lab("pocket", tmp_path).restart()
    assert not ours.exists()
    assert (others / "thesis.txt").exists() and (tmp_path / "data" / "mine.jsonl").exists()
