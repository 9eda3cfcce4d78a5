"""All that can be seen of an error or an object: what logs, crash reports, debuggers and pickles show."""

from __future__ import annotations

import pickle
import traceback
from http.client import HTTPConnection
from itertools import chain
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType

import cloudpickle

TESTS = str(Path(__file__).parents[1])
# An open connection keeps the head of the answer that came last.
_PLAIN = (FunctionType, BuiltinFunctionType, MethodType, ModuleType, type, int, float, type(None), HTTPConnection)  # fmt: skip


def seen_of_error(error):
    """Spell an exception, all that led to it, and the locals of all frames but those of tests."""
    pending, met, parts = [error], set(), []
    while pending:
        each = pending.pop()
        if each is None or id(each) in met:
            continue
        met.add(id(each))
        pending += [each.__cause__, each.__context__]
        parts += [str(each), repr(each), repr(each.args), repr(vars(each))]
        parts += getattr(each, "__notes__", [])
        frames = [
            (frame, line)
            for frame, line in traceback.walk_tb(each.__traceback__)
            if not frame.f_code.co_filename.startswith(TESTS)
        ]
        shown = traceback.StackSummary.extract(iter(frames), capture_locals=True)
        parts += shown.format()
        parts += [
            f"{name}={value}" for frame in shown for name, value in (frame.locals or {}).items()
        ]
        # Where the lines are kept too, as they are for who debugs.
        assert all(frame.lineno for frame in shown)
        parts += [seen_in(value) for frame, _ in frames for value in frame.f_locals.values()]
        try:
            parts.append(repr(pickle.dumps(each)))
        except Exception as refused:  # noqa: BLE001 -- then nothing of it is seen
            parts.append(str(refused))
    return "\n".join(map(str, parts))


def seen_in(thing):
    """Spell what is found by walking from an object through all that it holds."""
    pending, met, parts = [thing], {}, []
    while pending:
        each = pending.pop()
        if id(each) in met or isinstance(each, _PLAIN):
            continue
        # Kept, so that no other object gets its number.
        met[id(each)] = each
        try:
            parts.append(repr(each))
        except Exception as broken:  # noqa: BLE001 -- a half-made object
            parts.append(repr(broken))
        if isinstance(each, dict):
            pending += [*each.keys(), *each.values()]
        elif isinstance(each, list | tuple | set | frozenset):
            pending += each
        pending += list(getattr(each, "__dict__", {}).values())
        slots = chain.from_iterable(_slots(kind) for kind in type(each).__mro__)
        pending += [getattr(each, name, None) for name in slots]
    return "\n".join(parts)


def _slots(kind):
    found = kind.__dict__.get("__slots__", ())
    names = (found,) if isinstance(found, str) else tuple(found)
    return [each for each in names if each not in {"__dict__", "__weakref__"}]


def stored(thing):
    """Spell the pickles of an object, or why there are none."""
    parts = []
    for module in (pickle, cloudpickle):
        try:
            parts.append(repr(module.dumps(thing)))
        except Exception as refused:  # noqa: BLE001 -- then nothing of it is stored
            parts.append(str(refused))
    return "\n".join(parts)
