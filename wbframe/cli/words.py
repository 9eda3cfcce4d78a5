"""Messages in the command's own words: what they call an argument of a reader is an option here."""

from __future__ import annotations

import ast
import inspect
import re
import shlex
from functools import cache

import wbframe

__all__ = ["as_options", "options"]

# What the command never passes, so that no message is about it.
_NOT_PASSED = {"client", "clock", "transport", "proxies", "project", "api_key"}
_OTHERWISE = {
    "path": "PATH",
    "schema_overrides": "--override",
    "retry": "--retry-seconds",
    "seconds": "--retry-seconds",
}


@cache
def options() -> dict[str, str]:
    """Give what the arguments of the readers and of the client are called by the command."""
    # Found when something is to be told: the client costs more to import than all of the command.
    taking = (
        wbframe.polars.read_runs,
        wbframe.polars.read_histories,
        wbframe.buckets.read_buckets,
        wbframe.Client,
    )
    names = {name for each in taking for name in inspect.signature(each).parameters}
    named = {name: f"--{name.replace('_', '-')}" for name in names - _NOT_PASSED}
    return named | _OTHERWISE


@cache
def _named() -> re.Pattern[str]:
    """Match an argument in backticks, or with a value."""
    # In quotes, or behind a dot or a slash, it is what somebody else has called so.
    return re.compile(rf"(`?)(?<![\w'\"./-])({'|'.join(options())})(=|`)")


# What the command has no option for: the environment says it.
_PHRASES = {
    "pass `api_key=`, ": "",
    "`verify=` or REQUESTS_CA_BUNDLE": "REQUESTS_CA_BUNDLE",
}
_CLOSING = {"(": ")", "[": "]", "{": "}"}


def as_options(text: str) -> str:
    """Spell the arguments that a message names as options, and their values as a shell takes them.

    Parameters
    ----------
    text
        The message.

    Examples
    --------
    >>> as_options("name the `keys` to read, or set samples=None")
    'name the --keys to read, or set --samples all'
    >>> as_options("read it exactly with schema_overrides={'a b': pl.Int64}")
    "read it exactly with --override 'a b=Int64'"
    """
    for phrase, ours in _PHRASES.items():
        text = text.replace(phrase, ours)
    parts, at = [], 0
    while found := _named().search(text, at):
        tick, name, behind = found.groups()
        end, value = found.end(), ""
        if behind == "=":
            end = _end_of_value(text, end)
            value = _spelled(name, text[found.end() : end])
            end += text.startswith("`", end) if tick else 0
        elif not tick:
            # The end of something else in backticks.
            parts.append(text[at:end])
            at = end
            continue
        parts += [text[at : found.start()], f"{options()[name]} {value}".rstrip()]
        at = end
    return "".join([*parts, text[at:]])


def _end_of_value(text: str, at: int) -> int:
    """Find where the Python value ends that begins at a place of a text."""
    open_: list[str] = []
    quote, i = "", at
    while i < len(text):
        sign = text[i]
        if quote:
            i += sign == "\\"
            quote = "" if sign == quote else quote
            if not quote and not open_:
                return i + 1
        elif sign in "'\"" and (open_ or i == at):
            quote = sign
        elif sign in _CLOSING:
            open_.append(_CLOSING[sign])
        elif open_ and sign == open_[-1]:
            open_.pop()
            if not open_:
                return i + 1
        elif not open_ and not (sign.isalnum() or sign in "._"):
            break
        i += 1
    # A full stop is the sentence's.
    return at + len(text[at:i].rstrip("."))


def _spelled(name: str, value: str) -> str:
    """Spell a value of Python as a shell takes it; what it is not clear how, is left out."""
    try:
        node = ast.parse(value, mode="eval").body
    except (SyntaxError, ValueError):
        return ""
    if isinstance(node, ast.Constant):
        if node.value is None:
            return "all" if name == "samples" else ""
        return "" if isinstance(node.value, bool) else shlex.quote(str(node.value))
    if isinstance(node, ast.List | ast.Tuple) and all(
        isinstance(e, ast.Constant) for e in node.elts
    ):
        return shlex.quote(",".join(_escaped(str(e.value)) for e in node.elts))  # type: ignore[attr-defined]
    if isinstance(node, ast.Dict) and name == "schema_overrides":
        pairs = zip(node.keys, node.values, strict=True)
        spelled = [
            shlex.quote("=".join((key.value, ast.unparse(dtype).replace("pl.", ""))))
            for key, dtype in pairs
            if isinstance(key, ast.Constant) and isinstance(key.value, str)
        ]
        return " --override ".join(spelled)
    return shlex.quote(value) if isinstance(node, ast.Dict) else ""


def _escaped(name: str) -> str:
    """Spell a name in a list of names."""
    return name.replace("\\", "\\\\").replace(",", "\\,")
