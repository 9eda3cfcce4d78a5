"""Who may import whom, and what `import wbframe` costs: read from the sources, and counted in modules."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import wbframe
from wbframe.server import serve

ROOT = Path(wbframe.__file__).parent
# Rooms from the ground up: each imports from those before its own line alone, types too.
ROOMS = [
    {"text", "_version"},
    {"report", "warn", "log"},
    {"errors"},
    {"core.filters", "core.batches", "core.hints"},
    {"core.model"},
    {"core.paths"},
    {"core.decode"},
    {"core.protocol"},
    {"core.schema"},
    {"core.pushdown", "core.histories"},
    {"core.runs", "core.arguments"},
    {"core.explain", "core.doctor"},
    {"io.forks"},
    {"io.scopes"},
    {"io.threads"},
    {"io.client"},
    {"io.read"},
    {"io.doctor"},
    {"scans", "dropin"},
    {"polars", "buckets"},
    {"arrow"},
    {"pandas"},
    {"namespaces"},
    {"server.faults", "server.projects", "server.guard"},
    {"server.replies"},
    {"server.tokens"},
    {"server.files", "server.differing"},
    {"server.api"},
    {"server.listening"},
    {"server.http"},
    {"server.serving"},
    {"server"},
    {""},  # the package itself, which hands out what is below
    {"cli"},
    {"__main__"},
]
FLOOR = {room: floor for floor, rooms in enumerate(ROOMS) for room in rooms}
# What the server may know of the rest; it stands beside it, and nothing but the package and the command know it.
UNDER_THE_SERVER = {"errors", "report", "warn", "log", "text", "_version", "core.filters"}
# The drop-in's own core: values in, values out, as in `core`.
PURE = {f"wbframe.dropin.{name}" for name in ("documents", "asked", "values", "columns", "polars_frame")}  # fmt: skip
MOST_MODULES, MOST_LINES = 16, 500


def sources():
    for path in sorted(ROOT.rglob("*.py")):
        parts = ("wbframe", *path.relative_to(ROOT).with_suffix("").parts)
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def is_for_types(node):
    return isinstance(node, ast.If) and ast.unparse(node.test) in {
        "TYPE_CHECKING",
        "typing.TYPE_CHECKING",
    }


def imports(path, *, at_import_time):
    """Give the modules that a source imports, in functions too unless only its import time counts."""
    found = set()
    pending = [ast.parse(path.read_text(encoding="utf-8"))]
    while pending:
        node = pending.pop()
        if is_for_types(node):
            pending += node.orelse
        elif at_import_time and isinstance(
            node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
        ):
            continue
        elif isinstance(node, ast.Import):
            found |= {each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            found |= {node.module, *(f"{node.module}.{each.name}" for each in node.names)}
        else:
            pending += ast.iter_child_nodes(node)
    return found


MODULES = dict(sources())


def of_package(name):
    """Give the modules of the package that one imports, for types too."""
    tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom):
            # A name of a package's own is the package's; any other is a module of it.
            there = {f"{node.module}.{each.name}" for each in node.names}
            found |= (there & MODULES.keys()) or {node.module}
    return {each for each in found if each in MODULES} - {name}


def room(name):
    """Give the room that a module stands in: the innermost that has a floor."""
    parts = name.split(".")[1:]
    while parts and ".".join(parts) not in FLOOR:
        parts.pop()
    return ".".join(parts)


def folder(name):
    return name.split(".")[1] if name.count(".") else ""


@pytest.mark.parametrize("name", MODULES)
def test_directions(name):
    own = room(name)
    for each in of_package(name):
        there = room(each)
        assert there == own or FLOOR[there] < FLOOR[own], f"{name} imports {each} from above"
        if folder(name) == "server":
            assert folder(each) == "server" or there in UNDER_THE_SERVER
        elif own not in {"", "cli", "__main__"}:
            assert folder(each) != "server"


def test_every_room_is_there():
    there = {room(name) for name in MODULES}
    assert there == FLOOR.keys()


def test_no_circle_of_imports():
    imported = {name: of_package(name) for name in MODULES}
    done, under_way = set(), []

    def visit(name):
        assert name not in under_way, " -> ".join([*under_way[under_way.index(name) :], name])
        if name not in done:
            under_way.append(name)
            for each in sorted(imported[name]):
                visit(each)
            done.add(under_way.pop())

    for name in MODULES:
        visit(name)


def test_folders_and_modules_can_be_taken_in_at_a_glance():
    modules = Counter(
        path.parent
        for path in MODULES.values()
        if path.name not in {"__init__.py", "__main__.py", "_version.py"}
    )
    assert {str(path): count for path, count in modules.items() if count > MOST_MODULES} == {}
    lines = {name: len(path.read_text("utf-8").splitlines()) for name, path in MODULES.items()}
    assert {name: count for name, count in lines.items() if count > MOST_LINES} == {}


@pytest.mark.parametrize(
    "name", [name for name, path in MODULES.items() if path.name == "__init__.py"]
)
def test_every_room_says_what_lives_in_it(name):
    told = ast.get_docstring(ast.parse(MODULES[name].read_text("utf-8")))
    assert len(told.splitlines()) >= 1
    if name.count(".") and folder(name) in {"core", "io", "scans", "server"}:
        assert len(told) > 60


@pytest.mark.parametrize("name", MODULES)
def test_pandas_is_imported_by_its_own_face_alone(name):
    used = {each.split(".")[0] for each in imports(MODULES[name], at_import_time=True)}
    beside = {"wbframe.dropin.pandas_frame"}
    assert "pandas" not in used or room(name) == "pandas" or name in beside
    assert not used & {"daft", "dask"}
    assert "wandb" not in used
    if folder(name) != "server":
        assert not used & {"aiohttp", "graphql"}


@pytest.mark.parametrize(
    "name", [name for name in MODULES if folder(name) == "core" or name in PURE]
)
def test_the_core_touches_nothing(name):
    used = {each.split(".")[0] for each in imports(MODULES[name], at_import_time=False)}
    touching = {"requests", "gql", "urllib3", "socket", "threading", "concurrent", "asyncio", "time", "os", "pathlib", "tempfile", "random", "tenacity"}  # fmt: skip
    assert not used & touching
    called = {
        ast.unparse(node.func)
        for node in ast.walk(ast.parse(MODULES[name].read_text("utf-8")))
        if isinstance(node, ast.Call)
    }
    assert not called & {"open", "datetime.now", "print", "input"}


def run(script):
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT.parent,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()


LOADED = "import sys; print(*sorted({name.split('.')[0] for name in sys.modules if not name.startswith('_')}))"


def test_importing_the_package_imports_little_besides_polars_and_pyarrow():
    before = set(run(f"import polars, pyarrow; {LOADED}").split())
    after = set(run(f"import wbframe; {LOADED}").split())
    more = after - before - set(sys.stdlib_module_names)
    assert more <= {"wbframe", "wrapt", "msgspec"}
    assert "pandas" not in after
    assert "pyarrow" not in after


def test_modules_of_the_package_that_are_imported_at_first():
    loaded = run(
        "import sys, wbframe; print(*sorted(name for name in sys.modules if name.startswith('wbframe')))"
    ).split()
    assert not [
        name
        for name in loaded
        if name.startswith(("wbframe.io", "wbframe.server", "wbframe.scans"))
    ]
    assert not {"wbframe.pandas", "wbframe.arrow", "wbframe.cli", "wbframe.dropin.api"} & set(
        loaded
    )


READERS = "[hasattr(pandas, name) for name in ('read_wandb_runs', 'read_wandb_histories')] + [hasattr(pandas.DataFrame, 'wandb')]"


@pytest.mark.parametrize(
    "script",
    [
        f"import wbframe, sys; assert 'pandas' not in sys.modules; import pandas; print({READERS})",
        f"import pandas, wbframe; print({READERS})",
        f"import wbframe; wbframe.pandas; import pandas; print({READERS})",
        f"import wbframe; from pandas import DataFrame; import pandas; print({READERS})",
        f"import wbframe.pandas; import pandas; print({READERS})",
    ],
)
def test_pandas_has_the_readers_whenever_it_is_imported(script):
    assert run(script) == "[True, True, True]"


def test_polars_has_the_readers():
    script = (
        "import wbframe, polars as pl; print([hasattr(pl, n) for n in ('read_wandb_runs', 'read_wandb_histories')],"
        " hasattr(pl.DataFrame, 'wandb'), hasattr(pl.LazyFrame, 'wandb'))"
    )
    assert run(script) == "[True, True] True True"


def test_reading_with_polars_needs_no_pandas():
    script = """
import sys, wbframe, polars as pl
from wbframe.server import serve
with serve("ragged") as server, wbframe.Client(server.url, server.api_key) as client:
    rows = pl.read_wandb_histories("wbframe/ragged", keys=["train/loss"], client=client)
    runs = rows.wandb.runs(path="wbframe/ragged", columns=["run_id"], client=client)
print(rows.height > 0, runs.height > 0, "pandas" in sys.modules)
"""
    assert run(script) == "True True False"


def test_a_first_read_of_histories_imports_no_more_than_it_uses(monkeypatch, tmp_path):
    script = """
import sys, wbframe, polars as pl
rows = pl.read_wandb_histories("wbframe/ragged", keys=["train/loss"])
assert rows.height > 0
print(*sorted(sys.modules))
"""
    with serve("ragged") as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        monkeypatch.setenv("WANDB_API_KEY", server.api_key)
        monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path))
        loaded = run(script).split()
    unused = ("gql", "graphql", "tenacity", "pandas", "pyarrow", "wbframe.core.pushdown", "wbframe.server")  # fmt: skip
    assert "wbframe.io.read.histories" in loaded
    assert [
        name for name in loaded if f"{name}.".startswith(tuple(f"{each}." for each in unused))
    ] == []
