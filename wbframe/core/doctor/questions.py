"""The questions: documents of bounded answers, built from what earlier ones have told."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec

from wbframe.core.decode.json import decode_any
from wbframe.core.protocol.answers import open_answer
from wbframe.core.protocol.request import Request, by_run, of_project

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from wbframe.core.model import RunPath

_anything: msgspec.json.Decoder[Any] = msgspec.json.Decoder()
MOST_RUNS = 1000
LOOKED_AT = 20
WITH_KEYS = 5
WHOLE = 1000
LONG_WINDOW = 2000
MANY_SAMPLES = 20_000
FEW_SAMPLES = 501
# Behind any step; still a number that every JSON reader holds.
_FAR = 2**52

TYPES = ("Project", "Run", "RunConnection", "ParquetHistory")
SCHEMA = Request(
    document="query Schema { "
    + " ".join(
        f'{name}: __type(name: "{name}") {{ fields(includeDeprecated: true) {{ name args {{ name }} }} }}'
        for name in TYPES
    )
    + " }",
    variables={},
    asked="the schema",
)


def read_answer(content: bytes, request: Request) -> Any:
    """Give the data of an answer as plain values.

    Raises
    ------
    QueryError, AnswerError
        If there is none.
    """
    return decode_any(_anything, bytes(open_answer(content, request)), where=request.asked)


def project(path: RunPath) -> Request:
    """Ask whether the project is there, as every client may."""
    return of_project("Project", path, "name", asked="the name")


def listed(path: RunPath, first: int) -> Request:
    """Ask for as many runs as a page may have, without what is large of them."""
    return of_project(
        "ManyRuns",
        path,
        "runCount runs(order: $order, first: $first)"
        " { edges { node { name state historyLineCount } cursor } pageInfo { endCursor hasNextPage } }",
        asked="the runs",
        variables={"order": ("String", "-created_at"), "first": ("Int!", first)},
    )


def looked_at(path: RunPath) -> Request:
    """Ask for config and summary of a few runs, which answers are compared with."""
    return of_project(
        "SomeRuns",
        path,
        "runs(order: $order, first: $first) { edges { node { name config summaryMetrics } } }",
        asked="some runs",
        variables={"order": ("String", "-created_at"), "first": ("Int!", LOOKED_AT)},
    )


def projected(path: RunPath, key: str) -> Request:
    """Ask for one key of the config of each of these runs."""
    return of_project(
        "OneKey",
        path,
        "runs(order: $order, first: $first) { edges { node { name config(keys: $keys) } } }",
        asked="one key",
        variables={
            "order": ("String", "-created_at"),
            "first": ("Int!", LOOKED_AT),
            "keys": ("[String!]", [key]),
        },
    )


def among(names: Sequence[str], *tests: Mapping[str, Any]) -> str:
    """Spell the filter of these runs, and of tests besides."""
    return json.dumps({"$and": [{"name": {"$in": list(names)}}, *tests]})


def filtered(
    path: RunPath, names: Sequence[str], tests: Mapping[str, Mapping[str, Any]]
) -> Request:
    """Ask which of these runs pass each of the tests, all in one request."""
    selections, variables = [], {}
    for alias, test in tests.items():
        selections.append(
            f"{alias}: runs(filters: $f_{alias}, first: $first) {{ edges {{ node {{ name }} }} }}"
        )
        variables[f"f_{alias}"] = ("JSONString", among(names, test))
    return of_project(
        "Filters",
        path,
        " ".join(selections),
        asked="filtered runs",
        variables={"first": ("Int!", len(names)), **variables},
    )


def run_keys(path: RunPath, names: Sequence[str]) -> Request:
    """Ask for the logged keys of a few runs by their names."""
    return by_run("RunKeys", path, names, lambda _: "name historyLineCount historyKeys")


def united_keys(path: RunPath, names: Sequence[str]) -> Request:
    """Ask for the logged keys of the same runs as one."""
    return of_project(
        "UnitedKeys",
        path,
        "runs(filters: $filters, first: 1) { historyKeys }",
        asked="united keys",
        variables={"filters": ("JSONString", among(names))},
    )


def whole_rows(path: RunPath, name: str) -> Request:
    """Ask for the rows of a run as they were logged, as the SDK does."""
    return by_run(
        "WholeRows",
        path,
        [name],
        lambda _: "history(samples: $samples)",
        variables={"samples": ("Int", WHOLE)},
    )


def long_window(path: RunPath, name: str) -> Request:
    """Ask for many rows of a run in one window."""
    return by_run(
        "LongWindow",
        path,
        [name],
        lambda _: "history(minStep: $minStep, maxStep: $maxStep, samples: $samples)",
        variables={
            "samples": ("Int", LONG_WINDOW),
            "minStep": ("Int64", 0),
            "maxStep": ("Int64", _FAR),
        },
    )


def sampled(path: RunPath, name: str, *specs: Mapping[str, Any]) -> Request:
    """Ask for specs of a run."""
    return by_run(
        "Specs",
        path,
        [name],
        lambda _: "sampledHistory(specs: $specs)",
        variables={"specs": ("[JSONString!]!", [json.dumps(each) for each in specs])},
    )


def windowed(path: RunPath, name: str, key: str, low: int, high: int, last: int) -> Request:
    """Ask for a window of steps of whole rows, up to `high`, and of a spec, up to `last`."""
    spec = {"keys": ["_step", key], "samples": WHOLE, "minStep": low, "maxStep": last}
    return by_run(
        "Window",
        path,
        [name],
        lambda _: (
            "history(minStep: $minStep, maxStep: $maxStep, samples: $samples)"
            " sampledHistory(specs: $specs)"
        ),
        variables={
            "samples": ("Int", WHOLE),
            "minStep": ("Int64", low),
            "maxStep": ("Int64", high),
            "specs": ("[JSONString!]!", [json.dumps(spec)]),
        },
    )


def buckets(path: RunPath, name: str, key: str) -> Request:
    """Ask for a few buckets of one key."""
    spec = {"keys": [key], "bins": 10, "xAxis": "_step"}
    return by_run(
        "Buckets",
        path,
        [name],
        lambda _: "bucketedHistory(specs: $specs)",
        variables={"specs": ("[JSONString!]!", [json.dumps(spec)])},
    )
