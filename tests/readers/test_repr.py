"""What reads, scans and namespaces say of themselves fits one screen, whatever they are of."""

from __future__ import annotations

import inspect
import re

import pandas as pd
import polars as pl
import pytest
from polars.io.plugins import register_io_source

import wbframe
from wbframe import LeftOut, ScanReport

RAGGED = "wbframe/ragged"
MANY = [f"a-run-with-a-rather-long-name-{i}" for i in range(5000)]
# A screen, of lines that a terminal wraps once or twice.
LINES, WIDTH = 24, 450


def fits(text):
    lines = text.splitlines()
    return len(lines) <= LINES and max(map(len, lines)) <= WIDTH


def test_an_explanation_of_many_runs_stays_short(client):
    lazy = wbframe.scan_histories(
        [f"{RAGGED}/runs/{name}" for name in MANY],
        filters={"name": {"$in": MANY}},
        run_columns=["state", "name"],
        schema_overrides={"train/loss": float},
        keys=["train/loss"],
        on_error="skip",
        client=client,
    )
    assert fits(lazy._repr_html_().replace("; ", "\n"))
    found = wbframe.explain(lazy)
    assert repr(found) == str(found)
    assert repr(found).startswith(
        "histories of wbframe/ragged/runs/a-run-with-a-rather-long-name-0, "
    )
    assert "-name-3 and 4,996 more\n" in repr(found)
    assert fits(repr(found))


def test_an_explanation_of_many_conditions_stays_short(client):
    lazy = wbframe.scan_runs(RAGGED, client=client).filter(
        pl.col("run_id").is_in(MANY),
        *(pl.col("state") != name for name in MANY[:100]),
        pl.col("name") == "x" * 5000,
    )
    found = wbframe.explain(lazy)
    assert fits(repr(found))
    (scan,) = found.scans
    assert repr(scan) == str(found)
    assert f"conditions: {len(scan.conjuncts) - 12:,} more, see `conjuncts`" in repr(scan)


@pytest.mark.skipif(
    "explain_name" not in inspect.signature(register_io_source).parameters,
    reason="this polars shows no more of a source than that it is one",
)
def test_a_plan_has_a_tidy_line_for_each_source(client):
    options = {"filters": {"displayName": {"$in": MANY}}, "client": client}
    runs = wbframe.scan_runs(RAGGED, **options)
    scans = {
        "WANDB RUNS": runs,
        "WANDB HISTORIES": wbframe.scan_histories([f"{RAGGED}/runs/{name}" for name in MANY], schema_overrides={"a": int}, keys=["a"], on_error="skip", **options),
        "WANDB BUCKETS": wbframe.scan_buckets(RAGGED, **options),
    }  # fmt: skip
    for label, lazy in scans.items():
        described = re.findall(r"INFO: .*", shown(lazy))
        assert f"PYTHON[{label}] SCAN" in shown(lazy)
        assert len(described) == 1
        assert " object at 0x" not in shown(lazy)
        assert fits(shown(lazy).replace("; ", "\n"))
    left = wbframe.of(runs).histories(client=client)
    assert "INFO: the runs of a lazy frame; order +created_at; keys all (any);" in shown(left)
    wide = wbframe.scan_runs(
        RAGGED, filters=pl.any_horizontal(pl.col("name") == each for each in MANY), client=client
    )
    assert fits(shown(wide).replace("; ", "\n"))


def shown(lazy):
    return lazy.explain(optimized=False)


def test_a_report_fits_a_screen():
    report = ScanReport(
        kind="histories",
        projects=tuple(f"e/p{i}" for i in range(300)),
        runs=5000,
        rows=1_234_567,
        rows_known=9_000_000,
        samples=500,
        sampled_runs=321,
        growing_runs=1,
        requests=60,
        retries=2,
        bytes_received=123_456_789,
        replaced=("a", "b"),
        seconds=12.345,
        waited=3.0,
        left_out=tuple(LeftOut(what=f"e/p/{name}", why="why " * 200) for name in MANY),
        pushed=tuple(f"run_id == '{name}'" for name in MANY),
        residual=("state == 'x'",),
    )
    lines = repr(report).splitlines()
    assert lines[:4] == [
        "1,234,567 rows of 5,000 runs of e/p0, e/p1, e/p2, e/p3 and 296 more",
        "  60 requests (2 of them second tries), 123.5 MB, 12.3 s, 3.0 s of waiting",
        "  asked for 500 rows a run at the most: 321 runs had more (9,000,000 rows in all)",
        "  still running: 1 run",
    ]
    assert lines[4].startswith(f"  left out: e/p/{MANY[0]}: why why")
    assert "  left out: 4,995 more, see `left_out`" in lines
    assert "  filtered here: state == 'x'" in lines
    assert "  not on this server: a; b" in lines
    assert fits(repr(report))


def test_a_report_of_runs_says_what_it_took(client):
    report = wbframe.of(wbframe.read_runs(RAGGED, limit=1, client=client)).report
    assert re.fullmatch(
        r"1 run of wbframe/ragged\n  \d requests, 0\.\d MB, \d+\.\d s", repr(report)
    )
    assert str(report) == repr(report)


@pytest.mark.parametrize("kind", [pl.DataFrame, pd.DataFrame])
def test_a_namespace_says_what_it_is_of_and_has(kind):
    namespace = kind({"run_id": ["a", "b", "a"], "project": ["p", "p", "p"]}).wandb
    first, *others = repr(namespace).splitlines()
    assert first == "wandb of 2 runs"
    names = [name for name in dir(namespace) if not name.startswith("_")]
    assert sorted(line.split()[0].removesuffix("()") for line in others) == names
    for line in others:
        name, _, told = line.strip().partition("  ")
        member = inspect.getattr_static(namespace, name.removesuffix("()"))
        assert told.strip() == inspect.getdoc(member).splitlines()[0]
    assert repr(kind({"project": ["p"]}).wandb).startswith("wandb of 0 runs\n")


def test_a_namespace_of_a_lazy_frame_reads_nothing(web, client):
    lazily = wbframe.of(wbframe.scan_runs(RAGGED, client=client))
    web.clear()
    assert repr(lazily).startswith("wandb of the runs of a lazy frame\n  histories()  Scan ")
    assert fits(repr(lazily))
    assert not web.requests
