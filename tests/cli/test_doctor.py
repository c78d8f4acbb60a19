"""`boresight doctor`: what it says is so, and for each thing that is not well it says what to do."""

import json
import platform
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from boresight.cli import doctor
from boresight.errors import UserError
from boresight.evaluate import sandbox
from boresight.train import varlen
from command_line import Run


def without(monkeypatch: pytest.MonkeyPatch, **found: str | None) -> None:
    """Packages that are not installed, or in another version."""

    def told(name: str) -> str:
        if name not in found:
            return version(name)
        if (other := found[name]) is None:
            raise PackageNotFoundError(name)
        return other

    monkeypatch.setattr("importlib.metadata.version", told)


def test_tells_what_is_here(boresight: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BORESIGHT_CACHE", str(tmp_path / "not" / "yet"))
    found = boresight("doctor", "--json").json
    assert found["healthy"]
    assert found["packages"].pop("python") == platform.python_version()
    assert found["packages"] == {
        name: version(name) for name in ("boresight", "torch", "transformers", "tokenizers", "numpy")
    }
    assert found["devices"]["cpu_threads"] == torch.get_num_threads()
    assert len(found["devices"]["cuda"]) == (torch.cuda.device_count() if torch.cuda.is_available() else 0)
    assert found["folders"]["cache"]["path"] == str(tmp_path / "not" / "yet")
    assert found["folders"]["cache"]["free"] > 0
    assert found["extras"]["peft"] == []  # A test needs it, so it is installed.
    assert not {"dev", "benchmark"} & set(found["extras"])
    try:
        assert found["sandbox"] == sandbox.find_tier().name
    except UserError:
        assert found["sandbox"] is None


@pytest.mark.parametrize(
    ("packages", "advised"), [({"scipy": None}, "pip install 'scipy>="), ({"torch": "2.0.1"}, "'torch>=")]
)
def test_a_core_package_missing_or_too_old_is_an_error(
    packages: dict[str, str | None], advised: str, boresight: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    without(monkeypatch, **packages)
    ended = boresight("doctor")
    assert ended.returncode == 1
    assert [advised in line for line in ended.stdout.splitlines() if line.startswith("To do:")] == [True]


def test_a_package_that_does_not_load_is_an_error(boresight: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> Any:
        if name == "torch":
            raise OSError("libcudart.so.13: cannot open shared object file\nmore")
        return import_module(name)

    monkeypatch.setattr(doctor, "import_module", broken)
    ended = boresight("doctor", "--json")
    found = json.loads(ended.stdout)
    assert ended.returncode == 1 and not found["healthy"]
    assert "torch" not in found["packages"] and "attention" not in found and "extras" in found
    (advice,) = found["advice"]
    assert "libcudart.so.13" in advice and "more" not in advice and "pip install" in advice


def test_a_missing_extra_is_no_error(boresight: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, ray=None, peft="0.1")
    ended = boresight("doctor")
    assert ended.returncode == 0
    assert "ray: without ray; pip install 'boresight[ray]'" in ended.stdout
    assert "peft: without peft; pip install 'boresight[peft]'" in ended.stdout


def test_devices_and_their_bf16(boresight: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    gpus = [
        SimpleNamespace(name="Turing", total_memory=16 * 10**9, major=7, minor=5),
        SimpleNamespace(name="Hopper", total_memory=80 * 10**9, major=9, minor=0),
    ]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda i: gpus[i])
    found = doctor._devices()
    assert found.lines[1:] == [
        "Turing, 16 GB, compute capability 7.5, no bf16",
        "Hopper, 80 GB, compute capability 9.0, bf16",
    ]
    assert found.advice == ["Turing has no bf16: train with --set train.precision=fp32"]


def test_a_driver_that_torch_does_not_use(boresight: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(doctor, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(torch.version, "cuda", None)
    assert any("without CUDA" in line for line in boresight("doctor", "--json").json["advice"])


@pytest.mark.parametrize(
    ("runs", "flash", "said"),
    [(False, None, "scaled_dot_product"), (True, None, "variable-length"), (True, len, "FlashAttention")],
)
def test_the_kernel_is_the_one_that_training_chooses(
    runs: bool, flash: Any, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(varlen, "runs", lambda *states: runs)
    monkeypatch.setattr(varlen, "FLASH", flash)
    monkeypatch.setattr(varlen, "caps", lambda config: flash is not None)
    found = doctor._attention()
    assert said in found.lines[0]
    assert ("pip install flash-attn" in found.lines[1]) == (flash is None)


def test_little_room_folders_that_cannot_be_written_and_no_sandbox(
    boresight: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none() -> None:
        raise UserError("no isolation; install bubblewrap")

    monkeypatch.setattr(doctor, "disk_usage", lambda path: SimpleNamespace(free=3 * 10**9))
    monkeypatch.setattr(sandbox, "find_tier", none)
    found = boresight("doctor", "--json").json
    assert found["sandbox"] is None and "no isolation; install bubblewrap" in found["advice"]
    assert [("3 GB free" in line, "make room" in line) for line in found["advice"][-3:]] == [(True, True)] * 3
    monkeypatch.setattr("os.access", lambda path, mode: False)
    assert "set BORESIGHT_CACHE" in next(
        line for line in boresight("doctor", "--json").json["advice"] if "cannot be written" in line
    )


def test_a_folder_below_a_file_cannot_be_written(
    boresight: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("BORESIGHT_CACHE", str(tmp_path / "file" / "cache"))
    (advice,) = [line for line in boresight("doctor", "--json").json["advice"] if "cannot be" in line]
    assert advice == f"{tmp_path}/file/cache cannot be written: set BORESIGHT_CACHE"
