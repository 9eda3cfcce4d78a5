"""Signed addresses of exported files, and the files that were made for them."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import random
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from wbframe.server.files.columns import parquet
from wbframe.server.projects.wire import utf8

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pyarrow as pa

    from wbframe.server.projects.exports import ExportFile, FileFormat
    from wbframe.server.projects.rows import History

__all__ = ["Links", "RefusedLinkError", "Shelf", "StoredFile"]

_LINKS_KEPT = 200_000
_SHELF_BYTES = 128 << 20
_SHELF_FILES = 8
_SIGNED_WITH = b"wbframe: not a secret, it only makes addresses that cannot be guessed by accident"


class RefusedLinkError(Exception):
    """An address is not, or no longer, good.

    Attributes
    ----------
    status : int
        For the answer.
    code : str
        As object stores name it.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


@dataclass(frozen=True, slots=True, eq=False)
class StoredFile:
    """One exported file as it is stored: where, and what is in it."""

    path: str
    """Starts with a slash, not quoted; another content has another path."""
    history: History
    file: ExportFile
    format: FileFormat


@dataclass(slots=True)
class _Link:
    """An address that was given out, and how many times it may still be used."""

    stored: StoredFile
    left: int | None


class Links:
    """Gives out signed addresses, and says what is at one.

    Parameters
    ----------
    base
        Where the storage is, such as ``http://127.0.0.1:43211``.
    gets
        After how many GETs an address expires; None: never by itself.
    shuffled
        Whether several addresses are given in another order each time.
    """

    def __init__(
        self,
        base: str = "http://storage.invalid",
        *,
        gets: int | None = None,
        shuffled: bool = False,
    ) -> None:
        self.base = base
        self._gets = gets
        self._shuffled = shuffled
        self._links: OrderedDict[str, _Link] = OrderedDict()
        self._serial = itertools.count(1)
        self._lock = threading.Lock()

    def sign(self, files: Iterable[StoredFile]) -> list[str]:
        """Give a fresh address for each file."""
        serial = next(self._serial)
        urls = [self._sign(stored, serial) for stored in files]
        if self._shuffled:
            random.Random(serial).shuffle(urls)  # noqa: S311 - an order, no secret
        return urls

    def _sign(self, stored: StoredFile, serial: int) -> str:
        """Give one address."""
        text = utf8(f"{stored.path}?{serial}")
        sig = hmac.new(_SIGNED_WITH, text, hashlib.sha256).hexdigest()
        with self._lock:
            self._links[sig] = _Link(stored, self._gets)
            if len(self._links) > _LINKS_KEPT:
                self._links.popitem(last=False)
        expires = 0 if self._gets is None else self._gets
        return f"{self.base}{quote(utf8(stored.path))}?expires={expires}&sig={sig}"

    def use(self, path: str, sig: str) -> StoredFile:
        """Give the file at an address, and count the use.

        Raises
        ------
        RefusedLinkError
            The signature is not that of the path, or the address has expired.
        """
        with self._lock:
            link = self._links.get(sig)
            if link is None or link.stored.path != path:
                raise RefusedLinkError(403, "SignatureDoesNotMatch", "the signature does not match")
            if link.left == 0:
                raise RefusedLinkError(403, "AccessDenied", "Request has expired")
            if link.left is not None:
                link.left -= 1
            return link.stored

    def expire(self) -> None:
        """Let every address that was given out so far expire."""
        with self._lock:
            for link in self._links.values():
                link.left = 0


class Shelf:
    """The bytes of the latest few files.

    Parameters
    ----------
    most
        How many bytes are kept.
    files
        How many files are kept, whatever their size: as many as are read by ranges at once.
    """

    def __init__(self, most: int = _SHELF_BYTES, *, files: int = _SHELF_FILES) -> None:
        self._most = most
        self._files = files
        self._made: OrderedDict[str, pa.Buffer] = OrderedDict()
        self._making: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def get(self, stored: StoredFile) -> pa.Buffer:
        """Give the bytes of a file; whoever asks while it is made waits for it."""
        with self._lock:
            making = self._making.setdefault(stored.path, threading.Lock())
        with making:
            with self._lock:
                if stored.path in self._made:
                    self._made.move_to_end(stored.path)
                    return self._made[stored.path]
            made = parquet(stored.history, stored.file.rows, stored.format)
            with self._lock:
                self._made[stored.path] = made
                while len(self._made) > self._files and self.size > self._most:
                    gone, _ = self._made.popitem(last=False)
                    self._making.pop(gone, None)
            return made

    @property
    def size(self) -> int:
        """How many bytes are kept."""
        return sum(each.size for each in self._made.values())
