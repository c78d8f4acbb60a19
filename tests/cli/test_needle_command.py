"""`boresight needle`: the pocket model to its full context, and a server."""

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from boresight.evaluate.needle_run import ANSWERS, NeedleAnswer
from boresight.models.load import load_tokenizer
from boresight.models.local import LocalModel
from boresight.records import read_records
from command_line import Run

POCKET = ("needle", "pocket", "--needles", "pocket", "--max-tokens", "6")


def test_the_pocket_model_to_its_full_context(boresight: Run, tmp_path: Path) -> None:
    grid = ("--lengths", "128-4096:3", "--depths", "0,50,100")
    code, out, err = boresight(*POCKET, *grid, "-o", tmp_path / "run", "--json")
    assert code == 0, err
    result = json.loads(out)
    assert (result["unit"], result["total"]) == ("tokens", 27) and len(result["cells"]) == 9
    answers = list(read_records(tmp_path / "run" / ANSWERS, NeedleAnswer))
    full = [answer.prompt_length for answer in answers if answer.length == 4096]
    # No longer, and no sentence of these pages is longer than 12 tokens.
    assert len(full) == 9 and all(4096 - 16 <= length <= 4096 for length in full)
    ET.parse(tmp_path / "run" / "needle.svg")
    assert (tmp_path / "run" / "needle.png").read_bytes().startswith(b"\x89PNG")
    code, again, err = boresight(*POCKET, *grid, "-o", tmp_path / "run", "--json")
    assert code == 0 and again == out and "already done" in err


def test_a_killed_run_goes_on(boresight: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = (*POCKET, "--lengths", "100,150", "--depths", "0-100:5", "-o", tmp_path / "run", "--json")
    generate, asked = LocalModel.generate, []

    def counted(self: LocalModel, requests: list[Any], *told: Any) -> list[Any]:
        asked.append(len(requests))
        return generate(self, requests, *told)

    def dies(self: LocalModel, requests: list[Any], *told: Any) -> list[Any]:
        if asked:
            raise KeyboardInterrupt
        return counted(self, requests, *told)

    monkeypatch.setattr(LocalModel, "generate", dies)
    assert boresight(*arguments)[0] == 130
    monkeypatch.setattr(LocalModel, "generate", counted)
    code, out, err = boresight(*arguments)
    assert code == 0, err
    assert sum(asked) == json.loads(out)["total"] == 30


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--lengths", "5000"), "5,000 is more than the 4,096 tokens of pocket's context"),
        (("--lengths", "20"), "leaves no room for a sentence"),
        (("--lengths", "500", "--depths", "50,101"), "a depth is at most 100"),
        (("--lengths", "500", "--needles", "nowhere.yaml"), "no such file"),
        (("--lengths", "500", "--haystack", "nowhere"), "nowhere"),
        (("--lengths", "500", "--tokenizer", "pocket"), "--tokenizer is for a server"),
    ],
)
def test_mistakes_are_explained_and_leave_nothing(
    arguments: tuple[str, ...], said: str, boresight: Run, tmp_path: Path
) -> None:
    code, out, err = boresight(*POCKET, *arguments, "-o", tmp_path / "run")
    assert code == 2 and not out and said in err and not (tmp_path / "run").exists()


def test_a_haystack_and_needles_of_ones_own(boresight: Run, tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("灯塔在海边。谁住在那里？没有人。" * 5)
    (tmp_path / "texts" / "b.txt").write_text("The cat is here. The owl sings. ")
    (tmp_path / "n.yaml").write_text(
        "needles: [{name: n, text: 猫是Ada的。, question: 谁有猫？, keywords: [Ada], avoid: [cat]}]"
    )
    own = ("--haystack", tmp_path / "texts", "--needles", tmp_path / "n.yaml", "--max-tokens", "3")
    grid = ("--lengths", "300", "--depths", "10,90", "--samples", "2")
    code, out, err = boresight("needle", "pocket", *own, *grid, "-o", tmp_path / "run", "--json")
    assert code == 0, err
    result = json.loads(out)
    assert (result["total"], result["left_out"]) == (4, 1) and "1 sentences of the haystack tell" in err
    longest = max(
        len(load_tokenizer("pocket")(text)["input_ids"]) for text in ["谁住在那里？", "The owl sings."]
    )
    for answer in read_records(tmp_path / "run" / ANSWERS, NeedleAnswer):
        assert abs(answer.depth_reached - answer.depth) / 100 * answer.prompt_length <= longest
