"""Hashes in place of what is private, and the words of a server that are not."""

from __future__ import annotations

import hashlib
import re

from wbframe.text import one_line

__all__ = ["hidden", "plain"]

_SALT = b"wbframe doctor\0"
_DIGITS = 8

# Words in which servers refuse; names of the schema come from the document that was refused.
_USUAL = """
400 401 403 404 413 422 429 500 501 502 503 504 a access aggregate alias aliases allowed already an and
answer any are argument arguments array as at audio available bad be body bool boolean but by bytes can
cannot complex complexity contact context cost could database deadline denied deprecated depth dict did
directive document does double empty enabled error exceeded exceeds execute executing exist expected
failed feature field fields file files filter filters float for forbidden found from gateway gone graphql
has have histogram html http id image in inf input int int64 integer internal introspection invalid is it
its json large larger limit list long many map maximum may mean media message missing molecule more most
must name names nan nil no none not null number object occurred of on one operation operator or out panic
parquethistory parse part permission plan please points project python query rate reached refused request
requests required result row rows run runconnection schema selection server service so string
subselections such support supported syntax table tables text than that the there this time timed timeout
timestamp to too try type types unauthorized unavailable unexpected union unknown unset unsupported
upgrade upper value variable variables video was while with you your
"""
_KNOWN = frozenset(_USUAL.split())
_WORD = re.compile(r"[\w$]+", re.UNICODE)


def hidden(text: str) -> str:
    """Give a short hash of what is private: the same each time, so that two reports can be compared.

    Examples
    --------
    >>> hidden("entity/project") == hidden("entity/project") != hidden("entity/other")
    True
    >>> len(hidden("entity/project"))
    9
    """
    digest = hashlib.sha256(_SALT + text.encode("utf-8", "surrogatepass")).hexdigest()
    return f"#{digest[:_DIGITS]}"


def plain(text: str, known: str = "") -> str:
    """Keep the known words of a text, and put hashes in place of all others.

    Parameters
    ----------
    text
        What a server said.
    known
        A document, whose words are known too: it holds no value.

    Examples
    --------
    >>> plain("unknown field 'mine'") == f"unknown field '{hidden('mine')}'"
    True
    """
    words = _KNOWN | set(_WORD.findall(known))

    def word(found: re.Match[str]) -> str:
        return found[0] if found[0] in words or found[0].lower() in _KNOWN else hidden(found[0])

    return _WORD.sub(word, one_line(text))
