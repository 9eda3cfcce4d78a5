"""Rows of many runs: the document that asks for them, and its answer; no row is parsed here."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from wbframe.core.decode.rows import rows_in
from wbframe.core.protocol.answers import (
    RAW_NULL,
    answered,
    decode_answer,
    found_runs,
    open_answer,
    read_json,
)
from wbframe.core.protocol.request import BUCKETS, Request, by_run
from wbframe.errors import AnswerError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wbframe.core.model import RunPath

_NO_ROWS = msgspec.Raw(b"[]")


@answered
class _RowsData(msgspec.Struct):
    project: dict[str, dict[str, msgspec.Raw] | None] | None = None


class RunRows(msgspec.Struct, rename="camel", gc=False):
    """The rows of a run as the protocol has them: a list of row objects a spec, or JSON texts."""

    sampled_history: list[msgspec.Raw] | None = None
    history: list[str] | None = None
    events: list[str] | None = None


class _RunsOfRows(msgspec.Struct):
    project: dict[str, RunRows | None] | None = None


@answered
class _RowsEnvelope(msgspec.Struct):
    data: _RunsOfRows | None = None
    errors: Any = None
    error: Any = None


# ---------------------------------------------------------------- rows


@dataclass(frozen=True, slots=True, kw_only=True)
class RowsOf:
    """What rows are asked of one run: specs of sampledHistory, or all keys by history or events."""

    run_id: str
    field: str = "sampledHistory"
    specs: tuple[str, ...] = ()


# Where a server finds more too many, fewer rows of one run than these are not asked for.
FEWEST_SAMPLES = 50
# Neither field takes keys, so that both give whole rows. W&B declares steps as Int64, since GraphQL's Int
# ends at 2**31: https://spec.graphql.org/October2021/#sec-Int
_ROW_VARIABLES = {
    "history": {"samples": "Int", "minStep": "Int64", "maxStep": "Int64"},
    "events": {"samples": "Int"},
}


def rows_request(
    path: RunPath,
    runs: Sequence[RowsOf],
    *,
    samples: int,
    min_step: int | None = None,
    max_step: int | None = None,
) -> Request:
    """Ask for the rows of several runs; the window is half-open, and goes with `history`."""
    given = {"samples": samples, "minStep": min_step, "maxStep": max_step}
    variables: dict[str, tuple[str, Any]] = {}
    shared: dict[tuple[str, ...], str] = {}

    def select(place: int) -> str:
        run = runs[place]
        if run.field in {"sampledHistory", "bucketedHistory"}:
            name = shared.setdefault(run.specs, f"s{len(shared)}")
            variables[name] = ("[JSONString!]!", list(run.specs))
            return f"{run.field}(specs: ${name})"
        declared = _ROW_VARIABLES[run.field]
        variables.update({name: (kind, given[name]) for name, kind in declared.items()})
        return f"{run.field}({', '.join(f'{name}: ${name}' for name in declared)})"

    selections = [select(i) for i in range(len(runs))]
    features = {BUCKETS} if any(run.field == "bucketedHistory" for run in runs) else ()
    return by_run(
        "Rows",
        path,
        [run.run_id for run in runs],
        selections.__getitem__,
        asked=f"the {runs[0].field} of ",
        variables=variables,
        features=features,
    )


def rows_answer(
    content: bytes, request: Request, path: RunPath, runs: Sequence[RowsOf]
) -> list[msgspec.Raw]:
    """Parse the answer to `rows_request`: the bytes of each run's rows, in order."""
    data: _RowsData = decode_answer(open_answer(content, request), _RowsData, request)
    found = found_runs(data.project, [run.run_id for run in runs], path)
    rows = [each.get(run.field, RAW_NULL) for each, run in zip(found, runs, strict=True)]
    return [_NO_ROWS if raw == RAW_NULL else raw for raw in rows]


def rows_at_once(content: bytes, request: Request, runs: Sequence[RowsOf]) -> list[RunRows] | None:
    """Parse the answer to `rows_request` in one pass over its bytes.

    Returns
    -------
    list of RunRows or None
        In the order of the runs; None for an answer that is not as it should be, which `rows_answer` reads
        or refuses step by step.
    """
    try:
        answer: _RowsEnvelope = read_json(_RowsEnvelope, content, where=request.asked)
    except msgspec.ValidationError:
        return None
    if answer.errors or answer.error or answer.data is None or answer.data.project is None:
        return None
    project = answer.data.project
    found = [project.get(f"r{i}") for i in range(len(runs))]
    whole = [each for each in found if each is not None]
    return whole if len(whole) == len(runs) else None


def spec(keys: Sequence[str], samples: int, min_step: int | None, max_step: int | None) -> str:
    """Spell one spec of sampledHistory; `max_step` is exclusive here and inclusive on the wire."""
    # A spec knows no x axis: as in the SDK, that is one more of the keys that each row must hold.
    content: dict[str, Any] = {"keys": list(keys), "samples": samples}
    if min_step is not None:
        content["minStep"] = min_step
    if max_step is not None:
        # The server adds one to it: https://github.com/wandb/wandb/pull/12010
        content["maxStep"] = max_step - 1
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False)


def fewer_samples(samples: int) -> int | None:
    """Give a third of the rows, to ask for where so many are too many; None where these are the fewest.

    Examples
    --------
    >>> fewer_samples(600), fewer_samples(100), fewer_samples(50)
    (200, 50, None)
    """
    return max(samples // 3, FEWEST_SAMPLES) if samples > FEWEST_SAMPLES else None


def with_fewer_samples(text: str) -> str | None:
    """Give a spec that asks for a third of the rows; None where that is hardly any.

    Examples
    --------
    >>> with_fewer_samples(spec(("loss",), 600, None, None))
    '{"keys":["loss"],"samples":200}'
    """
    content = json.loads(text)
    samples = fewer_samples(content["samples"])
    if samples is None:
        return None
    return json.dumps({**content, "samples": samples}, separators=(",", ":"), ensure_ascii=False)


def row_lists(raw: msgspec.Raw | bytes, *, where: str = "sampledHistory") -> list[msgspec.Raw]:
    """Open a `sampledHistory`: the row list of each spec, its bytes untouched where it has its usual form.

    Raises
    ------
    AnswerError
        If it is no list.
    """
    try:
        lists = msgspec.json.decode(raw, type=list[msgspec.Raw] | str | None) or []
    except msgspec.DecodeError as error:
        raise AnswerError(f"{where} is not a list of row lists: {error}") from error
    return row_lists(lists.encode(), where=where) if isinstance(lists, str) else usual(lists)


def usual(lists: Sequence[msgspec.Raw]) -> list[msgspec.Raw]:
    """Give row lists of any form as JSON arrays of objects."""
    return [each if bytes(memoryview(each)[:2]) in _USUAL else _usual(each) for each in lists]


_USUAL = frozenset({b"[{", b"[]"})


def _usual(rows: msgspec.Raw) -> msgspec.Raw:
    """Give rows in their usual form; what has none stays, to be told of where it is read."""
    found = rows_in(rows)
    return rows if found is None else msgspec.Raw(found)
