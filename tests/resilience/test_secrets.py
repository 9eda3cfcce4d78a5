"""The key and signed addresses are seen by the server alone: everything else that can be looked at is searched."""

from __future__ import annotations

import gc
import json
import logging
import pickle
import traceback
import warnings
from pathlib import Path

import polars as pl
import pytest
import requests

import wbframe
from tests.clocks import FakeClock
from wbframe.errors import PlainHttpWarning, WbframeError
from wbframe.io.client.failures import TooLargeError
from wbframe.io.client.session import Session, read_body
from wbframe.polars import read_histories, read_runs, scan_histories
from wbframe.server import serve

HERE = Path(__file__).parent
KEY = "s3cretk3y" + "0123456789abcdef" * 2
FAULTS = [
    {"status": 400},
    {"status": 401},
    {"status": 403},
    {"status": 404},
    {"status": 429, "times": 9},
    {"status": 500, "times": 9},
    {"drop": True, "times": 9},
    {"truncate": True, "times": 9},
    {"body": b"<html>", "times": 9},
    {"status": 302, "headers": {"Location": "https://elsewhere.example/?a=b"}},
]


def everything_about(error):
    """Spell all of an exception that a log or a crash report would show."""
    parts = []
    while error is not None:
        parts += [str(error), repr(error), repr(vars(error)), repr(error.args)]
        parts += traceback.format_exception(type(error), error, error.__traceback__)
        request = getattr(error, "request", None)
        parts.append(repr(getattr(request, "headers", None)))
        parts += locals_of(error)
        parts += [] if error.__context__ is None else [str(error.__context__)]
        error = error.__cause__ or error.__context__
    return "\n".join(parts)


def locals_of(error):
    """Spell the locals of all frames but those of the tests, as crash reports do."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if not frame.f_code.co_filename.startswith(str(HERE)):
            yield f"{frame.f_code.co_filename} {frame.f_code.co_name} {frame.f_locals!r}"


@pytest.fixture
def guarded(exported, caplog):
    caplog.set_level(logging.DEBUG)
    with serve([exported, "ragged"], api_key=KEY) as server:
        yield server


def test_the_key_is_nowhere(guarded, caplog, capfd, tmp_path, monkeypatch):
    seen = []

    def tell(progress):
        seen.append(repr(progress))

    monkeypatch.chdir(tmp_path)
    for where in ("api", "storage"):
        for fault in FAULTS:
            client = wbframe.Client(
                guarded.url, KEY, clock=FakeClock(), retry=wbframe.RetryPolicy(tries=3)
            )
            guarded.clear()
            guarded.fail(**fault, where=where)
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                try:
                    read_histories("e/x", samples=None, client=client, progress=tell)
                except WbframeError as error:
                    seen += [everything_about(error), repr(pickle.dumps(error))]
            seen += [str(each.message) for each in caught]
            seen += [repr(client), repr(client.last_report), repr(pickle.dumps(client))]
    guarded.clear()
    lazy = scan_histories("e/x", keys=["a"], client=client)
    seen += [lazy.explain(), repr(lazy), repr(lazy.serialize()), str(wbframe.explain(lazy))]
    frame = read_runs("e/x", client=client)
    seen += [repr(frame), frame.write_json(), capfd.readouterr().out, capfd.readouterr().err]
    seen += [f"{record.getMessage()} {vars(record)}" for record in caplog.records]
    assert len(caplog.records) > 100
    text = "\n".join(seen)
    assert KEY not in text
    assert requests.auth._basic_auth_str("api", KEY).split()[1] not in text
    assert "sig=" not in "\n".join(part for part in seen if "urllib3.connectionpool" not in part)
    assert not list(tmp_path.iterdir())
    assert not any(each.authorization_seen for each in guarded.storage_requests)


def test_a_redirect_elsewhere_does_not_take_the_key_along(guarded):
    with serve("empty", api_key=KEY) as other:
        guarded.redirect(other.url, status=307, times=9)
        client = wbframe.Client(guarded.url, KEY)
        with pytest.raises(wbframe.errors.StatusError, match=r"redirects to '127\.0\.0\.1'"):
            read_runs("e/x", columns=["run_id"], client=client)
        assert not other.requests


@pytest.mark.parametrize(
    ("target", "kept"),
    [
        ("https://a.example/other", True),
        ("http://a.example/other", False),
        ("https://a.example:8443/other", False),
        ("https://b.example/other", False),
    ],
)
def test_a_session_takes_the_key_off_where_the_origin_changes(target, kept, monkeypatch, tmp_path):
    (tmp_path / "netrc").write_text("machine b.example login x password y\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    first = requests.Request(
        "GET", "https://a.example/x", headers={"Authorization": "Basic k"}
    ).prepare()
    response = requests.Response()
    response.request = first
    following = first.copy()
    following.url = target
    Session(1, 1).rebuild_auth(following, response)
    assert ("Authorization" in following.headers) is kept


@pytest.mark.parametrize("where", ["other port", "redirect"])
def test_a_cookie_goes_to_the_port_that_set_it_alone(where, guarded):
    cookie = {"Set-Cookie": "route=s3cretr0ute; Path=/"}
    seen = []
    with serve("empty", api_key=KEY) as other:
        session = Session(2, 2, guarded.url)
        try:
            guarded.fail(status=200, body=b"{}", headers=cookie)
            session.post(f"{guarded.url}/graphql").close()
            # requests keeps cookies by host, so the storage of this machine would get those of the API.
            address = f"{other.url}/graphql"
            if where == "redirect":
                guarded.redirect(other.url, status=307)
                address = f"{guarded.url}/graphql"
            response = session.post(address)
            seen = [each.request for each in [*response.history, response]]
            response.close()
            other.fail(status=200, body=b"{}", headers={"Set-Cookie": "theirs=1; Path=/"})
            session.post(f"{other.url}/graphql").close()
            again = session.post(f"{guarded.url}/graphql")
            again.close()
        finally:
            session.close()
    assert "Cookie" not in seen[-1].headers
    assert again.request.headers["Cookie"] == "route=s3cretr0ute"


def test_a_storage_that_is_not_there_is_told_without_its_signed_address(exported):
    with serve([exported], api_key=KEY) as server:
        client = wbframe.Client(server.url, KEY, retry=wbframe.RetryPolicy(tries=1))
        # Signed addresses of a port at which nobody listens.
        server.engine.links.base = "http://127.0.0.1:9"
        with pytest.raises(wbframe.errors.ConnectionFailedError) as caught:
            read_histories("e/x", samples=None, client=client)
    text = everything_about(caught.value)
    assert "sig=" not in text
    assert KEY not in text
    assert "Caused by" in str(caught.value.__cause__)


def test_vars_and_frames_show_no_key_and_no_password(guarded):
    address = guarded.url.replace("//", "//me:s3cretw0rd@")
    client = wbframe.Client(
        guarded.url, KEY, proxies={"http": address}, retry=wbframe.RetryPolicy(tries=1)
    )
    guarded.fail(drop=True)
    with pytest.warns(PlainHttpWarning), pytest.raises(WbframeError) as caught:
        client.default_entity()
    seen = [vars(client), vars(client._login), *map(vars, (client._session, client._login._auth))]
    text = f"{seen!r}{everything_about(caught.value)}"
    assert KEY not in text
    assert "s3cretw0rd" not in text
    bad = wbframe.Client(guarded.url, f"{KEY} {KEY}")
    with pytest.raises(WbframeError) as caught:
        bad.default_entity()
    assert KEY not in everything_about(caught.value)


def test_plain_http_to_another_machine_warns_once_a_connection():
    client = wbframe.Client("http://127.9.9.9:9", KEY, retry=wbframe.RetryPolicy(tries=1))
    with pytest.raises(WbframeError):
        client.default_entity()
    client = wbframe.Client(
        "http://wandb.example",
        KEY,
        retry=wbframe.RetryPolicy(tries=1),
        proxies={"http": "http://127.0.0.1:9"},
    )
    with (
        pytest.warns(PlainHttpWarning, match=r"goes to wandb\.example unencrypted; set `base_url`"),
        pytest.raises(WbframeError),
    ):
        client.default_entity()


def test_nothing_holds_the_request_of_an_error(guarded):
    client = wbframe.Client(guarded.url, KEY, retry=wbframe.RetryPolicy(tries=1))
    guarded.fail(drop=True)
    with pytest.raises(WbframeError) as error:
        client.default_entity()
    cause = error.value.__cause__
    assert isinstance(cause, requests.RequestException)
    assert cause.request is None
    gc.collect()


# ---------------------------------------------------------------- sizes


def test_an_answer_that_is_too_large_is_not_held(guarded):
    client = wbframe.Client(guarded.url, KEY, largest_answer=2000)
    guarded.fail(body=b'{"data": "' + b"x" * 3_000_000 + b'"}')
    with pytest.raises(
        wbframe.errors.AnswerError, match="larger than `largest_answer`: more than 2,000 bytes"
    ):
        client.default_entity()


def test_a_compressed_answer_counts_as_it_unfolds(guarded):
    import gzip

    client = wbframe.Client(guarded.url, KEY, largest_answer=1_000_000)
    bomb = gzip.compress(b" " * 50_000_000)
    guarded.fail(body=bomb, headers={"Content-Encoding": "gzip"})
    with pytest.raises(wbframe.errors.AnswerError, match="largest_answer"):
        client.default_entity()


class Dripping:
    """An answer that comes a byte at a time."""

    headers: dict = {}  # noqa: RUF012
    closed = False

    @property
    def raw(self):
        return self

    def read(self, _, *, decode_content):
        assert decode_content
        return b"x"

    def close(self):
        self.closed = True


def test_an_answer_that_never_ends_is_given_up():
    clock = FakeClock()
    response = Dripping()

    def now():
        clock.time += 1
        return clock.time

    with pytest.raises(requests.Timeout):
        read_body(response, most=10_000, seconds=60, now=now)
    assert response.closed
    assert 300 <= clock.time - 1000 <= 310
    with pytest.raises(TooLargeError):
        read_body(response, most=10, seconds=60)


def test_the_report_is_plain_data(guarded):
    client = wbframe.Client(guarded.url, KEY)
    frame = read_runs("e/x", columns=["run_id"], client=client)
    assert frame.schema == {"run_id": pl.String}
    assert KEY not in json.dumps(client.last_report.__repr__())
