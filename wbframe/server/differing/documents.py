"""What may be refused because of what a request asks, in which words, and with which status."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from wbframe.server.differing.exchange import JSON, Asking, errors
from wbframe.server.differing.registry import Difference, add, add_plain
from wbframe.server.replies import Reply

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["WORDINGS"]

_HANGS = 60.0
_INTERNAL = "An internal error occurred. Please contact support."
_ELSEWHERE = "This information is not part of your plan."


def _page(status: int, title: str) -> Reply:
    """Answer as a proxy does."""
    body = f"<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>"
    return Reply(status, body.encode(), {"Content-Type": "text/html"})


WORDINGS: dict[str, Callable[[str], Reply]] = {
    "unknown": lambda what: errors(400, what),
    "unknown_200": lambda what: errors(200, what),
    "unknown_422": lambda _what: errors(422, "The document does not pass validation."),
    "words": lambda _what: errors(200, _ELSEWHERE, path=["project"]),
    "words_400": lambda _what: errors(400, _ELSEWHERE),
    "internal": lambda _what: errors(500, _INTERNAL, path=["project"]),
    "denied": lambda _what: errors(403, "permission denied"),
    "missing": lambda _what: _page(404, "404 Not Found"),
    "gateway": lambda _what: _page(502, "502 Bad Gateway"),
    "text": lambda what: Reply(400, json.dumps({"errors": [what]}).encode(), JSON),
    "null_data": lambda _what: Reply(200, b'{"data":null}', JSON),
    "hangs": lambda _what: errors(504, "upstream request timeout", delay=_HANGS),
}
"""How a feature is refused: choices of each ``refuse_*``."""


def _filter(arguments: Any) -> bool:
    """Tell whether there is a filter, and no plain one of the sweep or of names."""
    text = arguments.get("filters")
    return isinstance(text, str) and text not in ("", "{}")


def _ordered(arguments: Any) -> bool:
    """Tell whether there is an order that not every server has."""
    order = str(arguments.get("order") or "-createdAt").lstrip("+-")
    return order not in ("createdAt", "created_at")


def _windowed(asking: Asking) -> bool:
    """Tell whether rows of a range of steps are asked for."""
    if any(each.arguments.get("minStep") is not None for each in asking.asked(".history")):
        return True
    specs = [
        spec
        for each in asking.asked(".sampledHistory")
        for spec in each.arguments.get("specs") or ()
    ]
    return any({"minStep", "maxStep"} & json.loads(spec).keys() for spec in specs)


def _samples(asking: Asking) -> int:
    """Give the most rows that one field or spec asks for."""
    found = [each.arguments.get("samples") or 0 for each in asking.asked(".history", ".events")]
    for each in asking.asked(".sampledHistory"):
        found += [
            json.loads(spec).get("samples") or 0 for spec in each.arguments.get("specs") or ()
        ]
    return max(found, default=0)


def _refuses(name: str, says: str, what: str, asks: Callable[[Asking], bool]) -> None:
    """Add a difference that refuses what some requests ask."""

    def before(how: Any, asking: Asking) -> Reply | None:
        return WORDINGS[how](what) if asks(asking) else None

    says = f"{says} is refused: as an unknown field, in other words, with 5xx, or it hangs."
    add(Difference(name=name, says=says, kind=str, choices=tuple(WORDINGS), before=before))


_refuses(
    "refuse_fields",
    "`project.fields`",
    "Cannot query field 'fields' on type 'Project'.",
    lambda asking: bool(asking.asked("project.fields")),
)
_refuses(
    "refuse_united_keys",
    "`runs.historyKeys`",
    "Cannot query field 'historyKeys' on type 'RunConnection'.",
    lambda asking: bool(asking.asked("runs.historyKeys")),
)
_refuses(
    "refuse_history_keys",
    "`historyKeys` of a run asked for by its name",
    "Cannot query field 'historyKeys' on type 'Run'.",
    lambda asking: bool(asking.asked("project.run.historyKeys")),
)
_refuses(
    "refuse_projection",
    "`config(keys:)` and `summaryMetrics(keys:)`",
    "Unknown argument 'keys' on field 'Run.config'.",
    lambda asking: any(
        "keys" in each.arguments for each in asking.asked(".config", ".summaryMetrics")
    ),
)
_refuses(
    "refuse_exports",
    "`parquetHistory`",
    "Cannot query field 'parquetHistory' on type 'Run'.",
    lambda asking: bool(asking.asked(".parquetHistory")),
)
_refuses(
    "refuse_live",
    "`liveData` of `parquetHistory`",
    "Cannot query field 'liveData' on type 'ParquetHistory'.",
    lambda asking: bool(asking.asked(".liveData")),
)
_refuses(
    "refuse_aliases",
    "More than one run by its name",
    "Aliases of one field are not allowed.",
    lambda asking: asking.aliases > 1,
)
_refuses(
    "refuse_specs",
    "More than one spec of `sampledHistory`",
    "Only one spec is allowed.",
    lambda asking: asking.specs > 1,
)
_refuses(
    "refuse_nested_rows",
    "A field of rows of listed runs",
    "Cannot query field 'sampledHistory' on type 'Run' inside 'runs'.",
    lambda asking: bool(asking.asked("node.sampledHistory", "node.history", "node.parquetHistory")),
)
_refuses(
    "refuse_counts",
    "`runCount`",
    "Cannot query field 'runCount' on type 'Project'.",
    lambda asking: bool(asking.asked(".runCount")),
)
_refuses(
    "refuse_filters",
    "A filter of runs",
    "Unknown argument 'filters' on field 'Project.runs'.",
    lambda asking: any(
        _filter(each.arguments) for each in asking.asked("project.runs", ".runCount")
    ),
)
_refuses(
    "refuse_order",
    "An order other than by creation",
    "Cannot order by that.",
    lambda asking: any(_ordered(each.arguments) for each in asking.asked("project.runs")),
)
_refuses(
    "refuse_windows",
    "A window of steps",
    "Unknown argument 'minStep' on field 'Run.history'.",
    _windowed,
)
_refuses(
    "refuse_history",
    "`history`, whole rows,",
    "Cannot query field 'history' on type 'Run'.",
    lambda asking: bool(asking.asked(".history")),
)

# ---------------------------------------------------------------- too much at once

_TOO_MUCH: dict[str, str] = {
    "complex": "query too complex",
    "aliases": "Too many aliases in the query",
    "cost": "Query cost limit exceeded",
    "variables": "too many variables",
    "body": "request body too large",
    "depth": "operation has complexity 9120, which exceeds the limit of 5000",
    "internal": _INTERNAL,
    "deadline": "context deadline exceeded",
}
_STATUSES = (400, 413, 422, 200, 500, 502, 503, 504)

add_plain(
    "limit_words",
    "How a limit on requests (`most_*`) is told: too complex, too many aliases, over the cost limit.",
    str,
    *_TOO_MUCH,
)
add_plain(
    "limit_status", "The status with which a limit on requests (`most_*`) is told.", int, *_STATUSES
)


def _limits(name: str, says: str, words: str, measure: Callable[[Asking], int]) -> None:
    """Add a limit on requests."""

    def before(most: Any, asking: Asking) -> Reply | None:
        if measure(asking) <= most:
            return None
        status = asking.chosen.get("limit_status", 400)
        if status in (502, 503, 504):
            return _page(status, f"{status} from the proxy")
        return errors(status, _TOO_MUCH[asking.chosen.get("limit_words", words)])

    add(Difference(name=name, says=says, kind=int, before=before))


_limits(
    "most_aliases",
    "A request with more runs by name than this is refused.",
    "aliases",
    lambda asking: asking.aliases,
)
_limits(
    "most_specs",
    "A request with more specs of one run than this is refused.",
    "complex",
    lambda asking: asking.specs,
)
_limits(
    "most_cost",
    "A request for more rows than this, of all runs and specs, is refused.",
    "cost",
    lambda asking: asking.cost,
)
_limits(
    "most_bytes",
    "A request body of more bytes than this is refused.",
    "body",
    lambda asking: len(asking.body),
)
_limits(
    "most_variables",
    "A request with more variables than this is refused.",
    "variables",
    lambda asking: len(asking.variables),
)
_limits(
    "most_fields",
    "A document with more fields than this is refused.",
    "complex",
    lambda asking: len(asking.selected),
)
_limits(
    "most_first",
    "`first` above this is refused, of `runs` and of `fields`.",
    "complex",
    lambda asking: max((each.arguments.get("first") or 0 for each in asking.selected), default=0),
)
_limits(
    "most_first_fields",
    "`first` of `fields` above this is refused.",
    "complex",
    lambda asking: max(
        (each.arguments.get("first") or 0 for each in asking.asked("project.fields")), default=0
    ),
)
_limits(
    "most_keys",
    "`config(keys:)` and `summaryMetrics(keys:)` with more keys than this are refused.",
    "complex",
    lambda asking: max(
        (
            len(each.arguments.get("keys") or ())
            for each in asking.asked(".config", ".summaryMetrics")
        ),
        default=0,
    ),
)
_limits(
    "most_samples",
    "`samples` above this, of `history` or of a spec, is refused.",
    "deadline",
    _samples,
)

# ---------------------------------------------------------------- one bad apple


def _names_run(asking: Asking, name: str) -> bool:
    """Tell whether rows or exports of a run are asked for."""
    rows = asking.asked(".history", ".sampledHistory", ".parquetHistory")
    named = any(each.arguments.get("name") == name for each in asking.asked("project.run"))
    return bool(rows) and named


def _bad_run(name: Any, asking: Asking) -> Reply | None:
    """Fail for one run."""
    if not _names_run(asking, name):
        return None
    return errors(
        500, "graphql: panic occurred: runtime error: index out of range", path=["project"]
    )


def _bad_key(key: Any, asking: Asking) -> Reply | None:
    """Fail for one key."""
    specs = [
        spec
        for each in asking.asked(".sampledHistory")
        for spec in each.arguments.get("specs") or ()
    ]
    if not any(key in json.loads(spec).get("keys", ()) for spec in specs):
        return None
    return errors(
        500, f"unsupported type for key {key!r}", path=["project", "run", "sampledHistory"]
    )


add(
    Difference(
        name="bad_run",
        says="A request for rows that has this run among others fails whole: 500, `panic occurred`.",
        kind=str,
        before=_bad_run,
    )
)
add(
    Difference(
        name="bad_key",
        says="A request with this key in a spec fails: 500, `unsupported type`.",
        kind=str,
        before=_bad_key,
    )
)


def _bad_filter(how: Any, asking: Asking) -> Reply | None:
    """Fail for a filter."""
    if not any(_filter(each.arguments) for each in asking.asked("project.runs", ".runCount")):
        return None
    words = {
        "type": "unsupported type []interface {} in filter",
        "path": "Invalid JSON path expression. The error is around character position 12.",
        "operator": "unknown operator in filter",
    }
    return errors(500, words[how], path=["project", "runs"])


add(
    Difference(
        name="bad_filter",
        says="A filter of runs fails with 500 and a body that says what of it is wrong.",
        kind=str,
        choices=("type", "path", "operator"),
        before=_bad_filter,
    )
)


def _introspection(_on: Any, asking: Asking) -> Reply | None:
    """Refuse to tell the schema."""
    asks = any(
        each.path.startswith(("__schema", "__type")) and "typename" not in each.path
        for each in asking.selected
    )
    return errors(400, "GraphQL introspection is not allowed") if asks else None


add(
    Difference(
        name="no_introspection", says="`__schema` and `__type` are refused.", before=_introspection
    )
)


def _operation(_on: Any, asking: Asking) -> Reply | None:
    """Refuse requests without the name of their operation."""
    name = asking.request.get("operationName")
    return None if name else errors(400, "operationName is required")


add(
    Difference(
        name="operation_name",
        says="A request without `operationName` is refused.",
        before=_operation,
    )
)
