"""Bodies of answers: compressed, in several members, cut short, or plain."""

from __future__ import annotations

import gzip
import zlib

import pytest

import wbframe
from wbframe.core.protocol.project import VIEWER
from wbframe.errors import AnswerError, ConnectionFailedError
from wbframe.io.client.retry import RetryPolicy

BODY = b'{"data": {"viewer": {"entity": "' + b"me" * 4000 + b'"}}}'


@pytest.fixture(params=["zlib", "isal.isal_zlib"])
def client(server, monkeypatch, request):
    """A client that unpacks with one library or the other."""
    monkeypatch.setattr("wbframe.io.client.session._zlib", pytest.importorskip(request.param))
    with wbframe.Client(server.url, server.api_key, retry=RetryPolicy(tries=1)) as made:
        yield made


def members(*parts):
    return b"".join(gzip.compress(part) for part in parts)


@pytest.mark.parametrize(
    ("sent", "encoding"),
    [
        (BODY, None),
        (BODY, "identity"),
        (gzip.compress(BODY, mtime=0), "gzip"),
        (members(BODY[:100], BODY[100:]), "gzip"),
        (members(BODY[: len(BODY) // 2], BODY[len(BODY) // 2 :]), "gzip"),
        (zlib.compress(BODY), "deflate"),
    ],
    ids=["plain", "identity", "gzip", "two members", "two equal members", "deflate"],
)
def test_what_was_sent_is_what_comes(server, client, sent, encoding):
    headers = {} if encoding is None else {"Content-Encoding": encoding}
    server.fail(status=200, body=sent, headers=headers)
    assert client.send(VIEWER) == BODY


@pytest.mark.parametrize(
    "sent",
    [
        gzip.compress(BODY, mtime=0)[:-9],
        b"no gzip at all",
        gzip.compress(BODY, mtime=0)[:-8] + b"\0" * 8,
    ],
    ids=["cut", "no gzip", "wrong sum"],
)
def test_a_broken_body_is_no_answer(server, client, sent):
    server.fail(status=200, body=sent, headers={"Content-Encoding": "gzip"})
    with pytest.raises(ConnectionFailedError):
        client.send(VIEWER)


@pytest.mark.parametrize("encoding", ["gzip", "identity"])
def test_no_body_is_no_answer(server, client, encoding):
    server.fail(status=200, body=b"", headers={"Content-Encoding": encoding})
    with pytest.raises(AnswerError, match="empty"):
        client.send(VIEWER)


@pytest.mark.parametrize(
    "sent", [gzip.compress(BODY, mtime=0), members(BODY[:4000], BODY[4000:]), BODY]
)
def test_a_body_above_the_largest_answer_is_not_unpacked_further(server, client, sent):
    headers = {"Content-Encoding": "identity" if sent == BODY else "gzip"}
    for largest, fits in [(len(BODY), True), (len(BODY) - 1, False), (4000, False)]:
        client.largest_answer = largest
        server.fail(status=200, body=sent, headers=headers)
        if fits:
            assert client.send(VIEWER) == BODY
            continue
        with pytest.raises(AnswerError, match=f"more than {largest:,} bytes"):
            client.send(VIEWER)


def test_the_connection_is_used_again(server, client, monkeypatch):
    opened = []
    connect = __import__("urllib3").connection.HTTPConnection.connect
    monkeypatch.setattr(
        "urllib3.connection.HTTPConnection.connect",
        lambda self: opened.append(self) or connect(self),
    )
    for _ in range(3):
        client.send(VIEWER)
    assert len(opened) == 1
