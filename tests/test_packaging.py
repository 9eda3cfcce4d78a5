"""What is built of the sources: what is in it, what it says of itself, and that the one makes the other."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def build(source, target, folder):
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)],
        cwd=source,
        check=True,
        capture_output=True,
    )
    [made] = folder.iterdir()
    return made


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    with zipfile.ZipFile(build(ROOT, "wheel", tmp_path_factory.mktemp("wheel"))) as opened:
        yield opened


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    """The one folder of the source distribution."""
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(build(ROOT, "sdist", tmp_path_factory.mktemp("sdist"))) as opened:
        opened.extractall(folder, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    [inner] = folder.iterdir()
    return inner


def sources():
    """Give the files of the package."""
    found = (each for each in (ROOT / "wbframe").rglob("*") if each.is_file())
    return {
        each.relative_to(ROOT).as_posix() for each in found if each.parent.name != "__pycache__"
    }


def test_the_wheel_is_the_package_and_nothing_that_trains(wheel):
    names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert names == sources()
    assert "wbframe/py.typed" in names
    assert "wbframe/server/projects/demo/data/runs.json" in names
    assert not [name for name in names if name.startswith("tests/") or name.endswith("train.py")]
    code = b"".join(wheel.read(name) for name in names if name.endswith(".py"))
    assert b"import sklearn" not in code
    assert b"from sklearn" not in code


def test_the_wheel_says_what_it_is(wheel):
    [name] = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    said = Parser().parsestr(wheel.read(name).decode())
    extras = set(said.get_all("Provides-Extra"))
    assert extras == {"server", "progress", "fast", "sweeps", "all"}
    needed = {}
    for each in said.get_all("Requires-Dist"):
        what, _, extra = each.partition("; extra == ")
        needed.setdefault(extra.strip("'\""), set()).add(what)
    assert needed["all"] == set().union(*(needed[each] for each in extras - {"all"}))
    versions = {
        each.rpartition(" ")[2] for each in said.get_all("Classifier") if "Python :: 3." in each
    }
    assert versions == {f"3.{minor}" for minor in range(10, 15)}
    assert said["Requires-Python"] == ">=3.10"
    assert said["Description-Content-Type"] == "text/markdown"
    assert said["License-Expression"] == "MIT"


def test_links_of_the_page_are_absolute(wheel):
    [name] = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    page = wheel.read(name).decode()
    links = re.findall(r"\]\(([^)]*)\)|(?:src|href)=\"([^\"]*)\"", page)
    assert links
    assert not [each for each in links if not "".join(each).startswith("https://")]


def test_the_source_distribution_holds_what_it_takes_to_work_on_it(unpacked):
    for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "pyproject.toml", ".ci/run", "tests/demo/train.py", "tests/conftest.py", "benchmarks/__main__.py"):  # fmt: skip
        assert (unpacked / name).is_file(), name
    assert not list(unpacked.rglob("__pycache__"))


def test_the_source_distribution_builds_the_same_wheel(unpacked, wheel, tmp_path):
    with zipfile.ZipFile(build(unpacked, "wheel", tmp_path)) as again:
        assert {each.filename: each.CRC for each in again.infolist()} == {
            each.filename: each.CRC for each in wheel.infolist()
        }
