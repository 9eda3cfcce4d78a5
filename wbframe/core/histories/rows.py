"""The answer to a history task -> rows of the histories frame."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import msgspec
import polars as pl

from wbframe.core.batches import halves_of
from wbframe.core.decode.json import decode_any
from wbframe.core.decode.nested import flat_rows
from wbframe.core.decode.rows import Decoded, array_of, decode_lists, infer_types, join_texts
from wbframe.core.hints import is_cap
from wbframe.core.histories.frame import repeated
from wbframe.core.histories.tasks import another_way, rows_asked, split_groups, whole_rows
from wbframe.core.model import STEP
from wbframe.core.protocol.rows import row_lists, rows_answer, rows_at_once, usual
from wbframe.core.schema.types import SYSTEM_PREFIXES, Index
from wbframe.errors import AnswerError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from wbframe.core.histories.tasks import Group, HistoryTask, RunRead
    from wbframe.core.protocol.request import Request

__all__ = [
    "TaskRows",
    "by_step",
    "halves",
    "merge_rows",
    "merge_runs",
    "merge_specs",
    "new_keys",
    "put_together",
    "read_answer",
]

_row_dicts = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])

_RUN = "\0run"


@dataclass(slots=True)
class TaskRows:
    """What one task gave.

    Attributes
    ----------
    frames
        Ordinal of the run -> its rows, with the columns that the run has (not yet those of the schema).
    again
        The task that reads what grouping got wrong, or None.
    imprecise
        Keys in which Float64 lost digits.
    new_keys
        Ordinal -> keys that the run's rows hold and the schema does not, with their types.
    sampled
        Ordinals of runs of which the server holds more rows than came.
    left_out
        Ordinals of runs that could not be read -> why, where the task allows it.
    short
        Ordinals of runs of which fewer rows came, by every way, than the server counts -> how many.
    """

    frames: dict[int, pl.DataFrame] = field(default_factory=dict)
    again: HistoryTask | None = None
    imprecise: set[str] = field(default_factory=set)
    new_keys: dict[int, Index] = field(default_factory=dict)
    sampled: set[int] = field(default_factory=set)
    left_out: dict[int, str] = field(default_factory=dict)
    short: dict[int, str] = field(default_factory=dict)


def read_answer(task: HistoryTask, content: bytes, request: Request) -> TaskRows:
    """Decode the answer to a task.

    Raises
    ------
    QueryError, AnswerError, RunNotFoundError, SchemaMismatchError
        As the answer has it.
    """
    found = TaskRows()
    again: list[RunRead] = []
    specs: dict[int, list[pl.DataFrame]] = {}
    opened = _open_rows(task, content, request)
    decoded = _decode_together(task, opened)
    for run, arrays, parts in zip(task.runs, opened, decoded, strict=True):
        found.imprecise.update(*(each.imprecise for each in parts))
        if run.field != "events":
            for each in parts:
                must_have_steps(each.frame, task.where(run))
        frames = [in_window(each.frame, task.min_step, task.max_step) for each in parts]
        if run.field == "sampledHistory":
            if len(frames) > 1 and any(each[STEP].n_unique() < each.height for each in frames):
                # Which of the rows of one step a key belongs to is not in the specs: read whole rows.
                again.append(whole_rows(run))
                continue
            wrong = _wrong_groups(task, run, frames, found)
            if wrong:
                again.append(split_groups(run, wrong))
                continue
            if _is_settled(task, run, _owed_of_keys(run, frames), found, again):
                specs[run.ordinal] = frames
            continue
        if not _is_settled(task, run, _owed_of_rows(run, frames[0]), found, again):
            continue
        frame = _whole_rows(task, run, bytes(arrays[0]), parts[0].frame, found)
        if frame.height:
            found.frames[run.ordinal] = frame
    found.frames |= merge_runs(specs, tuple(task.schema.lead))
    if again:
        found.again = replace(task, runs=tuple(again))
    return found


def _open_rows(
    task: HistoryTask, content: bytes, request: Request
) -> list[Sequence[msgspec.Raw | bytes]]:
    """Open an answer: the arrays of rows of each run, one a spec, or one of whole rows; no row is parsed."""
    asked = task.rows_of()
    found: list[Sequence[msgspec.Raw | bytes]] = []
    rows = rows_at_once(content, request, asked)
    if rows is not None:
        for run, each in zip(task.runs, rows, strict=True):
            if run.field == "sampledHistory":
                found.append(usual(each.sampled_history or []))
            else:
                texts = each.history if run.field == "history" else each.events
                found.append([array_of(texts or [], where=task.where(run))])
    else:
        raws = rows_answer(content, request, task.path, asked)
        for run, raw in zip(task.runs, raws, strict=True):
            specs = run.field == "sampledHistory"
            found.append(row_lists(raw) if specs else [join_texts(raw, where=task.where(run))])
    for run, arrays in zip(task.runs, found, strict=True):
        if run.field == "sampledHistory" and len(arrays) != len(run.groups):
            msg = f"{len(run.groups)} specs were asked and {len(arrays)} answered"
            raise AnswerError(f"could not read {task.where(run)}: {msg}")
    return [
        [flat_rows(each, where=task.where(run)) for each in arrays]
        for run, arrays in zip(task.runs, found, strict=True)
    ]


def _decode_together(
    task: HistoryTask, opened: Sequence[Sequence[msgspec.Raw | bytes]]
) -> list[list[Decoded]]:
    """Decode all arrays, those with the same columns at once."""
    alike: dict[tuple[str, ...] | None, list[tuple[int, int]]] = defaultdict(list)
    for place, (run, arrays) in enumerate(zip(task.runs, opened, strict=True)):
        for i in range(len(arrays)):
            keys = run.groups[i].keys if run.field == "sampledHistory" else None
            alike[keys].append((place, i))
    decoded: list[dict[int, Decoded]] = [{} for _ in opened]
    for keys, places in alike.items():
        done = decode_lists(
            [opened[place][i] for place, i in places],
            task.columns(keys),
            where=[task.where(task.runs[place]) for place, _ in places],
            lenient=task.schema.lenient,
        )
        for (place, i), each in zip(places, done, strict=True):
            decoded[place][i] = each
    return [[each[i] for i in sorted(each)] for each in decoded]


def _wrong_groups(
    task: HistoryTask, run: RunRead, frames: Sequence[pl.DataFrame], found: TaskRows
) -> list[int]:
    """Tell which groups of a run were not logged together; note whether its rows are a sample."""
    wrong = []
    for i, (group, frame) in enumerate(zip(run.groups, frames, strict=True)):
        # Equal counts that are wrong may hide that keys were logged apart: then more or fewer rows come.
        if not group.proven and frame.height != min(group.known or 0, rows_asked(task.samples)):
            wrong.append(i)
        elif task.is_sampled(run.field, group.known, frame.height):
            found.sampled.add(run.ordinal)
    return wrong


def _owed_of_keys(run: RunRead, frames: Sequence[pl.DataFrame]) -> tuple[int, int]:
    """Give the rows that came and those that are owed, of the group that lacks the most.

    Read so since whole rows were too few, all keys together owe the rows of the run.
    """
    if run.another_way and run.lines is not None and len(frames) > 0:
        return pl.concat([frame[STEP] for frame in frames]).n_unique(), run.lines
    return max(
        (
            (frame.height, _owed(run, group, frame.height))
            for group, frame in zip(run.groups, frames, strict=True)
        ),
        key=lambda each: each[1] - each[0],
        default=(0, 0),
    )


def _owed(run: RunRead, group: Group, came: int) -> int:
    """Give the rows that a group owes; of one that nobody counts, more than came if they stop where caps are."""
    if group.known is None and is_cap(came) and came < (run.lines or 0):
        return came + 1
    return group.known or 0


def _owed_of_rows(run: RunRead, frame: pl.DataFrame) -> tuple[int, int]:
    """Give the rows that came and those that are owed, of whole rows."""
    return frame.height, run.known or 0


def _is_settled(
    task: HistoryTask, run: RunRead, rows: tuple[int, int], found: TaskRows, again: list[RunRead]
) -> bool:
    """Tell whether a run need not be read another way; if every way gives too few rows, note it.

    A count is a hint: two that say that there is more, or ways that differ, are more than one.
    """
    came, owed = rows
    bounded = task.min_step is not None or task.max_step is not None
    # What is counted of a run that logs on only grows.
    told = not bounded and not task.match_all
    if not told or came >= owed or owed > task.rows_at_most(run.field):
        return True
    other = another_way(task, run)
    if other is not None:
        again.append(other)
        return False
    if run.lines is None or came < min(run.lines, task.rows_at_most(run.field)):
        found.short[run.ordinal] = f"{owed} rows expected, {came} came"
    return True


def merge_rows(into: TaskRows, more: TaskRows) -> TaskRows:
    """Add what another task gave; of a run that both read, the later reading counts."""
    into.frames |= more.frames
    into.imprecise |= more.imprecise
    into.sampled |= more.sampled
    into.new_keys |= more.new_keys
    into.left_out |= more.left_out
    into.short |= more.short
    return into


def merge_runs(
    specs: Mapping[int, Sequence[pl.DataFrame]], lead: tuple[str, ...] = (STEP,)
) -> dict[int, pl.DataFrame]:
    """Join the rows of the specs of several runs, each as `merge_specs` does.

    Those with the same columns at once: to begin a join takes longer than to do it.

    Parameters
    ----------
    specs
        By ordinal, what `merge_specs` takes of one run.
    lead
        The columns that every frame has; the first is `_step`.

    Returns
    -------
    dict
        Ordinal -> rows, of the runs that have any.
    """
    alike: dict[tuple[tuple[str, ...], ...], list[int]] = defaultdict(list)
    for ordinal, frames in specs.items():
        alike[tuple(tuple(each.columns) for each in frames)].append(ordinal)
    found: dict[int, pl.DataFrame] = {}
    for columns, ordinals in alike.items():
        if len(columns) == 1 or len(ordinals) == 1:
            found |= {each: merge_specs(specs[each], lead) for each in ordinals}
            continue
        stacked = [
            pl.concat(parts).with_columns(
                repeated(_RUN, ordinals, [part.height for part in parts], pl.Int64())
            )
            for parts in zip(*(specs[each] for each in ordinals), strict=True)
        ]
        merged = merge_specs(stacked, lead, within=(_RUN,))
        runs = merged[_RUN].rle().struct.unnest()
        merged, start = merged.drop(_RUN), 0
        for length, ordinal in runs.rows():
            found[ordinal] = merged.slice(start, length)
            start += length
    return {ordinal: frame for ordinal, frame in found.items() if frame.height}


def merge_specs(
    frames: Sequence[pl.DataFrame],
    lead: tuple[str, ...] = (STEP,),
    *,
    within: tuple[str, ...] = (),
) -> pl.DataFrame:
    """Join the rows of several specs of one run on `_step`: every row that any of them has, once.

    Parameters
    ----------
    frames
        Each with `_step`, further lead columns (which coalesce), and keys of its own. If there are
        several, no step stands twice in one of them.
    lead
        The columns that every frame has; the first is `_step`.
    within
        Columns that tell apart rows of the same step, if the frames are of several runs.
    """
    if len(frames) == 1:
        return by_step(frames[0])
    step, *axes = lead
    merged = frames[0]
    for frame in frames[1:]:
        # A null step meets a null step, or its row would stand twice.
        merged = merged.join(frame, on=[*within, step], how="full", coalesce=True, nulls_equal=True)
        merged = merged.with_columns(pl.coalesce(axis, f"{axis}_right") for axis in axes).drop(
            f"{axis}_right" for axis in axes
        )
    # polars promises no order of a full join:
    # https://docs.pola.rs/api/python/stable/reference/dataframe/api/polars.DataFrame.join.html
    return merged.sort([*within, step])


def must_have_steps(frame: pl.DataFrame, where: str) -> None:
    """Refuse rows of which none has a step: they have no place among others.

    Raises
    ------
    AnswerError
        If that is so.
    """
    if frame.height and STEP in frame.columns and frame[STEP].null_count() == frame.height:
        raise AnswerError(f"could not read {where}: its rows came without `{STEP}`")


def in_window(frame: pl.DataFrame, min_step: int | None, max_step: int | None) -> pl.DataFrame:
    """Keep the rows of a half-open window of steps: servers and files give others too."""
    if STEP not in frame.columns:
        return frame
    if min_step is not None:
        frame = frame.filter(pl.col(STEP) >= min_step)
    return frame if max_step is None else frame.filter(pl.col(STEP) < max_step)


def by_step(frame: pl.DataFrame) -> pl.DataFrame:
    """Put rows in the order of their steps, ties as they came."""
    if STEP not in frame.columns or frame[STEP].is_sorted():
        return frame
    # Several rows may have one step, and polars' sort is not stable unless asked to be.
    return frame.sort(STEP, maintain_order=True)


def _whole_rows(
    task: HistoryTask, run: RunRead, rows: bytes, frame: pl.DataFrame, found: TaskRows
) -> pl.DataFrame:
    """Keep of one run's `history` or `events` the rows that are wanted; note new keys and samples."""
    # A list of keys may lag, or lack some: it is complete if no key stands in the rows beside the cells read.
    unlisted = not run.ended or run.field == "events" or rows.count(b'":') > _cells(frame)
    if task.row_keys is None and not task.narrowed and unlisted:
        new = new_keys(infer_types(rows), task.columns(), system=run.field == "events")
        if new:
            found.new_keys[run.ordinal] = new
    if task.is_sampled(run.field, run.known, frame.height):
        found.sampled.add(run.ordinal)
    if task.row_keys:
        frame = frame.filter(_held(rows, task.row_keys, match_all=task.match_all))
    frame = in_window(frame, task.min_step, task.max_step)
    axes = [axis for axis in task.schema.lead if axis != STEP and run.field == "history"]
    if axes:
        frame = frame.drop_nulls(axes)
    return by_step(frame)


def _cells(frame: pl.DataFrame) -> int:
    """Count the cells that hold something."""
    return frame.width * frame.height - sum(column.null_count() for column in frame)


def _held(rows: bytes, keys: Sequence[str], *, match_all: bool) -> pl.Series:
    """Tell which rows hold any (or all) of the keys; a logged null is held, as it is by a spec."""
    wanted = set(keys) - {STEP}
    there = decode_any(_row_dicts, rows, where="")
    if match_all:
        return pl.Series([wanted <= row.keys() for row in there], dtype=pl.Boolean)
    return pl.Series([not wanted.isdisjoint(row) for row in there], dtype=pl.Boolean)


def new_keys(
    types: Mapping[str, Mapping[str, int]], promised: Mapping[str, pl.DataType], *, system: bool
) -> Index:
    """Give the keys of the rows that the schema does not have."""
    return {
        key: frozenset(counts)
        for key, counts in types.items()
        # Rows of `events` carry `"_wandb": true`, which nobody has logged.
        if key not in promised
        and key != "_wandb"
        and (key.startswith(SYSTEM_PREFIXES) or not system)
    }


def halves(task: HistoryTask) -> list[HistoryTask]:
    """Cut a task in two: half of its runs, then half of the keys of its one run; nothing if that is one key.

    Whole rows cannot be cut by keys, nor can rows that hold all of several keys.
    """
    if len(task.runs) > 1:
        return [replace(task, runs=tuple(runs)) for runs in halves_of(task.runs)]
    [run] = task.runs
    groups: Sequence[Group] = run.groups
    if len(groups) == 1 and not task.match_all:
        # Keys that were logged together.
        groups = [replace(groups[0], keys=tuple(keys)) for keys in halves_of(groups[0].keys)]
    return [replace(task, runs=(replace(run, groups=tuple(part)),)) for part in halves_of(groups)]


def put_together(found: TaskRows, more: TaskRows, lead: tuple[str, ...]) -> set[int]:
    """Add what a further part of a task gave, be it further keys of the same run.

    Returns
    -------
    set of int
        Ordinals of runs whose keys cannot be put side by side, since steps stand in several rows of them.
    """
    unclear = set()
    for ordinal in found.frames.keys() & more.frames.keys():
        one, other = found.frames[ordinal], more.frames[ordinal]
        if (set(one.columns) & set(other.columns)) - set(lead):
            # One of them had to read whole rows, so it has everything.
            both = max(one, other, key=lambda frame: frame.width)
        elif one[STEP].is_duplicated().any() or other[STEP].is_duplicated().any():
            unclear.add(ordinal)
            continue
        else:
            both = merge_specs((one, other), lead)
        more.frames[ordinal] = both
    merge_rows(found, more)
    return unclear
