"""Text fit to be shown: each character stands for itself, lines are short, lists are cut.

Names, keys and messages come from servers, files, shells and environments, and may hold what a terminal obeys:
escape sequences, marks that turn the direction of writing, characters that nobody sees. What shows a text, an
error, a warning, a log, a table or a `repr`, passes it through here; what hands on data does not.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = [
    "LONGEST",
    "REPLACED",
    "as_utf8",
    "counted",
    "is_utf8",
    "legible",
    "listed",
    "one_line",
    "shortened",
]

LONGEST = 2_000
"""Characters of a message at the most."""

REPLACED = "\ufffd"
"""What stands in frames for half of a surrogate pair, which UTF-8 has no bytes for."""

# Characters of a line on a screen at the most.
_WIDTH = 200
# Room for the words that stand where a message was cut, and the share of it that its end keeps: what to do next.
_WORDS, _END = 40, 4
_EMOJI = "\u2190-\u2bff\U0001f000-\U0001faff"
# Families and flags are joined of several signs: https://unicode.org/reports/tr51/#Emoji_ZWJ_Sequences
_JOINER = "\u200d"
_JOINED = re.compile(f"(?<=[{_EMOJI}\ufe0f]){_JOINER}(?=[{_EMOJI}])")
_HALVES = re.compile("[\ud800-\udfff]")
_SEPARATORS = "\u2028\u2029"


def _escaped(sign: str) -> str:
    """Spell a character as Python does."""
    return sign.encode("unicode_escape").decode()


def _is_legible(sign: str) -> bool:
    """Tell whether a character is seen as what it is, or is a blank of some width."""
    return sign.isprintable() or (sign > "\x9f" and sign.isspace() and sign not in _SEPARATORS)


def legible(text: str, *, keep: str = "", spell: Callable[[str], str] = _escaped) -> str:
    r"""Spell out what would not be seen as what it is: controls, marks of direction, halves of surrogate pairs.

    Parameters
    ----------
    text
        The text; letters of every script, combining marks and emoji stay.
    keep
        Further characters that stay.
    spell
        How a character is spelled.

    Examples
    --------
    >>> legible("a\x1b[2Jb\u202e"), legible("a\nb", keep="\n")
    ('a\\x1b[2Jb\\u202e', 'a\nb')
    """
    if text.isprintable():
        return text
    spelled = {
        ord(each): spell(each) for each in set(text) if each not in keep and not _is_legible(each)
    }
    return _JOINER.join(part.translate(spelled) for part in _JOINED.split(text))


def one_line(text: str, most: int = LONGEST) -> str:
    r"""Put a message on one line that can be seen, without its middle where it is long.

    Examples
    --------
    >>> one_line("no\r\nsuch  run\x07"), one_line("ab" * 5_000, 60)
    ('no such run\\x07', 'abababababababa... (9,980 more characters) ...babab')
    """
    # All of what a server says may be many megabytes, of which nobody sees more than a line.
    ends = 4 * most
    beyond = max(len(text) - 2 * ends, 0)
    parts = (text[:ends], text[-ends:]) if beyond else (text,)
    shown = [legible(" ".join(part.split())) for part in parts]
    if len(shown[0]) <= most and not beyond:
        return shown[0]
    room = max(most - _WORDS, _END)
    end = room // _END
    head, tail = shown[0][: room - end].rstrip(_JOINER), shown[-1][-end:].lstrip(_JOINER)
    more = sum(map(len, shown)) - len(head) - len(tail) + beyond
    return f"{head}... ({more:,} more characters) ...{tail}"


def is_utf8(text: str) -> bool:
    r"""Tell whether a text can be sent and kept: UTF-8 has no bytes for half of a surrogate pair.

    Examples
    --------
    >>> is_utf8("ä"), is_utf8("\ud800")
    (True, False)
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def as_utf8(text: str) -> str:
    r"""Put U+FFFD in place of the halves of surrogate pairs, as frames have it.

    Examples
    --------
    >>> as_utf8("a\ud800b") == "a\ufffdb"
    True
    """
    return text if is_utf8(text) else _HALVES.sub(REPLACED, text)


def shortened(text: str, most: int = _WIDTH) -> str:
    """Put a text on one line of a screen, and cut that where it is long.

    Examples
    --------
    >>> shortened("a   b " * 100, 12), shortened("a   b")
    ('a b a b a...', 'a b')
    """
    line = legible(" ".join(text[: 4 * most].split()))
    whole = len(line) <= most and len(text) <= 4 * most
    return line if whole else f"{line[: most - 3].rstrip(_JOINER)}..."


def counted(count: int, what: str) -> str:
    """Say how many there are.

    Examples
    --------
    >>> counted(1, "run"), counted(5000, "row")
    ('1 run', '5,000 rows')
    """
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def listed(names: Sequence[str], most: int, separator: str = ", ") -> str:
    """List the first of some names, and say how many there are besides.

    Examples
    --------
    >>> listed(["a", "b", "c", "d"], 2)
    'a, b and 2 more'
    """
    more = len(names) - most
    return separator.join(names[:most]) + (f" and {more:,} more" if more > 0 else "")
