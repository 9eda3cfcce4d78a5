"""A storage on a real socket that answers requests for exported files as a test tells it, and logs them."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import wbframe
from wbframe.core.protocol.ranges import Part, Version
from wbframe.io.read.storage import SignedFile
from wbframe.server.files.storage import cut_out


@dataclass
class Answer:
    """What is sent; a body of which no length is told ends with the connection."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    told: bool = True


@dataclass
class Asked:
    """What was asked for: the n-th request, the range and the conditions."""

    number: int
    path: str
    range: str | None
    match: str | None


def honest(content, asked, headers=()):
    """Answer as object stores do."""
    headers = dict(headers)
    if asked.match is not None and asked.match != headers.get("ETag"):
        return Answer(412)
    part = cut_out(asked.range, len(content))
    if part is None:
        return Answer(200, headers, content)
    if not part:
        return Answer(416, {"Content-Range": f"bytes */{len(content)}"})
    headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{len(content)}"
    return Answer(206, headers, content[part.start : part.stop])


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        with self.server.lock:
            asked = Asked(
                len(self.server.asked),
                self.path,
                self.headers["Range"],
                self.headers["If-Match"],
            )
            self.server.asked.append(asked)
        answer = self.server.answer(asked)
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.told and "Content-Length" not in answer.headers:
            self.send_header("Content-Length", str(len(answer.body)))
        if not answer.told:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        try:
            self.wfile.write(answer.body)
        except OSError:
            # Who does not like the head reads no body.
            self.close_connection = True

    def log_message(self, *_):
        pass


class _Storage(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        pass


@contextmanager
def storage(answer):
    """Run a storage; gives its address, and the list of what it is asked."""
    server = _Storage(("127.0.0.1", 0), _Handler)
    server.answer, server.asked, server.lock = answer, [], threading.Lock()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", server.asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class AtHand:
    """Bytes in place of a storage."""

    def __init__(self, content, client):
        self.content = content
        self.client = client

    def get(self, _, asked, *, match=None):
        size = len(self.content)
        start, end = (0, size) if asked is None else asked.of(size)
        version = Version(size=size, etag='"1"')
        whole = asked is None
        return Part(content=self.content[start:end], start=start, version=version, whole=whole)


def at_hand(content, **options):
    """Give an exported file of these bytes, for a client with these options."""
    client = wbframe.Client("http://127.0.0.1:1", "k" * 40, **options)
    return SignedFile(AtHand(content, client), "http://storage.example/r/0.parquet?sig=s", str)
