"""How equal values are spelled alike, the plain way."""

from __future__ import annotations

import json
from decimal import MAX_EMAX, MIN_EMIN, Context
from typing import Any

EXACT = Context(prec=5000, Emax=MAX_EMAX, Emin=MIN_EMIN)


def number(text: str) -> str:
    """Spell a number as RFC 8785 does, with all its digits."""
    if text.lstrip("-").isdigit():
        return text if int(text) else "0"
    if len(text.lower().partition("e")[2]) > 18:
        return text
    value = EXACT.create_decimal(text).normalize(EXACT)
    if not value:
        return "0"
    if -7 < value.adjusted() < 21:
        return f"{value:f}"
    sign, digits, _ = value.as_tuple()
    first, *rest = map(str, digits)
    return f"{'-' * sign}{first}{'.' * bool(rest)}{''.join(rest)}e{value.adjusted():+d}"


def alike(value: Any) -> str:
    """Spell what JSON holds: keys sorted, numbers as RFC 8785 does."""
    if isinstance(value, dict):
        members = (f"{alike(key)}:{alike(value[key])}" for key in sorted(value))
        return "{" + ",".join(members) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(alike, value)) + "]"
    if isinstance(value, float) and value - value == 0:
        return number(repr(value))
    names = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
    return json.dumps(names.get(str(value), value), ensure_ascii=False)
