"""What would be published: the wheel and the source distribution, file by file."""

import subprocess
import tarfile
from email import message_from_string
from email.message import Message
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement
from published import PROJECT, ROOT, Built, build

NAME = f"boresight-{PROJECT['version']}"
SHARED = ("recipes", "mixtures")
NEEDED = {
    "boresight/py.typed",
    "boresight/pocket/base/model.safetensors",
    "boresight/pocket/base/tokenizer.json",
    "boresight/chat_templates/tulu.jinja",
    "boresight/evaluate/needles/published.yaml",
    "boresight/incontext/presets/urial.jsonl",
    "boresight/report/templates/report.js",
    "boresight/serve/page/index.html",
    "boresight/study/web/static/style.css",
}
"""Of each kind of data one, so that no pattern of what git ignores takes a folder of them away."""


def in_wheel(built: Built) -> set[str]:
    with ZipFile(built.wheel) as opened:
        return {name for name in opened.namelist() if not name.endswith("/")}


def kept(folder: str) -> set[str]:
    """The files of a folder that git has, or would take in."""
    call = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", folder]
    try:
        said = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a checkout: git says what belongs to it")
    return {name for name in said.split("\0") if name and (ROOT / name).is_file()}


def metadata(built: Built) -> Message:
    with ZipFile(built.wheel) as opened:
        return message_from_string(opened.read(f"{NAME}.dist-info/METADATA").decode())


def test_the_wheel_holds_the_whole_package_and_nothing_else(built: Built) -> None:
    found = in_wheel(built)
    assert found >= NEEDED
    package = {name for name in found if name.startswith("boresight/")}
    assert package == {name.removeprefix("src/") for name in kept("src/boresight")}
    shared = {f"{NAME}.data/data/share/boresight/{name}" for folder in SHARED for name in kept(folder)}
    about = {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE"}
    assert found - package == shared | {f"{NAME}.dist-info/{name}" for name in about}


def test_the_source_distribution_builds_the_same_wheel(built: Built, tmp_path: Path) -> None:
    with tarfile.open(built.sdist) as opened:
        opened.extractall(tmp_path, filter="data")
    (tree,) = tmp_path.iterdir()
    assert {path.name for path in tree.iterdir()} == {
        "src", *SHARED, "README.md", "LICENSE", "CHANGELOG.md", "constraints.txt", "pyproject.toml",
        "PKG-INFO", ".gitignore",
    }  # fmt: skip
    build(tree, tmp_path / "again", "wheel")
    assert (tmp_path / "again" / built.wheel.name).read_bytes() == built.wheel.read_bytes()


def test_a_container_is_built_from_the_same_files(built: Built) -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    with tarfile.open(built.sdist) as opened:
        published = {name.split("/")[1] for name in opened.getnames()} - {"PKG-INFO"}
    assert {line[1:] for line in lines if line.startswith("!")} == published


def test_its_metadata_is_complete(built: Built) -> None:
    found = metadata(built)
    assert (found["Name"], found["Version"]) == ("boresight", PROJECT["version"])
    assert found["Summary"] == PROJECT["description"]
    assert (found["License-Expression"], found["License-File"]) == ("Apache-2.0", "LICENSE")
    assert found["Requires-Python"] == PROJECT["requires-python"]
    assert found["Description-Content-Type"] == "text/markdown"
    assert found.get_payload() == (ROOT / "README.md").read_text()
    assert "Typing :: Typed" in found.get_all("Classifier", [])
    assert set(found.get_all("Provides-Extra", [])) == PROJECT["optional-dependencies"].keys()
    needs = [Requirement(line) for line in found.get_all("Requires-Dist", [])]
    core = {(each.name, each.specifier) for each in needs if each.marker is None}
    said = [Requirement(line) for line in PROJECT["dependencies"]]
    assert core == {(each.name, each.specifier) for each in said}


def test_it_brings_the_command(built: Built) -> None:
    with ZipFile(built.wheel) as opened:
        points = opened.read(f"{NAME}.dist-info/entry_points.txt").decode()
    assert points.split() == ["[console_scripts]", "boresight", "=", "boresight.cli:main"]
