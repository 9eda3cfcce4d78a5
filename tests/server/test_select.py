from __future__ import annotations

import base64
import math

import pytest

from tests.server.asking import engine_of, names
from wbframe.server import Project, RunRecord, ragged
from wbframe.server.api.matching import MISSING
from wbframe.server.api.select import MOST_ON_PAGE, CursorError, cursor, lookup, ordered, page


def run(name, **fields):
    return RunRecord(name=name, **fields)


PROJECT = Project(
    entity="ent",
    name="p",
    runs=(
        run("c", config={"lr": 3}, created_at="2026-01-03T00:00:00", heartbeat_at=None),
        run("a", config={"lr": "x"}, created_at="2026-01-01T00:00:00.5Z", display_name="z"),
        run("b", config={}, created_at="2026-01-02T00:00:00Z", summary={"m": {"n": 1}}),
        run("d", config={"lr": 0.5}, created_at="2026-01-03T00:00:00Z", summary={"m": {"n": 0}}),
        run("e", config=None, created_at="2026-01-01T00:00:00Z", summary={"m": math.nan}),
    ),
)


@pytest.mark.parametrize(
    ("order", "wanted"),
    [
        (None, "cdbae"),
        ("+created_at", "eabcd"),
        ("createdAt", "eabcd"),
        ("-created_at", "cdbae"),
        ("+config.lr.value", "ebdca"),
        ("-config.lr", "acdeb"),
        ("+summary_metrics.m.n", "eacdb"),
        ("+display_name", "ebcda"),
        ("+name", "abcde"),
        ("-summary_metrics.nothing", "eabcd"),
        ("-nonsense", "eabcd"),
        ("+config", "eabcd"),
        ("+tags", "eabcd"),
        ("-heartbeatAt", "eabcd"),
    ],
)
def test_orders(order, wanted):
    assert "".join(run.name for run in ordered(PROJECT, order)) == wanted


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("name", "objects"),
        ("displayName", None),
        ("display_name", None),
        ("state", "finished"),
        ("entity", "wbframe"),
        ("username", "ada"),
        ("user", "ada"),
        ("tags", []),
        ("sweep", None),
        ("createdAt", "2026-01-05T08:50:00Z"),
        ("updated_at", "2026-01-05T08:50:04Z"),
        ("jobType", None),
        ("duration", 0),
        ("notes", "two\nlines"),
        ("config.lr", 1e-05),
        ("config.lr.value", 1e-05),
        ("config.optimizer.value.name", "adam"),
        ("config.optimizer.value.value.value", 3),
        ("config.value.value", {"value": 1}),
        ("config.optimizer.name", "adam"),
        ("config.layers", [64, 32, 10]),
        ("config.nothing", None),
        ("config.absent", MISSING),
        ("config.dotted.key", MISSING),
        ("config.lr.value.deeper", MISSING),
        ("summary_metrics.nested.deep.er", 7),
        ("summary_metrics.packed._type", "histogram"),
        ("summary.train/loss", MISSING),
        ("config", MISSING),
        ("whatever", MISSING),
    ],
)
def test_fields_of_a_run(ragged_project, path, value):
    assert lookup(ragged_project, ragged_project.run("objects"), path) == value


def test_non_finite_numbers_are_text_for_filters(ragged_project):
    found = lookup(ragged_project, ragged_project.run("summary"), "summary_metrics.train/loss")
    assert found == "NaN"


def test_a_run_of_nobody_has_no_user():
    nobody = run("x", user=None)
    assert lookup(PROJECT, nobody, "username") is None
    assert lookup(PROJECT, nobody, "user") is None


def test_cursors_are_offsets():
    assert base64.b64decode(cursor(7)) == b"arrayconnection:7"
    items = list(range(10))
    assert page(items, 3, None).items == [0, 1, 2]
    assert page(items, 3, cursor(2)).items == [3, 4, 5]
    assert page(items, 3, cursor(8)).items == [9]
    assert page(items, 3, cursor(999)).items == []
    assert page(items, 0, "").items == []
    assert page(items, 2, cursor(-5)).items == [0, 1]


def test_pages_are_bounded():
    items = list(range(3000))
    assert len(page(items, None, None).items) == 50
    assert len(page(items, 10**6, None).items) == MOST_ON_PAGE
    with pytest.raises(CursorError, match="must not be negative"):
        page(items, -1, None)


@pytest.mark.parametrize(
    "bad", ["%%%", "x", "\u00e9", base64.b64encode(b"other:1").decode(), "YXJyYXljb25uZWN0aW9uOng="]
)
def test_foreign_cursors_are_refused(bad):
    with pytest.raises(CursorError, match="no cursor"):
        page([1], 1, bad)


@pytest.mark.parametrize(
    ("filters", "wanted"),
    [
        ({"state": "crashed"}, {"nonfinite"}),
        ({"state": {"$in": ["crashed", "killed"]}}, {"nonfinite", "mixed"}),
        ({"config.lr": 0.1, "config.model": "mlp"}, {"cadence1", "twice"}),
        ({"config.optimizer.value.name": "sgd"}, {"cadence1"}),
        ({"config.epochs.value": {"$gte": 10}}, {"cadence1", "drifting"}),
        ({"display_name": {"$regex": "^same"}}, {"cadence1", "drifting"}),
        ({"tags": {"$in": ["best", "a/b"]}}, {"cadence1", "nonfinite"}),
        ({"$and": [{"tags": "baseline"}, {"tags": "best"}]}, {"cadence1"}),
        ({"createdAt": {"$gte": "2026-01-05T09:50"}}, {"noconfig", "summary"}),
        ({"sweep": "swp2bbbb"}, {"whole", "norows"}),
        ({"summary_metrics.nested.a.b": "Infinity"}, {"summary"}),
        ({"$nor": [{"username": "ada"}]}, {"named"}),
        ({"name": {"$exists": False}}, set()),
        ({"config.a.b": 1}, set()),
        ({"config.a.b": 2}, {"named"}),
    ],
)
def test_filters(ragged_project, filters, wanted):
    engine = engine_of(ragged_project)
    assert set(names(engine, "ragged", filters=filters)) == wanted


def test_missing_keys_are_read_either_way():
    filters = {"group": {"$ne": "first"}}
    kept = {
        reading: len(names(engine_of(ragged(), null_reading=reading), "ragged", filters=filters))
        for reading in ("mongo", "sql")
    }
    assert kept == {"mongo": 12, "sql": 1}
