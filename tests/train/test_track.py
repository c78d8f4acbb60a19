"""TensorBoard's files are read back with its own reader; Weights & Biases is a stand-in."""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from boresight import extras
from boresight.errors import UserError
from boresight.train.metrics import StepMetrics
from boresight.train.track import tracker

RECIPE = {"recipe": {"model": "pocket", "train": {"epochs": 2}}}
CURVES = {
    f"train/{name}"
    for name in (
        "epoch", "loss", "learning_rate", "gradient_norm", "sequences", "micro_batches",
        "tokens", "padding", "targets", "seconds", "ranks",
    )
}  # fmt: skip


def step(number: int, loss: float = 0.0, held_out: float | None = None) -> StepMetrics:
    return StepMetrics(
        step=number,
        total_steps=9,
        epoch=1,
        loss=loss or 1 / number,
        learning_rate=1e-5 * number,
        gradient_norm=0.5,
        sequences=8,
        micro_batches=2,
        tokens=100 + number,
        padding=3,
        targets=50,
        seconds=0.25,
        held_out_loss=held_out,
    )


def curve(run: Path, name: str) -> list[tuple[int, float]]:
    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars(f"train/{name}")]


def test_tensorboard_holds_every_number_of_every_step(tmp_path: Path) -> None:
    with tracker(["tensorboard"], tmp_path, RECIPE, 0) as send:
        for number in (1, 2, 3):
            send(step(number, held_out=2.5 if number == 2 else None))
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert set(events.Tags()["scalars"]) == CURVES | {"train/held_out_loss"}
    for name in (name.removeprefix("train/") for name in CURVES):
        assert curve(tmp_path, name) == [(n, np.float32(getattr(step(n), name))) for n in (1, 2, 3)]
    assert curve(tmp_path, "held_out_loss") == [(2, 2.5)]
    (text,) = events.Tensors("recipe/text_summary")
    assert b'"model": "pocket"' in text.tensor_proto.string_val[0]


@pytest.mark.parametrize("resumed_from", [0, 2, 3])
def test_steps_done_again_replace_those_sent_before(resumed_from: int, tmp_path: Path) -> None:
    with tracker(["tensorboard"], tmp_path, RECIPE, 0) as send:
        for number in (1, 2, 3):
            send(step(number, loss=100))
    with tracker(["tensorboard"], tmp_path, RECIPE, resumed_from) as send:
        for number in range(resumed_from + 1, 6):
            send(step(number, loss=200))
    assert curve(tmp_path, "loss") == [(n, 100 if n <= resumed_from else 200) for n in range(1, 6)]


def test_what_was_sent_before_a_crash_is_there(tmp_path: Path) -> None:
    with (
        pytest.raises(RuntimeError, match="crash"),
        tracker(["tensorboard"], tmp_path, RECIPE, 0) as send,
    ):
        send(step(1))
        raise RuntimeError("crash")
    assert curve(tmp_path, "loss") == [(1, 1.0)]


def test_no_tracker_sends_nowhere(tmp_path: Path) -> None:
    with tracker([], tmp_path, RECIPE, 0) as send:
        send(step(1))
    assert not list(tmp_path.iterdir())


class FakeWandb(ModuleType):
    """Notes what it is called with. As the real one, a session ends well or with the error that ended it."""

    class Error(Exception):
        pass

    def __init__(self) -> None:
        super().__init__("wandb")
        self.calls: list[tuple[str, Any]] = []
        self.refusal = ""

    def init(self, **settings: Any) -> "FakeWandb":
        if self.refusal:
            raise self.Error(self.refusal)
        self.calls.append(("init", settings))
        return self

    def log(self, data: dict[str, float], step: int) -> None:
        self.calls.append(("log", (step, data)))

    def __enter__(self) -> "FakeWandb":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.calls.append(("finish", kind))


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeWandb]:
    fake = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", fake)
    return fake


def test_wandb_gets_the_recipe_and_the_steps_and_a_resumed_run_goes_on(
    wandb: FakeWandb, tmp_path: Path
) -> None:
    run = tmp_path / "my-run"
    run.mkdir()
    with tracker(["wandb", "tensorboard"], run, RECIPE, 0) as send:
        send(step(1))
    with pytest.raises(KeyError), tracker(["wandb"], run, RECIPE, 1) as send:
        send(step(2, held_out=2.5))
        raise KeyError
    kinds = [kind for kind, _ in wandb.calls]
    assert kinds == ["init", "log", "finish"] * 2
    first, again = (settings for kind, settings in wandb.calls if kind == "init")
    assert first == again
    assert first.pop("id") == (run / "wandb_id").read_text()
    assert first == {
        "project": "boresight",
        "name": "my-run",
        "resume": "allow",
        "dir": str(run),
        "config": RECIPE,
        "settings": {"console": "off", "disable_git": True},
    }
    (one, numbers), (two, more) = (logged for kind, logged in wandb.calls if kind == "log")
    assert (one, two) == (1, 2)
    assert numbers.keys() == CURVES and numbers["train/loss"] == 1.0
    assert more.keys() == CURVES | {"train/held_out_loss"}
    assert [kind for name, kind in wandb.calls if name == "finish"] == [None, KeyError]
    assert curve(run, "loss") == [(1, 1.0)]


def test_two_runs_have_two_ids(wandb: FakeWandb, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        with tracker(["wandb"], tmp_path / name, RECIPE, 0):
            pass
    assert len({(tmp_path / name / "wandb_id").read_text() for name in ("a", "b")}) == 2


def test_a_key_in_the_environment_is_written_nowhere(
    wandb: FakeWandb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "very-secret")
    with tracker(["wandb", "tensorboard"], tmp_path, RECIPE, 0) as send:
        send(step(1))
    assert "very-secret" not in repr(wandb.calls)
    assert not any(b"very-secret" in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_a_refusal_of_wandb_is_the_users_to_mend(wandb: FakeWandb, tmp_path: Path) -> None:
    wandb.refusal = "No key. Use `wandb login`."
    with pytest.raises(UserError) as refusal, tracker(["wandb"], tmp_path, RECIPE, 0):
        pass
    said = "wandb: No key. Use `wandb login`; or set WANDB_MODE=offline, and sync the run later"
    assert str(refusal.value) == said


@pytest.mark.parametrize("name", ["tensorboard", "wandb"])
def test_a_missing_package_is_one_clear_line(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(package: str) -> None:
        raise ModuleNotFoundError(package)

    monkeypatch.setattr(extras, "import_module", absent)
    with pytest.raises(UserError) as refusal, tracker([name], tmp_path, RECIPE, 0):
        pass
    assert str(refusal.value) == f"{name} is not installed: pip install 'boresight[track]'"


def test_the_real_wandb_works_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    for done in (0, 1):
        with tracker(["wandb"], tmp_path, RECIPE, done) as send:
            send(step(done + 1))
    name = (tmp_path / "wandb_id").read_text()
    assert list(tmp_path.glob(f"wandb/offline-run-*-{name}"))
