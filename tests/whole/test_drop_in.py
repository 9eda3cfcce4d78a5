"""`run.scan_history` of the drop-in, where a server gives exported rows in files only."""

from __future__ import annotations

import math

import pytest

from tests.whole.truth import project_of
from wbframe import Runs
from wbframe.errors import IncompleteHistoryError
from wbframe.server import Exports, Features, FileFormat, History, RunRecord

ROWS = [
    {"_step": 10 + step, "loss": step / 2, "text": f"{step}", "mixed": step if step % 2 else "even"}
    | ({"rare": {"a": [step]}} if step % 9 == 0 else {})
    | ({"n": math.nan} if step == 3 else {})
    for step in range(300)
]
SILENT = Features(history_serves_exported=False, shuffled_urls=True)


def run_of(serving, rule, features=SILENT, rows=ROWS):
    server, client = serving(
        project_of(RunRecord(name="r", history=History(rows), exports=rule)), features=features
    )
    return server, Runs(client, "wbframe", "p")[0]


def flat(rows):
    """Give rows as the server holds them, comparable."""
    return [{key: str(value) for key, value in sorted(row.items())} for row in rows]


@pytest.mark.parametrize("mixed", ["alternatives", "binary"])
@pytest.mark.parametrize("rule", [Exports.all(3), Exports.split(2, 0.3), Exports.split(2, 0.3, 20)])
def test_every_row_comes(serving, rule, mixed):
    rule = Exports(
        files=rule.files,
        live=rule.live,
        overlap=rule.overlap,
        format=FileFormat(mixed=mixed, objects="binary"),
    )
    _, run = run_of(serving, rule)
    stored = History(ROWS).to_dicts()
    scan = run.scan_history(page_size=50)
    assert flat(scan) == flat(stored)
    assert flat(scan) == flat(stored)  # again
    window = run.scan_history(min_step=20, max_step=40)
    assert flat(window) == flat(row for row in stored if 20 <= row["_step"] < 40)
    keyed = run.scan_history(keys=["_step", "rare.a"])
    assert list(keyed) == [
        {"_step": row["_step"], "rare.a": row["rare.a"]} for row in stored if "rare.a" in row
    ]


def test_keys_without_steps(serving):
    _, run = run_of(serving, Exports.all(2))
    assert list(run.scan_history(keys=["loss"])) == [
        {"_step": row["_step"], "loss": row["loss"]} for row in ROWS
    ]


def test_servers_that_give_all_are_not_asked_for_files_again(serving):
    rows = [{**row, "_step": step} for step, row in enumerate(ROWS)]
    server, run = run_of(serving, Exports.all(2), Features(), rows)
    server.clear()
    assert len(list(run.scan_history(page_size=1000))) == 300
    assert len(server.requests) == 1
    assert not server.storage_requests


def test_a_late_beginning_is_looked_into_once(serving):
    server, run = run_of(serving, Exports.all(2), Features())
    server.clear()
    assert len(list(run.scan_history(page_size=1000))) == 300
    assert [each.operation for each in server.requests] == ["Rows", "Exports"]


def test_rows_that_are_lost_are_still_an_error(serving):
    rows = [{"_step": step, "loss": 0.5} for step in range(40)]
    run = RunRecord(name="r", history=History(rows), exports=Exports.all(), history_line_count=50)
    _, client = serving(project_of(run), features=SILENT)
    with pytest.raises(IncompleteHistoryError, match="50 rows expected, 40 came"):
        list(Runs(client, "wbframe", "p")[0].scan_history())
