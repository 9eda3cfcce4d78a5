"""What `-o FILE` leaves: the new file or the old one, whatever happens, and nothing beside it."""

from __future__ import annotations

import gzip
import io
import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

import wbframe
from tests.cli.conftest import RAGGED, ROOT, one_line
from wbframe.cli.output import ENDINGS, FORMS
from wbframe.errors import WbframeError
from wbframe.server import History, Project, RunRecord, serve

OLD = b"of last night"


@pytest.fixture
def old(tmp_path):
    """Last night's file, in a folder of its own."""
    folder = tmp_path / "out"
    folder.mkdir()
    file = folder / "runs.csv"
    file.write_bytes(OLD)
    return file


def is_untouched(file):
    return file.read_bytes() == OLD and [each.name for each in file.parent.iterdir()] == [file.name]


# ---------------------------------------------------------------- failures


@pytest.mark.parametrize("form", [form for form in FORMS if form != "table"])
@pytest.mark.parametrize(
    "failure",
    [KeyboardInterrupt(), OSError(28, "No space left on device"), WbframeError("no such text")],
    ids=["Ctrl-C", "full disk", "conversion"],
)
def test_a_failure_while_it_is_written_leaves_the_old_file(run, old, monkeypatch, form, failure):
    def half(frame, report, out):
        out.write(b"half of ")
        out.flush()
        raise failure

    monkeypatch.setitem(FORMS, form, half)
    code, _, err = run("runs", RAGGED, "-c", "run_id", "-f", form, "-o", old)
    assert code == (130 if isinstance(failure, KeyboardInterrupt) else 1)
    assert is_untouched(old)
    if isinstance(failure, OSError):
        assert one_line(err) == (
            f"wbframe: error: could not write '{old}': No space left on device; what was there is as it was\n"
        )


CHILD = """
import os, resource, signal, sys
from wbframe import cli
from wbframe.cli.output import FORMS
{before}
sys.exit(cli.main(sys.argv[1:]))
"""
FULL = "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))"
KILLED = """
def half(frame, report, out):
    out.write(b"half of ")
    out.flush()
    os.kill(os.getpid(), signal.SIGKILL)
FORMS["csv"] = half
"""


def child(before, *args):
    return subprocess.run(
        [sys.executable, "-c", CHILD.format(before=before), *map(str, args)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )


@pytest.mark.parametrize("form", ["csv", "parquet", "ndjson.gz"])
def test_a_disk_that_takes_no_more_leaves_the_old_file(old, form):
    ended = child(FULL, "runs", "wbframe/demo", "-f", form, "-o", old)
    assert ended.returncode == 1
    assert one_line(ended.stderr).startswith(
        f"wbframe: error: could not write '{old}': File too large"
    )
    assert is_untouched(old)


def test_a_program_that_is_killed_leaves_the_old_file(old):
    ended = child(KILLED, "runs", "wbframe/demo", "-c", "run_id", "-o", old)
    assert ended.returncode == -signal.SIGKILL
    assert old.read_bytes() == OLD
    # What it had written beside it can be told from what it was asked for.
    (beside,) = set(old.parent.iterdir()) - {old}
    assert beside.name.startswith(".wbframe-")


@pytest.mark.parametrize("form", ["csv", "parquet"])
@pytest.mark.parametrize(
    "call", [["runs", RAGGED], ["histories", RAGGED], ["buckets", RAGGED], ["keys", RAGGED]]
)
def test_a_server_that_fails_leaves_the_old_file(run, served, old, form, call):
    served.fail(status=503, times=1000)
    code, out, err = run(*call, "--retry-seconds", "0", "-f", form, "-o", old)
    served.clear()
    assert (code, out) == (5, b"")
    one_line(err)
    assert is_untouched(old)


def test_a_report_of_the_doctor_that_cannot_be_written_leaves_the_old_one(run, old, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    code, _, err = run("doctor", "wbframe/demo", "--json", old)
    assert code == 1
    assert "No space left" in err
    assert is_untouched(old)


# ---------------------------------------------------------------- what is written


READ = {
    "csv": pl.read_csv,
    "json": lambda data: pl.DataFrame(json.loads(data)),
    "ndjson": pl.read_ndjson,
    "parquet": lambda data: pl.read_parquet(io.BytesIO(data)),
}


@pytest.mark.parametrize("ending", [each for each, form in ENDINGS.items() if form != "table"])
def test_the_new_file_takes_the_place_of_the_old_one_and_is_told(run, old, ending):
    file = old.rename(old.with_name(f"runs{ending}"))
    code, out, err = run("runs", "wbframe/demo", "-c", "run_id,name", "-o", file)
    assert (code, out) == (0, b"")
    data = file.read_bytes()
    size = f"{len(data):,}"
    form = ENDINGS[ending].removesuffix(".gz")
    frame = READ[form](gzip.decompress(data) if ending.endswith(".gz") else data)
    assert frame.shape == (24, 2)
    assert err.startswith(f"wbframe: wrote {file}: 24 rows, 2 columns, {size} bytes in ")
    assert err.endswith(" s\n")
    assert [each.name for each in old.parent.iterdir()] == [file.name]


def test_a_link_stays_one_and_its_file_is_replaced(run, old, tmp_path):
    for name, target in (("link.csv", old), ("dangling.csv", old.with_name("new.csv"))):
        link = tmp_path / name
        link.symlink_to(target)
        assert run("runs", "wbframe/demo", "-c", "run_id", "-o", link)[0] == 0
        assert link.is_symlink()
        assert target.read_bytes().count(b"\n") == 25


def test_a_file_keeps_its_permissions_and_a_new_one_has_those_of_the_shell(run, old):
    old.chmod(0o640)
    before = os.umask(0o027)
    try:
        for file, mode in (
            (old, 0o640),
            (old.with_name("new.csv"), 0o640),
            (old.with_name("open.csv"), 0o666),
        ):
            if mode == 0o666:
                os.umask(0)
            assert run("runs", RAGGED, "-c", "run_id", "-o", file)[0] == 0
            assert stat.S_IMODE(file.stat().st_mode) == mode
    finally:
        os.umask(before)


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives files away"
)
def test_a_file_keeps_its_owner_where_that_is_allowed(run, old):
    os.chown(old, 1234, 1235)
    assert run("runs", RAGGED, "-c", "run_id", "-o", old)[0] == 0
    assert (old.stat().st_uid, old.stat().st_gid) == (1234, 1235)
    assert old.read_bytes() != OLD


def test_devices_and_pipes_are_written_and_not_replaced(run, tmp_path):
    assert run("runs", RAGGED, "-c", "run_id", "-f", "csv", "-o", "/dev/null")[0] == 0
    assert Path("/dev/null").is_char_device()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert run("runs", RAGGED, "-c", "run_id", "-f", "csv", "-o", pipe)[0] == 0
        assert os.read(reader, 1000).startswith(b"run_id\n")
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has it")
def test_a_device_that_is_full_is_one_line(run):
    code, _, err = run("runs", RAGGED, "-c", "run_id", "-f", "csv", "-o", "/dev/full")
    assert code == 1
    assert "could not write '/dev/full': No space left on device" in one_line(err)


# ---------------------------------------------------------------- told before any request


@pytest.mark.parametrize("call", [["runs"], ["histories"], ["buckets"], ["keys"]])
def test_a_folder_that_is_missing_is_told_before_any_request(run, served, tmp_path, call):
    code, out, err = run(*call, RAGGED, "-o", tmp_path / "no" / "rows.csv")
    assert (code, out) == (2, b"")
    assert "--output: there is no folder" in one_line(err)
    link = tmp_path / "link.csv"
    link.symlink_to(tmp_path / "nowhere" / "rows.csv")
    assert run(*call, RAGGED, "-o", link)[0] == 2
    assert not served.requests


@pytest.mark.parametrize("there", [True, False])
def test_a_file_that_may_not_be_written_is_told_before_anything_is_read(
    run, served, tmp_path, monkeypatch, there
):
    output = tmp_path / "runs.csv"
    if there:
        output.write_text("of value")
    closed = output if there else tmp_path
    access = os.access  # who runs the tests may write everywhere

    def allowed(path, mode, **how):
        refused = mode == os.W_OK and os.fspath(path) == os.fspath(closed)
        return not refused and access(path, mode, **how)

    monkeypatch.setattr("os.access", allowed)
    served.clear()
    status, _, err = run("runs", "wbframe/ragged", "--output", str(output))
    assert status == 2
    assert "runs.csv" in err
    # click says so of a file that is there.
    assert "is not writable" in err if there else "may not be written" in one_line(err)
    assert not served.requests
    assert output.exists() == there


def test_a_folder_that_takes_no_file_to_replace_the_old_one_is_told_too(
    run, served, old, monkeypatch
):
    access = os.access
    monkeypatch.setattr(
        "os.access",
        lambda path, mode, **how: (
            os.fspath(path) != os.fspath(old.parent) and access(path, mode, **how)
        ),
    )
    code, _, err = run("runs", RAGGED, "-o", old)
    assert code == 2
    assert "no file can be made in its folder" in one_line(err)
    assert not served.requests
    assert is_untouched(old)


# ---------------------------------------------------------------- polars' own sinks


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_sink_of_polars_that_fails_has_lost_the_old_file(old, form):
    """What the README says of `sink_*`, which are polars' own: if that changes, so must the README."""
    rows = History([{"a": float(i)} for i in range(50)])
    runs = tuple(RunRecord(name=f"r{i:03}", history=rows) for i in range(250))
    with serve(Project(entity="e", name="p", runs=runs)) as server:
        retry = wbframe.RetryPolicy(tries=1)
        with wbframe.Client(server.url, server.api_key, retry=retry, concurrency=1) as client:
            lazy = wbframe.polars.scan_histories("e/p", keys=["a"], client=client)
            lazy.collect_schema()
            server.fail(status=503, match="sampledHistory", times=1000)
            with pytest.raises((WbframeError, pl.exceptions.ComputeError)):
                getattr(lazy, f"sink_{form}")(old)
    assert old.read_bytes() != OLD
    if form == "csv":
        # It reads without a word.
        assert pl.read_csv(old).columns == ["run_id", "_step", "a"]
