"""``--safe``: what a spreadsheet would calculate is text there, and everything else is as without it."""

from __future__ import annotations

import csv
import gzip
import io
from datetime import datetime, timezone

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import wbframe
from tests.cli.conftest import RAGGED, one_line
from wbframe.cli.output import FORMS, Output
from wbframe.server import History, Project, RunRecord, serve

FORMULAS = [
    '=HYPERLINK("http://x","y")', "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1+1", "＋1", "－1", "＠SUM(A1)",  # noqa: RUF001
    "=", "-", "-1.5", "=1,2", '=";"',
]  # fmt: skip
PLAIN = ["", "a=1", "'=1", " =1", "1-1", "(=1)", "[=1]", "größe", "a\n=1", "{", "1e5", "−1"]  # noqa: RUF001


@pytest.fixture
def frame(monkeypatch):
    """A frame of every dtype, which every read gives now."""
    texts = [*FORMULAS, *PLAIN, None]
    count = len(texts)
    made = pl.DataFrame(
        {
            "run_id": [f"r{i}" for i in range(count)],
            "=cmd|' /C calc'!A0": texts,
            "x": [-1.5] * count,
            "n": [-1] * count,
            "flag": [False] * count,
            "at": [datetime(2026, 3, 2, tzinfo=timezone.utc)] * count,
            "tags": [["=1", "-1"]] * count,
            "-struct": [{"=a": "=1"}] * count,
        },
        schema_overrides={"at": pl.Datetime("us", "UTC")},
    )
    for reader in ("read_runs", "read_histories"):
        monkeypatch.setattr(wbframe.polars, reader, lambda *_, **__: made)
    monkeypatch.setattr(wbframe.buckets, "read_buckets", lambda *_, **__: made)
    return made


def lines_of(data):
    return list(csv.reader(io.StringIO(data.decode(), newline="")))


@pytest.mark.parametrize("command", ["runs", "histories", "buckets"])
@pytest.mark.parametrize("way", ["-f csv", "-o out.csv", "-o out.csv.gz", "-f csv.gz"])
def test_texts_and_names_that_begin_a_formula_are_marked_as_text(
    run, frame, tmp_path, command, way
):
    option, value = way.split()
    file = tmp_path / value
    code, out, _ = run(command, RAGGED, "--safe", option, file if option == "-o" else value)
    assert code == 0
    data = file.read_bytes() if option == "-o" else out
    header, *rows = lines_of(gzip.decompress(data) if value.endswith(".gz") else data)
    assert header == ["run_id", "'=cmd|' /C calc'!A0", "x", "n", "flag", "at", "tags", "'-struct"]
    texts = [row[1] for row in rows]
    assert texts[: len(FORMULAS)] == [f"'{each}" for each in FORMULAS]
    assert texts[len(FORMULAS) :] == [*PLAIN, ""]
    for row in rows:
        numbers = ["-1.5", "-1", "false", "2026-03-02T00:00:00.000000Z"]
        assert row[2:] == [*numbers, '["=1","-1"]', '{"=a":"=1"}']


def test_without_it_csv_holds_the_exact_texts(run, frame):
    _, out, _ = run("runs", RAGGED, "-f", "csv")
    header, *rows = lines_of(out)
    assert header == frame.columns
    assert [row[1] for row in rows] == [*FORMULAS, *PLAIN, ""]


def test_names_that_become_alike_stay_two(run, monkeypatch):
    made = pl.DataFrame({"=a": ["1"], "'=a": ["2"]})
    monkeypatch.setattr(wbframe.polars, "read_runs", lambda *_, **__: made)
    code, out, _ = run("runs", RAGGED, "-f", "csv", "--safe")
    assert code == 0
    assert lines_of(out) == [["'=a", "'=a (2)"], ["1", "2"]]


@pytest.mark.parametrize("form", [None, *FORMS])
def test_it_is_for_csv_alone_and_that_is_told_before_anything_is_read(run, served, form):
    if form in {"csv", "csv.gz"}:
        assert Output.of(form, None, safe=True).safe
        return
    code, out, err = run("runs", RAGGED, "--safe", *(["-f", form] if form else []))
    assert (code, out) == (2, b"")
    assert "--safe is for CSV alone: add --format csv" in one_line(err)
    assert not served.requests


def test_the_help_says_what_it_does(run):
    for command in ("runs", "histories", "buckets", "keys"):
        _, out, _ = run(command, "--help")
        told = " ".join(out.decode().split())
        assert "--safe Of CSV for a spreadsheet: an apostrophe before each text" in told
        assert "begins with = + - @" in told


def test_keys_and_names_of_a_project_are_marked(run, monkeypatch):
    rows = History([{"_step": 0, "=1+1": 1.0, "@a": "=2"}])
    made = Project(
        entity="e", name="p", runs=(RunRecord(name="r", display_name="=3", history=rows),)
    )
    with serve(made) as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        monkeypatch.setenv("WANDB_API_KEY", server.api_key)
        _, out, _ = run("keys", "e/p", "--safe", "-f", "csv")
        assert {"'=1+1", "'@a"} <= {row[0] for row in lines_of(out)}
        _, out, _ = run("histories", "e/p", "--safe", "-f", "csv", "--run-columns", "name")
    header, row = lines_of(out)
    assert sorted(header) == ["'=1+1", "'@a", "_step", "name", "run_id"]
    assert row[header.index("name")] == "'=3"
    assert row[header.index("'@a")] == "'=2"
    assert row[header.index("'=1+1")] == "1.0"


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=20))
@settings(max_examples=100)
def test_no_cell_begins_a_formula_and_what_was_marked_can_be_read_back(texts):
    file = io.BytesIO()
    made = pl.DataFrame({"t": [f"{each}." for each in texts]})
    output = Output("csv", None, safe=True)
    FORMS["csv"](output.made_safe(made), None, file)
    found = pl.read_csv(file.getvalue(), infer_schema=False)["t"].to_list()
    for cell, text in zip(found, made["t"], strict=True):
        assert cell[0] not in "=+-@\t\r\n＝＋－＠"  # noqa: RUF001
        assert cell in {text, f"'{text}"}
