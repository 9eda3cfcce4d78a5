"""What is told on stderr: samples, warnings, tries that take long, the log, and how far a read has come."""

from __future__ import annotations

import logging
import sys
import warnings

import polars as pl
import pytest

import wbframe
from tests.cli.conftest import RAGGED, one_line
from tests.clocks import FakeClock
from wbframe.cli.stderr import told
from wbframe.errors import LeftOutWarning, PrecisionWarning, WbframeWarning


def test_a_sample_says_so(run):
    code, _, err = run("histories", RAGGED, "-k", "train/loss", "--samples", "7")
    assert code == 0
    assert err.startswith("wbframe: sampled: ")
    assert "more than --samples 7; --samples all reads every row" in err
    assert run("histories", RAGGED, "-k", "train/loss")[2] == ""


def test_a_warning_is_one_line_and_goes_with_the_override(run):
    code, _, err = run("histories", RAGGED, "-k", "big")
    assert code == 0
    assert err.startswith("wbframe: warning: Float64 cannot hold every digit of 'big'")
    assert err.endswith("--override big=Int64\n")
    assert err.count("\n") == 1
    code, out, err = run(
        "histories", RAGGED, "-k", "big", "--override", "big=Int64", "--format", "csv"
    )
    assert (code, err) == (0, "")
    exact = wbframe.polars.read_histories(RAGGED, keys=["big"], schema_overrides={"big": pl.Int64})
    assert out.decode() == exact.write_csv()


def test_messages_name_options_in_place_of_arguments(run, monkeypatch):
    def incomplete(*_, **__):
        raise wbframe.errors.IncompleteError("rows are missing; set on_incomplete='warn'")

    monkeypatch.setattr(wbframe.polars, "read_histories", incomplete)
    code, _, err = run("histories", RAGGED, "--samples", "all")
    assert (code, one_line(err)) == (
        6,
        "wbframe: error: rows are missing; set --on-incomplete warn\n",
    )


def test_what_the_output_says_is_not_warned_of_too(run, monkeypatch):
    def read(*_, **__):
        warnings.warn(
            "7 runs are sampled", type("SampledWarning", (WbframeWarning,), {}), stacklevel=2
        )
        warnings.warn("left out 1", LeftOutWarning, stacklevel=2)
        warnings.warn("digits, with samples=None", PrecisionWarning, stacklevel=2)
        return pl.DataFrame({"run_id": ["a"]})

    monkeypatch.setattr(wbframe.polars, "read_runs", read)
    assert run("runs", RAGGED)[2] == "wbframe: warning: digits, with --samples all\n"


# ---------------------------------------------------------------- tries


@pytest.fixture
def clocked(monkeypatch):
    """The command's client on a clock that nobody waits for."""
    clock = FakeClock()
    real = wbframe.Client
    monkeypatch.setattr(wbframe, "Client", lambda **options: real(**options, clock=clock))
    return clock


READ = ["runs", RAGGED, "-c", "run_id", "-f", "csv"]


@pytest.mark.parametrize(("after", "lines"), [("0.7", 0), ("30", 1)])
def test_a_try_that_follows_within_two_seconds_is_silent_and_others_are_a_line(
    run, served, clocked, after, lines
):
    served.fail(status=503, headers={"Retry-After": after})
    code, out, err = run(*READ)
    assert (code, out.count(b"\n"), err.count("\n")) == (0, 14, lines)
    assert clocked.waits == [float(after)]
    if lines:
        assert err.startswith("wbframe: could not read the runs of wbframe/ragged from http://")
        assert err.endswith("; try 2 follows in 30.0 s\n")


@pytest.mark.parametrize(
    ("tries", "said"),
    [
        # Seconds since the first, and until the next: at first what ends within two seconds is not told.
        ([(0.0, 0.7), (0.7, 0.7)], []),
        ([(0.0, 0.7), (0.7, 0.7), (1.4, 0.7)], [1.4]),
        ([(0.0, 30.0)], [0.0]),
        # Other threads wait as long.
        ([(0.0, 30.0), (0.1, 30.0), (1.9, 29.0)], [0.0]),
        ([(0.0, 30.0), (30.1, 60.0), (90.2, 60.0)], [0.0, 30.1, 90.2]),
    ],
)
def test_one_line_speaks_for_all_that_wait_for_the_same(capfd, tries, said):
    log = logging.getLogger("wbframe.client")
    with told(verbose=False):
        for at, wait in tries:
            record = log.makeRecord(log.name, logging.INFO, "", 0, f"at {at}", (), None)
            record.created, record.wbframe_wait = at, wait
            log.handle(record)
        log.info("of nothing that is tried again")
    assert capfd.readouterr().err.splitlines() == [f"wbframe: at {at}" for at in said]


def test_verbose_logs_each_try_and_what_was_read(run, served, clocked):
    served.fail(status=503, headers={"Retry-After": "0.1"}, times=1)
    code, _, err = run(*READ, "-v")
    assert code == 0
    tried, read = err.splitlines()
    assert tried.endswith("; try 2 follows in 0.1 s")
    assert read == "wbframe: read the runs of wbframe/ragged: 13 rows of 13 runs in 2 requests"
    assert served.api_key not in err
    # What is set for a command is not left behind.
    log = logging.getLogger("wbframe")
    assert log.level == logging.NOTSET
    assert [type(each) for each in log.handlers] == [logging.NullHandler]
    assert run(*READ)[2] == ""


# ---------------------------------------------------------------- progress


def test_progress_is_a_bar_on_a_terminal_and_lines_elsewhere(run, monkeypatch):
    pytest.importorskip("tqdm")
    err = run("runs", RAGGED, "-c", "name", "--progress")[2]
    assert err.startswith("wbframe: runs: 13 of 13 runs, 13 rows, ")
    assert err.count("\n") == 1
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert "runs: 100%" in run("runs", RAGGED, "-c", "name", "--progress")[2]
    assert run("runs", RAGGED, "-c", "name")[2] == ""
