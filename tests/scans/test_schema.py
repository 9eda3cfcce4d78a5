"""The promised columns: found without data, the same as those of an eager read, held against what comes later."""

from __future__ import annotations

import itertools
import math

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

import wbframe
from wbframe.errors import ColumnError, NewKeyWarning, UsageError
from wbframe.polars import read_histories, read_runs, scan_histories, scan_runs
from wbframe.server import Features, History, Project, RunRecord, serve

pytestmark = pytest.mark.filterwarnings("ignore::wbframe.errors.PrecisionWarning")

PATH = "team/made"


def client_of(server):
    return wbframe.Client(server.url, server.api_key)


def run(name, config=None, rows=(), *, minute=0, **more):
    rows = [{"_step": i, **row} for i, row in enumerate(rows)]
    created = f"2026-01-01T00:{minute:02d}:00Z"
    return RunRecord(
        name=name, config=config or {}, history=History(rows), created_at=created, **more
    )


def made(*runs):
    return Project(entity="team", name="made", runs=runs)


def replace_project(server, *runs):
    """Let time pass on the server: the project is another now."""
    views = server.engine.catalog.views
    views[PATH] = views[PATH].next(made(*runs))


def operations(server):
    """Give what was asked, in any order: some of it is asked at once."""
    return sorted(request.operation for request in server.requests)


# ---------------------------------------------------------------- what it costs


def test_the_columns_of_many_runs_and_keys_take_a_request_or_two():
    history = History([{"_step": 0, **{f"metric/{i}": i / 7 for i in range(300)}}])
    config = {f"param_{i}": i / 3 for i in range(300)}
    runs = [
        RunRecord(name=f"r{i}", config=config, summary={"best": 1.0}, history=history)
        for i in range(5000)
    ]
    with serve(made(*runs)) as server, client_of(server) as client:
        assert len(scan_runs(PATH, client=client).collect_schema()) == 16 + 300 + 1
        # The index may lag, so the last runs are looked at too.
        assert operations(server) == ["Fields", "Runs"]
        [page] = [each for each in server.requests if each.operation == "Runs"]
        assert page.variables["first"] == 20
        server.clear()
        assert len(scan_histories(PATH, client=client).collect_schema()) == 302
        # The last runs are looked at for keys that are not united yet, and some rows for what no list names.
        assert operations(server) == ["Keys", "Rows", "Runs"]
        server.clear()
        beside = scan_histories(PATH, run_columns=["config.param_1", "state"], client=client)
        assert len(beside.collect_schema()) == 304
        assert operations(server) == ["Fields", "Keys", "Rows", "Runs"]
        server.clear()
        assert (
            len(scan_runs(PATH, columns=["run_id", "state"], client=client).collect_schema()) == 2
        )
        assert not server.requests


def test_the_index_is_paged():
    config = {f"param_{i}": i for i in range(2500)}
    with serve(made(run("a", config))) as server, client_of(server) as client:
        assert len(scan_runs(PATH, client=client).collect_schema()) == 16 + 2500
        # Nothing of the summary is named, so a run is looked at.
        assert operations(server) == [*["Fields"] * 3, "Runs"]


def test_text_among_numbers_is_looked_at_in_few_requests():
    spelled = [
        run(f"r{i}", rows=[{"loss": math.nan, "note": "x"}, {"loss": 0.5, "note": 1}], minute=i)
        for i in range(30)
    ]
    with serve(made(*spelled)) as server, client_of(server) as client:
        schema = scan_histories(PATH, client=client).collect_schema()
        assert (schema["loss"], schema["note"]) == (pl.Float64, pl.String)
        # The last runs were asked for beside the keys, before these told that all must be.
        assert operations(server) == ["Keys", "Rows", "Runs", "Runs"]
        server.clear()
        scan_histories(
            PATH, keys=["note"], schema_overrides={"note": pl.String}, client=client
        ).collect_schema()
        # Runs may hold what they do not list: some of those that do not are looked at.
        assert operations(server) == ["Keys", "Runs"]


# ---------------------------------------------------------------- old servers

OLD = ["fields", "projection", "united_keys", "nested_histories"]
READS = {
    "runs": (scan_runs, read_runs, {}),
    "some columns": (scan_runs, read_runs, {"columns": ["config.*", "run_id", "state"]}),
    "a filter": (
        scan_runs,
        read_runs,
        {"columns": ["run_id"], "filters": pl.col("config.lr") == "0.1"},
    ),
    "rows": (scan_histories, read_histories, {}),
    "rows of keys": (scan_histories, read_histories, {"keys": ["train/loss", "flag"]}),
    "rows of globs": (scan_histories, read_histories, {"keys": ["*loss"]}),
    "rows and runs": (
        scan_histories,
        read_histories,
        {"keys": ["train/loss"], "run_columns": ["config.*", "state", "summary.train/loss"]},
    ),
    "machine": (scan_histories, read_histories, {"stream": "system", "samples": 500}),
}


@pytest.mark.parametrize(
    "absent",
    [set(each) for n in range(5) for each in itertools.combinations(OLD, n)],
    ids=lambda absent: " ".join(sorted(absent)) or "all there",
)
def test_old_servers_give_the_same_frames(absent, ragged_project):
    features = Features(**dict.fromkeys(absent, False))
    with serve(ragged_project, features=features) as server:
        for scan, read, options in READS.values():
            with client_of(server) as client:
                eager = read("wbframe/ragged", client=client, **options)
            with client_of(server) as client:
                assert_frame_equal(
                    scan("wbframe/ragged", client=client, **options).collect(), eager
                )


NO_INDEX = Features(fields=False, united_keys=False)
LATER = [run(f"r{i}", {"lr": 0.1}, [{"loss": 1.0}], minute=i) for i in range(3)]
LATER.append(run("late", {"lr": 0.2, "model": "mlp"}, [{"loss": 1.0, "lately": 2.0}], minute=5))


def test_as_many_runs_are_looked_at_as_told():
    with serve(made(*LATER), features=NO_INDEX) as server, client_of(server) as client:
        for scan in (scan_runs, scan_histories):
            few, all_ = (
                scan(PATH, infer_schema_runs=n, client=client).collect_schema().names()
                for n in (3, 4)
            )
            assert len(all_) > len(few)
        assert (
            "config.model" in scan_runs(PATH, infer_schema_runs=4, client=client).collect_schema()
        )
        assert "lately" in scan_histories(PATH, infer_schema_runs=4, client=client).collect_schema()


def test_what_was_not_looked_at_is_an_error_that_names_it():
    with serve(made(*LATER), features=NO_INDEX) as server, client_of(server) as client:
        options = {"infer_schema_runs": 3, "on_new_key": "raise", "client": client}
        with pytest.raises(Exception, match=r"config\.model.*on_new_key"):
            scan_runs(PATH, **options).collect()
        with pytest.raises(Exception, match=r"lately.*on_new_key"):
            scan_histories(PATH, **options).collect()


def test_a_column_asked_by_name_need_not_be_in_the_runs_looked_at():
    with serve(made(*LATER), features=NO_INDEX) as server, client_of(server) as client:
        lazy = scan_histories(PATH, keys=["lately"], infer_schema_runs=2, client=client)
        assert lazy.collect().rows() == [("late", 0, 2.0)]
        text = {"config.model": pl.String}
        lazy = scan_runs(
            PATH,
            columns=["config.model"],
            infer_schema_runs=2,
            schema_overrides=text,
            client=client,
        )
        assert lazy.collect().rows() == [(None,), (None,), (None,), ("mlp",)]


@pytest.mark.parametrize(
    "options", [{"infer_schema_runs": 0}, {"infer_schema_runs": True}, {"on_new_key": "rise"}]
)
@pytest.mark.parametrize("scan", [scan_runs, scan_histories])
def test_wrong_options_are_found_at_once(scan, options):
    with pytest.raises(UsageError):
        scan(PATH, **options)


# ---------------------------------------------------------------- keys that come later

BEFORE = [run("a", {"lr": 0.1}, [{"loss": 1.0, "x": 1.0}])]
AFTER = [
    *BEFORE,
    run("b", {"lr": 0.2, "seed": 3}, [{"loss": 2.0, "x": 2.0, "accuracy": 0.5}], minute=1),
]


@pytest.fixture
def growing():
    with serve(made(*BEFORE)) as server, client_of(server) as client:
        yield server, client


def later(growing, scan, **options):
    """A scan whose schema is known, of a project that has grown since."""
    server, client = growing
    lazy = scan(PATH, client=client, **options)
    lazy.collect_schema()
    replace_project(server, *AFTER)
    return lazy


def test_new_config_keys_are_an_error(growing):
    with pytest.raises(Exception, match=r"config\.seed.*on_new_key='ignore'"):
        later(growing, scan_runs, on_new_key="raise").collect()


def test_new_logged_keys_are_an_error(growing):
    with pytest.raises(Exception, match=r"accuracy.*on_new_key='ignore'"):
        later(growing, scan_histories, on_new_key="raise").collect()


def test_new_keys_that_fit_a_glob_are_an_error(growing):
    with pytest.raises(Exception, match=r"accuracy.*on_new_key='ignore'"):
        later(growing, scan_histories, keys=["[la]*"], on_new_key="raise").collect()


def test_new_config_keys_may_be_left_out_and_are_counted(growing):
    lazy = later(growing, scan_runs)
    with pytest.warns(NewKeyWarning, match=r"left out 2 keys.*'config\.seed' \(pages: 1\)"):
        found = lazy.collect()
    assert found.schema == lazy.collect_schema()
    assert found["config.lr"].to_list() == [0.1, 0.2]


def test_new_logged_keys_may_be_left_out_and_are_counted(growing):
    lazy = later(growing, scan_histories)
    with pytest.warns(NewKeyWarning, match=r"left out 1 keys.*'accuracy' \(runs: 1\)") as warned:
        found = lazy.collect()
    assert [each.filename for each in warned] == [__file__]
    assert found.rows() == [("a", 0, 1.0, 1.0), ("b", 0, 2.0, 2.0)]


def test_new_keys_are_no_news_to_a_query_of_some_columns(growing):
    runs = later(growing, scan_runs)
    assert runs.select("run_id", "config.lr").collect().rows() == [("a", 0.1), ("b", 0.2)]


def test_new_keys_are_no_news_to_rows_of_some_keys(growing):
    rows = later(growing, scan_histories)
    assert rows.select("run_id", "loss").collect().rows() == [("a", 1.0), ("b", 2.0)]
    assert rows.select(pl.len()).collect().item() == 2


def test_new_keys_of_a_filter_of_all_runs_at_once(growing):
    latest = pl.col("created_at") == pl.col("created_at").max()
    lazy = later(growing, scan_runs, filters=latest, on_new_key="ignore")
    with pytest.warns(NewKeyWarning, match=r"config\.seed"):
        assert lazy.collect()["run_id"].to_list() == ["b"]


@pytest.mark.parametrize("path", ["wbframe/ragged", "wbframe/demo"])
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_the_columns_are_those_of_an_eager_read(path, client, data):
    options = {
        "keys": data.draw(
            st.sampled_from([None, ["train/loss"], ["*loss", "lr"], ["eval/loss", "train/loss"]])
        ),
        "run_columns": data.draw(
            st.sampled_from([None, ["state"], ["config.*", "summary.train/loss"]])
        ),
        "filters": data.draw(
            st.sampled_from(
                [
                    None,
                    {"state": "finished"},
                    pl.col("state") == "failed",
                    pl.col("name").str.len_chars() > 3,
                ]
            )
        ),
        "limit": data.draw(st.sampled_from([None, None, 2])),
        "stream": data.draw(st.sampled_from(["default", "default", "system"])),
    }
    if options["stream"] == "system":
        options["keys"] = None
    options["samples"] = 500
    lazy = scan_histories(path, client=client, **options)
    try:
        wanted = read_histories(path, client=client, **options).schema
    except ColumnError as error:
        wanted = str(error)
    if isinstance(wanted, str):
        with pytest.raises(Exception, match="has logged the key") as caught:
            lazy.collect_schema()
        assert wanted in str(caught.value)
    else:
        assert lazy.collect_schema() == wanted
