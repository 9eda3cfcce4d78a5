"""JSON of lists and objects in one spelling, so that values that are equal are equal as text.

Keys are sorted, text has the escapes that it needs and no others, and numbers are spelled as by RFC 8785
(``1.0`` is ``1``, ``1E-07`` is ``1e-7``), but for digits: none is lost, however many there are.
"""

from __future__ import annotations

import math
import re
from typing import Any

import msgspec

__all__ = ["one_spelling", "spelled"]

# What in most cells is not: numbers with an exponent, with zeros at the end, and zero with a sign. Each looks for
# a literal first, which is far quicker than to read every number.
_EXPONENT = re.compile(r"[eE](?<=[0-9].)")
_ZERO = re.compile(r"0[]},]")
_ZEROS = re.compile(r"\.[0-9]*0[^0-9]|-0[^.0-9]")
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[-0-9][-+.0-9eE]*')
_NUMBER = re.compile(r"(-?)([0-9]+)(?:\.([0-9]+))?(?:[eE]([-+]?[0-9]+))?")
# From here on numbers have exponents: https://www.rfc-editor.org/rfc/rfc8785#section-3.2.2.3
_LONGEST, _SMALLEST = 21, -6
# Exponents of more digits are nobody's, and Python's integers have an end.
_MOST_POWER = 18
# Deeper objects keep the order of their keys; recursion has an end.
_MOST_LEVELS = 100

_text = msgspec.json.Decoder(str).decode
_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_items = msgspec.json.Decoder(list[msgspec.Raw]).decode
_spell = msgspec.json.Encoder().encode


def one_spelling(cell: bytes) -> str:
    r"""Spell a JSON list or object compactly, in the way in which all that are equal to it are spelled.

    Examples
    --------
    >>> one_spelling(rb'{"b": [1.0, 2.50, 1e5], "a": "\u00e9\/"}')
    '{"a":"é/","b":[1,2.5,100000]}'
    """
    compact = msgspec.json.format(cell, indent=-1).decode()
    if (
        "\\" in compact
        or _EXPONENT.search(compact)
        or (_ZERO.search(compact) and _ZEROS.search(compact))
    ):
        compact = _TOKEN.sub(_respelled, compact)
    return _sorted(compact.encode()).decode() if "{" in compact else compact


def _respelled(match: re.Match[str]) -> str:
    """Spell text or a number."""
    token = match[0]
    if token[0] == '"':
        return _spell(_text(token)).decode() if "\\" in token else token
    return _number(token)


def _number(token: str) -> str:
    """Spell a number."""
    if token.isdigit():
        return token
    found = _NUMBER.fullmatch(token)
    sign, whole, part, power = found.groups() if found else ("", "", None, None)
    if found is None or len(power or "") > _MOST_POWER or (part is power is None and whole != "0"):
        return token
    all_digits = whole + (part or "")
    digits = all_digits.lstrip("0")
    # Where the point stands, counted from the first digit that is not zero.
    point = len(whole) + int(power or 0) - (len(all_digits) - len(digits))
    digits = digits.rstrip("0")
    if not digits:
        return "0"
    if len(digits) <= point <= _LONGEST:
        return f"{sign}{digits}{'0' * (point - len(digits))}"
    if 0 < point <= _LONGEST:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if _SMALLEST < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    rest = f".{digits[1:]}" if digits[1:] else ""
    return f"{sign}{digits[0]}{rest}e{point - 1:+d}"


def _sorted(cell: bytes, level: int = 0) -> bytes:
    """Sort the keys of objects, however deep they lie."""
    if level == _MOST_LEVELS or b"{" not in cell:
        return cell
    if cell[:1] == b"{":
        members = _members(cell)
        if cell.count(b"{") == 1:
            return _spell({key: members[key] for key in sorted(members)})
        return _spell({key: _inner(members[key], level) for key in sorted(members)})
    if cell[:1] == b"[":
        return _spell([_inner(each, level) for each in _items(cell)])
    return cell


def _inner(value: msgspec.Raw, level: int) -> msgspec.Raw:
    """Do the same with what lies within."""
    cell = bytes(value)
    return msgspec.Raw(_sorted(cell, level + 1)) if b"{" in cell else value


def spelled(value: Any) -> Any:
    """Spell what is not finite in a nested value as W&B does, since JSON has no such numbers.

    Examples
    --------
    >>> spelled({"a": [1.5, float("nan")]})
    {'a': [1.5, 'NaN']}
    """
    if isinstance(value, dict):
        return {key: spelled(each) for key, each in value.items()}
    if isinstance(value, list):
        return [spelled(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value
