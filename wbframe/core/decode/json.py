"""JSON that only Python calls so (bare ``NaN``, control characters, lone surrogates), made strict."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeVar

import msgspec

from wbframe.errors import AnswerError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["decode_any", "told"]

_T = TypeVar("_T")

# Not behind a backslash, which would take the added quote or backslash for its own.
_BARE = {
    b"NaN": re.compile(rb"NaN(?<!\\NaN)(?=\s*[,\]}])"),
    b"-Infinity": re.compile(rb"-Infinity(?<!\\-Infinity)(?=\s*[,\]}])"),
    b"Infinity": re.compile(rb"Infinity(?<![\\-]Infinity)(?=\s*[,\]}])"),
}
# Found in summaries, which wandb itself therefore parses with `strict=False`.
_CONTROLS = bytes(range(0x20))
_CONTROL = re.compile(rb"[\x00-\x1f](?<!\\[\x00-\x1f])")
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|(?:NaN|-?Infinity)(?=\s*[,\]}])', re.DOTALL)
# A lone surrogate is legal in JSON and no text in UTF-8: https://www.rfc-editor.org/rfc/rfc8259#section-8.2
_TROUBLE = re.compile(rb"[\x00-\x1f]|\\u[dD][89a-fA-F]")
_PIECE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # a proper pair stays
    rb"|(?P<lone>\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
    rb"|\\."  # also what is no escape at all, for the decoder to refuse
    rb"|(?P<control>[\x00-\x1f])",
    re.DOTALL,
)


def decode_any(decoder: msgspec.json.Decoder[_T], raw: bytes, *, where: str) -> _T:
    """Decode JSON by the rules of Python's `json` with ``strict=False``.

    Parameters
    ----------
    decoder
        What decodes the strict spelling. Bare ``NaN``, ``Infinity`` and ``-Infinity`` reach it
        as strings.
    raw
        The bytes.
    where
        What is read, for the messages of errors.

    Raises
    ------
    AnswerError
        `raw` is not JSON, is not UTF-8, or is nested too deeply.
    msgspec.ValidationError
        It is JSON, and not of the decoder's type.
    """
    if not raw.isascii():
        try:
            raw.decode()
        except UnicodeDecodeError as error:
            raise AnswerError(told(where, f"the answer is not UTF-8: {error.reason}")) from error
    problem: Exception
    for spelled in _spellings(raw):
        try:
            return decoder.decode(spelled)
        except msgspec.ValidationError:
            raise
        except msgspec.DecodeError as error:
            problem = error
        except RecursionError as error:
            problem = error
            break  # in any spelling
    raise AnswerError(told(where, f"the answer is not JSON: {problem}")) from problem


def _spellings(raw: bytes) -> Iterator[bytes]:
    """Give the bytes as they are, then as strict JSON: by a quick way, then by a sure one.

    The quick way does not look where strings begin and end. Where it is wrong, its result is no
    JSON: a quote added inside a string ends it before an N, I or -, and a backslash outside is no
    token.
    """
    yield raw
    quick = raw
    # Python writes these tokens by default, and wandb uploads them:
    # https://docs.python.org/3/library/json.html#infinite-and-nan-number-values
    for token, bare in _BARE.items():
        if token in quick:
            quick = bare.sub(rb'"\g<0>"', quick)
    if len(quick.translate(None, _CONTROLS)) < len(quick):
        quick = _CONTROL.sub(lambda match: rb"\u%04x" % match[0][0], quick)
    yield quick
    seen: dict[bytes, bytes] = {}

    def strict(match: re.Match[bytes]) -> bytes:
        token = match[0]
        if token not in seen:
            seen[token] = _strict(token)
        return seen[token]

    yield _TOKEN.sub(strict, raw)


def _strict(token: bytes) -> bytes:
    """Respell a string, or a bare non-finite token, as strict JSON."""
    if token[:1] != b'"':
        return b'"%b"' % token
    if _TROUBLE.search(token) is None:
        return token

    def piece(match: re.Match[bytes]) -> bytes:
        if match["lone"]:
            return rb"\ufffd"
        return rb"\u%04x" % match["control"][0] if match["control"] else match[0]

    return _PIECE.sub(piece, token)


def told(where: str, message: str) -> str:
    """Begin a message with what was read, if that is known."""
    return f"{where}: {message}" if where else message
