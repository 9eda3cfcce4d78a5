"""Exported histories: where the files are, which of their bytes are needed, and how their columns become ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from wbframe.core.model import STEP
from wbframe.core.paths import name_of
from wbframe.core.protocol.answers import (
    answered,
    decode_answer,
    found_project,
    found_run,
    open_answer,
)
from wbframe.core.protocol.request import EXPORTS, LIVE, Request, project_variables

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wbframe.core.model import RunPath


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
