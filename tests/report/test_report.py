import base64
import hashlib
import json
import re
import unicodedata
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from boresight.data.store import StoreWriter
from boresight.errors import UserError
from boresight.report import text, write_report
from boresight.report.answers import by_family, difference, read_answers
from boresight.report.samples import choose_samples
from boresight.report.source import flatten, open_runs
from boresight.report.training import read_training, smooth
from boresight.train.settings import TrainSettings

FAMILIES = (
    "arithmetic",
    "lookup in a long list",
    "translation",
    "copying",
    "opposites",
    "summary of a chapter",
)
CUES = ("Q: … A:", "Question: … Answer:, 4 examples", "chat template")
EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)> \u202eevil\u200b {{ 7 * 7 }} $x^2$ 漢字"
CONFIG = {"model_type": "llama", "hidden_size": 64, "num_attention_heads": 4, "num_hidden_layers": 4}


def write_run(directory: Path, command: str, config: dict, counts: dict, finished: bool = True) -> Path:
    directory.mkdir(parents=True)
    record = {
        "command": command,
        "config": config,
        "seed": 3,
        "inputs": {"data/train.jsonl": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"},
        "versions": {"python": "3.11.2", "boresight": "0.1.0", "torch": "2.11.0"},
        "commit": "7ead7640000000000000000000000000000000aa",
        "started": "2026-03-01T10:00:00+00:00",
        "finished": "2026-03-01T10:21:40+00:00" if finished else None,
        "counts": counts,
    }
    (directory / "run.json").write_text(json.dumps(record))
    return directory


def write_store(directory: Path, sequences: int) -> None:
    """Lengths as LongAlign's: most short, a long tail."""
    rng = np.random.default_rng(0)
    lengths = np.where(
        rng.random(sequences) < 0.9, rng.lognormal(5.6, 0.8, sequences), rng.uniform(8e3, 64e3, sequences)
    )
    with StoreWriter(directory, {"max_length": 65536}) as writer:
        for n in lengths.astype(int).clip(12, 65536):
            targets = np.zeros(n, dtype=bool)
            targets[-max(1, int(n * rng.uniform(0.02, 0.1))) :] = True
            writer.append(np.zeros(n, dtype=np.uint32), targets)
        writer.counts.rows = sequences + 31
        writer.counts.dropped = {
            "no assistant message": 22,
            "too long, and no user message is long enough": 9,
        }
        writer.counts.cut, writer.counts.tokens_cut = 17, 183_204


def write_training(directory: Path, steps: int = 400, sequences: int = 600, finished: bool = True) -> Path:
    settings = {"sequences_per_step": 32, "tokens_per_micro_batch": 65536, "learning_rate": 3e-4}
    recipe = {
        "model": "pocket",
        "template": "chatml",
        "max_length": 65536,
        "data": [{"path": "data/short.jsonl", "weight": 1.0}, {"path": "data/long.jsonl", "weight": 0.1}],
        "train": TrainSettings(**settings).model_dump(),
    }
    counts = {"steps": steps, "sequences": sequences, "parameters": 2_400_000} if finished else {}
    write_run(directory, "train", {"recipe": recipe}, counts, finished)
    write_store(directory / "tokens", sequences)
    rng = np.random.default_rng(1)
    warm = max(1, steps // 20)
    with (directory / "metrics.jsonl").open("w") as file:
        for i in range(steps):
            rate = 3e-4 * min((i + 1) / warm, (steps - i) / max(1, steps - warm))
            tokens = int(rng.lognormal(11, 0.5))
            step = {
                "step": i + 1,
                "total_steps": steps,
                "epoch": 2 * i // steps,
                "loss": 0.4 + 3.4 * float(np.exp(-i / (steps / 6))) + float(rng.normal(0, 0.09)),
                "learning_rate": rate,
                "gradient_norm": 1.0,
                "sequences": 32,
                "micro_batches": 4,
                "tokens": tokens,
                "padding": 0,
                "targets": tokens // 20,
                "seconds": tokens / 60_000 * float(rng.uniform(0.9, 1.2)),
            }
            file.write(json.dumps(step) + "\n")
    if finished:
        (directory / "model").mkdir()
        (directory / "model" / "config.json").write_text(json.dumps(CONFIG))
    return directory


def answer(i: int, setting: str, correct: bool, **changes) -> dict:
    question = f"What is {i} + {i * 7 % 90}, given that nothing else changes?"
    wrong = f"I think the answer may be {i}. What is {i}? What is {i + 1}?"
    return {
        "id": f"q{i:04}",
        "prompt": [{"role": "user", "content": question}],
        "output": f"{i + i * 7 % 90}" if correct else wrong,
        "model": "m",
        "reference": f"{i + i * 7 % 90}",
        "setting": setting,
        "family": FAMILIES[i % len(FAMILIES)],
        "correct": correct,
        **({} if correct else {"finish_reason": "length"}),
        **changes,
    }


def write_answers(
    directory: Path,
    model: str,
    shares: dict[str, float],
    items: range = range(480),
    finished: bool = True,
    **config: object,
) -> Path:
    write_run(directory, "answer", {"model": model, "settings": list(shares), **config}, {}, finished)
    rng = np.random.default_rng(2)
    rows = [
        answer(i, setting, bool(rng.random() < share + 0.1 * (i % 6 - 3) * (1 - share)))
        for setting, share in shares.items()
        for i in items
    ]
    return write_lines(directory, rows)


def write_lines(directory: Path, rows: list[dict]) -> Path:
    (directory / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return directory


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    return example_runs(tmp_path, 60, 120, range(90))


def example_runs(root: Path, steps: int, sequences: int, items: range) -> list[Path]:
    base = dict(zip(CUES, (0.41, 0.22, 0.08), strict=True))
    aligned = dict(zip(CUES, (0.71, 0.66, 0.93), strict=True))
    return [
        write_training(root / "train", steps, sequences),
        write_answers(root / "aligned", "train/model", aligned, items),
        write_answers(root / "base", "pocket", base, items),
    ]


class Page(HTMLParser):
    """What a browser would see: elements with their attributes, ids, and text."""

    def __init__(self, html: str):
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += "" if self.elements and self.elements[-1][0] in ("script", "style") else data

    def handle_endtag(self, tag):
        self.text += " " if tag in ("th", "td", "dt", "dd") else ""

    def values(self, name: str) -> list[str]:
        return [attributes[name] or "" for _, attributes in self.elements if name in attributes]


def report(runs: list[Path], out: Path) -> tuple[str, Page]:
    write_report(runs, out)
    html = out.read_text(encoding="utf-8")
    return html, Page(html)


def words(page: Page) -> str:
    return " ".join(page.text.split())  # no-break spaces too


def test_the_headline_states_the_outcome_and_compares_with_the_model_training_began_from(runs, tmp_path):
    _, page = report(runs, tmp_path / "out" / "report.html")
    aligned, base = (read_answers(source) for source in open_runs(runs[1:]))
    first = f"aligned answers {100 * aligned.best_accuracy.value:.1f} % of 90 held-out questions"
    assert f"Each prompted its best way, {first}" in words(page)
    assert f"and base {100 * base.best_accuracy.value:.1f} %" in words(page)
    assert "aligned minus base" in words(page)
    assert aligned.best == "chat template" and base.best == CUES[0]


def test_of_a_base_asked_in_two_ways_the_one_without_demonstrations_is_compared_with(runs, tmp_path):
    for name, kind in (("base", ""), ("a-base-in-context", "bm25")):
        share = {"Q": 0.7 if kind else 0.5}
        write_answers(tmp_path / "two" / name, "pocket", share, range(90), ways={"Q": {"kind": kind}})
    _, page = report([runs[0], tmp_path / "two"], tmp_path / "report.html")
    assert "a-base-in-context minus base" in words(page)


def test_the_page_asks_nothing_of_the_network_and_is_the_same_every_time(runs, tmp_path):
    html, page = report(runs, tmp_path / "a.html")
    again, _ = report(runs, tmp_path / "b.html")
    assert html == again
    assert not {"img", "iframe", "object", "base", "form"} & {tag for tag, _ in page.elements}
    scripts = [attributes for tag, attributes in page.elements if tag == "script"]
    assert [a for a in scripts if a.get("type") != "text/plain"] == [{}]  # all others are data
    links = [v for name in ("src", "href", "xlink:href", "action", "data") for v in page.values(name)]
    assert all(link == "data:," or link.startswith("#") for link in links)
    assert "@import" not in html and not re.search(r"url\((?!#)", html)
    policy = next(a for tag, a in page.elements if tag == "meta" and "http-equiv" in a)
    ours = hashlib.sha256(html.rpartition("<script>")[2].partition("</script>")[0].encode()).digest()
    assert policy["content"] == (
        f"default-src 'none'; script-src 'sha256-{base64.b64encode(ours).decode()}'; "
        "style-src 'unsafe-inline'; img-src data:"
    )
    assert not list(tmp_path.glob("*.partial"))


def test_ids_of_figures_never_collide_and_their_colours_are_the_pages(runs, tmp_path):
    html, page = report(runs, tmp_path / "report.html")
    ids = page.values("id")
    assert len(ids) == len(set(ids)) > 5
    assert {v[1:] for v in page.values("xlink:href")} <= set(ids)
    assert set(re.findall(r"url\(#(\w+)\)", html)) <= set(ids)
    figures = [attributes for tag, attributes in page.elements if tag == "svg"]
    assert len(figures) == 6
    assert all(f["role"] == "img" and len(f["aria-label"]) > 20 and "width" not in f for f in figures)
    assert "#0101" not in html and "var(--series-1)" in html


def test_waste_of_the_strategies_is_simulated_and_rows_lost_are_named(runs, tmp_path):
    _, page = report(runs, tmp_path / "report.html")
    run = read_training(open_runs(runs[:1])[0])
    assert [w.strategy for w in run.waste] == ["padded", "sorted", "packed", "balanced"]
    by_length = sorted(run.store.lengths)
    assert run.tail == pytest.approx(sum(by_length[-12:]) / sum(by_length))
    assert run.waste[0].padding > run.waste[1].padding > run.waste[2].padding == 0
    for said in (
        "no assistant message 22",
        "(183,204 tokens left out) 17",
        "sha256 9f86d081884c",
        "balanced (used)",
    ):
        assert said in words(page)


def test_hostile_text_stays_text(tmp_path):
    directory = write_run(tmp_path / "<b>bold$", "answer", {"model": EVIL, EVIL: "\ud800"}, {})
    hostile = {"model": EVIL, "family": EVIL, "reference": EVIL, "output": EVIL}
    hostile["prompt"] = [
        {"role": "system", "content": EVIL},
        {"role": "user", "content": "</details>" + EVIL},
    ]
    write_lines(directory, [answer(i, EVIL, i == 0, **hostile) for i in range(3)])
    html, page = report([directory], tmp_path / "report.html")
    assert "img" not in {tag for tag, _ in page.elements} and not page.values("onerror")
    assert "<script>alert" not in html and "<b>bold" not in html
    assert "\u202e" not in html and "\u200b" not in html and "⟨U+202E⟩evil⟨U+200B⟩" in page.text
    assert "{{ 7 * 7 }}" in page.text and "$x^2$" in page.text
    closed = re.findall(r"</?details", html)
    assert closed.count("<details") == closed.count("</details")


def test_a_book_for_a_prompt_is_shown_from_both_ends(tmp_path):
    directory = write_run(tmp_path / "long", "answer", {"model": "m"}, {})
    prompt = [{"role": "user", "content": "Once upon a time " + "x" * 500_000 + " Who did it?"}]
    write_lines(directory, [answer(0, "s", True, prompt=prompt, output="")])
    html, page = report([directory], tmp_path / "report.html")
    assert len(html) < 60_000
    assert "500,029 characters" in page.text and page.text.count("Who did it?") == 2
    assert "494,029 characters left out" in page.text and "(empty)" in page.text


def test_unfinished_runs_are_shown_and_say_so(tmp_path):
    training = write_training(tmp_path / "halfway", 9, 40, finished=False)
    empty = write_run(tmp_path / "just-begun", "train", {"recipe": {"train": {}}}, {}, finished=False)
    silent = write_run(tmp_path / "silent", "answer", {"model": "m"}, {}, finished=False)
    _, page = report([training, empty, silent], tmp_path / "report.html")
    for name in ("halfway", "just-begun", "silent"):
        assert f"{name} is not finished" in words(page)
    assert "No step is done yet" in page.text and "How training went" in page.text
    assert "wastes" not in page.text  # there is no model yet to take the cost from


def test_runs_without_a_question_in_common_are_not_compared(tmp_path):
    a = write_answers(tmp_path / "a", "m", {"s": 0.5}, range(20))
    b = write_answers(tmp_path / "b", "m", {"s": 0.5}, range(20, 50))
    _, page = report([a, b], tmp_path / "report.html")
    assert "answered no question in common" in words(page)
    assert page.text.count("did not answer this question") == 12


def test_differences_and_families_count_what_both_answered(tmp_path):
    outcomes = {"base": [0, 0, 1, 1, 0, 0], "better": [1, 1, 1, 1, 1, 0, 1]}
    paths = [write_run(tmp_path / name, "answer", {"model": name}, {}) for name in outcomes]
    for path in paths:
        write_lines(path, [answer(i, "s", bool(c)) for i, c in enumerate(outcomes[path.name])])
    base, better = (read_answers(source) for source in open_runs(paths))
    found = difference(better, base)
    assert (found.items, found.interval.value, found.clear) == (6, 0.5, True)
    assert by_family([base, better])["arithmetic"][1] == ((1.0, pytest.approx(0.3424, abs=1e-4), 1.0), 2)


def test_samples_cover_every_kind_and_failures_and_successes(runs):
    answered = [read_answers(source) for source in open_runs(runs[1:])]
    samples = choose_samples(answered)
    assert len({s.id for s in samples}) == 12 and {s.family for s in samples} == set(FAMILIES)
    for column in range(2):
        assert {s.answers[column][0].correct for s in samples} == {True, False}
    assert [s.id for s in samples] == [s.id for s in choose_samples(answered)]


def test_runs_of_one_name_are_told_apart_and_found_below_a_directory(tmp_path):
    paths = [write_answers(tmp_path / side / "answers", "m", {"s": 0.5}, range(6)) for side in "ab"]
    assert [source.name for source in open_runs(paths)] == ["a/answers", "b/answers"]
    assert [source.name for source in open_runs([tmp_path])] == ["a/answers", "b/answers"]
    for step in ("step-1000", "step-500", "step-0"):
        write_answers(tmp_path / "curve" / step, "m", {"s": 0.5}, range(6))
    assert [source.name for source in open_runs([tmp_path / "curve"])] == ["step-0", "step-500", "step-1000"]


def test_directories_that_cannot_be_shown_are_named(tmp_path):
    unknown = write_run(tmp_path / "odd", "dance", {}, {})
    hollow = write_run(tmp_path / "hollow", "answer", {}, {})
    broken = write_lines(write_run(tmp_path / "broken", "answer", {}, {}), [{"id": "a"}])
    twice = write_lines(write_run(tmp_path / "twice", "answer", {}, {}), [answer(1, "s", True)] * 2)
    for path, said in [
        (twice, "'q0001' is answered twice with setting 's'"),
        (tmp_path / "nowhere", "nowhere: not a run directory"),
        (unknown, "odd: a run of 'dance'"),
        (hollow, "hollow/answers.jsonl"),
        (broken, "answers.jsonl:1: `prompt` is missing"),
    ]:
        with pytest.raises(UserError, match=said):
            write_report([path], tmp_path / "report.html")
    with pytest.raises(UserError, match="no run directory"):
        write_report([], tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


def test_broken_metrics_name_the_line(tmp_path):
    training = write_training(tmp_path / "train", 3, 20)
    with (training / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "lo')
    with pytest.raises(UserError, match=r"metrics.jsonl:4: malformed JSON"):
        write_report([training], tmp_path / "report.html")


def test_settings_with_tokens_per_step_are_read_back(tmp_path):
    training = write_training(tmp_path / "train", 3, 20)
    record = json.loads((training / "run.json").read_text())
    record["config"]["recipe"]["train"] = TrainSettings(tokens_per_step=100_000).model_dump()
    (training / "run.json").write_text(json.dumps(record))
    assert len(read_training(open_runs([training])[0]).waste) == 4


@pytest.mark.parametrize("count", [1, 5, 40, 333])
def test_smoothing_keeps_length_and_a_constant(count):
    assert smooth(np.full(count, 2.5)) == pytest.approx(np.full(count, 2.5))


def test_smoothing_is_a_centred_mean():
    values = np.random.default_rng(0).normal(size=100)
    brute = [values[max(0, i - 2) : i + 3].mean() for i in range(100)]
    assert smooth(values) == pytest.approx(np.array(brute))


def test_what_draws_nothing_is_spelt_out_and_all_else_stays():
    drawn_by_none = {"Cc", "Cf", "Cs", "Zl", "Zp"}
    for point in range(0x11000):
        char, category = chr(point), unicodedata.category(chr(point))
        if category != "Cn":
            hidden = category in drawn_by_none and char not in "\n\t"
            assert text.visible(char) == (f"⟨U+{point:04X}⟩" if hidden else char)


def test_numbers_read_well():
    assert [text.short(v) for v in (0.031, 42, 1234, 35e6, 7e9)] == ["0.031", "42", "1.23k", "35M", "7B"]
    assert [text.number(v) for v in (0.0312, 3.0, 12.34, 123456)] == ["0.0312", "3", "12.3", "123,456"]
    assert [text.points(v) for v in (0.519, -0.031)] == ["+51.9", "−3.1"]
    assert [text.duration(v) for v in (2.5, 75, 18_432)] == ["2.5 s", "1 min 15 s", "5 h 07 min"]
    assert flatten({"a": {"b": 1, "c": []}, "d": [{"e": None}]}) == [
        ("a.b", "1"),
        ("a.c", "[]"),
        ("d.0.e", "null"),
    ]
