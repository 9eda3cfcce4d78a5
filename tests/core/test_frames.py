"""Which runs the rows of a frame name."""

from __future__ import annotations

import pytest

from wbframe.core.model import RunPath
from wbframe.core.paths import paths_of
from wbframe.errors import ColumnError, PathError, UsageError

FULL = {"entity": "e", "project": "p", "run_id": "r"}


@pytest.mark.parametrize(
    ("row", "path"), [(FULL, None), ({"run_id": "r"}, "e/p"), ({**FULL, "entity": None}, "e/p")]
)
def test_rows_name_runs(row, path):
    [found] = paths_of([row], list(row), path)
    assert found == RunPath(entity="e", project="p", run="r")


@pytest.mark.parametrize(
    ("row", "path", "error", "message"),
    [
        ({"a": 1}, None, ColumnError, "no column 'run_id', .*; keep it when you select columns"),
        ({"a": 1}, "e/p", ColumnError, "no column 'run_id'"),
        ({"run_id": "r"}, None, ColumnError, "lacks 'entity' and 'project'; pass path='entity/project'"),
        ({"run_id": "r", "entity": "e"}, None, ColumnError, "lacks 'project'; pass path='entity/project'"),
        ({**FULL, "run_id": None}, None, UsageError, "a row whose 'run_id' is null; drop it first"),
        ({**FULL, "project": None}, None, UsageError, "a row whose 'project' is null; drop it first"),
        ({**FULL, "run_id": 7}, "e/p", UsageError, "'run_id' must be text; got 7 of int"),
        ({**FULL, "entity": 7}, None, UsageError, "'entity' must be text; got 7 of int"),
        (FULL, "e/p/r", UsageError, "`path` must be 'entity/project' here"),
        (FULL, "a/b/c/d", PathError, "cannot read the path 'a/b/c/d'"),
    ],
)  # fmt: skip
def test_rows_that_name_no_runs(row, path, error, message):
    with pytest.raises(error, match=message):
        paths_of([row], list(row), path)
