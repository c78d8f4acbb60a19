"""`boresight doctor`."""

import os
import platform
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from shutil import disk_usage, which
from typing import TYPE_CHECKING, NamedTuple

import typer

from boresight.cli.console import print_result
from boresight.cli.options import AsJson

if TYPE_CHECKING:
    from packaging.requirements import Requirement

IMPORTED = ("torch", "transformers", "tokenizers", "numpy")
"""What is compiled for a machine, and may be installed and yet not load."""
OUR_OWN = ("dev", "docs", "benchmark")
"""Extras for work on boresight itself."""
BF16_FROM = 8
"""Major compute capability of the first devices with bf16 arithmetic (Ampere)."""
LITTLE = 20e9
"""Bytes; the weights of a 7B model take 14e9."""


class Finding(NamedTuple):
    """What one look at the machine found: for JSON, for people, and what to do where it could be better."""

    name: str
    value: object
    lines: list[str]
    advice: list[str]


class Gpu(NamedTuple):
    """A CUDA device; its memory in bytes."""

    name: str
    memory: int
    capability: str
    bf16: bool


def doctor(as_json: AsJson = False) -> None:
    """Say what this machine has, what is missing, and what to do about it.

    The exit code is 1 where something is broken that every command needs.

    Example: boresight doctor
    """
    findings = [_packages()]
    healthy = not findings[0].advice
    if healthy:  # What follows is known by trying it.
        findings += [_devices(), _attention(), _sandbox(), _folders()]
    findings.append(_extras())
    advice = [line for finding in findings for line in finding.advice]
    result = {"healthy": healthy, **{f.name: f.value for f in findings}, "advice": advice}
    text = [
        f"{'' if i else finding.name:<11}{line}"
        for finding in findings
        for i, line in enumerate(finding.lines)
    ]
    text += ["", *(f"To do: {line}" for line in advice)] if advice else ["", "Nothing to do."]
    print_result(result, as_json, "\n".join(text))
    if not healthy:
        raise typer.Exit(1)


def _packages() -> Finding:
    """Versions; advice where a requirement is not met or does not load."""
    from importlib.metadata import version

    unmet = _unmet()
    advice = [f"boresight needs {need}: pip install '{need}'" for need in unmet]
    versions = {"python": platform.python_version(), "boresight": version("boresight")}
    for name in IMPORTED:
        if name in {need.name for need in unmet}:
            continue
        try:
            import_module(name)
            versions[name] = version(name)
        except (ImportError, OSError) as error:
            advice.append(
                f"{name} does not load ({_first_line(error)}): pip install --force-reinstall {name}"
            )
    return Finding("packages", versions, [f"{name} {number}" for name, number in versions.items()], advice)


def _extras() -> Finding:
    from importlib.metadata import metadata

    extras = [name for name in metadata("boresight").get_all("Provides-Extra", []) if name not in OUR_OWN]
    missing = {extra: [need.name for need in _unmet(extra)] for extra in extras}
    lines = [
        f"{extra}: without {', '.join(names)}; pip install 'boresight[{extra}]'" if names else extra
        for extra, names in missing.items()
    ]
    return Finding("extras", missing, lines, [])


def _unmet(extra: str | None = None) -> "list[Requirement]":
    """Requirements of the core, or of an extra, that what is installed does not meet."""
    from importlib.metadata import PackageNotFoundError, requires, version

    from packaging.requirements import Requirement

    def belongs(need: "Requirement") -> bool:
        always = need.marker is None or need.marker.evaluate({"extra": ""})
        if extra is None:
            return always
        return not always and need.marker is not None and need.marker.evaluate({"extra": extra})

    def met(need: "Requirement") -> bool:
        try:
            return need.specifier.contains(version(need.name), prereleases=True)
        except PackageNotFoundError:
            return False

    needs = map(Requirement, requires("boresight") or [])
    return [need for need in needs if belongs(need) and not met(need)]


def _devices() -> Finding:
    import torch

    # The driver alone may count devices that torch cannot open.
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    properties = [torch.cuda.get_device_properties(i) for i in range(count)]
    gpus = [Gpu(p.name, p.total_memory, f"{p.major}.{p.minor}", p.major >= BF16_FROM) for p in properties]
    threads = torch.get_num_threads()
    lines = [f"CPU, {threads} thread{'s' * (threads != 1)}"] + [
        f"{gpu.name}, {gpu.memory / 1e9:.0f} GB, compute capability {gpu.capability}, "
        f"{'bf16' if gpu.bf16 else 'no bf16'}"
        for gpu in gpus
    ]
    advice = [
        f"{gpu.name} has no bf16: train with --set train.precision=fp32" for gpu in gpus if not gpu.bf16
    ]
    if not gpus and which("nvidia-smi"):
        lacks = "is built without CUDA; install one that is" if torch.version.cuda is None else "finds no GPU"
        advice.append(f"nvidia-smi is here, and torch {lacks}: see `nvidia-smi` and CUDA_VISIBLE_DEVICES")
    return Finding(
        "devices", {"cpu_threads": threads, "cuda": [gpu._asdict() for gpu in gpus]}, lines, advice
    )


def _attention() -> Finding:
    """The kernel of packed training, by asking what chooses it."""
    import torch
    from transformers import PreTrainedConfig

    from boresight.train import varlen

    gpu = torch.cuda.is_available()
    try:
        states = torch.empty(1, 1, 1, 64, dtype=torch.bfloat16, device="cuda" if gpu else "cpu")
    except RuntimeError as error:
        return Finding("attention", None, ["unknown"], [f"the GPU cannot be used: {_first_line(error)}"])
    if not varlen.runs(states, states, 0.0, None):
        kernel = "torch's scaled_dot_product_attention, a sequence at a time"
        why = f"the GPU, or torch {torch.__version__}, is too old for the others" if gpu else "no CUDA device"
    elif varlen.FLASH:
        kernel, why = "FlashAttention", "flash-attn is installed"
    else:
        kernel, why = "torch's variable-length attention", "flash-attn is not installed"
    capped = varlen.caps(PreTrainedConfig())
    soft = "yes" if capped else f"no; they need {varlen.FLASH_NEEDS}"
    advice = []
    if find_spec("flash_attn") and not varlen.FLASH:
        advice.append("flash-attn does not fit this torch: pip install --no-build-isolation -U flash-attn")
    value = {"packed": kernel, "why": why, "soft_capped": capped}
    return Finding("attention", value, [f"{kernel} ({why})", f"soft-capped models: {soft}"], advice)


def _sandbox() -> Finding:
    from boresight.errors import UserError
    from boresight.evaluate.sandbox import find_tier

    try:
        tier = find_tier().name
    except UserError as error:
        return Finding("sandbox", None, ["none"], [str(error)])
    return Finding("sandbox", tier, [tier], [])


def _folders() -> Finding:
    """Where things are kept, and how much room is left."""
    from huggingface_hub.constants import HF_HUB_CACHE

    from boresight.incontext.cache import CACHE, cache_directory

    places = (
        ("cache", cache_directory(), f"set {CACHE}"),
        ("models", Path(HF_HUB_CACHE), "set HF_HUB_CACHE"),
        ("work", Path.cwd(), "work elsewhere"),
    )
    value, lines, advice = {}, [], []
    for what, path, otherwise in places:
        there = next(above for above in (path, *path.resolve().parents) if above.exists())
        free = disk_usage(there).free
        value[what] = {"path": str(path), "free": free}
        lines.append(f"{what}: {path}, {free / 1e9:,.0f} GB free")
        if not there.is_dir() or not os.access(there, os.W_OK):
            advice.append(f"{path} cannot be written: {otherwise}")
        elif free < LITTLE:
            advice.append(f"{path}: {free / 1e9:.0f} GB free, a 7B model takes 14: make room, or {otherwise}")
    return Finding("folders", value, lines, advice)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
