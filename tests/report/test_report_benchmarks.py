"""Benchmarks in the report: the table, TÜLU's average, paired differences; tables and figures for papers."""

import csv
import io
import math
from pathlib import Path
from random import Random
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_runs import write_eval
from test_report import Page, words

from boresight.errors import UserError
from boresight.report import write_report
from boresight.report.benchmarks import Benchmarks, Column, Result, System
from boresight.report.comparison import BETWEEN, ROW, as_csv, comparison_files, latex
from boresight.report.page import read_report
from boresight.stats import Interval

GSM, MMLU = {f"test-{i}": float(i % 3 == 0) for i in range(30)}, {f"s-{i}": float(i % 2) for i in range(20)}


def benchmarks(*directories: Path, baseline: str | None = None) -> Benchmarks:
    found = read_report(directories, baseline).benchmarks
    assert found
    return found


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """`mine` has all of GSM that `yours` has, and five more."""
    better = GSM | {f"test-{i}": 1.0 for i in (1, 2, 4, 5, 7)}
    for model, gsm in (("yours", GSM), ("mine", better)):
        write_eval(tmp_path / "runs", model, "gsm", "cot", gsm)
        write_eval(tmp_path / "runs", model, "mmlu", "0-shot", MMLU)
    return tmp_path / "runs"


def test_the_table_has_tulus_order_and_average(two: Path, tmp_path: Path) -> None:
    found = benchmarks(two)
    assert [str(column) for column in found.columns] == ["mmlu 0-shot", "gsm cot"]
    mine, yours = found.names
    assert found.averages[mine]["value"] == pytest.approx((0.5 + 15 / 30) / 2)
    assert found.averages[yours]["value"] == pytest.approx((0.5 + 10 / 30) / 2)
    write_report([two], tmp_path / "r.html")
    said = words(Page((tmp_path / "r.html").read_text()))
    assert "mine (base) baseline 50.0 " in said and "Here it is over MMLU (0-shot), GSM (cot)." in said
    assert "2 too long for the model, and left out" in said


def test_a_difference_is_paired_over_common_items_and_its_interval_is_a_bootstraps(two: Path) -> None:
    found = benchmarks(two, baseline="yours")
    (mine,) = found.others
    gap = found.difference(mine, [Column("gsm", "cot")])
    assert gap and gap.items == 30 and gap.interval.value == pytest.approx(5 / 30) and gap.clear
    rng = np.random.default_rng(5)
    gaps = np.array([1.0] * 5 + [0.0] * 25)
    low, high = np.quantile(rng.choice(gaps, (20_000, 30)).mean(axis=1), [0.025, 0.975])
    assert gap.interval[1:] == pytest.approx((low, high), abs=0.02)


def test_the_average_differs_by_the_mean_of_benchmarks_and_spreads_like_their_sum(two: Path) -> None:
    found = benchmarks(two, baseline="yours (base)")
    (mine,) = found.others
    total = found.average_difference(mine)
    gsm, mmlu = (found.difference(mine, [Column(*of)]) for of in (("gsm", "cot"), ("mmlu", "0-shot")))
    assert total and gsm and mmlu and total.items == 50
    assert total.interval.value == pytest.approx((gsm.interval.value + mmlu.interval.value) / 2)
    below = math.hypot(*(each.interval.value - each.interval.low for each in (gsm, mmlu))) / 2
    assert total.interval.low == pytest.approx(total.interval.value - below)


def test_where_no_item_differs_there_still_is_doubt(two: Path) -> None:
    found = benchmarks(two, baseline="yours")
    gap = found.difference(found.others[0], [Column("mmlu", "0-shot")])
    # None of 20 unlike: by Wilson up to z²/(20 + z²) of all items might be.
    most = 1.959964**2 / (20 + 1.959964**2)
    assert gap and gap.interval == pytest.approx((0, -most, most), abs=1e-6) and not gap.clear


@settings(max_examples=15)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans(), st.booleans()), min_size=2, max_size=40))
def test_a_difference_turns_with_its_baseline_and_holds_its_value(rows: list[tuple[str, bool, bool]]) -> None:
    groups = {f"{i}": group for i, (group, _, _) in enumerate(rows)}
    column = Column("tydiqa", "closed book")
    systems = [System("a", "base"), System("b", "base")]

    def results(at: int) -> Result:
        return Result(
            Interval(0, 0, 0), {f"{i}": float(row[1 + at]) for i, row in enumerate(rows)}, groups, {}
        )

    both = {(system, column): results(at) for at, system in enumerate(systems)}
    there, back = (
        Benchmarks(both, base).difference(other, [column]) for base, other in (systems, systems[::-1])
    )
    assert there and back and there.interval.value == pytest.approx(-back.interval.value)
    kinds = set(groups.values())
    brute = np.mean([np.mean([row[2] - row[1] for row in rows if row[0] == kind]) for kind in kinds])
    assert there.interval.value == pytest.approx(brute)
    assert (
        -1 - 1e-9
        <= there.interval.low
        <= there.interval.value + 1e-9
        <= there.interval.high + 2e-9
        <= 1 + 3e-9
    )


def test_means_over_groups_are_shown_by_group(tmp_path: Path) -> None:
    scores = {"finnish-1": 1.0, "finnish-2": 0.0, "korean-1": 1.0}
    write_eval(tmp_path, "m", "tydiqa", "gold passage", scores)
    found = benchmarks(tmp_path)
    assert found.breakdowns(found.columns[0]) == {"language": {"finnish": [(0.5, 2)], "korean": [(1.0, 1)]}}
    assert next(iter(found.results.values())).interval.value == pytest.approx(0.75)
    write_eval(tmp_path, "other", "gsm", "cot", GSM)  # who was not asked has no column there
    found = benchmarks(tmp_path)
    assert found.breakdowns(found.columns[1])["language"]["korean"] == [(1.0, 1)]


def test_averages_over_unlike_settings_are_not_held_against_each_other(two: Path, tmp_path: Path) -> None:
    def said(path: Path) -> str:
        write_report([path], tmp_path / "r.html")
        return words(Page((tmp_path / "r.html").read_text()))

    assert "mine (base) averages 50.0 %, and yours (base)" in said(two)
    assert r"\textbf{50.0} \\" in latex(benchmarks(two))
    write_eval(two, "third", "gsm", "cot", {"test-0": 0.0, "test-1": 1.0})
    text = said(two)
    assert "averages 50" not in text and "3 systems, 2 settings; mine (base) is what" in text
    assert "over the settings that both were asked" in text
    assert r"\textbf{50.0} \\" not in latex(benchmarks(two))


def test_how_many_items_a_difference_is_over_is_said_where_the_baseline_lacks_some(
    two: Path, tmp_path: Path
) -> None:
    few = write_eval(tmp_path, "few", "gsm", "cot", {name: GSM[name] for name in ("test-0", "test-1")})
    for baseline, shown in (("few", True), ("yours", False)):
        write_report([two, few], tmp_path / "r.html", baseline)
        assert (" 2 items" in words(Page((tmp_path / "r.html").read_text()))) == shown


def test_a_figure_has_room_for_the_results_there_are(two: Path) -> None:
    def height(found: Benchmarks) -> float:
        svg = ElementTree.fromstring(comparison_files(found, None, Path("f.svg"))[Path("f.svg")])
        return float(svg.attrib["viewBox"].split()[3])

    before = benchmarks(two)
    write_eval(two, "third", "gsm", "cot", GSM)
    after = benchmarks(two)
    assert height(after) - height(before) == ROW + 18 * (-(-3 // 2) - 1)  # a row, and a line of the legend
    write_eval(two, "third", "bbh", "cot", {"navigate-1": 1.0})
    assert height(benchmarks(two)) - height(after) == ROW + BETWEEN


def test_models_that_end_alike_and_ways_of_asking_are_told_apart(tmp_path: Path) -> None:
    for model, asked in (("runs/a/model", "base"), ("runs/a/model", "chat"), ("runs/b/model", "base")):
        write_eval(tmp_path, model, "gsm", "cot", GSM, asked)
    assert set(benchmarks(tmp_path).names.values()) == {"a/model (base)", "a/model (chat)", "b/model (base)"}


def test_what_cannot_be_compared_is_said(two: Path, tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"--baseline myne: is no system here; valid are mine \(base\), yours"
    ):
        read_report([two], "myne")
    write_eval(two, "mine", "gsm", "cot", GSM, asked="chat")
    with pytest.raises(UserError, match="--baseline mine: is the name of 2 systems"):
        read_report([two], "mine")
    again = write_eval(tmp_path / "beside" / "again", "mine", "gsm", "cot", GSM)
    with pytest.raises(UserError, match="both are gsm cot by mine, base; give one"):
        read_report([two, again])
    found = benchmarks(two)
    alone = write_eval(tmp_path / "alone", "mine", "gsm", "cot", GSM)
    with pytest.raises(UserError, match="two systems or more"):
        comparison_files(benchmarks(alone), tmp_path / "t.tex", None)
    for option, name in (("--table", "t.xlsx"), ("--figure", "f.jpg")):
        with pytest.raises(UserError, match=f"{option} .*{name}: name a file that ends in"):
            path = tmp_path / name
            comparison_files(found, *((path, None) if option == "--table" else (None, path)))


def test_the_csv_holds_every_number_and_no_formula(two: Path) -> None:
    write_eval(two, "=cmd|' /C calc'!A0", "gsm", "cot", GSM)
    found = benchmarks(two, baseline="yours")
    rows = list(csv.DictReader(io.StringIO(as_csv(found))))
    gsm = next(row for row in rows if row["model"] == "mine" and row["task"] == "gsm")
    gap = found.difference(System("mine", "base"), [Column("gsm", "cot")])
    assert gap and float(gsm["value"]) == 0.5 and gsm["items"] == "30" and gsm["baseline"] == "yours (base)"
    assert [float(gsm[name]) for name in ("difference", "difference_low", "difference_high")] == list(
        gap.interval
    )
    average = next(row for row in rows if row["task"] == "average" and row["model"] == "mine")
    assert average["setting"] == "mmlu (0-shot); gsm (cot)" and float(average["value"]) == 0.5
    assert all(not cell.startswith(("=", "+", "@")) for row in rows for cell in row.values())


def test_the_latex_is_balanced_whatever_a_model_is_called(two: Path) -> None:
    write_eval(two, r"50%_$x^2$\input{evil}~&#{}" "\u202e\nnext", "gsm", "cot", GSM)
    text = latex(benchmarks(two, baseline="yours"))
    assert text.count("{") - text.count(r"\{") == text.count("}") - text.count(r"\}")
    assert r"\input" not in text.replace(r"\textbackslash{}input", "") and "\u202e" not in text
    lines = text.splitlines()
    cells = [line.replace(r"\&", "").count("&") for line in lines if line.endswith(r"\\")]
    assert len(cells) == 5 and cells[1:] == [3] * 4  # system, two settings, the average
    assert r"\textbf{50.0}$^\dagger$" in text and "next" in text
    for name in ("[x] y", "*x"):  # after a line break LaTeX would take these for what it is to do
        write_eval(two, name, "gsm", "cot", GSM)
    assert not any(
        line.startswith(("[", "*")) for line in latex(benchmarks(two, baseline="yours")).splitlines()
    )


def test_figures_are_files_of_their_kind_with_colours_of_their_own(two: Path) -> None:
    found = benchmarks(two)
    svg, png = (comparison_files(found, None, Path(f"f.{kind}")) for kind in ("svg", "png"))
    text = svg[Path("f.svg")].decode()
    assert ElementTree.fromstring(text).tag.endswith("svg")
    assert "mine (base)" in text and "GSM cot" in text and "var(" not in text and "#0101" not in text
    assert png[Path("f.png")].startswith(b"\x89PNG")


def test_unfinished_and_unscored_runs_make_no_column(two: Path) -> None:
    seeded = Random(1)
    write_eval(two, "mine", "bbh", "cot", {f"navigate-{i}": float(seeded.random() < 0.5) for i in range(4)})
    record = two / "mine" / "base" / "bbh-cot" / "run.json"
    record.write_text(
        record.read_text().replace('"finished": "2026-03-01T10:21:40+00:00"', '"finished": null')
    )
    assert {column.task for column in benchmarks(two).columns} == {"gsm", "mmlu"}
