"""Who may import whom, and what `import wbframe` costs: read from the sources, and counted in modules."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import wbframe

ROOT = Path(wbframe.__file__).parent
FACES = {"wbframe.polars", "wbframe.pandas", "wbframe.arrow"}
# Modules at the top that hand out what is below them: they may import the faces.
ABOVE = {"wbframe", "wbframe.namespaces", "wbframe.cli", "wbframe.__main__", "wbframe.demo", "wbframe.explanation", "wbframe.api", "wbframe.runs", "wbframe.run", "wbframe.export", "wbframe.counting"}  # fmt: skip


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


def of_package(name, path):
    """Give the modules of the package that one imports at any time."""
    return {
        each
        for each in imports(path, at_import_time=False)
        if each in MODULES and each != "wbframe"
    } - {name}


def folder(name):
    parts = name.split(".")
    return parts[1] if len(parts) > 1 and (ROOT / parts[1]).is_dir() else ""


@pytest.mark.parametrize("name", MODULES)
def test_directions(name):
    used = of_package(name, MODULES[name])
    folders = {folder(each) for each in used if folder(each)}
    lone = {each for each in used if not folder(each)}
    if folder(name) == "core":
        assert folders <= {"core"}
        assert lone <= {"wbframe.errors"}
    elif folder(name) == "io":
        assert folders <= {"core", "io"}
        assert not lone & FACES
    elif folder(name) == "server":
        assert folders <= {"core", "server"}
        assert lone <= {"wbframe.errors"}
    elif name not in ABOVE:
        # Arrow's conversion is what pandas builds upon.
        allowed = {"wbframe.arrow"} if name == "wbframe.pandas" else set()
        assert not lone & FACES - allowed


@pytest.mark.parametrize("name", MODULES)
def test_pandas_is_imported_by_its_own_face_alone(name):
    used = {each.split(".")[0] for each in imports(MODULES[name], at_import_time=True)}
    beside = {"wbframe.sdk_pandas"}
    assert "pandas" not in used or name in {"wbframe.pandas", *beside}
    assert not used & {"daft", "dask"}
    assert "wandb" not in used or name.startswith("wbframe.server.demo.")
    if folder(name) != "server":
        assert not used & {"aiohttp", "graphql"}


@pytest.mark.parametrize("name", [name for name in MODULES if folder(name) == "core"])
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
    assert not [name for name in loaded if name.startswith(("wbframe.io", "wbframe.server"))]
    assert not {"wbframe.pandas", "wbframe.arrow", "wbframe.cli", "wbframe.api"} & set(loaded)


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
