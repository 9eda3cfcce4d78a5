"""The formats of a frame, to stdout and by the ending of a file."""

from __future__ import annotations

import gzip
import io
import json
import math
import sys
from datetime import datetime, timezone
from decimal import Decimal

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import wbframe
from tests.cli.conftest import RAGGED, one_line, program


@pytest.fixture
def frame(monkeypatch):
    """A frame of every dtype that a reader gives, which every read gives now."""
    made = pl.DataFrame(
        {
            "run_id": ["a", "b", "c", "d"],
            "text": ["", None, 'x,"y"', "two\nlines"],
            "x": [0.1, math.nan, math.inf, -math.inf],
            "n": [2**60 + 1, None, -(2**60) - 1, 0],
            "flag": [True, None, False, True],
            "at": [datetime(2026, 3, 2, 9, 0, 0, 5, tzinfo=timezone.utc), None, None, None],
            "tags": [["a", "b,c"], [], None, ['"']],
            "bins": [[0.5, math.nan], None, [math.inf], []],
        },
        schema_overrides={"at": pl.Datetime("us", "UTC")},
    )
    monkeypatch.setattr(wbframe.polars, "read_runs", lambda *_, **__: made)
    return made


ROWS = [
    {"run_id": "a", "text": "", "x": 0.1, "n": 2**60 + 1, "flag": True, "at": "2026-03-02T09:00:00.000005Z", "tags": ["a", "b,c"], "bins": [0.5, "NaN"]},
    {"run_id": "b", "text": None, "x": "NaN", "n": None, "flag": None, "at": None, "tags": [], "bins": None},
    {"run_id": "c", "text": 'x,"y"', "x": "Infinity", "n": -(2**60) - 1, "flag": False, "at": None, "tags": None, "bins": ["Infinity"]},
    {"run_id": "d", "text": "two\nlines", "x": "-Infinity", "n": 0, "flag": True, "at": None, "tags": ['"'], "bins": []},
]  # fmt: skip


def test_json_is_an_array_that_loses_nothing(run, frame):
    code, out, err = run("runs", RAGGED, "--format", "json")
    assert (code, err) == (0, "")
    assert json.loads(out) == ROWS


def test_ndjson_is_an_object_a_line(run, frame):
    out = run("runs", RAGGED, "--format", "ndjson")[1]
    assert out.endswith(b"}\n")
    assert [json.loads(line) for line in out.splitlines()] == ROWS


def test_csv_tells_null_from_empty_and_spells_lists_as_json(run, frame):
    out = run("runs", RAGGED, "--format", "csv")[1]
    wanted = (
        "run_id,text,x,n,flag,at,tags,bins\n"
        'a,"",0.1,1152921504606846977,true,2026-03-02T09:00:00.000005Z,"[""a"",""b,c""]","[0.5,""NaN""]"\n'
        "b,,NaN,,,,[],\n"
        'c,"x,""y""",inf,-1152921504606846977,false,,,"[""Infinity""]"\n'
        'd,"two\nlines",-inf,0,true,,"[""\\""""]",[]\n'
    )
    assert out.decode() == wanted


def test_parquet_is_the_frame(run, frame):
    out = run("runs", RAGGED, "--format", "parquet")[1]
    assert_frame_equal(pl.read_parquet(out), frame)


def test_no_rows_are_an_empty_file_of_its_format(run):
    nothing = ["runs", RAGGED, "--limit", "0", "-c", "run_id", "-c", "tags"]
    assert run(*nothing, "--format", "json")[1] == b"[]\n"
    assert run(*nothing, "--format", "ndjson")[1] == b""
    assert run(*nothing, "--format", "csv")[1] == b"run_id,tags\n"
    empty = pl.read_parquet(run(*nothing, "--format", "parquet")[1])
    assert empty.schema == {"run_id": pl.String, "tags": pl.List(pl.String)}


@pytest.mark.parametrize(
    ("ending", "read"),
    [
        (".csv", lambda data: data.decode().split()[1:]),
        (".json", lambda data: [row["run_id"] for row in json.loads(data)]),
        (".jsonl", lambda data: [json.loads(line)["run_id"] for line in data.splitlines()]),
        (".csv.gz", lambda data: gzip.decompress(data).decode().split()[1:]),
        (
            ".ndjson.GZ",
            lambda data: [
                json.loads(line)["run_id"] for line in gzip.decompress(data).splitlines()
            ],
        ),
        (".PARQUET", lambda data: pl.read_parquet(data)["run_id"].to_list()),
    ],
)
def test_the_ending_of_the_file_is_its_format(run, tmp_path, ending, read):
    file = tmp_path / f"runs{ending}"
    code, out, err = run("runs", RAGGED, "-c", "run_id", "-o", file)
    assert (code, out) == (0, b"")
    assert err.startswith(
        f"wbframe: wrote {file}: 13 rows, 1 columns, {file.stat().st_size:,} bytes in "
    )
    wanted = wbframe.polars.read_runs(RAGGED, columns=["run_id"])["run_id"].to_list()
    assert read(file.read_bytes()) == wanted


def test_parquet_holds_the_report(run):
    out = run("histories", RAGGED, "-k", "train/loss", "--samples", "7", "--format", "parquet")[1]
    report = json.loads(pl.read_parquet_metadata(io.BytesIO(out))["wbframe"])
    assert report["samples"] == 7
    assert report["sampled_runs"] > 0


def test_the_table_is_as_wide_as_the_terminal_and_says_its_shape(run, monkeypatch):
    wide = run("runs", "wbframe/demo")[1].decode()
    monkeypatch.setenv("COLUMNS", "60")
    narrow = run("runs", "wbframe/demo")[1].decode()
    assert wide.startswith("shape: (24, ")
    assert narrow.startswith("shape: (24, ")
    widest = [max(map(len, text.splitlines())) for text in (wide, narrow)]
    assert 100 < widest[0] <= 120
    assert widest[1] <= 60


def test_packed_formats_hold_what_the_plain_ones_are(run, frame):
    for form in ("csv", "json", "ndjson"):
        plain, packed = (run("runs", RAGGED, "--format", each)[1] for each in (form, f"{form}.gz"))
        assert gzip.decompress(packed) == plain
        assert packed == run("runs", RAGGED, "--format", f"{form}.gz")[1]


def test_exact_numbers_are_numbers_in_text(run, monkeypatch):
    made = pl.DataFrame(
        {"n": [2**100], "d": [Decimal("12345678901234567890.5")]},
        schema={"n": pl.Int128, "d": pl.Decimal(38, 1)},
    )
    monkeypatch.setattr(wbframe.polars, "read_runs", lambda *_, **__: made)
    text = b'{"n":1267650600228229401496703205376,"d":12345678901234567890.5}\n'
    assert run("runs", RAGGED, "--format", "ndjson")[1] == text
    csv = b"n,d\n1267650600228229401496703205376,12345678901234567890.5\n"
    assert run("runs", RAGGED, "--format", "csv")[1] == csv


def test_tags_are_text_in_csv_and_can_be_made_so_for_polars(run):
    _, out, _ = run("runs", "wbframe/demo", "-c", "run_id,tags", "-f", "csv")
    tags = dict(pl.read_csv(out).iter_rows())
    runs = wbframe.polars.read_runs("wbframe/demo", columns=["run_id", "tags"])
    assert {run_id: json.loads(text) for run_id, text in tags.items()} == dict(runs.iter_rows())
    with pytest.raises(pl.exceptions.ComputeError):
        runs.write_csv()
    # As the README says.
    joined = pl.read_csv(runs.with_columns(pl.col("tags").list.join(",")).write_csv().encode())
    assert joined["tags"].fill_null("").to_list() == [",".join(each) for each in runs["tags"]]


@pytest.mark.parametrize("form", ["parquet", "csv.gz"])
def test_bytes_are_refused_by_a_terminal(run, served, monkeypatch, form):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    code, out, err = run("runs", RAGGED, "--format", form)
    assert (code, out) == (2, b"")
    assert "--output FILE" in one_line(err)
    assert not served.requests


def test_a_closed_pipe_is_quiet():
    with program("histories", "wbframe/demo", "--format", "ndjson") as started:
        assert started.stdout.readline().startswith(b'{"run_id":')
        started.stdout.close()
        said = started.stderr.read()
    assert (started.returncode, said) == (1, b"")
