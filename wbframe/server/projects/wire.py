"""JSON as the wire spells it: non-finite numbers as text or bare tokens, integers of any size, any text.

Text may hold a lone surrogate, which JSON spells as an escape and UTF-8 not at all; `encode` and
`decode` take it where msgspec does not.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import msgspec

from wbframe.text import legible

__all__ = [
    "DEEPEST",
    "JSONTextError",
    "cells",
    "decode",
    "encode",
    "has_non_finite",
    "spelled",
    "utf8",
    "whole",
]

DEEPEST = 100
"""Levels of lists and objects in JSON that is taken in."""

_MOST_DIGITS = 4000  # Python reads no more at once
_CELLS = msgspec.json.Decoder(dict[str, msgspec.Raw])


class JSONTextError(ValueError):
    """A text is no JSON, or none that is taken in; the message says why, in one line."""


def utf8(text: str) -> bytes:
    """Give text as bytes, a lone surrogate too; for what is hashed or quoted, not for what is read."""
    return text.encode("utf-8", "surrogatepass")


def decode(text: Any, *, once: bool = False) -> Any:
    """Read JSON that somebody else wrote.

    Lone surrogates and the bare tokens ``NaN``, ``Infinity`` and ``-Infinity`` are read, too.

    Parameters
    ----------
    text
        The JSON, in UTF-8 if it is bytes.
    once
        Whether a key that an object has twice is refused; else the last one counts.

    Raises
    ------
    JSONTextError
        It is no JSON text, nests too deep, or holds a number that no double is near.

    Examples
    --------
    >>> decode('{"a": [NaN, 1]}')
    {'a': [nan, 1]}
    """
    try:
        value = _decode_slowly(text, _each_once) if once else msgspec.json.decode(text)
    except TypeError:
        raise JSONTextError(f"it must be JSON text, not {type(text).__name__}") from None
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        value = _decode_slowly(text)
    if _deeper(value, DEEPEST):
        raise JSONTextError(f"it nests more than {DEEPEST} levels deep")
    return value


def _decode_slowly(text: Any, pairs: Any = None) -> Any:
    """Read what msgspec does not, or find out why not."""
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8-sig")
        return json.loads(text, parse_float=_finite, parse_int=_whole, object_pairs_hook=pairs)
    except RecursionError:
        raise JSONTextError(f"it nests more than {DEEPEST} levels deep") from None
    except UnicodeDecodeError as error:
        raise JSONTextError(f"it is not UTF-8 (byte {error.start})") from None
    except ValueError as error:
        raise JSONTextError(legible(str(error))) from None


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object of what stands in it."""
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise JSONTextError(f"an object has the key {twice!r:.80} twice")
    return made


def _finite(digits: str) -> float:
    """Read a number that a double can be near."""
    number = float(digits)
    if math.isinf(number):
        raise JSONTextError(f"the number {digits[:40]} is beyond those of a double")
    return number


def _whole(digits: str) -> int:
    """Read a whole number of a length that can be worked with."""
    if len(digits) > _MOST_DIGITS:
        raise JSONTextError(f"the number {digits[:20]}... has {len(digits):,} digits")
    return int(digits)


def whole(value: Any) -> int | None:
    """Give a whole number of 64 bits, be it spelled as a float; None for anything else.

    Examples
    --------
    >>> whole(3.0), whole(3.5), whole(True), whole("3"), whole(float("inf")), whole(2**63)
    (3, None, None, None, None, None)
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    if isinstance(value, float) and not value.is_integer():
        return None
    return int(value) if -(2**63) <= value < 2**63 else None


def _deeper(value: Any, levels: int) -> bool:
    """Tell whether a value nests deeper, without doing so."""
    level = [value]
    for _ in range(levels + 1):
        level = [
            inner
            for each in level
            for inner in (
                each.values() if isinstance(each, dict) else each if isinstance(each, list) else ()
            )
            if isinstance(inner, (dict, list))
        ]
        if not level:
            return False
    return True


def cells(row: bytes) -> Mapping[str, bytes | msgspec.Raw]:
    """Give the cells of an encoded row, each as it is encoded."""
    try:
        return _CELLS.decode(row)
    except msgspec.DecodeError:  # a lone surrogate
        return {key: encode(value, bare=True) for key, value in json.loads(row).items()}


def has_non_finite(value: Any) -> bool:
    """Tell whether a JSON value holds NaN or an infinity at any depth."""
    if isinstance(value, float):
        return not math.isfinite(value)
    if isinstance(value, Mapping):
        return any(map(has_non_finite, value.values()))
    if isinstance(value, (list, tuple)):
        return any(map(has_non_finite, value))
    return False


def spelled(value: Any) -> Any:
    """Give a JSON value with its non-finite numbers as ``"NaN"``, ``"Infinity"``, ``"-Infinity"``.

    Examples
    --------
    >>> spelled({"loss": float("nan"), "bins": [1, float("-inf")]})
    {'loss': 'NaN', 'bins': [1, '-Infinity']}
    """
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Mapping):
        return {key: spelled(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [spelled(each) for each in value]
    return value


def encode(value: Any, *, bare: bool = False) -> bytes:
    """Encode a JSON value compactly.

    Parameters
    ----------
    value
        Any JSON value; floats may be non-finite, integers of any size.
    bare
        Whether non-finite numbers are the bare tokens ``NaN``, ``Infinity``, ``-Infinity`` (which
        strict JSON readers refuse) instead of text.

    Examples
    --------
    >>> encode({"a": float("inf")}), encode({"a": float("inf")}, bare=True)
    (b'{"a":"Infinity"}', b'{"a":Infinity}')
    """
    if has_non_finite(value):
        if bare:
            return _dumped(value)
        value = spelled(value)
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return _dumped(value)


def _dumped(value: Any) -> bytes:
    """Encode what msgspec does not; only a lone surrogate needs escapes of all that is not ASCII."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    try:
        return text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode()
