"""Exported histories: the document that asks where the files are, and its answer."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from wbframe.core.hints import MOST_FILES, more_than
from wbframe.core.model import STEP
from wbframe.core.protocol.answers import (
    answered,
    decode_answer,
    found_runs,
    open_answer,
)
from wbframe.core.protocol.request import EXPORTS, LIVE, Request, by_run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wbframe.core.model import RunPath


_USER = re.compile(r"(?<=//)[^/]*@")


class _LiveRow(msgspec.Struct):
    # Comes as 1000.0 too, which W&B's own reader allows for:
    # https://github.com/wandb/wandb/blob/main/core/internal/runhistoryreader/livedata.go
    step: int | float | None = msgspec.field(name=STEP, default=None)


class _ParquetHistory(msgspec.Struct, rename="camel"):
    parquet_urls: list[str] | None = None
    # Some servers do not fill it in: https://github.com/wandb/wandb/pull/12073
    live_data: list[_LiveRow] | None = None


class _Run(msgspec.Struct, rename="camel"):
    parquet_history: _ParquetHistory | None = None


@answered
class _Data(msgspec.Struct):
    project: dict[str, _Run | None] | None = None


class SignedUrl(str):
    """An address whose query is a signature: whoever has it may read the file. Its `repr` is without.

    Examples
    --------
    >>> [SignedUrl("https://storage.example/run/h0.parquet?signature=secret")]
    ['https://storage.example/run/h0.parquet']
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(file_of(self))


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

    urls: tuple[SignedUrl, ...] = ()
    live_steps: tuple[int, ...] | None = None


def exports_request(path: RunPath, run_ids: Sequence[str], *, live: bool = True) -> Request:
    """Ask for the exports of several runs, and unless an older server has it not, for the steps of live rows."""
    fields = "parquetUrls liveData" if live else "parquetUrls"
    return by_run(
        "Exports",
        path,
        run_ids,
        lambda _: f"parquetHistory(liveKeys: $liveKeys) {{ {fields} }}",
        asked="the exports of ",
        # Steps are enough to cut windows by, whose rows can then be checked; the SDK asks for no more either.
        variables={"liveKeys": ("[String!]!", [STEP])},
        features={EXPORTS, LIVE} if live else {EXPORTS},
    )


def exports_answer(
    content: bytes, request: Request, path: RunPath, run_ids: Sequence[str]
) -> list[Export]:
    """Parse the answer to `exports_request`, in the order asked."""
    data: _Data = decode_answer(open_answer(content, request), _Data, request)
    found = []
    for run in found_runs(data.project, run_ids, path):
        history = run.parquet_history or _ParquetHistory()
        steps = None
        if history.live_data is not None:
            steps = tuple(
                sorted(int(row.step) for row in history.live_data if row.step is not None)
            )
        urls = sorted(history.parquet_urls or [], key=file_of)
        if len(urls) > MOST_FILES:
            advice = "leave this run out, or read it with `samples`"
            raise more_than(MOST_FILES, "files of one run", asked=request.asked, advice=advice)
        found.append(Export(urls=tuple(map(SignedUrl, urls)), live_steps=steps))
    return found


def file_of(url: str) -> str:
    """Give the part of a signed address that stays the same when it is signed anew; safe to show.

    Examples
    --------
    >>> file_of("https://storage.example/run/h0.parquet?signature=secret")
    'https://storage.example/run/h0.parquet'
    """
    return _USER.sub("", url.split("?", 1)[0].split("#", 1)[0])
