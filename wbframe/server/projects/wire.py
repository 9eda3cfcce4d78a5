"""JSON as the wire spells it: non-finite numbers as text or bare tokens, integers of any size."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import msgspec

__all__ = ["encode", "has_non_finite", "spelled"]


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
            return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
        value = spelled(value)
    return msgspec.json.encode(value)
