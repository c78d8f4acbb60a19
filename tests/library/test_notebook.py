"""The example notebook runs from its first cell to its last, and shows what it says it shows."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[2] / "examples" / "first_alignment.ipynb"
SECONDS = 600
"""For a cell, on a machine that is busy; on a core of its own the whole takes about one minute."""


@pytest.fixture
def kernels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel of this very Python, whatever is installed for the user."""
    kernel = tmp_path / "share" / "kernels" / "python3"
    kernel.mkdir(parents=True)
    started = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (kernel / "kernel.json").write_text(json.dumps({"argv": started, "display_name": "Python 3"}))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "share"))
    monkeypatch.setenv("PATH", f"{sys.prefix}/bin{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("BORESIGHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", os.environ.get("OMP_NUM_THREADS", "1"))


def shown(cell: Any) -> str:
    """All that a cell put out, in every form."""
    return json.dumps([output.get("data") or output.get("text") for output in cell.outputs], default=str)


@pytest.mark.slow
def test_the_example_notebook_runs(tmp_path: Path, kernels: None) -> None:
    book = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(
        book, timeout=SECONDS, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    ).execute()
    by_call = {cell.source: shown(cell) for cell in book.cells if cell.cell_type == "code"}

    def output(call: str) -> str:
        return next(text for source, text in by_call.items() if f"boresight.{call}(" in source)

    assert "<span" in output("show_targets") and "<table>" in output("describe")
    assert "micro-batches" in output("plan_training")
    assert "step 25/25" in output("train_model") and "svg+xml" in output("train_model")
    assert "difference_low" in output("write_report") and "svg+xml" in output("write_report")
    assert "Warning" not in "".join(by_call.values())
    assert "<svg" in (tmp_path / "runs/first-alignment/report.html").read_text()


def test_the_example_notebook_is_kept_without_outputs() -> None:
    book = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(book)
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in book.cells)
