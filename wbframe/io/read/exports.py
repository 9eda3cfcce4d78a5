"""Exported files of runs: asking where they are."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from wbframe.core.batches import halves_of
from wbframe.core.protocol.exports import Export, exports_answer, exports_request, file_of
from wbframe.core.protocol.request import EXPORTS, LIVE
from wbframe.io.read.parts import optionally, send_in_parts
from wbframe.io.read.storage import SignedFile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wbframe.core.model import RunPath
    from wbframe.io.client.client import Client
    from wbframe.io.read.storage import Storage

__all__ = ["read_exports", "signed_file"]


def read_exports(client: Client, path: RunPath, run_ids: Sequence[str]) -> list[Export]:
    """Ask where the exported files of runs are; nowhere, where a server has no exports."""

    def ask(refused: frozenset[str], *, patient: bool = False) -> list[Export]:
        if EXPORTS in refused:
            return [Export() for _ in run_ids]
        parts = send_in_parts(
            client,
            run_ids,
            halves_of,
            lambda names: exports_request(path, names, live=LIVE not in refused),
            lambda names, content, request: exports_answer(content, request, path, names),
            patient=patient,
        )
        return [export for part in parts for export in part]

    return optionally(client, [LIVE, EXPORTS], ask, partial(ask, patient=True))


def signed_file(
    client: Client, storage: Storage, path: RunPath, run_id: str, url: str
) -> SignedFile:
    """Give a file of a run, whose address is asked for anew when it expires."""

    def renew(old: str) -> str:
        [export] = read_exports(client, path, [run_id])
        # By its path, since signing anew changes the rest, and the order of addresses is not promised.
        return next((each for each in export.urls if file_of(each) == file_of(old)), old)

    return SignedFile(storage, url, renew)
