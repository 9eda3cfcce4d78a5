"""A project and a server full of what a terminal obeys: every reader reads it, and nothing of it is shown as it is."""

from __future__ import annotations

import io
import json
import logging
import re
import warnings

import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings

import wbframe
from tests.hostile import NASTY, is_seen, nasty_project, nasty_texts
from wbframe.errors import UsageError, WbframeError
from wbframe.server import serve

PATH = "e/p"
LONGEST = 2_000


@pytest.fixture(scope="module")
def nasty():
    with serve(nasty_project()) as started:
        yield started


@pytest.fixture
def client(nasty):
    nasty.clear()
    retry = wbframe.RetryPolicy(tries=2, seconds=0.01)
    with wbframe.Client(nasty.url, nasty.api_key, retry=retry) as made:
        yield made
    nasty.clear()


@pytest.fixture
def logged():
    """What all loggers write at DEBUG."""
    handler = logging.StreamHandler(io.StringIO())
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield handler.stream
    finally:
        root.setLevel(level)
        root.removeHandler(handler)


def told_by(work):
    """Do something; give what came, and all that was told: the error and the warnings, each one line."""
    with warnings.catch_warnings(record=True) as given_out:
        warnings.simplefilter("always")
        try:
            came, error = work(), None
        except WbframeError as raised:
            came, error = None, raised
    told = [str(each.message) for each in given_out] + ([] if error is None else [str(error)])
    for each in told:
        assert is_seen(each)
        assert len(each) <= LONGEST
    return came, error


def rows_of(frame):
    return frame.to_dicts() if isinstance(frame, pl.DataFrame) else frame.to_dict("records")


READERS = {
    "runs": lambda client: wbframe.read_runs(PATH, client=client),
    "scan": lambda client: wbframe.scan_runs(PATH, client=client).collect(),
    "arrow": lambda client: pd.DataFrame(wbframe.arrow.read_runs(PATH, client=client).to_pylist()),
    "pandas": lambda client: wbframe.pandas.read_runs(PATH, client=client),
}


@pytest.mark.parametrize("reader", READERS)
def test_runs_hold_the_exact_values_and_tell_what_is_seen(client, capfd, logged, reader):
    frame, error = told_by(lambda: READERS[reader](client))
    assert error is None
    (row, *_) = rows_of(frame)
    assert row["name"] == row["group"] == row["notes"] == NASTY
    assert row[f"config.c{NASTY}"] == NASTY
    assert row[f"summary.s{NASTY}"] == NASTY
    assert list(row["tags"]) == [NASTY, f"a{NASTY}"]
    assert is_seen(logged.getvalue(), lines=True)
    assert is_seen("".join(capfd.readouterr()), lines=True)


@pytest.mark.parametrize("samples", [500, None])
@pytest.mark.parametrize("face", [wbframe.polars, wbframe.pandas, wbframe.arrow])
def test_histories_hold_the_exact_values_and_tell_what_is_seen(client, logged, face, samples):
    frame, error = told_by(
        lambda: face.read_histories(PATH, samples=samples, client=client, progress=True)
    )
    assert error is None
    columns = getattr(frame, "column_names", None) or list(frame.columns)
    assert f"k{NASTY}" in columns
    found = pl.DataFrame({"t": list(frame["t"])}) if face is not wbframe.arrow else None
    assert found is None or found["t"].unique().to_list() == [NASTY]
    assert is_seen(logged.getvalue(), lines=True)


def test_buckets_and_scans_are_read(client):
    frame, error = told_by(lambda: wbframe.read_buckets(PATH, client=client))
    assert error is None
    assert f"k{NASTY}.min" in frame.columns
    lazy = wbframe.scan_histories(PATH, client=client).filter(pl.col("t") == NASTY)
    found, error = told_by(lambda: lazy.select("run_id", f"k{NASTY}").collect())
    assert error is None
    assert found.height == 120


def test_reports_explanations_and_accessors_are_lines_that_are_seen(client):
    runs, _ = told_by(lambda: wbframe.read_runs(PATH, client=client))
    lazy = wbframe.scan_histories([PATH, f"{PATH}/sweeps/sw"], client=client)
    query = lazy.filter(pl.col("t") == NASTY, pl.col(f"k{NASTY}") > 0)
    explained, _ = told_by(lambda: wbframe.explain(query))
    reported, _ = told_by(lambda: wbframe.doctor(PATH, client=client))
    for shown in (
        repr(wbframe.of(runs)),
        repr(wbframe.of(runs).report),
        repr(client.last_report),
        repr(explained),
        str(reported),
        repr(client),
    ):
        assert is_seen(shown, lines=True)
        assert max(map(len, shown.splitlines())) <= 500


def test_a_report_of_losses_is_lines_that_are_seen(client):
    report = wbframe.ScanReport(
        kind="runs",
        projects=(NASTY, "e/p"),
        runs=0,
        rows=0,
        left_out=tuple(wbframe.LeftOut(NASTY, NASTY * 100) for _ in range(9)),
        pushed=(NASTY,),
        residual=(NASTY,) * 9,
        replaced=(NASTY,),
    )
    assert is_seen(repr(report), lines=True)
    assert len(repr(report).splitlines()) < 14
    assert report.to_dict()["projects"][0] == NASTY


def test_objects_of_the_drop_in_are_shown_in_one_line_and_their_html_is_text(nasty):
    api = wbframe.Api(api_key=nasty.api_key, overrides={"base_url": nasty.url})
    runs = api.runs(PATH)
    run = runs[0]
    assert run.name == NASTY
    assert run.state == f"finished{NASTY}"
    for each in (api, runs, run, run.sweep, run.user, run.summary):
        assert is_seen(repr(each))
    for each in (api, runs, run):
        html = each._repr_html_()
        assert is_seen(html)
        assert re.findall(r"<(/?\w+)", html) == ["code", "/code", "a", "/a"]
    for what in ("nope", "nam\u202e", NASTY):
        with pytest.raises(AttributeError) as raised:
            getattr(run, what)
        assert is_seen(str(raised.value))


def test_html_of_names_is_escaped(nasty):
    with serve(nasty_project("<img src=x onerror=alert(1)>'\"&", entity="h")) as server:
        api = wbframe.Api(api_key=server.api_key, overrides={"base_url": server.url})
        run = api.runs("h/p")[0]
        assert "<img" in repr(run)
        assert "<img" not in run._repr_html_()
        assert "&lt;img" in run._repr_html_()


WRONG = {
    "keys": lambda client: wbframe.read_histories(PATH, keys=[NASTY], client=client),
    "columns": lambda client: wbframe.read_runs(PATH, columns=[f"config.{NASTY}"], client=client),
    "path": lambda client: wbframe.read_runs(f"e/{NASTY}", client=client),
    "project": lambda client: wbframe.read_runs("e/\u202e\x7f\x9b", client=client),
    "run": lambda client: wbframe.read_runs("e/p/\u202e\x7f\x9b", client=client),
    "many paths": lambda client: wbframe.read_runs([f"e/{NASTY}"] * 10_000, client=client),
    "order": lambda client: wbframe.read_runs(PATH, order=NASTY, client=client),
    "filters": lambda client: wbframe.read_runs(
        PATH, filters={"state": {f"${NASTY}": 1}}, client=client
    ),
    "filter that no run passes": lambda client: wbframe.read_runs(
        PATH, filters={NASTY: NASTY * 1_000}, client=client
    ),
    "overrides": lambda client: wbframe.read_runs(
        PATH, schema_overrides={f"config.c{NASTY}": NASTY}, client=client
    ),
    "a value that does not fit": lambda client: wbframe.read_histories(
        PATH, keys=["t"], schema_overrides={"t": pl.Int64}, client=client
    ),
    "on_error": lambda client: wbframe.read_runs(PATH, on_error=NASTY, client=client),
    "x_axis": lambda client: wbframe.read_histories(PATH, keys=["a"], x_axis=NASTY, client=client),
    "progress": lambda client: wbframe.read_runs(PATH, progress=NASTY * 1_000, client=client),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_a_caller_supplies_is_shown_as_what_is_seen(client, logged, wrong):
    _, error = told_by(lambda: WRONG[wrong](client))
    assert error is not None or wrong == "filter that no run passes"
    assert is_seen(logged.getvalue(), lines=True)


BODIES = {
    "a message": {"errors": [{"message": NASTY}]},
    "megabytes": {"errors": [{"message": NASTY * 20_000}]},
    "many": {"errors": [{"message": f"{NASTY}{i}"} for i in range(3_000)]},
    "text": {"errors": [NASTY]},
    "odd": {"errors": {NASTY: [NASTY, {NASTY: NASTY}]}},
    "detail": {"detail": NASTY},
    "error": {"error": NASTY},
    "beside data": {"data": {"project": {NASTY: 1}}, "errors": [{"message": NASTY}]},
    "other data": {"data": {NASTY: NASTY}},
    "page": f"<html>{NASTY}",
    "list": [NASTY],
}


@pytest.mark.parametrize("status", [200, 302, 400, 401, 403, 404, 413, 429, 500, 503])
@pytest.mark.parametrize("body", BODIES)
def test_what_a_server_says_is_shown_as_what_is_seen(nasty, client, logged, body, status):
    said = BODIES[body]
    raw = said if isinstance(said, str) else json.dumps(said, ensure_ascii=body != "many")
    nasty.fail(status=status, body=raw.encode(), match="query Runs", times=1000)
    _, error = told_by(lambda: wbframe.read_runs(PATH, client=client))
    assert error is not None
    assert str(error).lower().startswith("could not ")
    _, skipped = told_by(lambda: wbframe.read_runs([PATH], on_error="skip", client=client))
    assert skipped is not None or client.last_report.left_out
    assert is_seen(repr(client.last_report), lines=True)
    assert is_seen(logged.getvalue(), lines=True)


@given(nasty_texts)
@settings(max_examples=15)
def test_any_text_is_read_exactly_and_shown_as_what_is_seen(text):
    with (
        serve(nasty_project(text)) as server,
        wbframe.Client(server.url, server.api_key) as client,
    ):
        frame, error = told_by(lambda: wbframe.read_runs(PATH, client=client))
        assert error is None
        assert set(frame["notes"]) == {text}
        rows, error = told_by(lambda: wbframe.read_histories(PATH, keys=["t"], client=client))
        assert error is None
        assert set(rows["t"]) <= {text, None}
        server.fail(status=400, body=json.dumps({"errors": [text]}).encode(), times=1000)
        _, error = told_by(lambda: wbframe.read_runs(PATH, client=client))
        assert error is not None
        with pytest.raises(UsageError) as raised:
            wbframe.read_runs(PATH, columns=[f"x{text}"], client=client)
        assert is_seen(str(raised.value))
