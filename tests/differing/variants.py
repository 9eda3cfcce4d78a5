"""Which differences are tried, and what a read may do there besides giving the true values.

Everything here is a reason to be less strict, so each stands beside its reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

from wbframe.server import DIFFERENCES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.differing.battery import Outcome

# Values of differences that take a number or a name.
EXAMPLES: dict[str, tuple[int | str, ...]] = {
    "index_depth": (1, 2),
    "index_lag": (1, 6),
    "index_most": (5, 20),
    "keys_missing": (2, 3),
    "united_of": (1, 7),
    "united_lag": (1, 6),
    "united_most": (3, 6),
    "count_lag": (1, 3),
    "run_gone": (10,),
    "page_most": (5, 10),
    "sampled_most": (10, 500),
    "history_most": (10, 500),
    "rows_cut": (20, 500),
    "thinned": (60, 95),
    "rows_lost": (7,),
    "live_most": (1, 100),
    "most_aliases": (1, 5),
    "most_specs": (1, 2),
    "most_cost": (2000, 10_000),
    "most_bytes": (1500, 700),
    "most_variables": (8,),
    "most_fields": (25,),
    "most_first": (10, 100),
    "most_first_fields": (100,),
    "most_keys": (2,),
    "most_samples": (500, 1000),
    "bad_run": ("run09",),
    "bad_key": ("acc", "hist"),
    "refuse_every": (4,),
    "flaky": (4,),
    "slow": (5,),
}
# Of a feature that is seldom used a few wordings of a refusal are enough.
SEVERAL_WORDINGS = ("unknown", "words", "internal", "denied")
ALL_WORDINGS = {"refuse_fields", "refuse_united_keys", "refuse_projection", "refuse_exports"}

LIKELIEST: tuple[dict[str, Any], ...] = (
    {"key_counts": "absent", "united_counts": "absent"},
    {"key_form": "list"},
    {"united_form": "null"},
    {"index_depth": 1},
    {"refuse_fields": "unknown"},
    {"refuse_united_keys": "internal"},
    {"refuse_projection": "unknown"},
    {"refuse_exports": "internal"},
    {"last_step": "absent"},
    {"line_count": "null"},
    {"count": "null"},
    {"ties": True},
    {"one_step_windows_empty": True},
    {"objects_apart": True},
    {"sampled_most": 500},
)
PAIRS: tuple[dict[str, Any], ...] = tuple(
    {**one, **other} for one, other in combinations(LIKELIEST, 2)
)
"""Pairs of the likeliest differences."""

LIMITS: tuple[dict[str, Any], ...] = tuple(
    {"most_aliases": 2, "limit_words": words, "limit_status": status}
    for words, status in (
        ("complex", 422), ("aliases", 200), ("cost", 500), ("variables", 400), ("body", 413),
        ("depth", 200), ("internal", 500), ("deadline", 200), ("complex", 502), ("complex", 504),
    )
)  # fmt: skip
"""A limit on requests in all its words."""

TOGETHER: tuple[dict[str, Any], ...] = (
    {"no_introspection": True, "refuse_fields": "words"},
    {"refuse_fields": "unknown", "validation_status": 200},
    {"refuse_fields": "unknown", "validation_status": 500},
    *(
        {"refuse_united_keys": "unknown", "error_form": form}
        for form in ("text", "list", "detail", "html", "nothing")
    ),
    {"refuse_projection": "words", "error_form": "nulls"},
    {"ties": True, "cursors": "token"},
    {"sampled_most": 1000, "history_most": 1000},
    {"key_form": "null", "united_form": "null", "line_count": "zero"},
    {"rows_cut": 500, "live_most": 100},
)
"""Differences that go with others."""


def variants() -> Iterator[dict[str, Any]]:
    """Give every difference with each value that is tried."""
    for name, difference in DIFFERENCES.items():
        if name in NOT_TRIED:
            continue
        values = difference.samples or EXAMPLES[name]
        if name.startswith("refuse_") and difference.choices and name not in ALL_WORDINGS:
            values = SEVERAL_WORDINGS
        for value in values:
            yield {name: value}
    yield from LIMITS
    yield from TOGETHER


def name_of(differing: Mapping[str, Any]) -> str:
    """Spell a variant."""
    return " + ".join(f"{name}={value}" for name, value in differing.items())


NOT_TRIED = {
    "limit_words": "says how a limit is told: tried with one",
    "limit_status": "says how a limit is told: tried with one",
    "state_words": "other states are other data",
    "validation_status": "tells of faults of documents: tried with a refusal",
    "error_form": "tells of faults of documents: tried with a refusal",
    "hidden_projects": "tells of projects that no read here asks for",
}

IGNORED: dict[str, frozenset[str]] = {
    "users": frozenset({"user"}),  # the server says nothing of it
    "line_count": frozenset({"history_line_count"}),  # the column is the server's word
}
UNORDERED = {
    "ties": "runs of one second have no order there",
    "order_ignored": "the order is the server's own",
}

MORE = {
    "index_deleted": "nulls",  # nobody can tell the key of a run that is gone from one that none has yet
    "index_dots": "nulls",
    "index_spelling": "nulls",
    "keys_gone": "nulls",
    "index_depth": "any",  # a parent that is promised is the JSON text of the object
    "index_parents": "any",
}
"""Which columns there may be besides the true ones."""

NAMED = frozenset({"bad_run", "bad_key"})
"""What is wrong there has a name, which the error or the warning must tell."""

_ROWS = ("rows_", "scan_rows", "long_", "dropin_rows", "dropin_scan", "pandas_rows")
_FILTERED = ("runs_dict_filter",)


@dataclass(frozen=True)
class Allowed:
    """What may come of reads whose names begin so, besides the true values."""

    reads: tuple[str, ...]
    kinds: tuple[str, ...]
    because: str


def _filters(*names: str) -> dict[str, tuple[Allowed, ...]]:
    because = "a dict of filters is the server's own language, and goes there as it is"
    return dict.fromkeys(names, (Allowed(_FILTERED, ("error", "WRONG", "warned"), because),))


def _may(because: str, *kinds: str, reads: tuple[str, ...] = _ROWS) -> tuple[Allowed, ...]:
    return (Allowed(reads, kinds, because),)


ALLOWED: dict[str, tuple[Allowed, ...]] = {
    **_filters(
        "filter_result", "filter_ignores", "filter_numbers", "filter_bounds", "filter_paths"
    ),
    **_filters("refuse_filters", "bad_filter"),
    "count": _may(
        "`len` of the drop-in is the server's count",
        "error",
        "WRONG",
        "warned",
        reads=("dropin_len",),
    ),
    "count_lag": _may(
        "`len` of the drop-in is the server's count", "WRONG", "warned", reads=("dropin_len",)
    ),
    "refuse_counts": _may(
        "`len` of the drop-in is the server's count", "error", reads=("dropin_len",)
    ),
    "ties": _may(
        "what comes twice and never is told, where no other order helps", "error", reads=("",)
    ),
    "order_ignored": _may(
        "the first runs of another order are others",
        "WRONG",
        reads=("runs_limit", "scan_head", "scan_rows_head"),
    ),
    "refuse_order": _may(
        "the order that was asked for is the server's", "error", reads=("runs_limit", "runs_order")
    ),
    "no_page_info": _may("whether more follows is not known", "error", reads=("",)),
    "run_gone": _may("runs that are gone are left out with a word", "error", "warned"),
    "bad_run": _may("the run cannot be read, and the error names it", "error", "warned"),
    "bad_key": _may("the key cannot be read, and the error says so", "error", "warned"),
    "rows_lost": _may("rows that never come are told", "error", "warned"),
    "rows_cut": _may("rows that never come are told", "error", "warned"),
    "thinned": _may("rows that never come are told", "error", "warned"),
    "sampled_most": _may("rows that never come are told", "error", "warned"),
    "history_most": _may("rows that never come are told", "error", "warned"),
    "non_finite=null": _may("null is all that the server says of them", "WRONG"),
    "steps": _may("the drop-in gives values as they came", "WRONG", reads=("dropin",)),
    "steps=absent": _may("rows without steps have no place", "error"),
    **dict.fromkeys(
        ("tags=text", "blob_dots"),
        _may("the drop-in gives values as they came", "WRONG", reads=("dropin_runs",)),
    ),
    "nested_rows": _may("the drop-in gives values as they came", "WRONG", reads=("dropin",)),
    "rows_order": _may("the drop-in gives rows as they came", "WRONG", reads=("dropin",)),
    "rows_twice": _may("the drop-in gives rows as they came", "WRONG", reads=("dropin",)),
    **dict.fromkeys(
        ("most_fields", "most_bytes=700"),
        _may(
            "the drop-in lists runs by the SDK's own document",
            "error",
            reads=("dropin_runs", "dropin_len", "dropin_rows"),
        ),
    ),
    "line_count=high": _may("rows that are counted and never come are told", "error", "warned"),
    **dict.fromkeys(
        ("keys_missing", "keys_sparse_missing", "key_form=empty_keys"),
        _may("no row of the window tells of the key", "WRONG", reads=("rows_window_all",)),
    ),
    "numbers": _may(
        "a number in JSON text keeps its spelling", "WRONG", reads=("runs_", "scan_all")
    ),
    "row_nulls": _may("a null may have been logged", "WRONG"),
    "refuse_history": _may("whole rows come by no other way", "error"),
    "refuse_windows": _may(
        "rows of a window come by no other way",
        "error",
        reads=("rows_window", "rows_one", "rows_whole", "long_", "dropin_scan", "scan_rows"),
    ),
    **{
        f"{name}={value}": _may("so long is more than the policy allows", "error", reads=("",))
        for name in ("retry_after", "rate_limit_reset")
        for value in ("hour", "epoch", "epoch_ms", "huge", "date_far")
    },
    "rate_limit_hints": _may("nothing left for long is told", "error", reads=("",)),
    **dict.fromkeys(
        ("most_samples", "most_cost"),
        _may(
            "more rows than the server gives are told",
            "error",
            "warned",
            reads=("long_many_samples",),
        ),
    ),
}

COSTLY: dict[str, str] = {
    "flaky": "each fourth request is sent again",
    "refuse_every": "each fourth request is sent again",
    "page_most": "smaller pages are more pages",
    "page_short": "smaller pages are more pages",
    "most_first": "smaller pages are more pages",
    "ties": "what is missing is read in other orders",
    "most_aliases": "fewer runs a request are more requests",
    "refuse_aliases": "fewer runs a request are more requests",
    "most_cost": "fewer rows a request are more requests",
    "most_bytes": "smaller requests are more requests",
    "most_variables": "smaller requests are more requests",
    "most_fields": "smaller requests are more requests",
    **dict.fromkeys(
        ("refuse_projection=gateway", "refuse_counts=internal"),
        "what fails without a word may be too big, so that less is asked for first",
    ),
    **dict.fromkeys(
        ("refuse_filters=internal", "bad_filter"),
        "what the server cannot count is read and counted",
    ),
    "most_keys": "fewer keys a page are more pages",
    "count=double": "what is counted and never comes is looked for in another order",
    "rows_order": "whether a page was the last is seen by another",
    "most_specs": "fewer specs a request are more requests",
    "refuse_specs": "fewer specs a request are more requests",
    "most_samples": "smaller windows are more windows",
    "sampled_most": "smaller windows are more windows",
    "history_most": "smaller windows are more windows",
    "rows_cut": "smaller windows are more windows",
    "thinned": "smaller windows are more windows",
    "rows_lost": "rows are looked for another way",
    "refuse_exports": "rows come by windows in place of files",
    "export_null": "rows come by windows in place of files",
    "export_urls": "rows come by windows in place of files",
    "bad_run": "the bad one is found by halving",
    "bad_key": "the bad one is found by halving",
    "run_gone": "the missing one is found by halving",
    "retry_after": "one request is sent again",
    "rate_limit_reset": "one request is sent again",
    "objects_apart": "objects are asked for apart from numbers",
    "key_counts": "what is not counted is asked for key by key",
    "key_form": "what is not counted is asked for key by key",
    "keys_missing": "what is not listed is looked for in rows",
    "keys_sparse_missing": "what is not listed is looked for in rows",
    "last_step": "where rows end is looked for",
}


def verdict(differing: Mapping[str, Any], read: str, outcome: Outcome, plain_requests: int) -> str:
    """Say what is wrong with an outcome; empty where it is right, or allowed."""
    if outcome.kind == "skipped":
        return ""
    if outcome.kind != "ok":
        told = " ".join((outcome.detail, *outcome.warned))
        for name, value in differing.items():
            for each in (*ALLOWED.get(name, ()), *ALLOWED.get(f"{name}={value}", ())):
                named = name not in NAMED or str(value) in told
                if named and outcome.kind in each.kinds and read.startswith(each.reads):
                    return ""
        return f"{outcome.kind}: {outcome.detail}"
    most = max(2 * plain_requests, plain_requests + 4)
    costly = any(name in COSTLY or f"{name}={value}" in COSTLY for name, value in differing.items())
    if outcome.requests > most and not costly:
        return f"COSTLY: {outcome.requests} requests in place of {plain_requests}"
    return ""
