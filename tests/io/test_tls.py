"""TLS: certificates are checked, and whose word counts is what requests' users say.

The certificate of `certificates/localhost.pem` signs itself; its key is in the open and good for nothing else.
"""

from __future__ import annotations

import ssl
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import urllib3

import wbframe
from wbframe.core.protocol.project import VIEWER
from wbframe.errors import ConnectionFailedError

HERE = Path(__file__).parent / "certificates"
BODY = b'{"data": {"viewer": {"entity": "me"}}}'


class Answers(BaseHTTPRequestHandler):
    """Answers every request, and keeps the keys that came with them."""

    keys: list[str] = []  # noqa: RUF012 -- one for the class, as handlers are made anew

    def do_POST(self):
        self.keys.append(self.headers["Authorization"])
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    def log_message(self, *_):
        """Say nothing."""


class Quiet(HTTPServer):
    """A server to which a refused handshake is nothing to tell of."""

    def handle_error(self, *_):
        """Say nothing."""


@pytest.fixture(autouse=True)
def no_bundle_of_the_machine(monkeypatch):
    for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def address():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(HERE / "localhost.pem", HERE / "localhost.key")
    server = Quiet(("127.0.0.1", 0), Answers)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    Answers.keys.clear()
    try:
        yield f"https://localhost:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def send(address, *, tries=1, **options):
    with wbframe.Client(
        address, "k" * 40, retry=wbframe.RetryPolicy(tries=tries), timeout=5, **options
    ) as client:
        return client.send(VIEWER)


def test_an_unknown_certificate_is_refused_before_the_key_is_sent(address):
    with pytest.raises(ConnectionFailedError, match=r"certificate.*`verify=`") as caught:
        send(address, tries=5)
    assert caught.value.tries == 1
    assert not Answers.keys


def test_a_bundle_that_has_it(address):
    assert send(address, verify=str(HERE / "localhost.pem")) == BODY


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_a_bundle_of_the_environment(address, monkeypatch, variable):
    monkeypatch.setenv(variable, str(HERE / "localhost.pem"))
    assert send(address) == BODY


def test_no_check_is_asked_for(address):
    with pytest.warns(urllib3.exceptions.InsecureRequestWarning):
        assert send(address, verify=False) == BODY
