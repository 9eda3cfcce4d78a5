"""The map of the code is true: its rooms are those of the tree, its paths exist, and its way is the way of a call."""

from __future__ import annotations

import ast
import inspect
import re
import sys
import threading
from collections import Counter
from pathlib import Path

import polars as pl
import pytest

from tests.test_imports import FLOOR, MODULES, ROOT, of_package, room
from wbframe.server import serve

MAP = Path(__file__).resolve().parents[1] / "CONTRIBUTING.md"
TEXT = MAP.read_text(encoding="utf-8")
PROSE = re.sub(r"^```.*?^```$", "", TEXT, flags=re.MULTILINE | re.DOTALL)
PACKAGE = "the package"


def part(title):
    """Give the text below a title."""
    return re.split(r"^## ", TEXT.split(f"\n## {title}\n", 1)[1], flags=re.MULTILINE)[0]


def block(title):
    """Give the first fenced block below a title."""
    return re.search(r"^```\w*\n(.*?)^```$", part(title), re.MULTILINE | re.DOTALL)[1]


def table(title):
    """Give the rows of the table below a title, as lists of cells."""
    lines = [line for line in part(title).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def named(cell):
    return re.findall(r"`([^`]+)`", cell)


def is_here(path):
    """Tell whether a path is that of a file; what the hidden folders hold is not in every copy of the tree."""
    hidden = path.startswith(".") and not (MAP.parent / path.split("/")[0]).exists()
    return hidden or (MAP.parent / path).exists()


def test_every_path_exists():
    found = re.findall(r"`([\w.-]+/[\w./-]*|[\w-]+\.(?:py|md|toml))`", PROSE)
    paths = {each for each in found if each != "__init__.py"}
    assert len(paths) > 40
    assert {each for each in paths if not is_here(each)} == set()


def test_the_rooms_are_those_of_the_tree():
    rooms = Counter(each for row in table("The rooms") for each in named(row[0]))
    assert rooms == Counter(each or PACKAGE for each in FLOOR)


def test_the_picture_has_every_room_once_above_what_it_imports():
    lines = block("The rooms").splitlines()
    shown = [(each, i) for i, line in enumerate(lines) for each in re.findall(r"\[([^]]+)]", line)]
    assert Counter(each for each, _ in shown) == Counter(each or PACKAGE for each in FLOOR)
    line = dict(shown)
    for name in MODULES:
        for each in of_package(name):
            own, there = room(name) or PACKAGE, room(each) or PACKAGE
            assert own == there or line[there] > line[own], f"{name} imports {each} from above"


def entered(call):
    """Give the files of the package that a call enters, on all its threads, in order, and the functions in each."""
    found = {}

    def note(frame, event, _):
        code = frame.f_code
        # Bodies of modules and classes run too, where something is imported; they are no doors.
        if event == "call" and code.co_flags & inspect.CO_OPTIMIZED:
            path = Path(code.co_filename)
            if path.is_relative_to(ROOT) and not path.is_relative_to(ROOT / "server"):
                found.setdefault(f"wbframe/{path.relative_to(ROOT).as_posix()}", set()).add(
                    code.co_name
                )

    before = threading.getprofile(), sys.getprofile()
    threading.setprofile(note)
    sys.setprofile(note)
    try:
        call()
    finally:
        sys.setprofile(before[1])
        threading.setprofile(before[0])
    return found


@pytest.fixture
def found(monkeypatch, tmp_path, demo_project):
    """What the call on the page enters, where its modules are imported and its client made, but not connected."""
    code = compile(block("The way of one call"), str(MAP), "eval")
    clients = {}
    monkeypatch.setattr("wbframe.io.client.client._defaults", clients)
    with serve(demo_project) as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        monkeypatch.setenv("WANDB_API_KEY", server.api_key)
        monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path))
        monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
        eval(code, {"pl": pl})
        (client,) = clients.values()
        client.close()
        yield entered(lambda: eval(code, {"pl": pl}))
        client.close()


def test_the_way_of_one_call_is_the_way_that_it_takes(found):
    rows = table("The way of one call")
    files = [name for row in rows for name in named(row[0])]
    assert len(files) == len(rows) > 20
    assert set(files) <= found.keys()
    assert files == [each for each in found if each in files]
    doors = {
        (file, door) for row in rows for file in named(row[0]) for door in named(row[1]) if door
    }
    missed = {(file, door) for file, door in doors if door.rpartition(".")[2] not in found[file]}
    assert missed == set()


def test_what_the_way_leaves_out_is_small(found):
    files = {name for row in table("The way of one call") for name in named(row[0])}
    beside = {f"wbframe/core/{each}.py" for each in ("filters", "batches", "schema/types", "decode/json", "decode/cells")}  # fmt: skip
    # An error that may be needed is made beforehand.
    beside |= {"wbframe/errors.py", "wbframe/text.py"}
    assert found.keys() - files <= beside


def test_each_word_is_defined_where_the_page_says():
    rows = table("Twelve words")
    assert len(rows) == 12
    for _, name, where, _ in rows:
        tree = ast.parse((MAP.parent / named(where)[0]).read_text("utf-8"))
        defined = {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
        defined |= {ast.unparse(node.targets[0]) for node in tree.body if isinstance(node, ast.Assign)}  # fmt: skip
        assert named(name)[0] in defined


def test_the_numbers_on_the_page_are_those_that_are_held():
    from tests.test_imports import MOST_LINES, MOST_MODULES

    assert f"at most {MOST_MODULES} modules, a module at most {MOST_LINES} lines" in TEXT


def test_every_test_in_the_text_exists():
    tests = "".join(
        path.read_text("utf-8") for path in MAP.parent.joinpath("tests").rglob("test_*.py")
    )
    found = re.findall(r"`(test_\w+)`", PROSE)
    assert found
    assert all(f"def {each}(" in tests for each in found)


def test_lines_can_be_read():
    assert max(map(len, (line for line in PROSE.splitlines() if line[:1] != "|"))) <= 120
