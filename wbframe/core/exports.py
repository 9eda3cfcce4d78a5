"""Exported histories: where the files are, which of their bytes are needed, and how their columns become ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from wbframe.core.answers import answered, decode_answer, found_project, found_run, open_answer
from wbframe.core.graphql import EXPORTS, LIVE, project_variables
from wbframe.core.model import Request
from wbframe.core.paths import name_of
from wbframe.core.schema import STEP

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pyarrow.parquet as pq

    from wbframe.core.model import RunPath

# Read at once from the end of a file: its footer, and all of it if it is small.
TAIL_BYTES = 128 * 1024
# Chunks of columns nearer than this are read as one range: a request costs more than so many bytes.
NEAR_BYTES = 64 * 1024
# A share of the file from which on it is read whole, in one request.
WHOLE_SHARE = 0.6


class _LiveRow(msgspec.Struct):
    step: int | float | None = msgspec.field(name=STEP, default=None)


class _ParquetHistory(msgspec.Struct, rename="camel"):
    parquet_urls: list[str] | None = None
    live_data: list[_LiveRow] | None = None


class _Run(msgspec.Struct, rename="camel"):
    parquet_history: _ParquetHistory | None = None


@answered
class _Data(msgspec.Struct):
    project: dict[str, _Run | None] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """What the server says of one run's exports.

    Attributes
    ----------
    urls
        Signed addresses of the files, sorted by their paths, since servers shuffle them.
    live_steps
        The steps of rows that are not exported, sorted; None where the server does not say.
    """

    urls: tuple[str, ...] = ()
    live_steps: tuple[int, ...] | None = None


def exports_request(path: RunPath, run_ids: Sequence[str], *, live: bool = True) -> Request:
    """Ask for the exports of several runs, and unless an older server has it not, for the steps of live rows."""
    declared = "".join(f", $r{i}: String!" for i in range(len(run_ids)))
    fields = "parquetUrls liveData" if live else "parquetUrls"
    runs = " ".join(
        f"r{i}: run(name: $r{i}) {{ parquetHistory(liveKeys: $liveKeys) {{ {fields} }} }}"
        for i in range(len(run_ids))
    )
    document = (
        f"query Exports($project: String!, $entity: String!, $liveKeys: [String!]!{declared})"
        f" {{ project(name: $project, entityName: $entity) {{ {runs} }} }}"
    )
    what = f"run {run_ids[0]!r}" if len(run_ids) == 1 else f"{len(run_ids)} runs"
    return Request(
        document=document,
        variables={
            **project_variables(path),
            "liveKeys": [STEP],
            **{f"r{i}": name for i, name in enumerate(run_ids)},
        },
        asked=f"the exports of {what} of {name_of(path)}",
        features=frozenset({EXPORTS, LIVE} if live else {EXPORTS}),
    )


def exports_answer(
    content: bytes, request: Request, path: RunPath, run_ids: Sequence[str]
) -> list[Export]:
    """Parse the answer to `exports_request`, in the order asked."""
    data: _Data = decode_answer(open_answer(content, request), _Data, request)
    project = found_project(data.project, path)
    found = []
    for i, name in enumerate(run_ids):
        history = found_run(project.get(f"r{i}"), name, path).parquet_history or _ParquetHistory()
        steps = None
        if history.live_data is not None:
            steps = tuple(
                sorted(int(row.step) for row in history.live_data if row.step is not None)
            )
        urls = sorted(history.parquet_urls or [], key=file_of)
        found.append(Export(urls=tuple(urls), live_steps=steps))
    return found


def file_of(url: str) -> str:
    """Give the part of a signed address that stays the same when it is signed anew; safe to show.

    Examples
    --------
    >>> file_of("https://storage.example/run/h0.parquet?signature=secret")
    'https://storage.example/run/h0.parquet'
    """
    return url.split("?", 1)[0].split("#", 1)[0]


# ---------------------------------------------------------------- which bytes


def ranges_needed(
    metadata: pq.FileMetaData,
    columns: Iterable[str],
    size: int,
    groups: Sequence[int],
) -> list[tuple[int, int]]:
    """Choose the ranges of bytes that hold some columns of some row groups.

    Parameters
    ----------
    metadata
        The file's footer.
    columns
        Top-level columns; all leaves of a nested one are needed.
    size
        The file's size.
    groups
        Row groups to read.

    Returns
    -------
    list of (start, end)
        Half-open, in order; near ones are joined, and if most of the file is needed it is one range.
    """
    wanted = set(columns)
    found = []
    for group in groups:
        row_group = metadata.row_group(group)
        for i in range(row_group.num_columns):
            chunk = row_group.column(i)
            if _root(chunk.path_in_schema, wanted):
                start = chunk.data_page_offset
                if chunk.has_dictionary_page and chunk.dictionary_page_offset is not None:
                    start = min(start, chunk.dictionary_page_offset)
                found.append((start, start + chunk.total_compressed_size))
    joined: list[tuple[int, int]] = []
    for start, end in sorted(found):
        if joined and start - joined[-1][1] <= NEAR_BYTES:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    if sum(end - start for start, end in joined) >= WHOLE_SHARE * size:
        return [(0, size)]
    return joined


def _root(path: str, wanted: set[str]) -> bool:
    """Tell whether a leaf belongs to a wanted column; names may hold dots themselves."""
    if path in wanted:
        return True
    parts = path.split(".")
    return any(".".join(parts[:i]) in wanted for i in range(1, len(parts)))


def groups_in_window(
    metadata: pq.FileMetaData, min_step: int | None, max_step: int | None
) -> list[int]:
    """Choose the row groups that may hold steps of a half-open window; all where statistics do not say."""
    chosen = []
    for group in range(metadata.num_row_groups):
        span = _step_span(metadata, group)
        if span is None or (
            (max_step is None or span[0] < max_step) and (min_step is None or span[1] >= min_step)
        ):
            chosen.append(group)
    return chosen


def _step_span(metadata: pq.FileMetaData, group: int) -> tuple[float, float] | None:
    """Give the least and the greatest step of a row group, if its statistics have them."""
    row_group = metadata.row_group(group)
    for i in range(row_group.num_columns):
        chunk = row_group.column(i)
        if chunk.path_in_schema == STEP:
            stats = chunk.statistics
            return (stats.min, stats.max) if stats is not None and stats.has_min_max else None
    return None
