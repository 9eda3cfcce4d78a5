"""Answers: what they hold, and what they say instead."""

from __future__ import annotations

import json

import msgspec
import pytest

from wbframe.core.protocol import answers
from wbframe.core.protocol.request import Request
from wbframe.errors import AnswerError, QueryError

ASKED = Request(document="query Q { viewer { id } }", variables={}, asked="something")


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (
            b'{"errors": [{"message": "a\\n b"}, {"message": "c"}]}',
            QueryError,
            "could not read something: the server answered: a b; c",
        ),
        (b'{"data": {}, "errors": ["plain"]}', QueryError, "plain"),
        (b'{"error": "rate limit"}', QueryError, "rate limit"),
        (b'{"data": null, "errors": []}', AnswerError, "neither data nor errors"),
        (b'{"errors": 3}', QueryError, "answered: 3"),
        (b"nothing", AnswerError, "something"),
        (b"\xff", AnswerError, "something"),
    ],
)
def test_answers_that_are_none(content, error, message):
    with pytest.raises(error, match=message):
        answers.open_answer(content, ASKED)


def test_an_answer_with_bare_tokens_is_read():
    data = answers.open_answer(b'{"data": {"a": NaN}}', ASKED)
    assert json.loads(bytes(data).replace(b'"NaN"', b"0").replace(b"NaN", b"0")) == {"a": 0}


def test_messages_are_cut():
    [message] = answers.error_messages([{"message": "x" * 5000}])
    assert len(message) == 300
    assert answers.error_messages([{"message": None}, {}, "", None]) == []


@pytest.mark.parametrize(
    ("value", "expected"),
    [(b"{}", {}), (b'"{}"', {}), (b'" "', {}), (b"null", {}), (b"[1]", {}), (b'"text"', {}), (b'{"a": 1}', {"a": b"1"}), (b'"{\\"a\\": [1]}"', {"a": b"[1]"})],
)  # fmt: skip
def test_objects_that_may_be_text(value, expected):
    found = answers.json_object(msgspec.Raw(value), where="x")
    assert {key: bytes(each) for key, each in found.items()} == expected


def test_an_object_that_is_cut_short_is_an_error():
    with pytest.raises(AnswerError, match="the config of run r"):
        answers.json_object(msgspec.Raw(b'"{\\"a\\": "'), where="the config of run r")
