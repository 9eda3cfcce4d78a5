"""The reads of the battery, each through a public face."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

import wbframe
from tests.differing.project import LONG, SMALL
from wbframe.dropin.api import Api

if TYPE_CHECKING:
    from collections.abc import Callable

    from wbframe import Client

READS: dict[str, Callable[[Client], Any]] = {}


def read(function: Callable[[Client], Any]) -> Callable[[Client], Any]:
    READS[function.__name__] = function
    return function


# ---------------------------------------------------------------- runs


@read
def runs_all(client):
    return wbframe.polars.read_runs(SMALL, per_page=7, client=client)


@read
def runs_named(client):
    columns = ["run_id", "state", "config.lr", "config.optimizer.sched.kind", "summary.loss"]
    return wbframe.polars.read_runs(SMALL, columns=columns, per_page=7, client=client)


@read
def runs_mixed(client):
    columns = ["run_id", "config.mixed", "config.layers", "summary.opt.v.w", "config.newest"]
    return wbframe.polars.read_runs(SMALL, columns=columns, client=client)


@read
def runs_globs(client):
    columns = ["run_id", "config.optimizer.*", "summary.*"]
    return wbframe.polars.read_runs(SMALL, columns=columns, client=client)


@read
def runs_parent(client):
    columns = ["run_id", "config.rare.deep.er.est", "created_at", "tags"]
    return wbframe.polars.read_runs(SMALL, columns=columns, client=client)


@read
def runs_limit(client):
    columns = ["run_id", "config.seed"]
    return wbframe.polars.read_runs(
        SMALL, columns=columns, limit=3, order="+created_at", client=client
    )


@read
def runs_order(client):
    columns = ["run_id", "config.lr"]
    return wbframe.polars.read_runs(SMALL, columns=columns, order="-config.lr", client=client)


@read
def runs_dict_filter(client):
    columns = ["run_id", "config.lr"]
    filters = {"config.model": "mlp", "state": "finished"}
    return wbframe.polars.read_runs(SMALL, columns=columns, filters=filters, client=client)


@read
def runs_expression_filter(client):
    columns = ["run_id", "config.lr"]
    filters = [pl.col("config.lr") > 0.6, pl.col("state") == "finished"]
    return wbframe.polars.read_runs(SMALL, columns=columns, filters=filters, client=client)


def scan(client, **options):
    return wbframe.polars.scan_runs(SMALL, per_page=7, client=client, **options)


@read
def scan_all(client):
    return scan(client).collect()


@read
def scan_select(client):
    return scan(client).select("run_id", "config.optimizer.sched.warm", "summary.acc").collect()


@read
def scan_filter(client):
    kept = scan(client).filter(pl.col("config.lr") > 0.6, pl.col("config.model") == "mlp")
    return kept.select("run_id", "config.seed").collect()


@read
def scan_filter_summary(client):
    kept = scan(client).filter(pl.col("summary.loss").is_not_null(), pl.col("config.seed") >= 9)
    return kept.select("run_id", "summary.loss").collect()


@read
def scan_filter_nested(client):
    kept = scan(client).filter(pl.col("config.optimizer.sched.warm") == 2)
    return kept.select("run_id", "config.optimizer.sched.warm").collect()


@read
def scan_filter_equal(client):
    kept = scan(client).filter(pl.col("config.seed").is_in([3.0, 9.0, 10.0]))
    return kept.select("run_id", "state").collect()


@read
def scan_head(client):
    return scan(client).select("run_id", "config.lr").head(3).collect()


@read
def scan_len(client):
    return scan(client).select(pl.len()).collect()


@read
def scan_filter_len(client):
    return scan(client).filter(pl.col("state") == "finished").select(pl.len()).collect()


# ---------------------------------------------------------------- histories


def rows(client, path=SMALL, **options):
    return wbframe.polars.read_histories(path, client=client, **options)


@read
def rows_key(client):
    return rows(client, keys=["loss"])


@read
def rows_keys(client):
    return rows(client, keys=["loss", "val/loss", "acc"], run_columns=["config.lr"])


@read
def rows_apart(client):
    return rows(client, keys=["loss", "apart"])


@read
def rows_objects(client):
    return rows(client, keys=["loss", "hist", "text"])


@read
def rows_nested(client):
    return rows(client, keys=["opt.m", "opt.v.w"])


@read
def rows_odd(client):
    return rows(client, keys=["odd", "late"])


@read
def rows_all(client):
    return rows(client)


@read
def rows_window(client):
    return rows(client, keys=["loss", "apart"], min_step=5, max_step=9)


@read
def rows_one_step(client):
    return rows(client, keys=["loss"], min_step=7, max_step=8)


@read
def rows_window_all(client):
    return rows(client, min_step=5, max_step=9)


@read
def rows_whole(client):
    return rows(client, samples=None)


@read
def rows_whole_keys(client):
    return rows(client, keys=["val/loss", "apart", "opt.m"], samples=None)


@read
def rows_whole_window(client):
    return rows(client, keys=["loss"], samples=None, min_step=17, max_step=27)


@read
def rows_match_all(client):
    return rows(client, keys=["loss", "val/loss"], match="all")


def scan_rows(client, **options):
    return wbframe.polars.scan_histories(SMALL, client=client, **options)


@read
def scan_rows_filter(client):
    lazy = scan_rows(client, run_columns=["config.seed", "state"])
    kept = lazy.filter(
        pl.col("config.seed") > 15, pl.col("_step") < 6, pl.col("state") == "finished"
    )
    return kept.select("run_id", "_step", "loss").collect()


@read
def scan_rows_head(client):
    return scan_rows(client).select("run_id", "_step", "loss").head(30).collect()


@read
def scan_rows_len(client):
    return scan_rows(client, keys=["loss"]).select(pl.len()).collect()


@read
def long_whole(client):
    return rows(client, LONG, samples=None)


@read
def long_whole_window(client):
    return rows(client, LONG, keys=["x"], samples=None, min_step=600, max_step=1250)


@read
def long_many_samples(client):
    return rows(client, LONG, keys=["x", "y"], samples=5000)


# ---------------------------------------------------------------- drop-in and pandas


def api_runs(client, path=SMALL):
    return Api(client=client).runs(path, per_page=7)


@read
def dropin_runs(client):
    return [
        (run.id, run.config, dict(run.summary), run.state, list(run.tags or ()))
        for run in api_runs(client)
    ]


@read
def dropin_len(client):
    return len(api_runs(client))


@read
def dropin_rows(client):
    return api_runs(client).histories(keys=["loss", "acc"], format="polars")


@read
def dropin_rows_all(client):
    return api_runs(client).histories(format="pandas")


@read
def dropin_scan(client):
    return list(Api(client=client).run(f"{SMALL}/run09").scan_history())


@read
def dropin_scan_keys(client):
    return list(Api(client=client).run(f"{SMALL}/run13").scan_history(keys=["loss", "acc"]))


@read
def dropin_scan_long(client):
    return list(Api(client=client).run(f"{LONG}/gaps").scan_history(page_size=1000))


@read
def pandas_runs(client):
    columns = ["run_id", "config.lr", "config.flag", "summary.opt.m"]
    return wbframe.pandas.read_runs(SMALL, columns=columns, client=client)


@read
def pandas_rows(client):
    return wbframe.pandas.read_histories(SMALL, keys=["loss", "apart"], client=client)
