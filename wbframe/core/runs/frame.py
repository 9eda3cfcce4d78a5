"""Runs as the server gives them -> the runs frame: unwrapped, flattened, typed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec
import polars as pl

from wbframe.core.decode.cells import UTC_TIME
from wbframe.core.decode.nested import members, object_of
from wbframe.core.decode.rows import decode_rows, infer_types
from wbframe.core.decode.taken import taken_in
from wbframe.core.hints import check_keys, whole
from wbframe.core.paths import name_of
from wbframe.core.protocol.answers import RAW_NULL, json_object, json_texts
from wbframe.core.schema.runs import RUN_COLUMNS, RunsSchema
from wbframe.core.schema.types import HIDDEN, Index, merge_index
from wbframe.errors import AnswerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from wbframe.core.model import ColumnsKept, RunPath
    from wbframe.core.protocol.runs import RunNode

_ROWS_AT_ONCE = 100


class _Wrapped(msgspec.Struct):
    """A value of a config."""

    value: msgspec.Raw


_wrapped = msgspec.json.Decoder(dict[str, _Wrapped])


@dataclass(slots=True)
class RunsBuffer:
    """Runs in order, their config and summary already flattened to one JSON row each.

    `names` are the columns of these, `collided` those that a run has two values for, by its place. Of the columns
    in `parents`, objects are values. What the SDK keeps among the keys is left out, but where it is `shown`.
    """

    parents: frozenset[str] = frozenset()
    shown: bool = False

    entities: list[str] = field(default_factory=list)
    projects: list[str] = field(default_factory=list)
    nodes: list[RunNode] = field(default_factory=list)
    rows: list[bytes] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    collided: dict[int, set[str]] = field(default_factory=dict)

    def add(self, path: RunPath, nodes: Iterable[RunNode], *, skip: bool = False) -> None:
        """Add runs of one project; config and summary are taken out of them.

        Where `skip` says so, runs whose config or summary cannot be read are not added.
        """
        for node in nodes:
            twice: set[str] = set()
            where = f"run {node.name!r} of {name_of(path)}"
            try:
                leaves = run_leaves(
                    node, where=where, collided=twice, parents=self.parents, shown=self.shown
                )
            except AnswerError:
                if not skip:
                    raise
                continue
            if twice:
                self.collided[len(self.nodes)] = twice
            self.entities.append(path.entity or "")
            self.projects.append(path.project)
            self.nodes.append(node)
            self.names.update(leaves)
            self.rows.append(msgspec.json.encode(leaves))
            # They are views of the answer, and would hold all of it.
            node.config = node.summary_metrics = RAW_NULL

    def extend(self, other: RunsBuffer) -> None:
        """Add the runs of another one."""
        at = len(self)
        self.collided.update({at + place: names for place, names in other.collided.items()})
        self.names |= other.names
        self.entities += other.entities
        self.projects += other.projects
        self.nodes += other.nodes
        self.rows += other.rows

    def only(self, places: Sequence[int]) -> RunsBuffer:
        """Give some of the runs; `names` may be more than these have."""
        return RunsBuffer(
            parents=self.parents,
            shown=self.shown,
            entities=[self.entities[i] for i in places],
            projects=[self.projects[i] for i in places],
            nodes=[self.nodes[i] for i in places],
            rows=[self.rows[i] for i in places],
            names=self.names,
            collided={at: self.collided[i] for at, i in enumerate(places) if i in self.collided},
        )

    def joined(self) -> Iterator[bytes]:
        """Give the rows as JSON arrays, each of some rows: the memory to decode one is many times its size."""
        for at in range(0, max(len(self.rows), 1), _ROWS_AT_ONCE):
            yield b"[" + b",".join(self.rows[at : at + _ROWS_AT_ONCE]) + b"]"

    def __len__(self) -> int:
        return len(self.nodes)


def run_leaves(
    node: RunNode,
    *,
    where: str,
    collided: set[str] | None = None,
    parents: frozenset[str] = frozenset(),
    shown: bool = False,
) -> dict[str, msgspec.Raw]:
    """Flatten config and summary of a run: column -> value as it stood in the bytes.

    A key ``a.b`` and a key ``b`` inside ``a`` name the same column; the former counts, and the column is
    added to `collided`. Objects in columns of `parents` are values.
    """
    into = _Leaves(parents, set() if collided is None else collided)
    unseen = {} if shown else HIDDEN
    if node.config != RAW_NULL:
        of_config = f"the config of {where}"
        with taken_in(of_config):
            text = json_texts(node.config, where=of_config)
            check_keys(text, of_config)
            flat = None if shown else _flat_config(text)
            if flat is not None:
                into.found = flat
            else:
                config = json_object(msgspec.Raw(text), where=of_config)
                for key, wrapped in sorted(config.items()):
                    if key not in unseen.get("config", ()):
                        into.add(f"config.{key}", _unwrap(wrapped))
    if node.summary_metrics != RAW_NULL:
        of_summary = f"the summary of {where}"
        with taken_in(of_summary):
            _add_summary(
                into, json_texts(node.summary_metrics, where=of_summary), of_summary, shown=shown
            )
    return into.found


def _add_summary(into: _Leaves, text: bytes, where: str, *, shown: bool) -> None:
    """Flatten a summary, in most of which nothing is nested."""
    check_keys(text, where)
    summary = json_object(msgspec.Raw(text), where=where)
    hidden = [summary[key] for key in HIDDEN["summary"] & summary.keys()]
    if not (shown and hidden) and text.count(b"{") == 1 + _braces(hidden):
        into.found.update(
            {f"summary.{k}": v for k, v in summary.items() if k not in HIDDEN["summary"]}
        )
        return
    for key, value in sorted(summary.items()):
        if shown or key not in HIDDEN["summary"]:
            into.add(f"summary.{key}", value)


def _flat_config(text: bytes) -> dict[str, msgspec.Raw] | None:
    """Open a config in which nothing is nested, as most are; None for others."""
    try:
        found = _wrapped.decode(text)
    except msgspec.DecodeError:
        return None
    hidden = [found.pop(key).value for key in HIDDEN["config"] & found.keys()]
    if text.count(b"{") != 1 + len(found) + len(hidden) + _braces(hidden):
        return None
    return {f"config.{key}": wrapped.value for key, wrapped in found.items()}


def _braces(values: Iterable[msgspec.Raw]) -> int:
    """Count opening braces."""
    return sum(bytes(each).count(b"{") for each in values)


def _unwrap(value: msgspec.Raw) -> msgspec.Raw:
    """Take the value out of ``{"value": ..., "desc": ...}``; others pass as they are."""
    inner = object_of(value)
    return inner["value"] if inner is not None and "value" in inner else value


@dataclass(slots=True)
class _Leaves:
    """The leaves of one run; see `run_leaves`."""

    parents: frozenset[str]
    collided: set[str]
    found: dict[str, msgspec.Raw] = field(default_factory=dict)

    def add(self, name: str, value: msgspec.Raw, depth: int = 0) -> None:
        """Add the leaves below a value; media and histograms, which have a `_type`, are leaves."""
        inner = None if name in self.parents else members(value, depth)
        if inner:
            for key, each in sorted(inner.items()):
                self.add(f"{name}.{key}", each, depth + 1)
            return
        before = self.found.get(name, RAW_NULL)
        if RAW_NULL not in (before, value) and before != value:
            self.collided.add(name)
        # A null never wins.
        self.found[name] = before if value == RAW_NULL else value


# ---------------------------------------------------------------- the frame


def runs_frame(buffer: RunsBuffer, schema: RunsSchema) -> tuple[pl.DataFrame, frozenset[str]]:
    """Build the frame of exactly the schema's columns.

    Returns
    -------
    tuple
        The frame, one row a run in order, and the columns in which Float64 lost digits.

    Raises
    ------
    SchemaMismatchError
        If a config or summary value does not fit its column.
    """
    with taken_in("the runs"):
        found, imprecise = _leaf_columns(buffer, schema)
        names = [name for name in schema.columns if name in RUN_COLUMNS]
        found |= _meta_columns(names, buffer, schema.app)
        for name, dtype in schema.columns.items():
            if found[name].dtype != dtype:  # an override of metadata
                found[name] = found[name].cast(dtype)
        return pl.DataFrame([found[name] for name in schema.columns]), imprecise


def _leaf_columns(
    buffer: RunsBuffer, schema: RunsSchema
) -> tuple[dict[str, pl.Series], frozenset[str]]:
    """Build the columns of config and summary; tell in which Float64 lost digits."""
    leaves = schema.leaves()
    if not leaves:
        return {}, frozenset()
    decoded = [
        decode_rows(part, leaves, where="the runs", lenient=schema.lenient)
        for part in buffer.joined()
    ]
    whole = pl.concat([each.frame for each in decoded])
    imprecise = frozenset[str]().union(*(each.imprecise for each in decoded))
    return {name: whole[name] for name in leaves}, imprecise


def kept_columns(frame: pl.DataFrame, kept: ColumnsKept | None) -> pl.DataFrame:
    """Leave out the config and summary columns that do not tell runs apart, or that no run has.

    Null is a value: what one run has and another has not differs. NaN is equal to NaN.
    """
    leaves = [name for name in frame.columns if name not in RUN_COLUMNS]
    if kept is None or not leaves:
        return frame
    each = pl.col(leaves)
    told = each.is_not_null().any() if kept == "used" else each.n_unique() > 1
    stays = frame.select(told).row(0, named=True)
    return frame.select(name for name in frame.columns if stays.get(name, True))


def leaf_types(buffer: RunsBuffer) -> Index:
    """Give the config and summary columns that these runs have, and their types."""
    found: Index = {}
    for part in buffer.joined():
        merge_index(found, {name: frozenset(types) for name, types in infer_types(part).items()})
    return found


def _meta_columns(names: Sequence[str], buffer: RunsBuffer, app: str) -> dict[str, pl.Series]:
    """Build metadata columns."""
    found: dict[str, pl.Series] = {}
    times: dict[str, Sequence[object]] = {}
    for name in names:
        if name in _ATTRIBUTES:
            take = _ATTRIBUTES[name]
            values: Sequence[object] = [take(node) for node in buffer.nodes]
        elif name == "url":
            values = _urls(buffer, app)
        else:
            values = buffer.entities if name == "entity" else buffer.projects
        dtype = RUN_COLUMNS[name][0]
        if dtype == UTC_TIME:
            times[name] = values
        elif dtype == pl.List(pl.String) and values:
            # By JSON: from Python lists, polars makes a series a run, which takes ten times as long.
            spelled = msgspec.json.encode([{name: each} for each in values])
            found[name] = pl.read_json(spelled, schema={name: dtype})[name]
        else:
            found[name] = pl.Series(name, values, dtype=dtype)
    return found | (_times(times) if times else {})


def _urls(buffer: RunsBuffer, app: str) -> list[str]:
    """Give the address of each run in the web app."""
    parts = zip(buffer.entities, buffer.projects, buffer.nodes, strict=True)
    names = ([entity, project, "runs", node.name] for entity, project, node in parts)
    return ["/".join([app, *(quote(each, safe="") for each in parts)]) for parts in names]


_ATTRIBUTES: dict[str, Callable[[RunNode], object]] = {
    "run_id": lambda node: node.name,
    "name": lambda node: _text(node.display_name),
    "state": lambda node: _text(node.state),
    "created_at": lambda node: _text(node.created_at),
    "heartbeat_at": lambda node: _text(node.heartbeat_at),
    "user": lambda node: _user(node.user),
    "group": lambda node: _text(node.group),
    "job_type": lambda node: _text(node.job_type),
    "sweep": lambda node: _text(node.sweep_name),
    "tags": lambda node: _tags(node.tags),
    "notes": lambda node: _text(node.notes),
    "commit": lambda node: _text(node.commit),
    "history_line_count": lambda node: whole(node.history_line_count),
}


def _text(value: object) -> str | None:
    """Give what should be text as text."""
    return value if value is None or isinstance(value, str) else str(value)


def _user(user: object) -> str | None:
    """Give the name of a user."""
    if isinstance(user, dict):
        user = user.get("username") or user.get("name")
    return _text(user)


def _tags(tags: object) -> list[str]:
    """Give tags, which may be absent, or text, or text of JSON."""
    if isinstance(tags, str):
        try:
            return _tags(msgspec.json.decode(tags, type=list[Any]))
        except msgspec.DecodeError:
            return [tags] if tags else []
    return [str(each) for each in tags if each is not None] if isinstance(tags, list) else []


def _times(spelled: Mapping[str, Sequence[object]]) -> dict[str, pl.Series]:
    """Parse the server's spellings of times: with ``Z``, without, with fractions, an offset, or since 1970."""
    texts = [pl.Series(name, values, dtype=pl.String) for name, values in spelled.items()]
    plain = (
        pl.all().str.strip_chars().str.replace(r"( ?UTC|Z|[+-]00:?00)$", "").str.replace(" ", "T")
    )
    times = plain.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f", time_unit="us", strict=False)
    parsed = pl.DataFrame(texts).select(times.dt.replace_time_zone("UTC")).get_columns()
    parsed = [
        column if column.null_count() == text.null_count() else _odd_times(text, column)
        for text, column in zip(texts, parsed, strict=True)
    ]
    for text, column in zip(texts, parsed, strict=True):
        if text.null_count() != column.null_count():
            bad = text.filter(column.is_null() & text.is_not_null())
            raise AnswerError(
                f"`{text.name}`: cannot read the time {bad[0]!r}; expected the form 2026-01-31T10:15:30Z"
            )
    return {column.name: column for column in parsed}


# Seconds since 1970 are below this until the year 5138; above it they are milliseconds, or finer.
_SECONDS = 1e11


def _odd_times(text: pl.Series, parsed: pl.Series) -> pl.Series:
    """Parse what is left: times with an offset, and numbers."""
    offset = text.str.replace(" ", "T").str.to_datetime(
        "%Y-%m-%dT%H:%M:%S%.f%#z", time_unit="us", time_zone="UTC", strict=False
    )
    number = text.cast(pl.Float64, strict=False).abs()
    scale = (
        pl.when(number < _SECONDS).then(1e6).when(number < _SECONDS * 1e3).then(1e3).otherwise(1.0)
    )
    since = pl.select((number * scale).round().cast(pl.Int64, strict=False)).to_series()
    return (
        parsed.fill_null(offset).fill_null(since.cast(pl.Datetime("us", "UTC"))).rename(text.name)
    )
