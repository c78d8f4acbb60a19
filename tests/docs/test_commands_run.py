"""Every command of the documentation runs: a page's in one fresh directory, in the order of the page."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from doc_files import FILES
from doc_pages import PAGES, ROOT, blocks_of, commands_outside_bash, name_of, script_of, whole_commands
from doc_server import answer
from doc_stand_ins import TABLE, StandIn, stand_in

from faulty_server import FaultyServer

SHOWN = [page for page in PAGES if any(block.language == "bash" for block in blocks_of(page.read_text()))]
SECONDS = 600
LAST_LINES = 40
"""Of a page's output, shown when it fails."""


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def make_checkout(folder: Path, stand_ins: list[StandIn]) -> None:
    """Write what a clone has and commands name: recipes, mixtures and the environment."""
    for path in (*ROOT.glob("recipes/*"), *ROOT.glob("mixtures/*")):
        copy = folder / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(stand_in(path.read_text(), stand_ins))
    (folder / ".venv").symlink_to(sys.prefix)


def run_page(page: str, script: Path, folder: Path) -> tuple[int, str]:
    """Exit code and output of a page's script; what it left running is ended."""
    environment = os.environ | {
        "PAGE": page,
        "PATH": f"{sys.prefix}/bin:{os.environ['PATH']}",
        "HOME": str(folder.parent),
        "HF_HUB_OFFLINE": "1",
        "COLUMNS": "120",
    }
    both = ["bash", "-c", 'source "$0"; source "$1"', Path(__file__).with_name("doc_prelude.sh"), script]
    said = folder.parent / "output.txt"
    with said.open("w") as output:
        process = subprocess.Popen(
            both,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            code = process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            code = 124
            os.killpg(process.pid, signal.SIGTERM)
            time.sleep(10)  # torchrun ends its workers, which are in groups of their own
        with suppress(ProcessLookupError):  # nothing is left
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return code, said.read_text(errors="replace")


@pytest.mark.slow
@pytest.mark.parametrize("page", SHOWN, ids=name_of)
def test_the_commands_of_a_page_run(page: Path, tmp_path: Path) -> None:
    name, folder, script = name_of(page), tmp_path / "checkout", tmp_path / "page.sh"
    with FaultyServer(answer) as server:
        places = {"server": server.url, "port": free_port(), "next_port": free_port()}
        stand_ins = [each.at(**places) for each in TABLE if each.page in ("", name)]
        make_checkout(folder, stand_ins)
        if name in FILES:
            FILES[name](folder)
        script.write_text(script_of(page.read_text(), stand_ins))
        code, output = run_page(name, script, folder)
    last = "\n".join(output.splitlines()[-LAST_LINES:])
    assert code == 0, f"{name}: exit code {code} (124: after {SECONDS} seconds)\n{last}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_command_stands_where_it_is_not_run(page: Path) -> None:
    assert not commands_outside_bash(page.read_text())


@pytest.mark.parametrize("opening", ["", "text", "sh", "console"])
def test_a_command_in_another_block_is_found(opening: str) -> None:
    page = f"So:\n\n```{opening}\n$ boresight report runs\n```\n\n1. Then\n\n        make test\n"
    assert commands_outside_bash(page) == ["$ boresight report runs", "make test"]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.written)
def test_every_stand_in_is_needed(row: StandIn) -> None:
    pages = [page for page in PAGES if row.page in ("", name_of(page))]
    texts = [
        whole_commands(block.text) for page in pages for block in blocks_of(page.read_text()) if block.runs
    ]
    texts += [path.read_text() for path in (*ROOT.glob("recipes/*.yaml"), *ROOT.glob("mixtures/*.yaml"))]
    assert any(stand_in(text, [row]) != text for text in texts)
