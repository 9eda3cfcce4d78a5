"""The runs frame: what it holds, which of it, in which order, and what that costs."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from operator import itemgetter

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import wbframe
from tests.readers.plain import META, assert_column, run_columns, run_rows
from wbframe.core.model import RunPath
from wbframe.core.schema.runs import RUN_COLUMNS
from wbframe.errors import CollisionWarning, PrecisionWarning, SchemaMismatchError
from wbframe.io.client.credentials import app_url
from wbframe.polars import read_runs, report_of
from wbframe.server import Features, History, Project, RunRecord, serve, synthetic

pytestmark = pytest.mark.filterwarnings("ignore::wbframe.errors.PrecisionWarning")

RAGGED = "wbframe/ragged"
DEMO = "wbframe/demo"


def ids(frame):
    return frame["run_id"].to_list()


def spelled(request):
    """Give the document on one line."""
    return " ".join(request.document.split())


# ---------------------------------------------------------------- what it holds


def test_every_cell_of_config_and_summary_is_that_of_the_plain_json(project, client):
    frame = read_runs(project.path, client=client)
    expected = run_columns(project)
    assert frame.columns == [*META, *expected]
    assert ids(frame) == [row["run_id"] for row in run_rows(project)]
    for name, (dtype, values) in expected.items():
        assert_column(frame[name], dtype, values)


def test_metadata_columns_have_their_dtypes_and_values(ragged_project, client):
    frame = read_runs(RAGGED, columns=META, client=client)
    assert dict(frame.schema) == {name: dtype for name, (dtype, _) in RUN_COLUMNS.items()}
    runs = sorted(ragged_project.runs, key=lambda run: run.created_at.removesuffix("Z"))
    for name, attribute in {
        "run_id": "name", "name": "display_name", "state": "state", "group": "group", "job_type": "job_type",
        "sweep": "sweep", "notes": "notes", "commit": "commit", "history_line_count": "line_count",
    }.items():  # fmt: skip
        assert frame[name].to_list() == [getattr(run, attribute) for run in runs], name
    assert frame["tags"].to_list() == [list(run.tags) for run in runs]
    assert frame["user"].to_list() == [run.user["username"] for run in runs]
    assert set(frame["entity"]) == {"wbframe"}
    assert set(frame["project"]) == {"ragged"}


def test_all_three_spellings_of_times_are_utc(client):
    frame = read_runs(RAGGED, columns=["run_id", "created_at", "heartbeat_at"], client=client)
    times = dict(zip(frame["run_id"], frame["created_at"], strict=True))
    assert times["cadence1"] == datetime(2026, 1, 5, 8, 0, tzinfo=timezone.utc)
    assert times["drifting"] == datetime(2026, 1, 5, 8, 10, tzinfo=timezone.utc)
    assert times["whole"] == datetime(2026, 1, 5, 8, 20, 0, 250_000, tzinfo=timezone.utc)
    assert frame["heartbeat_at"].null_count() == 2


def test_what_other_clients_cannot_read_is_read(client):
    frame = read_runs("wbframe/odd", client=client)
    assert frame["user"].to_list() == [None, "ada", None]
    assert frame["state"].to_list() == [None, "finished", "finished"]
    assert not [name for name in frame.columns if name.startswith("config.")]


def test_a_key_with_a_dot_wins_over_a_nested_one_in_any_order_and_projection():
    both = {"a.b": 1, "a": {"b": 2}}
    turned = dict(reversed(both.items()))
    runs = tuple(
        RunRecord(name=f"r{i}", config=config, created_at=f"2026-01-0{i + 1}T00:00:00Z")
        for i, config in enumerate((both, turned))
    )
    for features in (Features(), Features(fields=False), Features(projection=False)):
        with serve(Project(entity="e", name="p", runs=runs), features=features) as server:
            client = wbframe.Client(server.url, server.api_key)
            with pytest.warns(CollisionWarning, match=r"config\.a\.b"):
                assert read_runs("e/p", client=client)["config.a.b"].to_list() == [1.0, 1.0]


@pytest.mark.parametrize(
    "config",
    [
        {"value": 1},
        {"value": {"value": 1}},
        {"a": {"value": {"b": 1}}},
        {"a": {"x": {"value": 1}}},
        {"x.value": 1},
        {"": 1, "b": {"": 2}},
    ],
)
def test_keys_called_value_or_nothing_are_found_again(config):
    run = RunRecord(name="r", config=config)
    project = Project(entity="e", name="p", runs=(run,))
    with serve(project) as server, wbframe.Client(server.url, server.api_key) as client:
        frame = read_runs("e/p", client=client)
        expected = run_columns(project)
        for name, (dtype, values) in expected.items():
            assert_column(frame[name], dtype, values)
            assert_column(read_runs("e/p", columns=[name], client=client)[name], dtype, values)
        assert {name for name in frame.columns if name.startswith("config.")} >= expected.keys()
        assert (
            frame.select(pl.selectors.starts_with("config.")).null_count().sum_horizontal().item()
            == 0
        )


def test_the_summary_has_nothing_of_the_sdk_itself(web):
    for features in (Features(), Features(fields=False), Features(projection=False)):
        with serve("ragged", features=features) as server:
            frame = read_runs(RAGGED, client=wbframe.Client(server.url, server.api_key))
        assert not [name for name in frame.columns if "_wandb" in name]


# ---------------------------------------------------------------- columns


def test_columns_come_in_the_order_asked_and_once(client):
    names = ["summary.train/loss", "state", "config.optimizer.name", "run_id", "state"]
    frame = read_runs(RAGGED, columns=names, client=client)
    assert frame.columns == ["summary.train/loss", "state", "config.optimizer.name", "run_id"]
    whole = read_runs(RAGGED, client=client)
    assert_frame_equal(frame, whole.select(frame.columns))


def test_globs_expand_in_the_order_of_the_frame(client):
    whole = read_runs(DEMO, client=client)
    frame = read_runs(DEMO, columns=["summary.*loss*", "run_id", "config.*", "*_at"], client=client)
    summary = [name for name in whole.columns if name.startswith("summary.") and "loss" in name]
    config = [name for name in whole.columns if name.startswith("config.")]
    assert summary
    assert frame.columns == [*summary, "run_id", *config, "created_at", "heartbeat_at"]
    assert_frame_equal(frame, whole.select(frame.columns))


def test_a_key_that_looks_like_a_glob_is_itself():
    run = RunRecord(name="r", config={"a*": 1, "ab": 2, "c[0]": 3})
    with serve(Project(entity="e", name="p", runs=(run,))) as server:
        client = wbframe.Client(server.url, server.api_key)
        frame = read_runs("e/p", columns=["config.a*", "config.c[0]"], client=client)
    assert frame.rows() == [(1.0, 3.0)]


def test_a_glob_that_matches_nothing_yet_gives_no_column(client):
    frame = read_runs("wbframe/empty", columns=["run_id", "config.*", "summary.*"], client=client)
    assert frame.columns == ["run_id"]


def test_metadata_columns_alone_cost_one_request_that_asks_for_nothing_more(web, client):
    read_runs(DEMO, columns=["run_id", "state", "created_at"], client=client)
    [request] = web.requests
    assert "node { name state createdAt }" in spelled(request)
    assert "config" not in request.document
    assert "summaryMetrics" not in request.document


def test_only_the_keys_asked_for_are_asked_of_the_server(web, client):
    read_runs(
        DEMO, columns=["run_id", "config.learning_rate", "summary.train/accuracy"], client=client
    )
    # They are asked for side by side.
    index, page = sorted(web.requests, key=lambda request: request.operation)
    assert "fields(" in index.document
    assert "node { name config(keys: $configKeys) summaryMetrics(keys: $summaryKeys) }" in spelled(
        page
    )
    assert page.variables["configKeys"] == ["learning_rate"]
    assert page.variables["summaryKeys"] == ["train/accuracy"]


def test_summaries_with_text_among_numbers_are_looked_at_once_in_a_thousand_runs(web, client):
    frame = read_runs(DEMO, columns=["run_id", "summary.train/loss"], limit=2, client=client)
    assert sorted(request.operation for request in web.requests) == ["Fields", "Runs", "Runs"]
    pages = [each.variables for each in web.requests if each.operation == "Runs"]
    page, look = sorted(pages, key=itemgetter("first"))
    assert page["first"] == 2
    assert (look["first"], look["summaryKeys"], look["filters"]) == (1000, ["train/loss"], "{}")
    assert frame.schema["summary.train/loss"] == pl.Float64()
    web.clear()
    overrides = {"summary.train/loss": pl.String}
    read_runs(DEMO, columns=["summary.train/loss"], schema_overrides=overrides, client=client)
    assert len(web.requests) == 2


def test_a_nested_column_asks_for_the_keys_that_may_hold_it(web, client):
    read_runs(RAGGED, columns=["config.outer.inner.dotted"], client=client)
    [page] = [request for request in web.requests if request.operation == "Runs"]
    assert page.variables["configKeys"] == ["outer", "outer.inner", "outer.inner.dotted"]


# ---------------------------------------------------------------- dtypes


def test_overrides_keep_every_digit(client):
    columns = ["run_id", "config.big", "summary.big/high", "summary.big/odd"]
    wanted = dict.fromkeys(columns[1:], pl.Int64)
    frame = read_runs(RAGGED, columns=columns, schema_overrides=wanted, client=client)
    rows = {row["run_id"]: row for row in frame.to_dicts()}
    assert rows["huge"]["config.big"] == -(2**63)
    assert rows["objects"]["config.big"] == 2**60 + 1
    assert rows["huge"]["summary.big/high"] == 2**63 - 1 - 5
    assert rows["huge"]["summary.big/odd"] == 2**53 + 11


def test_digits_that_are_lost_are_warned_of_by_name(client):
    with pytest.warns(PrecisionWarning, match=r"'summary\.big/odd'.*pl\.Int64"):
        read_runs(RAGGED, columns=["summary.big/odd"], client=client)


def test_overrides_open_lists_and_objects(client):
    frame = read_runs(
        RAGGED,
        columns=["run_id", "config.layers", "config.optimizer.betas"],
        schema_overrides={
            "config.layers": pl.List(pl.Int64),
            "config.optimizer.betas": pl.List(pl.Float64),
        },
        client=client,
    )
    row = frame.row(by_predicate=pl.col("run_id") == "objects", named=True)
    assert row["config.layers"] == [64, 32, 10]
    assert row["config.optimizer.betas"] == [0.9, 0.999]


@pytest.mark.parametrize("features", [Features(), Features(fields=False)])
def test_numbers_beside_spelled_out_nan_are_numbers(features):
    values = (0.5, "NaN", "Infinity", None, "-Infinity", 2)
    runs = tuple(
        RunRecord(name=f"r{i}", summary={"loss": value, "state": value if i != 1 else "bad"}, created_at=f"2026-01-0{i + 1}T00:00:00Z")
        for i, value in enumerate(values)
    )  # fmt: skip
    with serve(Project(entity="e", name="p", runs=runs), features=features) as server:
        client = wbframe.Client(server.url, server.api_key)
        frame = read_runs("e/p", client=client)
        kept = read_runs(
            "e/p", filters=pl.col("summary.loss") > 1, columns=["run_id"], client=client
        )
    numbers = [0.5, float("nan"), float("inf"), None, float("-inf"), 2.0]
    assert_column(frame["summary.loss"], pl.Float64(), numbers)
    assert_column(
        frame["summary.state"], pl.String(), ["0.5", "bad", "Infinity", None, "-Infinity", "2"]
    )
    assert ids(kept) == ["r1", "r2", "r5"]


def test_an_override_that_a_value_does_not_fit_names_the_column(client):
    with pytest.raises(SchemaMismatchError, match=r"config\.model"):
        read_runs(
            RAGGED,
            columns=["config.model"],
            schema_overrides={"config.model": pl.Int64},
            client=client,
        )


# ---------------------------------------------------------------- which runs


PREDICATES = [
    pl.col("state") == "finished",
    pl.col("state") != "finished",
    pl.col("group").is_null(),
    pl.col("group") == "",
    pl.col("summary.train/loss") < 0.5,
    pl.col("summary.train/loss").is_nan(),
    ~(pl.col("summary.train/loss") < 0.5),
    (pl.col("summary.train/loss") > 1) | (pl.col("state") == "killed"),
    pl.col("config.epochs").is_in(["10", "ten"]),
    pl.col("created_at") >= datetime(2026, 1, 5, 9, 0, tzinfo=timezone.utc),
    pl.col("tags").list.contains("baseline"),
    pl.col("name").str.starts_with("same"),
    pl.col("name").str.to_uppercase() == "WHOLE",
    pl.col("run_id").is_in(["huge", "twice", "nope"]),
    pl.col("history_line_count") > 10,
    pl.col("config.model").is_null() & (pl.col("history_line_count") > 6),
    pl.lit(value=True),
    pl.lit(value=False),
    pl.all_horizontal(pl.col("run_id", "state").is_not_null()),
    pl.col("^sta.*$") == "failed",
    # these look at more than one row
    pl.col("created_at").rank() <= 3,
    pl.col("created_at") == pl.col("created_at").max(),
    (pl.col("state") == "finished") & (pl.col("created_at") > pl.col("created_at").mean()),
    pl.col("name").is_duplicated(),
    pl.col("state").is_first_distinct(),
    pl.col("history_line_count").cum_sum() < 450,
    pl.col("run_id").map_elements(lambda name: len(name) > 6, return_dtype=pl.Boolean),
]


@pytest.mark.filterwarnings("ignore::polars.exceptions.PolarsInefficientMapWarning")
@pytest.mark.parametrize("predicate", PREDICATES, ids=lambda each: str(each)[:60])
def test_an_expression_keeps_just_the_runs_that_the_frame_would_keep(predicate, client):
    expected = read_runs(RAGGED, client=client).filter(predicate)
    frame = read_runs(RAGGED, filters=predicate, per_page=4, client=client)
    assert_frame_equal(frame, expected)
    limited = read_runs(
        RAGGED, filters=predicate, per_page=4, limit=2, columns=["run_id"], client=client
    )
    assert ids(limited) == ids(expected)[:2]


def test_a_list_of_expressions_must_all_hold(client):
    frame = read_runs(
        RAGGED, filters=[pl.col("state") == "finished", pl.col("group") == "first"], client=client
    )
    assert ids(frame) == ["cadence1"]
    assert read_runs(RAGGED, filters=[], columns=["run_id"], client=client).height == 13


def test_an_expression_may_look_at_columns_that_are_not_read(client):
    frame = read_runs(
        RAGGED, columns=["name"], filters=pl.col("config.epochs") == "ten", client=client
    )
    assert frame.to_dict(as_series=False) == {"name": ["mixed types"]}


def test_a_document_goes_to_the_server_as_it_is(web, client):
    document = {"$or": [{"state": "failed"}, {"config.lr": {"$gt": 1}}]}
    frame = read_runs(RAGGED, columns=["run_id"], filters=document, client=client)
    assert ids(frame) == ["whole", "nonfinite", "norows"]
    assert json.loads(web.requests[-1].variables["filters"]) == document


def test_limit_is_exact_over_pages_and_projects(web, client):
    for limit in (0, 1, 5, 13, 14, 16):
        frame = read_runs(
            [RAGGED, "wbframe/odd"], columns=["run_id"], limit=limit, per_page=5, client=client
        )
        assert frame.height == min(limit, 16)


def test_limit_makes_pages_no_larger_than_it_must(web, client):
    read_runs(DEMO, columns=["run_id"], limit=3, client=client)
    assert [request.variables["first"] for request in web.requests] == [3]


def test_limit_with_an_expression_does_not_make_tiny_pages(web, client):
    read_runs(
        DEMO, columns=["run_id"], limit=1, filters=pl.col("history_line_count") < 0, client=client
    )
    assert len(web.requests) == 1


def test_pages_of_any_size_give_the_same_frame(web, client):
    whole = read_runs(RAGGED, client=client)
    web.clear()
    assert_frame_equal(read_runs(RAGGED, per_page=1, client=client), whole)
    assert len([request for request in web.requests if "runs(" in request.document]) == 14
    assert [request.variables["after"] is None for request in web.requests[-13:-11]] == [
        True,
        False,
    ]


@pytest.mark.parametrize(
    ("order", "sent"),
    [
        ("+created_at", "+created_at"),
        ("-created_at", "-created_at"),
        ("created_at", "+created_at"),
        ("-summary.train/loss", "-summary_metrics.train/loss"),
        ("+config.lr", "+config.lr"),
        ("-name", "-display_name"),
        ("-run_id", "-name"),
    ],
)
def test_order_goes_to_the_server_with_its_sign(order, sent, web, client):
    read_runs(RAGGED, columns=["run_id"], order=order, client=client)
    assert web.requests[-1].variables["order"] == sent


def test_order_is_that_of_the_frame(client):
    up = ids(read_runs(RAGGED, columns=["run_id"], client=client))
    down = ids(read_runs(RAGGED, columns=["run_id"], order="-created_at", client=client))
    assert down == up[::-1]
    named = ids(read_runs(RAGGED, columns=["run_id"], order="+run_id", client=client))
    assert named == sorted(up)


# ---------------------------------------------------------------- paths


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("wbframe/ragged/sweeps/swp1aaaa", ["cadence1", "drifting"]),
        ("wbframe/ragged/sweeps/swp3cccc", []),
        ("wbframe/ragged/runs/huge", ["huge"]),
        ("wbframe/ragged/huge", ["huge"]),
        (["wbframe/ragged/huge", "wbframe/ragged/cadence1"], ["huge", "cadence1"]),
        (["wbframe/ragged/huge", "wbframe/ragged/sweeps/swp1aaaa", "wbframe/ragged/drifting"], ["huge", "cadence1", "drifting"]),
    ],
)  # fmt: skip
def test_sweeps_runs_and_lists_of_them(path, expected, client):
    frame = read_runs(path, client=client)
    assert ids(frame) == expected
    assert frame.columns[: len(META)] == META


@pytest.mark.parametrize(
    "predicate", [pl.col("state") == "finished", pl.col("history_line_count") > 5]
)
def test_runs_that_are_named_stay_in_their_order_whatever_filters_them(predicate, web, client):
    paths = [f"{RAGGED}/{name}" for name in ("twice", "huge", "whole", "cadence1")]
    expected = read_runs(paths, client=client).filter(predicate)
    assert_frame_equal(read_runs(paths, filters=predicate, client=client), expected)
    web.clear()
    read_runs(paths, filters=predicate, columns=["run_id"], client=client)
    assert [request.operation for request in web.requests] == ["NamedRuns"]


def test_addresses_of_the_web_app(web, client):
    for tail, expected in (
        ("/wbframe/ragged", 13),
        ("/wbframe/ragged/workspace?nw=abc", 13),
        ("/wbframe/ragged/runs/huge", 1),
        ("/wbframe/ragged/runs/huge/logs", 1),
        ("/wbframe/ragged/sweeps/swp1aaaa", 2),
    ):
        assert read_runs(web.url + tail, columns=["run_id"], client=client).height == expected


def test_several_projects_give_one_frame(client, ragged_project, demo_project):
    frame = read_runs([DEMO, RAGGED], client=client)
    assert frame["project"].to_list() == ["demo"] * len(demo_project.runs) + ["ragged"] * 13
    one = read_runs(DEMO, client=client)
    same = frame.head(one.height).select(one.columns)
    numbers = [name for name in one.columns if same.schema[name] == one.schema[name]]
    assert_frame_equal(same.select(numbers), one.select(numbers))


def test_a_run_named_twice_is_read_once(client):
    frame = read_runs(
        ["wbframe/ragged/huge", "wbframe/ragged/runs/huge", RAGGED],
        columns=["run_id"],
        client=client,
    )
    assert frame.height == 13
    assert ids(frame)[0] == "huge"


def test_the_default_entity_is_the_viewers(web, client):
    assert read_runs("ragged", columns=["run_id"], client=client).height == 13
    assert read_runs("ragged", columns=["run_id"], client=client).height == 13
    assert len([request for request in web.requests if "viewer" in request.document]) == 1


def test_runs_that_move_between_pages_are_given_once():
    """Offset cursors: a run created while paging pushes the last of a page onto the next."""
    project = synthetic(runs=5, rows=0, keys=0)
    with serve(project) as server:
        client = wbframe.Client(server.url, server.api_key)
        first, second = ["run-00004", "run-00003"], ["run-00003", "run-00002"]

        def page(names, cursor):
            nodes = [{"node": {"name": name}, "cursor": cursor} for name in names]
            info = {"endCursor": cursor, "hasNextPage": cursor is not None}
            return json.dumps(
                {"data": {"project": {"runs": {"edges": nodes, "pageInfo": info}}}}
            ).encode()

        server.fail(body=page(first, "a"))
        server.fail(body=page(second, None))
        frame = read_runs(
            "wbframe/synthetic", columns=["run_id"], order="-created_at", client=client
        )
    assert ids(frame) == ["run-00004", "run-00003", "run-00002"]


# ---------------------------------------------------------------- nothing there


def test_an_empty_project_gives_the_empty_frame(client):
    frame = read_runs("wbframe/empty", client=client)
    assert frame.shape == (0, len(META))
    assert dict(frame.schema) == {name: dtype for name, (dtype, _) in RUN_COLUMNS.items()}


@pytest.mark.parametrize(
    "filters", [{"state": "no such state"}, pl.col("state") == "no such state"]
)
def test_a_filter_that_matches_nothing_gives_the_frame_of_the_project(filters, client):
    whole = read_runs(RAGGED, client=client)
    frame = read_runs(RAGGED, filters=filters, client=client)
    assert frame.height == 0
    assert frame.schema == whole.schema


# ---------------------------------------------------------------- cost and report


def test_the_report_counts_what_was_done(web, client):
    frame = read_runs(DEMO, per_page=10, client=client)
    report = report_of(frame)
    assert report == client.last_report
    assert (report.kind, report.projects, report.runs, report.rows) == ("runs", (DEMO,), 24, 24)
    # the index, the summaries whose only text may be spelled-out NaN, and three pages
    assert report.requests == len(web.requests) == 5
    assert (report.retries, report.replaced, report.sampled) == (0, (), False)
    assert report.bytes_received >= sum(request.response_bytes for request in web.requests)
    assert report_of(frame.head(1)) is None


def test_progress_is_told_page_by_page(client):
    told = []
    read_runs(DEMO, columns=["run_id"], per_page=10, progress=told.append, client=client)
    assert told.pop().report == client.last_report
    assert [(each.kind, each.done, each.total) for each in told] == [
        ("runs", 10, 24),
        ("runs", 20, 24),
        ("runs", 24, 24),
    ]


# ---------------------------------------------------------------- old servers

# Text that only ever spells NaN is text by the index, and a number where only the values are there to tell.
ONLY_SPELLED = {"summary.best", "summary.quoted", "summary.spelled"}


@pytest.mark.parametrize(
    ("features", "first", "later"),
    [
        (Features(fields=False), 2, 1),
        # The columns that have text among numbers are looked at in all runs, which the first page holds.
        (Features(projection=False), 2, 2),
        (Features(fields=False, projection=False), 2, 1),
        (Features(nested_histories=False), 2, 2),
    ],
)
def test_old_servers_give_the_same_frame_for_one_refused_request(features, first, later, client):
    whole = read_runs(RAGGED, client=client)
    with serve("ragged", features=features) as old:
        own = wbframe.Client(old.url, old.api_key)
        frame = read_runs(RAGGED, client=own)
        assert len(old.requests) == first
        old.clear()
        read_runs(RAGGED, client=own)
        assert len(old.requests) == later
    different = ONLY_SPELLED if not features.fields else set()
    assert_frame_equal(frame.drop(different), whole.drop(different))
    assert frame.columns == whole.columns
    assert own.last_report.replaced == tuple(sorted(own.refused))
    # all keys of config and summary are asked without naming them
    assert own.refused == ({"project.fields"} if not features.fields else set())


def test_a_projection_that_is_refused_is_refused_once(client):
    options = {"columns": ["run_id", "config.model", "summary.lr"]}
    with serve("ragged", features=Features(projection=False)) as old:
        own = wbframe.Client(old.url, old.api_key)
        frame = read_runs(RAGGED, client=own, **options)
        assert sorted(request.status for request in old.requests) == [200, 200, 400]
        assert own.last_report.replaced == ("config(keys:)",)
        old.clear()
        assert_frame_equal(read_runs(RAGGED, client=own, **options), frame)
        assert [request.status for request in old.requests] == [200, 200]
    assert_frame_equal(frame, read_runs(RAGGED, client=client, **options))


@pytest.mark.parametrize("features", [Features(fields=False), Features(projection=False), Features(fields=False, projection=False)])  # fmt: skip
@pytest.mark.parametrize(
    "options",
    [
        {"columns": ["config.model", "config.clip", "run_id"], "limit": 1},
        {"columns": ["config.lr", "summary.train/loss"]},
        {"columns": ["config.lr"], "filters": pl.col("config.epochs") == "ten"},
        {"columns": ["run_id"], "filters": pl.col("summary.train/loss") < 1, "limit": 2},
        {"columns": ["summary.*loss", "run_id", "config.optimizer.*"]},
        {"columns": ["run_id", "state"]},
    ],
)
def test_old_servers_give_the_same_columns(features, options, client):
    with serve("ragged", features=features) as old:
        own = wbframe.Client(old.url, old.api_key)
        assert_frame_equal(
            read_runs(RAGGED, client=own, **options), read_runs(RAGGED, client=client, **options)
        )


def test_rows_of_a_run_are_not_read_for_the_runs_frame():
    run = RunRecord(name="r", history=History([{"loss": 1.0}]))
    with serve(Project(entity="e", name="p", runs=(run,))) as server:
        read_runs("e/p", client=wbframe.Client(server.url, server.api_key))
        assert not [
            r for r in server.requests if "istory(" in r.document or "historyKeys" in r.document
        ]


# ---------------------------------------------------------------- the address of each


def test_each_run_has_its_address_in_the_web_app(ragged_project, client, monkeypatch):
    monkeypatch.delenv("WANDB_APP_URL")
    frame = read_runs(RAGGED, columns=["url", "run_id"], client=client)
    assert frame.columns == ["url", "run_id"]
    wanted = [f"{client.base_url}/wbframe/ragged/runs/{each}" for each in frame["run_id"]]
    assert frame["url"].to_list() == wanted
    assert client.last_report.requests == 1
    assert read_runs(RAGGED, client=client).columns[:5] == META[:5]
    assert META[3:5] == ["name", "url"]


def test_addresses_cost_nothing_lazily_and_stand_beside_rows(web, client):
    lazy = pl.scan_wandb_runs(RAGGED, client=client).select("url")
    lazy.collect_schema()
    web.clear()
    found = lazy.filter(pl.col("url").str.ends_with("/cadence1")).collect()
    assert found["url"].to_list() == ["http://app.test/wbframe/ragged/runs/cadence1"]
    documents = [each.document for each in web.requests]
    assert len(documents) == 1
    assert "url" not in documents[0]
    rows = pl.read_wandb_histories(
        f"{RAGGED}/cadence1", samples=3, run_columns=["url"], client=client
    )
    assert set(rows["url"]) == {"http://app.test/wbframe/ragged/runs/cadence1"}


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("https://api.wandb.ai", "https://wandb.ai"),
        ("https://corp.example/wandb/", "https://corp.example/wandb"),
        ("http://localhost:8080", "http://localhost:8080"),
    ],
)
def test_the_app_of_a_server_is_where_the_sdk_finds_it(address, found, monkeypatch):
    monkeypatch.delenv("WANDB_APP_URL")
    assert app_url(wbframe.Client(address, "k" * 40).base_url) == found


def test_names_in_addresses_are_encoded():
    run = RunRecord(name="a/b ä", history=History([]))
    project = Project(entity="wbframe", name="my project?", runs=(run,))
    with serve(project) as server, wbframe.Client(server.url, server.api_key) as client:
        path = RunPath(entity="wbframe", project="my project?")
        frame = read_runs(path, columns=["url"], client=client)
    assert frame.item() == "http://app.test/wbframe/my%20project%3F/runs/a%2Fb%20%C3%A4"
