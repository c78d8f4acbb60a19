"""What `boresight data describe --json` found, in the report."""

import json
from pathlib import Path

from test_report import EVIL, Page, words

from boresight.report import write_report
from command_line import Run


def described(boresight: Run, path: Path, sources: list[str]) -> Path:
    """Conversations of these sources, each with another answer, and what the command says of them."""
    rows = [
        {"id": str(i), "source": source, "messages": [
            {"role": "user", "content": "Why?"}, {"role": "assistant", "content": f"It is so {i}."}]}
        for i, source in enumerate(sources)
    ]  # fmt: skip
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = boresight("data", "describe", path, "--json").stdout
    path.with_suffix(".json").write_text(found)
    return path.with_suffix(".json")


def test_table_1_of_each_file_with_all_its_sources(boresight: Run, tmp_path: Path) -> None:
    mixed = described(boresight, tmp_path / "mixed.jsonl", [EVIL, EVIL, EVIL, "cot"])
    one = described(boresight, tmp_path / "one.jsonl", ["flan"])
    write_report([mixed, one], tmp_path / "r.html")
    html = (tmp_path / "r.html").read_text(encoding="utf-8")
    page = Page(html)
    found = json.loads(mixed.read_text())
    every = found["table"]["all"]
    assert "What the data holds" in page.text and "<script>alert" not in html
    assert f"all 4 1.0 {every['prompt']:.1f} {every['completion']:.1f}" in words(page)
    assert "flan 1 1.0" in words(page) and words(page).count("all 4") == 1
    share = f"{100 * found['targets'] / found['tokens']:.1f} % are trained on"
    assert share in words(page) and "Letters: Latin 100.0 %" in words(page)
    assert 'id="made"' not in html and 'class="headline"' not in html


def test_data_without_a_sequence_to_train_on_say_why(boresight: Run, tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    path.write_text(json.dumps({"id": "1", "source": "s", "messages": [{"role": "user", "content": "Hm"}]}))
    (tmp_path / "d.json").write_text(boresight("data", "describe", path, "--json").stdout)
    write_report([tmp_path / "d.json"], tmp_path / "r.html")
    text = words(Page((tmp_path / "r.html").read_text(encoding="utf-8")))
    assert "Cannot be trained on: 1 ×" in text and "tokens, of which" not in text
