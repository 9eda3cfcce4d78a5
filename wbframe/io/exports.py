"""Where the exported files of runs are."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from wbframe.core import graphql
from wbframe.core.exports import Export, exports_answer, exports_request, file_of
from wbframe.io.paging import send_or_refuse
from wbframe.io.splitting import send_in_parts
from wbframe.io.storage import SignedFile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wbframe.core.model import Request, RunPath
    from wbframe.io.client import Client
    from wbframe.io.storage import Storage

__all__ = ["read_exports", "signed_file"]


def read_exports(client: Client, path: RunPath, run_ids: Sequence[str]) -> list[Export]:
    """Ask where the exported files of runs are; nowhere, where a server has no exports."""
    if graphql.EXPORTS in client.refused:
        return [Export() for _ in run_ids]

    def of(names: Sequence[str]) -> Request:
        return exports_request(path, names, live=graphql.LIVE not in client.refused)

    found: list[Export] = []
    send = partial(send_or_refuse, client)
    for names, content, request in send_in_parts(client, run_ids, of, send):
        found += (
            read_exports(client, path, names)
            if content is None
            else exports_answer(content, request, path, names)
        )
    return found


def signed_file(
    client: Client, storage: Storage, path: RunPath, run_id: str, url: str
) -> SignedFile:
    """Give a file of a run, whose address is asked for anew when it expires."""

    def renew(old: str) -> str:
        [export] = read_exports(client, path, [run_id])
        return next((each for each in export.urls if file_of(each) == file_of(old)), old)

    return SignedFile(storage, url, renew)
