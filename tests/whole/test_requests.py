"""What a whole read asks for: exact requests, bytes, and what it does when storage does not answer."""

from __future__ import annotations

import io
import os
from dataclasses import replace

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import wbframe
from tests.whole.truth import PATH, frame_of, project_of
from wbframe.core.protocol.spans import LEAST_TAIL
from wbframe.server import (
    Export,
    ExportFile,
    Exports,
    Features,
    FileFormat,
    History,
    RunRecord,
    serve,
    synthetic,
)
from wbframe.server.files.columns import parquet

TAIL = f"bytes=-{LEAST_TAIL}"
ROWS = [{"_step": step, "loss": step / 2, "acc": step / 3} for step in range(300)]
SMALL = RunRecord(name="r", history=History(ROWS), exports=Exports.all())
WIDE = synthetic(runs=1, rows=20_000, keys=20, name="p", exports=Exports.all())
GROUPS = synthetic(
    runs=1,
    rows=20_000,
    keys=20,
    name="p",
    exports=Exports.all(format=FileFormat(row_group_rows=2_000)),
)


def whole(client, **options):
    return pl.read_wandb_histories(PATH, samples=None, client=client, **options)


def ranges(server):
    return [each.range for each in server.storage_requests]


def test_a_small_file_is_one_get(serving):
    server, client = serving(project_of(SMALL))
    got = whole(client)
    assert got.equals(frame_of([SMALL], got))
    assert ranges(server) == [TAIL]
    assert [each.operation for each in server.requests] == ["Runs", "Exports"]
    assert client.last_report.requests == 3


def test_only_the_wanted_columns_are_fetched(serving):
    server, client = serving(WIDE)
    narrow = whole(client, keys=["metric/03"])
    assert narrow.height == 20_000
    assert sum(each.bytes for each in server.storage_requests) < total_of(server) / 4
    server.clear()
    every = whole(client)
    assert narrow.equals(every.select(narrow.columns))
    # As its rows and keys are counted, so much of its end is asked for that it is all of it.
    assert len(server.storage_requests) == 1
    assert client.last_report.bytes_received > sum(each.bytes for each in server.storage_requests)


def bytes_of(server, run):
    """Give the bytes of a run's only file."""
    [stored] = server.engine.catalog.views[PATH].runs[run].files
    return bytes(parquet(stored.history, stored.file.rows, stored.format))


def total_of(server):
    """Give the size of the file of the wide project."""
    return len(bytes_of(server, "run-00000"))


def test_a_window_of_steps_skips_row_groups(serving):
    server, client = serving(GROUPS)
    got = whole(client, min_step=9_000, max_step=9_500)
    assert got["_step"].to_list() == list(range(9_000, 9_500))
    assert sum(each.bytes for each in server.storage_requests) < total_of(server) / 4


def test_windows_need_no_statistics(serving):
    spelled = FileFormat(statistics=False, row_group_rows=7)
    _, client = serving(project_of(SMALL))
    got = whole(client, min_step=100, max_step=200)
    _, other = serving(project_of(replace(SMALL, exports=Exports.all(format=spelled))))
    assert got.equals(whole(other, min_step=100, max_step=200))


def test_a_footer_longer_than_what_is_read_of_the_end(serving):
    rule = Exports.all(format=FileFormat(row_group_rows=20))
    server, client = serving(synthetic(runs=1, rows=2_000, keys=60, name="p", exports=rule))
    assert len(bytes_of(server, "run-00000")) > 2 * LEAST_TAIL
    got = whole(client, keys=["metric/03"], max_step=100)
    assert got["_step"].to_list() == list(range(100))
    first, second, *rows = ranges(server)
    assert first == TAIL
    assert int(second.removeprefix("bytes=").split("-")[0]) > len(bytes_of(server, "run-00000")) / 4
    assert rows


def test_storage_that_knows_no_ranges(serving):
    server, client = serving(project_of(SMALL))
    server.fail(where="storage", status=200, body=bytes_of(server, "r"))
    got = whole(client)
    assert got.equals(frame_of([SMALL], got))
    assert len(server.storage_requests) == 1


@pytest.mark.parametrize("status", [400, 416, 501])
def test_storage_that_knows_no_ranges_from_the_end(serving, status):
    server, client = serving(project_of(SMALL))
    server.fail(where="storage", status=status)
    got = whole(client)
    assert got.equals(frame_of([SMALL], got))
    assert ranges(server)[1] == "bytes=0-0"


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 503},
        {"status": 429, "headers": {"Retry-After": "0"}},
        {"drop": True},
        {"truncate": True},
    ],
)
def test_what_may_pass_is_tried_again(serving, fault):
    server, client = serving(project_of(SMALL))
    server.fail(where="storage", **fault)
    got = whole(client)
    assert got.equals(frame_of([SMALL], got))
    assert client.last_report.retries == 1


@pytest.mark.parametrize(
    ("status", "then"),
    [
        (404, "the file is not there any more: read again"),
        (503, r"gave up after 3 tries in \S+ s; try again later, or wait longer with `retry=.*`"),
    ],
)
def test_a_file_that_does_not_come_is_an_error_without_its_signature(serving, status, then):
    server, client = serving(project_of(SMALL))
    server.fail(where="storage", status=status, times=99)
    with pytest.raises(
        wbframe.errors.StatusError, match=rf"0\.parquet: HTTP {status}; {then}$"
    ) as caught:
        whole(client)
    assert "sig=" not in str(caught.value)
    assert caught.value.__cause__ is None or "sig=" not in str(caught.value.__cause__)


@pytest.mark.parametrize("body", [b"", b"PAR1", b"<html>", b"x" * 4000 + b"\xff\xff\xff\x7fPAR1"])
def test_a_file_that_is_no_parquet_is_an_error(serving, body):
    server, client = serving(project_of(SMALL))
    server.fail(where="storage", status=200, body=body)
    with pytest.raises(wbframe.errors.AnswerError, match=r"0\.parquet is no Parquet file"):
        whole(client)


def test_rows_without_steps_are_an_error(serving):
    sink = io.BytesIO()
    pq.write_table(pa.table({"loss": [1.0]}), sink)
    server, client = serving(project_of(SMALL))
    server.fail(where="storage", status=200, body=sink.getvalue())
    with pytest.raises(wbframe.errors.AnswerError, match="has rows without '_step'"):
        whole(client)


def test_an_address_that_expires_is_asked_for_anew(serving):
    one_get = Features(url_gets=1, shuffled_urls=True)
    rule = Exports.all(3, format=FileFormat(row_group_rows=2_000))
    project = synthetic(runs=2, rows=20_000, keys=20, name="p", exports=rule)
    server, client = serving(project, features=one_get)
    got = whole(client, keys=["metric/03", "metric/17"])
    assert got.height == 40_000
    expired = [each for each in server.storage_requests if each.status == 403]
    assert expired
    renewals = [each for each in server.requests if each.operation == "Exports"][1:]
    # Ranges that are read side by side share an address, and so what asks for another one.
    assert 0 < len(renewals) <= len(expired)


def test_an_address_that_stays_expired_is_an_error(serving):
    server, client = serving(project_of(SMALL))
    server.fail(where="storage", status=403, times=99)
    with pytest.raises(
        wbframe.errors.StatusError, match="also after its address was asked for anew"
    ) as caught:
        whole(client)
    assert caught.value.status == 403
    assert len(server.storage_requests) == 4


def test_no_key_goes_to_storage_nor_along_a_redirect(serving, tmp_path, monkeypatch):
    server, client = serving(project_of(SMALL))
    elsewhere, _ = serving(project_of(SMALL))
    netrc = tmp_path / "netrc"
    netrc.write_text(f"default login api password {server.api_key}\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", os.fspath(netrc))
    server.redirect(elsewhere.storage_url, where="storage")
    # The other storage does not know the signature, so that the address is asked for anew.
    got = whole(client)
    assert got.equals(frame_of([SMALL], got))
    seen = [*server.storage_requests, *elsewhere.storage_requests]
    assert len(elsewhere.storage_requests) == 1
    assert not any(each.authorization_seen for each in seen)


def test_a_request_for_windows_that_is_too_big_is_cut_in_two_then_for_fewer_rows(serving):
    run = replace(SMALL, exports=Exports.none())
    server, client = serving(project_of(run, replace(run, name="s")))
    server.fail(match="query Windows", status=504, times=2)
    got = whole(client)
    assert got.equals(frame_of([run, replace(run, name="s")], got))
    assert sum(each.operation == "Windows" for each in server.requests) == 4
    assert client.last_report.retries == 0


def test_a_request_for_exports_that_is_too_big_is_cut_in_two(serving):
    server, client = serving(project_of(SMALL, replace(SMALL, name="s")))
    server.fail(match="r1: run", status=500, times=5)
    assert whole(client).height == 600
    assert sum(each.operation == "Exports" for each in server.requests) == 3
    assert client.refused == set()


def test_a_server_without_exports_is_asked_once(serving):
    run = replace(SMALL, exports=None)
    server, client = serving(project_of(run), features=Features(parquet_history=False))
    got = whole(client)
    assert got.equals(frame_of([run], got))
    assert whole(client).equals(got)
    assert sum(each.operation == "Exports" for each in server.requests) == 1
    assert client.last_report.replaced == ("run.parquetHistory",)


def test_runs_that_hold_nothing_of_what_is_asked_are_not_asked_for(serving):
    other = RunRecord(
        name="s", history=History([{"_step": 0, "other": 1.0}]), exports=Exports.all()
    )
    server, client = serving(project_of(SMALL, other, RunRecord(name="t")))
    got = whole(client, keys=["loss"])
    assert got["run_id"].unique().to_list() == ["r"]
    [asked] = [each for each in server.requests if each.operation == "Exports"]
    assert asked.variables["r0"] == "r"
    assert "r1" not in asked.variables


def test_a_wide_run_of_which_one_key_is_wanted_is_asked_for_in_small_parts(serving):
    """`history` gives whole rows, so it is the run's width that counts."""
    project = synthetic(runs=1, rows=4_000, keys=300, name="p")
    server, client = serving(project, compress=False)
    assert whole(client, keys=["metric/07"]).height == 4_000
    windows = [each for each in server.requests if each.operation == "Windows"]
    assert max(each.response_bytes for each in windows) < 8_000_000
    assert len(windows) > 2


def test_short_runs_are_read_in_one_request(serving):
    """A window counts for the rows that it holds, not for those that it might."""
    server, client = serving(synthetic(runs=16, rows=500, keys=6, name="p"))
    assert whole(client, max_step=100).height == 1_600
    assert [each.operation for each in server.requests] == ["Runs", "Exports", "Rows", "Windows"]


def test_files_without_rows(serving):
    export = Export(files=(ExportFile(()), ExportFile(range(300)), ExportFile(())))
    run = replace(SMALL, exports=export)
    _, client = serving(project_of(run))
    got = whole(client)
    assert got.equals(frame_of([run], got))


def test_reading_in_the_order_of_files_that_change_places():
    rule = Exports.all(4)
    project = synthetic(runs=3, rows=100, keys=2, name="p", exports=rule)
    found = []
    for shuffled in (True, False):
        with (
            serve(project, features=Features(shuffled_urls=shuffled)) as server,
            wbframe.Client(server.url, server.api_key) as client,
        ):
            found.append(whole(client))
    assert found[0].equals(found[1])
