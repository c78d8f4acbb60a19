"""The build: a step reads what the seed says, and an interrupted build ends as one that was not."""

from pathlib import Path
from random import Random

import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from boresight.errors import UserError
from boresight.pocket import build as building
from boresight.pocket.build import LONG_ROW, ROW, STEP_TOKENS, Progress, Text, build, build_tokenizer
from boresight.pocket.pages import page
from boresight.pocket.world import World

WORLD = World()


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    random = Random(0)
    return build_tokenizer(page(WORLD, random) for _ in range(3000))


def test_a_step_reads_what_the_seed_says_whatever_was_read_before(tokenizer: PreTrainedTokenizerFast) -> None:
    text, again = Text(WORLD, tokenizer, 1), Text(WORLD, tokenizer, 1)
    rows = [text.rows(step) for step in range(40)]
    assert all(torch.equal(again.rows(step), rows[step]) for step in reversed(range(40)))
    assert {tuple(each.shape) for each in rows} == {
        (STEP_TOKENS // ROW, ROW), (STEP_TOKENS // LONG_ROW, LONG_ROW),
    }  # fmt: skip
    assert not torch.equal(rows[0], Text(WORLD, tokenizer, 2).rows(0))
    assert tokenizer.decode(rows[0][0]).startswith("<s>")


def test_a_build_that_was_stopped_ends_as_one_that_was_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(building, "STEP_TOKENS", LONG_ROW)
    monkeypatch.setattr(building, "KEPT_EVERY", 2)
    tokens, losses = 5 * LONG_ROW, list[Progress]()
    build(tmp_path / "whole", 0, tokens, losses.append)
    assert [each.step for each in losses] == [1, 2, 3, 4, 5]

    def stop(progress: Progress) -> None:
        if progress.step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "stopped", 0, tokens, stop)
    resumed = list[Progress]()
    build(tmp_path / "stopped", 0, tokens, resumed.append)
    assert resumed == losses[2:]
    whole, stopped = (
        AutoModelForCausalLM.from_pretrained(tmp_path / name / "base").state_dict()
        for name in ("whole", "stopped")
    )
    assert all(torch.equal(whole[name], stopped[name]) for name in whole)
    assert build(tmp_path / "whole", 0, tokens, losses.append) and len(losses) == 5, "it was done already"
    with pytest.raises(UserError, match="changed: seed"):
        build(tmp_path / "stopped", 1, tokens)
    started_over = list[Progress]()
    build(tmp_path / "stopped", 1, LONG_ROW, started_over.append, force=True)
    assert [each.step for each in started_over] == [1]
