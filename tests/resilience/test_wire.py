"""Servers that speak HTTP so as to hurt: an answer or one of our errors, in time and in bounded memory."""

from __future__ import annotations

import gzip
import socket
import ssl
import tracemalloc
import zlib
from functools import cache
from pathlib import Path

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import wbframe
from tests.clocks import FakeClock
from tests.wire import OK, VIEWED, answer, saying, wire
from wbframe.core.protocol.project import VIEWER
from wbframe.errors import (
    AnswerError,
    ConnectionFailedError,
    RateLimitError,
    RefusedKeyError,
    StatusError,
    TimedOutError,
    WbframeError,
)
from wbframe.io.client.connections import Exchange, Near, exchanging, is_near, latest, longest
from wbframe.io.client.failures import AddressError
from wbframe.io.client.retry import RetryPolicy
from wbframe.io.client.session import Session, as_it_is
from wbframe.polars import read_histories

KEY = "k" * 40
CERTIFICATES = Path(__file__).parents[1] / "io" / "certificates"
# What drips ends with a whole answer: who waits for that gets it, and the test fails.
LONG = b'{"data": {"viewer": {"entity": "' + b"x" * 60 + b'"}}}'


def asking(url, **options):
    return wbframe.Client(url, KEY, **{"retry": RetryPolicy(tries=1), "timeout": 0.3, **options})


def chunked(*chunks, end=b"0\r\n\r\n"):
    framed = b"".join(b"%x\r\n%b\r\n" % (len(each), each) for each in chunks)
    return OK + b"Transfer-Encoding: chunked\r\n\r\n" + framed + end


def split(content):
    head, _, body = content.partition(b"\r\n\r\n")
    return head + b"\r\n\r\n", body


# ---------------------------------------------------------------- in time

_packed = answer(gzip.compress(LONG * 20), b"Content-Encoding: gzip")
DRIPS = {
    "the status": (b"", answer(LONG)),
    "the headers": (b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n" * 12 + answer(LONG)[17:]),
    "the body": split(answer(LONG)),
    "a body without a length": (OK + b"Connection: close\r\n\r\n", LONG),
    "chunks": split(chunked(*[LONG[i : i + 1] for i in range(len(LONG))])),
    "what is said of a chunk": (
        OK + b"Transfer-Encoding: chunked\r\n\r\n",
        b"%x;%b\r\n%b\r\n0\r\n\r\n" % (len(LONG), b"e" * 99, LONG),
    ),
    "the size of a chunk": split(chunked(LONG, end=b"0" * 99 + b"\r\n\r\n")),
    "trailers": (chunked(LONG, end=b"0\r\n"), b"X-A: b\r\n" * 12 + b"\r\n"),
    "gzip": split(_packed),
    "100 Continue": (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 4 + answer(LONG)),
    "102 Processing": (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n" * 4),
}


@pytest.mark.parametrize("what", DRIPS)
@pytest.mark.parametrize("turns", [True, False])
def test_what_drips_is_no_answer_in_time(what, turns):
    """Each byte comes well within the time-out."""
    first, slowly = DRIPS[what]

    def script(line, _):
        line.send(first)
        line.drip(slowly)
        return False

    with wire(script) as server, asking(server.url) as client, pytest.raises(TimedOutError):
        client.send(VIEWER) if turns else client.download("/file", asked="a file")


def test_the_greeting_of_tls_is_within_the_time_too():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = asking(f"https://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(TimedOutError):
            client.send(VIEWER)


def test_what_drips_over_tls_is_no_answer_in_time(monkeypatch):
    for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(variable, raising=False)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATES / "localhost.pem", CERTIFICATES / "localhost.key")

    def script(line, _):
        line.send(OK)
        line.drip(b"X-A: b\r\n" * 12)

    with wire(script) as server:
        server.wrap = lambda taken: context.wrap_socket(taken, server_side=True)
        url = server.url.replace("http://127.0.0.1", "https://localhost")
        client = asking(url, verify=str(CERTIFICATES / "localhost.pem"))
        with client, pytest.raises(TimedOutError):
            client.send(VIEWER)


def test_redirects_share_one_time():
    def script(line, head):
        line.ended.wait(0.2)
        line.send(answer(b"", b"Location: /" + b"x" * len(server.asked), status=b"302 Found"))

    with wire(script) as server, asking(server.url) as client:
        with pytest.raises(TimedOutError):
            client.download("/", asked="a file")
        assert len(server.asked) < 4


def test_a_large_answer_that_comes_steadily_is_read():
    """Four time-outs long, at 80 KB a second."""
    body = b'{"data": {"viewer": {"entity": "' + b"x" * 80_000 + b'"}}}'

    def script(line, _):
        head, rest = split(answer(body))
        line.send(head)
        for start in range(0, len(rest), 4_000):
            line.send(rest[start : start + 4_000])
            line.ended.wait(0.05)

    with wire(script) as server, asking(server.url) as client:
        assert client.send(VIEWER) == body


def test_how_long_an_answer_may_take():
    assert longest(60.0, 0) == 60.0
    assert longest(60.0, 1 << 20) == 60.0 + 128
    assert longest(60.0, 1 << 25) == 300.0 == latest(60.0, 1 << 25)
    assert longest(60.0, 1 << 30) == 1024.0

    def at(seconds, came):
        times = iter([100.0, 100.0 + seconds])
        made = Exchange(now=lambda: next(times))
        made.begin(10.0)
        made.expect_body()
        made.take(came)
        return made.left()

    assert at(4.0, 0) == 6.0
    assert at(4.0, 1 << 20) == 10.0
    with pytest.raises(TimeoutError):
        at(10.0, 0)


def test_a_retry_has_a_time_of_its_own():
    def script(line, _):
        if len(server.asked) == 1:
            line.drip(answer(LONG))
        line.send(answer())

    with wire(script) as server, asking(server.url, retry=RetryPolicy(tries=2)) as client:
        assert client.send(VIEWER) == VIEWED


# ---------------------------------------------------------------- in bounds

MB = 1 << 20
FLOODS = {
    "100 Continue": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "headers of 100 Continue": (b"HTTP/1.1 100 Continue\r\n", b"X-A: " + b"b" * 60_000 + b"\r\n"),
    "a status without an end": (b"HTTP/1.1 200 ", b"x" * 60_000),
    "headers": (b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n"),
    "one header": (b"HTTP/1.1 200 OK\r\nX-A: ", b"x" * 60_000),
    "a header that goes on": (b"HTTP/1.1 200 OK\r\nX-A: b\r\n", b" " + b"x" * 60_000 + b"\r\n"),
    "what is said of chunks": (
        OK + b"Transfer-Encoding: chunked\r\n\r\n",
        b"1;" + b"e" * 60_000 + b"\r\nx\r\n",
    ),
    "trailers": (chunked(VIEWED, end=b"0\r\n"), b"X-A: " + b"b" * 60_000 + b"\r\n"),
    "a body": (OK + b"\r\n", b"x" * MB),
    "a body that is less than told": (OK + b"Content-Length: " + b"9" * 18 + b"\r\n\r\n", b"x" * MB),
    "empty members of gzip": (OK + b"Content-Encoding: gzip\r\n\r\n", gzip.compress(b"") * 1000),
    "chunks of one byte": (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * 10_000),
    "a refusal": (b"HTTP/1.1 400 Bad Request\r\n\r\n", b"x" * MB),
    "a packed refusal": (
        b"HTTP/1.1 400 Bad Request\r\nContent-Encoding: gzip\r\n\r\n",
        gzip.compress(b"") * 1000,
    ),
    "a redirect": (b"HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\n", b"x" * MB),
    "a chunk below 0": (chunked(end=b"-1\r\n"), b"x" * MB),
}  # fmt: skip


@pytest.mark.parametrize("what", FLOODS)
@pytest.mark.parametrize("posted", [True, False])
def test_what_does_not_end_is_one_error_in_bounded_memory(what, posted):
    first, again = FLOODS[what]

    def script(line, _):
        line.send(first)
        line.flood(again, 3 * 10**8 // len(again))
        return False

    with wire(script) as server, asking(server.url, timeout=20, largest_answer=MB) as client:
        tracemalloc.start()
        try:
            with pytest.raises(WbframeError):
                client.send(VIEWER) if posted else client.download("/x", asked="a file")
            assert tracemalloc.get_traced_memory()[1] < 24 * MB
        finally:
            tracemalloc.stop()
        # And no more is taken off the line than that, and what the system holds ready.
        assert max(line.sent for line in server.lines) < 40 * MB


@cache
def bomb(size, layers=1):
    content = b" " * MB
    packer = zlib.compressobj(9, wbits=31)
    packed = b"".join(packer.compress(content) for _ in range(size // MB)) + packer.flush()
    for _ in range(layers - 1):
        packed = gzip.compress(packed)
    return packed


@pytest.mark.parametrize(
    "status", [b"200 OK", b"302 Found", b"400 Bad Request", b"403 No", b"500 Oh"]
)
@pytest.mark.parametrize(
    ("encoding", "layers"),
    [(b"gzip", 1), (b"gzip, gzip", 2), (b"GZIP ,\tx-gzip", 2), (b"gzip, gzip, gzip", 3)],
)
@pytest.mark.parametrize("posted", [True, False])
def test_what_unpacks_without_end_is_an_error_before_memory_is_taken(
    status, encoding, layers, posted
):
    content = answer(
        bomb(200 * MB, layers), b"Content-Encoding: " + encoding, b"Location: /other", status=status
    )
    with wire(saying(content)) as server, asking(server.url, largest_answer=4 * MB) as client:
        tracemalloc.start()
        try:
            with pytest.raises(WbframeError):
                client.send(VIEWER) if posted else client.download("/x", asked="a file")
            assert tracemalloc.get_traced_memory()[1] < 40 * MB
        finally:
            tracemalloc.stop()


def test_what_grows_out_of_proportion_is_an_error_though_a_large_answer_may_be_taken():
    with wire(saying(answer(bomb(200 * MB), b"Content-Encoding: gzip"))) as server:
        client = asking(server.url)
        with client, pytest.raises(AnswerError, match="more than 250 times"):
            client.send(VIEWER)


@pytest.mark.parametrize(
    "encoding", [b"br", b"zstd", b"compress", b"gzip, br", b"gzip, gzip, gzip", b"\xff"]
)
def test_what_is_packed_as_nobody_asked_for_is_an_error_at_once(encoding):
    with wire(saying(answer(VIEWED, b"Content-Encoding: " + encoding))) as server:
        client = asking(server.url, retry=RetryPolicy(tries=3), clock=FakeClock())
        with client, pytest.raises(AnswerError, match="cannot be unpacked: it is packed as"):
            client.send(VIEWER)
        assert b"accept-encoding: gzip, deflate\r\n" in server.asked[0].lower() + b"\r\n"
        assert len(server.asked) == 1


@pytest.mark.parametrize("wbits", [15, -15])
@pytest.mark.parametrize("size", [1, 7, 1 << 16])
def test_deflate_comes_bare_or_not_and_in_any_pieces(wbits, size):
    packer = zlib.compressobj(9, wbits=wbits)
    packed = packer.compress(LONG) + packer.flush()
    chunks = [packed[i : i + size] for i in range(0, len(packed), size)]
    content = chunked(*chunks).replace(b"\r\n\r\n", b"\r\nContent-Encoding: deflate\r\n\r\n", 1)
    with wire(saying(content)) as server, asking(server.url) as client:
        assert client.send(VIEWER) == LONG


@pytest.mark.parametrize("library", ["zlib", "isal.isal_zlib"])
@pytest.mark.parametrize("size", [0, 1, 8 * MB - 1, 8 * MB, 8 * MB + 1, 24 * MB])
def test_what_is_unpacked_in_several_pieces_is_whole(library, size, monkeypatch):
    monkeypatch.setattr("wbframe.io.client.session._zlib", pytest.importorskip(library))
    body = (
        b'{"a": "'
        + bytes(48 + i % 7 for i in range(1000)) * (size // 1000)
        + b"x" * (size % 1000)
        + b'"}'
    )
    content = answer(gzip.compress(body, 1), b"Content-Encoding: gzip")
    with wire(saying(content)) as server, asking(server.url, timeout=20) as client:
        assert client.send(VIEWER) == body


# ---------------------------------------------------------------- refusals and redirects


def test_a_refusal_says_why_however_long_it_goes_on_and_drips():
    said = b'{"errors": [{"message": "no field a"}, {"message": "no \\"b\\""}, ' + b" " * 99

    def script(line, _):
        line.send(b"HTTP/1.1 400 Bad Request\r\n\r\n" + said)
        line.drip(b" " * 200)
        return False

    with (
        wire(script) as server,
        asking(server.url) as client,
        pytest.raises(WbframeError, match=r'the server answered: no field a; no "b"$'),
    ):
        client.send(VIEWER)

    def broken(line, _):
        line.send(answer(b"no gzip", b"Content-Encoding: gzip", status=b"401 Unauthorized"))

    with wire(broken) as server, asking(server.url) as client, pytest.raises(RefusedKeyError):
        client.send(VIEWER)


def test_the_connection_of_a_refusal_is_used_again():
    def script(line, _):
        line.send(answer(b'{"error": "later"}', status=b"503 Later"))

    with (
        wire(script) as server,
        asking(server.url, retry=RetryPolicy(tries=3), clock=FakeClock()) as client,
    ):
        with pytest.raises(StatusError):
            client.send(VIEWER)
        assert (len(server.lines), len(server.asked)) == (1, 3)


def redirecting(*places):
    """Redirect from each place to the next; then give a file."""
    steps = dict(zip([b"/", *places], [*places, None], strict=True))

    def script(line, head):
        to = steps.get(head.split()[1])
        if to is None:
            line.send(answer(b"a file"))
        else:
            line.send(answer(b"x" * 300_000, b"Location: " + to, status=b"302 Found"))

    return script


def test_five_redirects_are_followed_unread():
    with (
        wire(redirecting(b"/1", b"/2", b"/3", b"/4", b"/5")) as server,
        asking(server.url) as client,
    ):
        assert client.download("/", asked="a file") == b"a file"
    with wire(redirecting(b"/1", b"/2", b"/3", b"/4", b"/5", b"/6")) as server:
        client = asking(server.url, retry=RetryPolicy(tries=3), clock=FakeClock())
        with client, pytest.raises(AnswerError, match="more than 5 redirects"):
            client.download("/", asked="a file")
        assert len(server.asked) == 6
    loop = saying(answer(b"", b"Location: /", status=b"302 Found"))
    with (
        wire(loop) as server,
        asking(server.url) as client,
        pytest.raises(AnswerError, match="more than 5 redirects"),
    ):
        client.download("/", asked="a file")


@pytest.mark.parametrize("status", [b"301 A", b"302 B", b"303 C", b"307 D", b"308 E"])
def test_a_redirect_of_a_post_is_an_error_and_of_a_get_is_followed(status):
    def script(line, head):
        if b" /there " in head:
            line.send(answer(b"a file"))
        else:
            line.send(answer(b"", b"Location: there?a=\xc3\xa9#b", status=status))

    with wire(script) as server, asking(server.url) as client:
        with pytest.raises(StatusError, match="redirects"):
            client.send(VIEWER)
        assert len(server.asked) == 1

    def queried(line, head):
        script(line, head.replace(b"?a=%C3%A9 ", b" "))

    with wire(queried) as server, asking(server.url) as client:
        assert client.download("/here", asked="a file") == b"a file"
        assert all(b"Authorization: Basic" in each for each in server.asked)


def test_the_key_goes_along_to_the_same_server_alone():
    with wire(saying(answer(b"a file"))) as other:
        places = [
            f"http://127.0.0.1:{other.port}/x",
            f"//127.0.0.1:{other.port}/x",
            f"http://me:pw@127.0.0.1:{other.port}/x",
        ]
        for place in places:
            with wire(redirecting(place.encode())) as server, asking(server.url) as client:
                assert client.download("/", asked="a file") == b"a file"
                assert b"Authorization" in server.asked[0]
        assert len(other.asked) == len(places)
        assert b"Authorization" not in b"".join(other.asked)


# What a redirect may say for another place on the same server.
SAME = {"//", "http://", "http:///x", "://x"}
NOWHERE = [
    "file:///etc/passwd", "FILE:/etc/passwd", "ftp://127.0.0.1/x", "data:,x", "javascript:x", "//", "http://", "http:///x",
    "http://:80/x", "https:x", "http://[::1", "http://127.0.0.1:x/", "http://127.0.0.1:99999/", "http://127.0.0.1:0/",
    "http://a b/", "http://" + "a" * 70 + ".example/", "http://*.example/", "http://\u2100.example/", "gopher://127.0.0.1/", "://x",
]  # fmt: skip


@pytest.mark.parametrize("place", NOWHERE)
def test_an_address_of_which_nothing_can_come_is_an_error_at_once(place):
    with wire(saying(answer(b"", b"Location: " + place.encode(), status=b"302 Found"))) as server:
        client = asking(server.url, retry=RetryPolicy(tries=4), clock=FakeClock())
        if place not in SAME:
            with client, pytest.raises(AnswerError, match="address cannot be asked"):
                client.download("/", asked="a file")
            assert len(server.asked) == 1
        if not place.startswith("/"):
            with pytest.raises(AnswerError, match="address cannot be asked") as caught:
                client.download(place, asked="a file")
            assert "\n" not in str(caught.value)
            assert len(server.asked) <= 1


@pytest.mark.parametrize("place", [*NOWHERE, "relative/x", "", "/x", "http://127.0.0.1/a\r\nb"])
def test_an_exported_file_at_such_an_address_is_an_error_at_once(place, server, exported):
    client = wbframe.Client(server.url, server.api_key, clock=FakeClock())
    server.engine.links.base = place
    with client, pytest.raises(AnswerError):
        read_histories("e/x", samples=None, client=client)
    assert client.traffic.retries == 0


# ---------------------------------------------------------------- this machine


@pytest.mark.parametrize(
    ("host", "near"),
    [
        ("localhost", True), ("a.localhost", True), ("127.1.2.3", True), ("::1", True), ("::ffff:127.0.0.1", True), ("0.0.0.0", True),
        ("169.254.169.254", True), ("fe80::1%eth0", True), ("::", True), ("10.0.0.1", False), ("192.168.0.1", False), ("8.8.8.8", False),
        ("api.wandb.ai", False), ("localhost.example", False), ("127.0.0.1.example", False), ("", False),
    ],
)  # fmt: skip
def test_which_hosts_are_near(host, near):
    assert is_near(host) is near


@pytest.mark.filterwarnings("ignore::wbframe.errors.PlainHttpWarning")
def test_a_file_on_this_machine_is_not_asked_for_unless_the_server_is_there():
    with wire(saying(answer(b"a file"))) as here:
        client = asking("http://api.example", retry=RetryPolicy(tries=4), clock=FakeClock())
        local = f"http://localhost:{here.port}"
        for place in (here.url, local, "http://169.254.169.254/latest"):
            with pytest.raises(AnswerError, match="on this machine or its link"):
                client.download(place, asked="a file")
        assert client.traffic.retries == 0
        assert not here.lines


@pytest.fixture
def names(monkeypatch):
    """Names that lead to this machine."""
    found = socket.getaddrinfo

    def look(host, *others, **options):
        return found("127.0.0.1" if host.endswith(".example") else host, *others, **options)

    monkeypatch.setattr(socket, "getaddrinfo", look)


def test_a_name_that_leads_to_this_machine_gets_no_request(names):
    with wire(saying(answer(b"a file"))) as here, Session(1, 1) as session:
        address = f"http://storage.example:{here.port}/x"
        with exchanging(Exchange(near=Near(allowed=False))), pytest.raises(AddressError):
            session.get(address, auth=as_it_is, timeout=5)
        assert not here.asked
        with exchanging(Exchange(near=Near(allowed=True))):
            assert session.get(address, auth=as_it_is, timeout=5).content == b"a file"


@pytest.mark.filterwarnings("ignore::wbframe.errors.PlainHttpWarning")
def test_a_server_whose_name_leads_to_this_machine_is_on_it(names):
    with (
        wire(lambda line, _: line.send(answer())) as here,
        asking(f"http://api.example:{here.port}") as client,
    ):
        assert client.send(VIEWER)
        assert client.download(f"http://127.0.0.1:{here.port}/x", asked="a file") == VIEWED


# ---------------------------------------------------------------- heads of any kind

ODD = {
    "HTTP/0.9": VIEWED,
    "nothing": b"",
    "a mark": b"\xef\xbb\xbf" + answer(),
    "no reason": b"HTTP/1.1 200\r\n\r\n" + VIEWED,
    "another version": answer().replace(b"HTTP/1.1", b"HTTP/9.9"),
    "a status below 100": answer(status=b"099 x"),
    "a status above 999": answer(status=b"1000 x"),
    "999": answer(status=b"999 x"),
    "101": answer(status=b"101 Switching"),
    "no number": answer(status=b"abc"),
    "a length below 0": OK + b"Content-Length: -5\r\n\r\n" + VIEWED,
    "two lengths": OK + b"Content-Length: 5\r\nContent-Length: 7\r\n\r\n" + VIEWED,
    "two lengths in one": OK + b"Content-Length: 5, 7\r\n\r\n" + VIEWED,
    "a length of other digits": OK + "Content-Length: \u00b2\r\n\r\n".encode("latin-1") + VIEWED,
    "a length of many digits": OK + b"Content-Length: " + b"9" * 9000 + b"\r\n\r\n" + VIEWED,
    "a length and chunks": chunked(VIEWED).replace(b"Transfer", b"Content-Length: 3\r\nTransfer", 1),
    "another coding": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + VIEWED,
    "a chunk of no size": chunked(end=b"xyz\r\n"),
    "a chunk below 0": chunked(end=b"-5\r\nabc"),
    "a chunk above all": chunked(end=b"f" * 60 + b"\r\nabc"),
    "a chunk that breaks off": chunked(end=b"ff\r\nabc"),
    "a header without a colon": OK + b"nonsense\r\nContent-Length: 38\r\n\r\n" + VIEWED,
    "a header without a name": OK + b": x\r\n\r\n" + VIEWED,
    "bytes in headers": OK + b"X: \xff\x00\x80\r\n\r\n" + VIEWED,
    "too many headers": OK + b"X: y\r\n" * 300 + b"\r\n" + VIEWED,
    "a long header": OK + b"X: " + b"y" * 70_000 + b"\r\n\r\n" + VIEWED,
    "bare line ends": answer().replace(b"\r\n", b"\n"),
    "a length that is more": OK + b"Content-Length: 99\r\n\r\n" + VIEWED,
    "retry after nonsense": answer(b"", b"Retry-After: \xff\xfe", status=b"503 x"),
    "cookies of nonsense": answer(VIEWED, b"Set-Cookie: \xff=;;;=\x00", b"Set-Cookie: a=b; expires=9e99"),
    "quotas of nonsense": answer(VIEWED, b"RateLimit-Remaining: 1e999", b"RateLimit-Reset: -inf"),
}  # fmt: skip


@pytest.mark.parametrize("what", ODD)
def test_odd_heads_are_an_answer_or_an_error_of_ours(what):
    with wire(saying(ODD[what])) as server:
        on_purpose(server.url)


def on_purpose(url):
    with asking(url, timeout=5) as client:
        for ask in (lambda: client.send(VIEWER), lambda: client.download("/x", asked="a file")):
            try:
                assert isinstance(ask(), bytes)
            except WbframeError as error:
                told = str(error)
                assert "\n" not in told
                assert len(told) < 1000


lines = st.one_of(
    st.sampled_from(
        [
            b"HTTP/1.1 200 OK", b"HTTP/1.0 206 Partial", b"HTTP/1.1 100 Continue", b"HTTP/1.1 302 Found", b"HTTP/1.1 429 No", b"HTTP/1.1 204 Empty",
            b"Content-Length: 38", b"Content-Length: 0", b"content-length:-1", b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity",
            b"Content-Encoding: gzip", b"Content-Encoding: deflate", b"Content-Encoding: br", b"Location: /x", b"Location: http://[", b"Connection: close",
            b"Retry-After: 0", b"Set-Cookie: a=b", b"", b"26", b"0", b" folded", b"X", b":", VIEWED, b"\x1f\x8b\x08\x00",
        ]
    ),
    st.binary(max_size=20),
)  # fmt: skip
heads = st.builds(
    lambda begin, told, end: end.join([*begin, *told]),
    st.sampled_from([[b"HTTP/1.1 200 OK"], [b"HTTP/1.1 400 Bad"], []]),
    st.lists(lines, max_size=8),
    st.sampled_from([b"\r\n", b"\r\n", b"\n"]),
)


@given(heads)
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_heads_of_any_kind(head):
    with wire(saying(head)) as server:
        on_purpose(server.url)


# ---------------------------------------------------------------- how long a server may ask for patience


@pytest.mark.parametrize(
    "told", [b"86400", b"1e308", b"1900000000", b"Fri, 31 Dec 2049 00:00:00 GMT"]
)
def test_a_rate_limit_makes_no_read_wait_longer_than_its_policy(told):
    limited = answer(b"", b"Retry-After: " + told, status=b"429 Too Many")

    def script(line, _):
        line.send(limited if len(server.asked) == 1 else answer())

    clock = FakeClock()
    with wire(script) as server:
        client = asking(server.url, retry=RetryPolicy(seconds=20), clock=clock)
        with client:
            with pytest.raises(RateLimitError):
                client.send(VIEWER)
            assert client.send(VIEWER) == VIEWED
    assert sum(clock.waits) <= 20


def test_a_moment_at_which_to_come_back_is_one():
    from wbframe.io.client.failures import retry_after_seconds

    assert retry_after_seconds("1900000000", now=1899999990.0) == 10.0
    assert retry_after_seconds("1900000000", now=1900000090.0) == 0.0
    assert retry_after_seconds("86400", now=1900000000.0) == 86400.0


def test_nothing_raw_comes_of_a_connection_that_breaks(monkeypatch):
    """Whatever a library calls it."""
    for raised in (
        ValueError("x"),
        OSError("x"),
        requests.RequestException("x"),
        UnicodeError("x"),
    ):

        def broken(*_, raised=raised, **__):
            raise raised

        with wire(lambda line, _: line.send(answer())) as server, asking(server.url) as client:
            monkeypatch.setattr(Session, "send", broken)
            with pytest.raises(ConnectionFailedError):
                client.send(VIEWER)
