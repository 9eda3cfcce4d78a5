"""Columns: from indices to names, dtypes and their order."""

from __future__ import annotations

import polars as pl
import pytest

from wbframe.core.filters import EMPTY
from wbframe.core.model import HistoryScan, RunPath, Selection
from wbframe.core.schema import histories as hs
from wbframe.core.schema import runs as sc
from wbframe.core.schema import types as ty
from wbframe.errors import ColumnError, UsageError

META = list(sc.RUN_COLUMNS)
NUMBER, TEXT, BOOL, NIL = (frozenset({kind}) for kind in ("number", "string", "bool", "nil"))


@pytest.mark.parametrize(
    ("types", "dtype"),
    [
        (set(), pl.Float64()),
        ({"nil"}, pl.Float64()),
        ({"number"}, pl.Float64()),
        ({"number", "nil"}, pl.Float64()),
        ({"bool"}, pl.Boolean()),
        ({"bool", "nil"}, pl.Boolean()),
        ({"bool", "number"}, pl.String()),
        ({"string"}, pl.String()),
        ({"number", "string"}, pl.String()),
        ({"list"}, pl.String()),
        ({"histogram", "nil"}, pl.String()),
    ],
)
def test_dtypes(types, dtype):
    assert ty.dtype_of(frozenset(types)) == dtype


@pytest.mark.parametrize(("types", "mixed"), [({"number", "string"}, True), ({"number", "string", "nil"}, True), ({"number"}, False), ({"string"}, False), ({"number", "string", "bool"}, False)])  # fmt: skip
def test_mixed(types, mixed):
    assert ty.is_mixed(frozenset(types)) is mixed


@pytest.mark.parametrize(
    ("path", "column"),
    [
        ("config.lr.value", "config.lr"),
        ("config.lr", "config.lr"),
        ("config.opt.value.name", "config.opt.name"),
        ("config.a.b.value", "config.a.b"),
        ("config.value.value", "config.value"),
        ("config.value.value.value", "config.value.value"),
        ("config.a.value.x.value", "config.a.x.value"),
        ("config..value", "config."),
        ("config._wandb.value.t", None),
        ("config.wandb_version.value", None),
        ("config", None),
        ("summary_metrics.train/loss", "summary.train/loss"),
        ("summaryMetrics.a.b", "summary.a.b"),
        ("summary.a", "summary.a"),
        ("summary_metrics.", "summary."),
        ("summary_metrics._wandb.runtime", None),
        ("aggregations_min.loss", None),
        ("displayName", None),
    ],
)
def test_paths_of_the_index(path, column):
    found = ty.index_of_fields([(path, "number")])
    assert found == ({} if column is None else {column: NUMBER})


@pytest.mark.parametrize(("spelled", "kind"), [("number", "number"), ("Float", "number"), ("int64", "number"), ("text", "string"), ("boolean", "bool"), ("null", "nil"), ("histogram", "json"), ("Double", "number"), ("image-file", "json"), ("list", "json"), (None, None), ("map", None), ("int|string", None), (["number"], None)])  # fmt: skip
def test_types_of_the_index(spelled, kind):
    known = frozenset() if kind is None else frozenset({kind})
    assert ty.index_of_fields([("summary.a", spelled)]) == {"summary.a": known}


def test_an_index_unites_types():
    index = ty.index_of_fields([("summary.a", "number"), ("summary.a", "string")])
    assert index == {"summary.a": NUMBER | TEXT}
    ty.merge_index(index, {"summary.a": ["nil"], "summary.b": ["bool"]})
    assert index == {"summary.a": NUMBER | TEXT | NIL, "summary.b": BOOL}


# ---------------------------------------------------------------- the runs frame

INDEX = {"summary.b": NUMBER, "config.z": TEXT, "config.a": NUMBER, "summary.a.c": BOOL}


def test_all_columns_come_in_the_order_of_the_frame():
    found = sc.runs_schema(None, INDEX, {})
    assert list(found.columns) == [*META, "config.a", "config.z", "summary.a.c", "summary.b"]
    assert found.open
    assert found.leaves() == {
        "config.a": pl.Float64(),
        "config.z": pl.String(),
        "summary.a.c": pl.Boolean(),
        "summary.b": pl.Float64(),
    }


def test_all_columns_are_asked_whole_because_an_index_may_lag():
    fields = sc.runs_schema(None, INDEX, {}).fields()
    assert (fields.config, fields.summary) == (None, None)


def test_names_globs_and_overrides():
    found = sc.runs_schema(["summary.*", "state", "config.a"], INDEX, {"config.a": pl.Int64()})
    assert found.columns == {
        "summary.a.c": pl.Boolean(),
        "summary.b": pl.Float64(),
        "state": pl.String(),
        "config.a": pl.Int64(),
    }
    fields = found.fields()
    assert fields.plain == ("name", "state")
    assert (fields.config, fields.summary) == (("a",), None)
    assert found.open == ("summary.*",)


def test_without_an_index_names_are_taken_and_globs_stay_open():
    named = sc.runs_schema(["config.a", "run_id"], None, {}, complete=False, taken=True)
    assert (named.columns, named.open) == ({"config.a": pl.Float64(), "run_id": pl.String()}, ())
    assert sc.runs_schema(["config.*"], None, {}, complete=False, taken=True).open


def test_names_that_an_index_may_lack_stay_open():
    found = sc.runs_schema(["config.nope", "config.a"], {"config.a": NUMBER}, {}, complete=False)
    assert (found.columns, found.open) == ({"config.a": pl.Float64()}, ("config.nope",))
    assert found.takes(["config.nope", "config.no", "config.a"]) == {"config.nope"}
    assert found.fields().config == ("a", "nope")


def test_an_object_is_the_value_of_a_column_that_nothing_is_known_within():
    index = {"config.a": NUMBER, "config.b": NUMBER, "config.b.c": NUMBER}
    found = sc.runs_schema(None, index, {})
    assert "config.a" in found.parents
    assert "config.b" not in found.parents


@pytest.mark.parametrize(("columns", "overrides"), [(["config.nope"], {}), (["config.n*"], {}), (["config.a"], {"config.nope": pl.Int64()})])  # fmt: skip
def test_what_no_run_has_is_an_error(columns, overrides):
    with pytest.raises(ColumnError, match=r"in the runs of e/p"):
        sc.runs_schema(columns, INDEX, overrides, where="e/p")


def test_a_glob_of_a_whole_family_may_match_nothing():
    assert sc.runs_schema(["config.*", "summary.*"], {}, {}).columns == {}


def test_which_names_can_be_known_before_any_request():
    assert sc.check_columns(None) is None
    assert sc.check_columns(["state", "config.x", "summ*", "*_at", "state"]) == (
        "state",
        "config.x",
        "summ*",
        "*_at",
    )
    for bad in ("state", [1]):
        with pytest.raises(UsageError):
            sc.check_columns(bad)
    for bad in ("stat", "lr", "x*", "x[ab]"):
        with pytest.raises(ColumnError):
            sc.check_columns([bad])


def test_when_the_index_is_needed():
    assert sc.needs_index(None)
    assert sc.needs_index(["config.a"])
    assert not sc.needs_index(["state", "run_id"])


# ---------------------------------------------------------------- the histories frame


def scan(**options):
    selection = Selection(paths=(RunPath(entity="e", project="p"),), filters=EMPTY)
    return HistoryScan(selection=selection, **options)


KEYS = {"_step": NUMBER, "b": NUMBER, "a": TEXT, "state": BOOL, "run_id": NUMBER}


def test_keys_are_sorted_unless_asked():
    found = hs.history_schema(scan(), KEYS, {}, where="e/p")
    assert list(found.columns) == ["run_id", "_step", "a", "b", "history.run_id", "state"]
    found = hs.history_schema(scan(keys=("b", "a")), KEYS, {}, where="e/p")
    assert found.columns == {
        "run_id": pl.String(),
        "_step": pl.Int64(),
        "b": pl.Float64(),
        "a": pl.String(),
    }


def test_names_that_are_taken():
    found = hs.history_schema(scan(), KEYS, {"state": pl.String()}, where="e/p")
    assert found.names == {"run_id": "history.run_id", "state": "history.state"}
    assert list(found.columns)[-1] == "state"
    index = {**KEYS, "history.run_id": TEXT}
    found = hs.history_schema(scan(), index, {}, where="e/p")
    assert len(found.columns) == len(index) + 1


def test_another_axis_leads():
    found = hs.history_schema(scan(keys=("a",), x_axis="b"), KEYS, {}, where="e/p")
    assert list(found.columns) == ["run_id", "_step", "b", "a"]


def test_overrides_win_and_must_name_a_column():
    found = hs.history_schema(scan(overrides={"b": pl.Int64()}), KEYS, {}, where="e/p")
    assert found.columns["b"] == pl.Int64()
    hs.history_schema(scan(overrides={"config.lr": pl.Int64()}), KEYS, {}, where="e/p")
    with pytest.raises(ColumnError, match="'bb'"):
        hs.history_schema(scan(overrides={"bb": pl.Int64()}), KEYS, {}, where="e/p")


@pytest.mark.parametrize("options", [{"keys": ("c",)}, {"keys": ("c*",)}, {"x_axis": "c"}, {"stream": "system", "keys": ("cpu",)}])  # fmt: skip
def test_unknown_keys_are_errors_only_where_that_is_known(options):
    with pytest.raises(ColumnError, match="no run of e/p has logged the key"):
        hs.history_schema(scan(**options), KEYS, {}, where="e/p")
    assert (
        hs.history_schema(scan(**options), KEYS, {}, where="e/p", complete=False).columns["run_id"]
        == pl.String()
    )
    assert hs.history_schema(scan(**options), {}, {}, where="e/p").columns["run_id"] == pl.String()


def test_machine_metrics():
    index = {"system.cpu": NUMBER, "system.gpu.0.gpu": NUMBER}
    for key in ("cpu", "system.cpu", "system/cpu"):
        found = hs.history_schema(scan(stream="system", keys=(key,)), index, {}, where="e/p")
        assert list(found.columns) == ["run_id", "_runtime", "_timestamp", "system.cpu"]
    found = hs.history_schema(
        scan(stream="system", keys=("gpu*", "_runtime")), index, {}, where="e/p"
    )
    assert list(found.columns) == ["run_id", "_runtime", "_timestamp", "system.gpu.0.gpu"]


@pytest.mark.parametrize(("key", "column"), [("system/cpu", "system.cpu"), ("system.cpu", "system.cpu"), ("system/system.load1", "system.system.load1"), ("loss", "loss")])  # fmt: skip
def test_columns_of_machine_metrics(key, column):
    assert ty.system_column(key) == column
