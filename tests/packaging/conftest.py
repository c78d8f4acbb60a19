"""The package as it would be published, and an environment that has nothing else."""

import venv

import pytest
from published import ROOT, Bare, Built, build


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    into = tmp_path_factory.mktemp("dist")
    build(ROOT, into, "wheel", "sdist")
    (wheel,), (sdist,) = into.glob("*.whl"), into.glob("*.tar.gz")
    return Built(wheel, sdist)


@pytest.fixture(scope="session")
def bare(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Bare:
    """Two minutes, or as long as torch takes to arrive."""
    into = tmp_path_factory.mktemp("bare")
    venv.create(into / "venv", with_pip=True)
    (into / "work").mkdir()
    found = Bare(into / "venv" / "bin", into / "work")
    found.install("torch")  # First, as constraints.txt has it, as in the Makefile
    found.install(str(built.wheel))
    return found
