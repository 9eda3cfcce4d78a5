"""Each error that the docstring of a reader names is raised by it, and none that it does not name."""

from __future__ import annotations

import inspect
import re
from dataclasses import replace

import pandas as pd
import polars as pl
import pytest

import wbframe
from tests.resilience.test_moving_runs import PATH, Moving, record
from tests.test_docstrings import section
from tests.test_signatures import READERS, reader
from wbframe import errors
from wbframe.io.client.learned import Budget
from wbframe.server import History, Project, RunRecord, serve
from wbframe.server.faults import Fault

# The server says of it that its last step is 150.
SHORT = RunRecord(
    name="short",
    history=History([{"_step": step, "a": step / 2} for step in range(100)]),
    history_keys={
        "keys": {"a": {"typeCounts": [{"type": "number", "count": 100}]}},
        "lastStep": 150,
    },
    history_line_count=None,
)
SERVED = [
    Project(entity="e", name="p", runs=tuple(map(record, range(12)))),
    Project(entity="e", name="short", runs=(SHORT,)),
]
FAULTS = {
    "CredentialsError": Fault(status=401, times=1000),
    "AccessError": Fault(status=403, times=1000),
    "RequestError": Fault(status=501, times=1000),
    "QueryError": Fault(status=422, times=1000),
    "AnswerError": Fault(body=b'{"data": 3}', times=1000),
}
CAUSES = ["UsageError", "NotFoundError", "IncompleteError", "IncompleteHistoryError", *FAULTS]
FRAMES = {
    "FrameNamespace": pl.DataFrame,
    "LazyFrameNamespace": pl.LazyFrame,
    "pandas.FrameAccessor": pd.DataFrame,
}


class Turning(Moving):
    """Makes the first run of a project the last."""

    def change(self, kind, place):
        views = self.server.engine.catalog.views
        first, *others = views[PATH].project.runs
        self.made += 1
        runs = (*others, replace(first, created_at=record(self.made).created_at))
        views[PATH] = views[PATH].next(replace(views[PATH].project, runs=runs))


def read(name, project, run, options):
    """Call a reader, and take all that it gives but of lazy frames."""
    place, _, function = name.rpartition(".")
    if place in FRAMES:
        frame = FRAMES[place]({"entity": ["e"], "project": [project], "run_id": [run]})
        found = getattr(frame.wandb, function)(**options)
    else:
        found = reader(name)(f"e/{project}", **options)
    if not hasattr(found, "collect"):
        for _ in found if hasattr(found, "__next__") else ():
            pass


def few_of(pages):
    """Keep pages to a few runs, however well they go."""
    usual = Budget.at_most

    def at_most(self, wanted):
        found = usual(self, wanted)
        return min(found, 8) if self is pages else found

    return at_most


def raised(name, cause, monkeypatch):
    """Give the error that a reader raises where something goes wrong; None if it raises none."""
    takes = READERS[name][0]
    with (
        serve(SERVED) as server,
        wbframe.Client(server.url, server.api_key, retry=wbframe.RetryPolicy(tries=1)) as client,
    ):
        options = {"client": client}
        project, run = "p", "r000"
        if cause in FAULTS:
            server._faults.add(FAULTS[cause])
        elif cause == "UsageError":
            options["on_error"] = "x"
        elif cause == "NotFoundError":
            project = "nope"
        elif cause == "IncompleteHistoryError":
            project, run = "short", "short"
            if "samples" in takes:
                options["samples"] = None
        else:
            # Pages of a few runs, and before each the first run becomes the last.
            monkeypatch.setattr("wbframe.io.read.paging.MOST_PER_PAGE", 6)
            client.pages.shrink(4)
            # Looks at runs, which come first, would have them grow until one holds all.
            monkeypatch.setattr(Budget, "at_most", few_of(client.pages))
            if "per_page" in takes:
                options["per_page"] = 4
            Turning(server, {page: [("turn", 0)] for page in range(1000)})
        try:
            read(name, project, run, options)
        except errors.WbframeError as error:
            return error
    return None


@pytest.mark.parametrize("cause", CAUSES)
@pytest.mark.parametrize("name", READERS)
def test_a_docstring_names_the_errors_that_its_function_raises_and_no_other(
    name, cause, monkeypatch
):
    told = section(inspect.getdoc(reader(name)), "Raises")
    named = {*told, *re.findall(r"`(\w+Error)`", " ".join(told.values()))}
    assert named <= set(CAUSES)
    found = raised(name, cause, monkeypatch)
    assert (found is not None) == (cause in named), found
    assert found is None or isinstance(found, getattr(errors, cause))
