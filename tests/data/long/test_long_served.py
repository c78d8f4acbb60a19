"""The whole command against a server that is not a stub: the pocket model, aligned by demonstrations.

What it says of a document is nonsense. So what must hold is the account: of every document it is told what
became of it, and a run without a conversation says why.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from boresight.models.load import POCKET

pytestmark = pytest.mark.slow
STORIES = [
    f"The {animal} went to the {place}. It had a {thing}, and it told nobody. " * 3
    for animal, place, thing in (
        ("fox", "harbour", "lamp"), ("owl", "mill", "letter"), ("hare", "bridge", "drum"),
        ("crow", "market", "key"), ("otter", "garden", "map"), ("mole", "tower", "bell"),
    )
]  # fmt: skip


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    directory = tmp_path_factory.mktemp("served")
    pool = directory / "pool.jsonl"
    questions = " ".join(f"{n}. What is number {n}?" for n in range(1, 6))
    rows = [
        {"id": str(n), "messages": [
            {"role": "user", "content": f"Write five questions about the {n} foxes."},
            {"role": "assistant", "content": questions},
        ]}
        for n in range(4)
    ]  # fmt: skip
    pool.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    model = shutil.copytree(POCKET, directory / "pocket")
    config = json.loads((model / "config.json").read_text())
    config["max_position_embeddings"] = 8192  # room for an answer, though it never read anything so long
    (model / "config.json").write_text(json.dumps(config))
    command = [sys.executable, "-m", "boresight", "serve", str(model), "--preset", "pocket"]
    more = ["--demonstrations", f"helpful={pool}", "--port", str(port)]
    with (directory / "log").open("w") as log:
        process = subprocess.Popen(
            [*command, *more], stdout=log, stderr=log, env=os.environ | {"OMP_NUM_THREADS": "1"}
        )
    try:
        deadline = time.monotonic() + 120
        while not healthy(port):
            assert time.monotonic() < deadline and process.poll() is None, (directory / "log").read_text()
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/v1#pocket+helpful"
    finally:
        process.terminate()
        process.wait(30)


def healthy(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health") as response:
            return bool(response.status == 200)
    except OSError:
        return False


@pytest.mark.parametrize("check", ["--verify", "--no-verify"])
def test_every_document_is_accounted_for(teacher: str, check: str, tmp_path: Path) -> None:
    documents, output = tmp_path / "documents.jsonl", tmp_path / "run"
    documents.write_text("".join(json.dumps({"text": story}) + "\n" for story in STORIES))
    command = [
        sys.executable, "-m", "boresight", "data", "long", str(documents), "-o", str(output),
        "--model", "pocket", "--teacher", teacher, "--min-length", "10", "--max-length", "200",
        "--price", "0,0", "--max-cost", "0", check, "--json",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    conversations = [json.loads(line) for line in (output / "conversations.jsonl").open()]
    discarded = [json.loads(line) for line in (output / "discarded.jsonl").open()]
    assert len(conversations) + len(discarded) == len(STORIES)
    assert len({row["document"] for row in conversations + discarded}) == len(STORIES)
    assert all(row["reason"] for row in discarded)
    assert all(row["messages"][1]["content"] for row in conversations)
    finished = json.loads((output / "run.json").read_text())["finished"]
    if conversations:
        assert done.returncode == 0 and finished, done.stderr
        counts = json.loads(done.stdout)
        assert sum(counts["conversations"].values()) == len(conversations)
    else:
        assert done.returncode == 1 and not finished, done.stderr
        assert "no document gave a conversation: " in done.stderr and "Traceback" not in done.stderr
