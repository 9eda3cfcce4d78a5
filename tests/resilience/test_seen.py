"""Whatever goes wrong, keys, tokens, passwords, cookies and signatures are seen nowhere: errors, their causes,
contexts and frames, logs, warnings, objects and pickles are searched for them."""

from __future__ import annotations

import base64
import copy
import json
import logging
import pickle
import socket
import threading
import traceback
import warnings
from contextlib import contextmanager

import polars as pl
import pytest
from gql.transport.requests import RequestsHTTPTransport
from requests.auth import HTTPBasicAuth

import wbframe
from tests.clocks import FakeClock
from tests.io.conftest import nobody  # noqa: F401 -- a fixture
from tests.resilience.seeing import seen_in, seen_of_error, stored
from wbframe import cli
from wbframe.errors import CredentialsError, UsageError, WbframeError
from wbframe.io.client import secrets
from wbframe.io.client.session import Session, as_it_is
from wbframe.polars import read_histories, scan_histories
from wbframe.server import serve

KEY = "s3cretk3y" + "0123456789abcdef" * 2
PASSWORD = "pr0xyw0rd"
SIGNATURE = "s1gnature"
TOKEN = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJzM2NyZXQifQ.c2lnbmF0dXJl"
COOKIE = "s3cretr0ute"
NETRC = "netrcw0rd" + "0123456789abcdef" * 2
SECRETS = {
    each: name
    for name, each in globals().copy().items()
    if name in {"KEY", "PASSWORD", "SIGNATURE", "TOKEN", "COOKIE", "NETRC"}
}
SECRETS |= {
    base64.b64encode(f"{user}:{word}".encode()).decode(): f"{word} encoded"
    for user, word in (("api", KEY), ("api", NETRC), ("me", PASSWORD))
}


def assert_nowhere(*texts):
    """Show none of the secrets in any of the texts, and where it stands if it does."""
    for text in texts:
        for secret, name in SECRETS.items():
            where = text.find(secret)
            assert where < 0, f"{name}: {text[max(where - 300, 0) : where + 300]}"
        assert "sig=" not in text, text[max(text.find("sig=") - 300, 0) :][:600]


@contextmanager
def answering(content):
    """Serve the same bytes to every connection, whatever it asks; gives the address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(20)
        ended = threading.Event()

        def serve_all():
            while not ended.is_set():
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    connection.settimeout(5)
                    try:
                        connection.recv(65_536)
                        connection.sendall(content)
                    except OSError:
                        pass

        thread = threading.Thread(target=serve_all)
        thread.start()
        port = listening.getsockname()[1]
        try:
            yield f"127.0.0.1:{port}"
        finally:
            ended.set()
            with socket.create_connection(("127.0.0.1", port)):
                pass
            thread.join()


def answer(status, body=b"", headers=()):
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


@pytest.fixture
def guarded(exported, nobody, caplog):  # noqa: F811
    caplog.set_level(logging.DEBUG, "wbframe")
    with serve([exported, "ragged"], api_key=KEY) as server:
        yield server


def client_for(address, key=KEY, **options):
    options = {
        "clock": FakeClock(),
        "retry": wbframe.RetryPolicy(tries=2),
        "timeout": 5,
        "proxies": {"https": f"http://me:{PASSWORD}@proxy.example:3128"},
        **options,
    }
    return wbframe.Client(address, key, **options)


def failing(read):
    """Give all that is seen of the error that a read ends with, and of the warnings on the way."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with pytest.raises(WbframeError) as raised:
            read()
    return "\n".join([seen_of_error(raised.value), *(str(each.message) for each in caught)])


def of_client(client):
    """Give all that is seen of a client, and of what is made of it."""
    lazy = scan_histories("e/x", keys=["a"], client=client)
    api = wbframe.Api(client=client)
    things = [client, vars(client), lazy, api, api.runs("e/x"), client.last_report, copy.copy(client), copy.deepcopy(client)]  # fmt: skip
    try:
        plan = lazy.explain()
    except WbframeError as error:
        plan = seen_of_error(error)
    return "\n".join([seen_in(things), repr(lazy.serialize()), plan, *map(stored, things)])


# ---------------------------------------------------------------- answers that go wrong

# No more than one try, for time.
LATE = {"timeout": 0.15, "retry": wbframe.RetryPolicy(tries=1)}
ECHO = f"bad key {KEY} ({base64.b64encode(f'api:{KEY}'.encode()).decode()})"
SAYS = json.dumps({"errors": [{"message": ECHO}], "data": None}).encode()
ANSWERS = {
    "refused": {"status": 401, "times": 9},
    "forbidden": {"status": 403, "times": 9},
    "not found": {"status": 404},
    "limited": {"status": 429, "times": 9},
    "failed": {"status": 500, "times": 9},
    "cut": {"drop": True, "times": 9},
    "truncated": {"truncate": True, "times": 9},
    "late": {"delay": 0.3, "times": 9},
    "no JSON": {"body": b"<html>", "times": 9},
    "other JSON": {"body": b'{"data": {"project": {"runs": 3}}}', "times": 9},
    "no gzip": {"body": b"nothing", "headers": {"Content-Encoding": "gzip"}, "times": 9},
    "elsewhere": {"status": 302, "headers": {"Location": f"https://me:{PASSWORD}@elsewhere.example/?sig={SIGNATURE}"}, "times": 9},
    "to itself": {"status": 307, "headers": {"Location": f"/?sig={SIGNATURE}"}, "times": 40},
    "echo": {"status": 400, "body": SAYS, "times": 9},
    "echo in a failure": {"status": 500, "body": SAYS, "times": 9},
    "echo of who may not": {"status": 403, "body": SAYS, "times": 9},
    "echo in an answer": {"status": 200, "body": SAYS, "times": 9},
    "echo that passes": {"status": 200, "body": SAYS.replace(b"bad", b"internal"), "times": 9},
}  # fmt: skip


@pytest.mark.parametrize("where", ["api", "storage"])
@pytest.mark.parametrize("fault", ANSWERS)
def test_of_an_answer_that_goes_wrong(fault, where, guarded, caplog):
    def whole(client):
        read_histories("e/x", samples=None, client=client)

    def lazy(client):
        scan_histories("e/x", samples=None, client=client).collect()

    def drop_in(client):
        list(wbframe.Run(client, "e", "x", "r0").scan_history())

    guarded.fail(where=where, **ANSWERS[fault] | {"times": 99})
    readers = (whole, lazy, drop_in) if where == "api" else (whole, lazy)
    # Its look for columns waits for each answer.
    for read in (drop_in,) if (fault, where) == ("late", "api") else readers:
        client = client_for(guarded.url, **LATE if fault == "late" else {})
        with client:
            try:
                seen = failing(lambda read=read, client=client: read(client))
            except pytest.fail.Exception:
                # Redirects to itself may be followed to the file.
                assert where == "storage"
                continue
            assert_nowhere(seen, of_client(client))
    assert_nowhere(*(f"{each.getMessage()} {vars(each)}" for each in caplog.records))


def test_of_a_renewed_address_that_is_refused(guarded):
    guarded.fail(status=403, where="storage", times=99)
    with client_for(guarded.url) as client:
        assert_nowhere(failing(lambda: read_histories("e/x", samples=None, client=client)))


def url(rest):
    return f"http://me:{PASSWORD}@127.0.0.1:9/{rest}?sig={SIGNATURE}"


# Addresses of files, and something that is wrong beside them or behind them.
NAMED = {
    "not text": [url("a"), 5],
    "not there": [url("a")],
    "not an address": [url("a").replace("http:", "file:"), url("a").replace("127.0.0.1:9", "[x")],
    "with another port": [url("a").replace(":9/", ":99999/")],
    "with a line end": [url("a").replace("/a", "/a\r\nX: y")],
}
FACES = {
    "read": lambda client: read_histories("e/x", samples=None, client=client),
    "scan": lambda client: scan_histories("e/x", samples=None, client=client).collect(),
    "arrow": lambda client: list(wbframe.arrow.histories_reader("e/x", samples=None, client=client)),
    "pandas": lambda client: wbframe.pandas.read_histories("e/x", samples=None, client=client),
    "explain": lambda client: wbframe.explain(scan_histories("e/x", samples=None, client=client)),
    "doctor": lambda client: wbframe.doctor("e/x", client=client),
}  # fmt: skip


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("named", NAMED)
def test_of_signed_addresses_that_are_of_no_use(named, face, guarded, caplog):
    urls = {"parquetUrls": NAMED[named], "liveData": []}
    runs = {f"r{i}": {"parquetHistory": urls} for i in range(9)}
    body = json.dumps({"data": {"project": runs}}).encode()
    guarded.fail(match="parquetUrls", body=body, times=999)
    with client_for(guarded.url, retry=wbframe.RetryPolicy(tries=1)) as client:
        # Some get along without.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                seen = str(FACES[face](client))
            except WbframeError as error:
                seen = seen_of_error(error)
        assert_nowhere(seen)
        assert "127.0.0.1" in seen or face != "read" or named == "not text"
        assert_nowhere(of_client(client))
    assert_nowhere(*(f"{each.getMessage()} {vars(each)}" for each in caplog.records))


@pytest.mark.parametrize("status", [401, 500, 200])
def test_of_what_the_command_says(status, guarded, monkeypatch, capfd, tmp_path):
    monkeypatch.setenv("WANDB_BASE_URL", guarded.url)
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:{PASSWORD}@proxy.example:3128")
    monkeypatch.setenv("WBFRAME_RETRY_SECONDS", "0.1")
    guarded.fail(status=status, body=SAYS, times=999)
    for command in (
        ["runs", "e/x", "-v"],
        ["histories", "e/x", "--samples", "all", "-v", "-o", str(tmp_path / "x.parquet")],
        ["doctor", "e/x"],
        ["keys", "e/x", "-v"],
    ):
        assert cli.main(command) or command[0] == "doctor"
        told = capfd.readouterr()
        assert told.out + told.err
        assert_nowhere(told.out, told.err)


# ---------------------------------------------------------------- nobody there, and proxies


@pytest.mark.parametrize(
    "options",
    [
        {"address": "http://127.0.0.1:9"},
        {"address": "https://{there}"},
        {"address": "http://api.example", "proxies": {"http": "http://me:{password}@{there}"}},
        {"address": "https://api.example", "proxies": {"https": "http://me:{password}@{there}"}},
        {"address": "https://api.example", "proxies": {"https": "me:{password}@{there}"}},
        {"address": "https://api.example", "proxies": {"https": "https://me:{password}@{there}"}},
        {
            "address": "https://api.example",
            "proxies": {"https": "http://me:{password}@127.0.0.1:9"},
        },
        {"address": "http://api.example", "proxies": {"http": "http://me:{password}@127.0.0.1:9"}},
        {"address": "https://api.example", "environment": "http://me:{password}@{there}"},
        {"address": "http://api.example", "environment": "me:{password}@{there}"},
        {"address": "https://api.example", "environment": "http://me:{password}@[bad:3128"},
        {"address": "http://api.example", "environment": "http://me:{password}@"},
        {"address": "https://api.example", "environment": "ftp://me:{password}@{there}"},
    ],
    ids=str,
)
@pytest.mark.parametrize("status", [407, 302])
def test_of_who_is_not_there_or_a_proxy_that_refuses(options, status, nobody, monkeypatch):  # noqa: F811
    content = answer(status, b"no", [f"Location: http://me:{PASSWORD}@x.example/?sig={SIGNATURE}"])
    with answering(content) as there:
        words = {"password": PASSWORD, "there": there}
        proxies = {name: each.format(**words) for name, each in options.get("proxies", {}).items()}
        if "environment" in options:
            for name in ("http_proxy", "https_proxy"):
                monkeypatch.setenv(name, options["environment"].format(**words))
        client = client_for(options["address"].format(**words), proxies=proxies or None)
        seen = failing(lambda: read_histories("e/x", keys=["a"], samples=5, client=client))
        assert_nowhere(seen, seen_in(vars(client)))
        client.close()


def test_a_proxy_gets_its_password_and_is_known_without_it(nobody):  # noqa: F811
    heard = []
    with serve("empty") as proxy, answering(b"") as _:
        address = proxy.url.replace("//", f"//me:{PASSWORD}@")
        with Session(2, 2) as session:
            response = session.get(
                "http://api.example/x", proxies=secrets.Proxies({"http": address})
            )
            heard.append(response.status_code)
            [manager] = session.get_adapter("http://").proxy_manager.values()
            assert_nowhere(seen_in(session))
    shown = manager.proxy_headers["Proxy-Authorization"]
    assert shown == "Basic " + base64.b64encode(f"me:{PASSWORD}".encode()).decode()
    assert heard == [400]


def test_no_proxy_of_the_environment_is_asked_along_a_redirect_to_this_machine(
    guarded, monkeypatch
):
    guarded.fail(status=302, headers={"Location": "/elsewhere"})
    with answering(answer(502)) as proxy, Session(2, 2, guarded.url) as session:
        monkeypatch.setenv("http_proxy", f"http://{proxy}")
        assert session.get("http://api.example/").status_code == 502
        response = session.post(f"{guarded.url}/graphql", auth=as_it_is)
        assert [each.status_code for each in response.history] == [302]
        assert response.status_code == 404


@pytest.mark.parametrize(
    "proxies",
    [
        f"http://me:{PASSWORD}@x.example",
        {"https": f"http://me:{PASSWORD}@["},
        {"https": f"http://me:{PASSWORD}/x@y.example"},
        {"https": f"http://me:{PASSWORD}@"},
        {"https": f"http://me:{PASSWORD}@x.example:port"},
        {"https": f"http://me:{PASSWORD}@x.example".encode()},
        {"https": [f"http://me:{PASSWORD}@x.example"]},
        {5: f"http://me:{PASSWORD}@x.example"},
        [f"http://me:{PASSWORD}@x.example"],
        5,
    ],
    ids=str,
)
def test_proxies_that_are_none_are_told_without_their_passwords(proxies, nobody):  # noqa: F811
    with pytest.raises(
        UsageError, match=r"`proxies`, as HTTPS_PROXY and its like, must be addresses by scheme"
    ) as caught:
        wbframe.Client("https://api.example", KEY, proxies=proxies)
    assert_nowhere(seen_of_error(caught.value))


@pytest.mark.parametrize("fault", [{"status": 401}, {"status": 500}, {"drop": True}])
def test_of_a_transport_of_the_callers_own(fault, guarded):
    transport = RequestsHTTPTransport(
        f"{guarded.url}/graphql",
        auth=HTTPBasicAuth("api", KEY),
        headers={"X-Key": KEY},
        cookies={"route": COOKIE},
    )
    client = wbframe.Client(
        transport=transport, clock=FakeClock(), retry=wbframe.RetryPolicy(tries=2)
    )
    assert client.default_entity()
    guarded.fail(times=99, **fault)
    assert_nowhere(failing(lambda: read_histories("e/x", keys=["a"], client=client)))
    assert_nowhere(seen_in(vars(client)), stored(client))


# ---------------------------------------------------------------- arguments


@pytest.mark.parametrize(
    "make",
    [
        lambda: wbframe.Client(f"https://me:{PASSWORD}@api.example", KEY),
        lambda: wbframe.Client(f"https://api.example/?sig={SIGNATURE}", KEY),
        lambda: wbframe.Client(f"https://me:{PASSWORD}@[api.example", KEY),
        lambda: wbframe.Client(f"https://me:{PASSWORD}@api.example".encode(), KEY),
        lambda: wbframe.Client([f"https://me:{PASSWORD}@api.example"], KEY),
        lambda: wbframe.Client("https://api.example", KEY, timeout=-1),
        lambda: wbframe.Client("https://api.example", KEY, concurrency="many"),
        lambda: wbframe.Client("https://api.example", KEY, retry=5),
        lambda: wbframe.Client("https://api.example", KEY, transport=KEY),
        lambda: wbframe.Client("https://wandb.ai", KEY),
        lambda: wbframe.Api({"api_key": 1}, api_key=KEY),
        lambda: wbframe.Api({"base_url": f"https://me:{PASSWORD}@api.example"}, api_key=KEY),
        lambda: wbframe.Api({"base_url": "https://api.example"}, -1, KEY),
        lambda: wbframe.Run(None, "", "p", "r", api_key=KEY),
        lambda: wbframe.Run(3, "e", "p", "r", api_key=KEY),
        lambda: wbframe.Runs(3, "e", "p", api_key=KEY),
        lambda: wbframe.Runs(None, "e", "", api_key=KEY),
    ],
)
def test_of_arguments_that_are_wrong(make, nobody):  # noqa: F811
    assert_nowhere(failing(make))


@pytest.mark.parametrize(
    "key", [f"{KEY}\n", f"{KEY} {KEY}", f"{KEY}\r\nX: y", f"{KEY}\x00", f"ü{KEY}", f"{KEY}\x7f", f"{KEY}\u2028", KEY.encode(), [KEY], 5]
)  # fmt: skip
def test_a_key_of_another_form_is_refused_before_any_request(key, guarded, monkeypatch):
    client = client_for(guarded.url, key)
    if isinstance(key, str) and key.strip() == KEY:
        # What files end with is no part of a key.
        assert client.default_entity()
        return
    with pytest.raises(CredentialsError, match=r"the API key (holds|must be text)") as caught:
        client.default_entity()
    assert_nowhere(seen_of_error(caught.value), of_client(client))
    if isinstance(key, str) and "\x00" not in key:
        monkeypatch.setenv("WANDB_API_KEY", key)
        with pytest.raises(CredentialsError, match="the API key holds") as caught:
            wbframe.polars.read_runs("e/x", client=client_for(guarded.url, None))
        assert_nowhere(seen_of_error(caught.value))
    assert not guarded.requests


def test_of_the_environments_client(guarded, monkeypatch):
    monkeypatch.setenv("WANDB_BASE_URL", guarded.url)
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("WBFRAME_TIMEOUT", "soon")
    assert_nowhere(failing(lambda: wbframe.polars.read_runs("e/x")))
    monkeypatch.delenv("WBFRAME_TIMEOUT")
    guarded.fail(status=404, times=99)
    assert_nowhere(failing(lambda: wbframe.polars.read_runs("e/x")))


# ---------------------------------------------------------------- files


def written(home, where, content):
    file = home / where
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


@pytest.mark.parametrize(
    "content",
    [
        f"api_key = {KEY}\n",
        f"[default]\n{KEY}\n",
        f"[default\napi_key = {KEY}\n",
        f"[default]\napi_key = {KEY}\napi_key = {KEY}\n",
        f"[default]\n{KEY} = 1\n{KEY} = 2\n",
        f"[{KEY}]\n[{KEY}]\n",
        f"[default]\napi_key = {KEY}\n".encode("utf-16"),
        f"[default]\napi_key = {KEY}\n".encode() + b"\xff\xfe",
        f"[default]\nbase_url = https://me:{PASSWORD}@api.example\napi_key = {KEY}\n",
        f"[default]\nbase_url = https://api.example\n  ?sig={SIGNATURE}\napi_key = {KEY}\n",
    ],
)
@pytest.mark.parametrize("whose", ["user", "folder"])
def test_of_settings_that_are_no_settings(content, whose, nobody):  # noqa: F811
    good = f"[default]\napi_key = {KEY}\n"
    written(nobody, ".config/wandb/settings", content if whose == "user" else good)
    written(nobody.parent / "work", "wandb/settings", content if whose == "folder" else good)
    assert_nowhere(failing(wbframe.Client), failing(lambda: wbframe.polars.read_runs("e/x")))
    assert_nowhere(failing(lambda: wbframe.Api().runs("x")))


@pytest.mark.parametrize(
    "content",
    [
        f"machine {{host}} login me {NETRC}",
        f"machine {{host}} login me password {NETRC}\n{NETRC} {NETRC}",
        f'machine {{host}} login "me password {NETRC}\n',
        f"machine {{host}} login me password '{NETRC}",
        f"{NETRC}",
        f"machine {{host}} login me password {NETRC} password",
        f"machine {{host}} login me password {NETRC}\n".encode("utf-16"),
        f"machine {{host}} login me password {NETRC}\n".encode() + b"\xff\xfe",
        f"machine {{host}} login me password ü{NETRC}\n",
    ],
)
def test_of_a_netrc_that_is_none(content, guarded, nobody):  # noqa: F811
    host = guarded.url.partition("//")[2]
    content = content.replace("{host}", host) if isinstance(content, str) else content
    written(nobody, ".netrc", content)
    client = client_for(guarded.url, None)
    # Of one that another program takes for one, the key may just be wrong.
    assert_nowhere(failing(client.default_entity), of_client(client))


def test_of_a_netrc_whose_key_is_refused(guarded, nobody):  # noqa: F811
    written(nobody, ".netrc", f"machine 127.0.0.1:{guarded.port} login me password {NETRC}\n")
    client = client_for(guarded.url, None)
    assert_nowhere(failing(client.default_entity), of_client(client))


@pytest.mark.parametrize(
    ("fault", "kept"),
    [
        ({"status": 401, "body": json.dumps({"error": TOKEN}).encode()}, ""),
        ({"status": 500, "times": 9, "body": json.dumps({"error": TOKEN}).encode()}, ""),
        ({"drop": True, "times": 9}, "{"),
        ({"delay": 0.5, "times": 9}, "[" * 100_000),
        ({"status": 302, "headers": {"Location": f"https://x.example/?sig={SIGNATURE}"}}, ""),
        ({"body": json.dumps({"access_token": KEY + "\n", "expires_in": 9}).encode()}, ""),
        ({"body": json.dumps({"access_token": KEY, "expires_in": -9}).encode()}, ""),
        ({"body": json.dumps({"access_token": KEY, "expires_in": [TOKEN]}).encode()}, ""),
        ({"body": b'{"access_token": "' + KEY.encode() + b'", "expires_in": 1' + b"0" * 400 + b"}"}, ""),
        ({"body": b"[" * 100_000}, ""),
    ],
    ids=str,
)  # fmt: skip
def test_of_an_identity_token_that_is_not_exchanged(fault, kept, guarded, nobody, monkeypatch):  # noqa: F811
    monkeypatch.setenv("WANDB_IDENTITY_TOKEN_FILE", str(written(nobody, "jwt", TOKEN)))
    written(nobody, ".config/wandb/credentials.json", kept)
    guarded.fail(match="oidc", **fault)
    client = client_for(guarded.url, None)
    assert_nowhere(failing(client.default_entity), of_client(client))


@pytest.mark.parametrize(
    ("token", "expires"),
    [
        (KEY, "9999-12-31 23:59:59"),
        (KEY, "0001-01-01 00:00:00"),
        (KEY, "soon"),
        (KEY, None),
        (f"{KEY}\r\nX: y", "9999-12-31 23:59:59"),
        (5, "9999-12-31 23:59:59"),
        ([KEY], "9999-12-31 23:59:59"),
        (None, 5),
    ],
)
def test_of_an_access_token_that_is_kept(token, expires, guarded, nobody, monkeypatch, caplog):  # noqa: F811
    monkeypatch.setenv("WANDB_IDENTITY_TOKEN_FILE", str(written(nobody, "jwt", TOKEN)))
    entry = {"access_token": token, "expires_at": expires}
    kept = {"credentials": {guarded.url: entry}}
    written(nobody, ".config/wandb/credentials.json", json.dumps(kept))
    guarded.trust(TOKEN)
    client = client_for(guarded.url, None)
    guarded.fail(status=404, match="viewer")
    assert_nowhere(failing(client.default_entity), of_client(client))
    assert client.default_entity()
    assert_nowhere(of_client(client), caplog.text)


# ---------------------------------------------------------------- what a program keeps


def test_a_programs_own_frames_keep_what_they_hold(guarded):
    def told(_):
        mine = ["of the program"]
        raise ZeroDivisionError(mine)

    def before():
        mine = ["of the program"]
        raise KeyError(mine)

    def read():
        try:
            before()
        except KeyError:
            read_histories("e/x", samples=None, client=client_for(guarded.url), progress=told)

    with pytest.raises(ZeroDivisionError) as caught:
        read()
    held = []
    for each in (caught.value, caught.value.__context__):
        frames = [frame for frame, _ in traceback.walk_tb(each.__traceback__)]
        held += [
            frame.f_locals["mine"] for frame in frames if frame.f_code.co_name in {"told", "before"}
        ]
        assert all(frame.f_lineno for frame in frames)
    assert held == [["of the program"]] * 2


# ---------------------------------------------------------------- what is at rest


def test_of_what_a_client_holds_and_hands_out(guarded):
    guarded.fail(
        status=200, body=b'{"data": {}}', headers={"Set-Cookie": f"route={COOKIE}; Path=/"}
    )
    client = client_for(guarded.url)
    failing(client.default_entity)
    assert client.default_entity()
    assert COOKIE in [str(each.value) for each in client._session.cookies]
    frame = read_histories("e/x", samples=None, client=client)
    api = wbframe.Api(client=client)
    run = api.run("e/x/r0")
    runs = api.runs("e/x")
    assert list(runs)
    assert list(run.scan_history())
    told = wbframe.doctor("e/x", client=client)
    things = [frame, api, run, runs, told, client.last_report, client.last_reports, wbframe.explain(scan_histories("e/x", client=client))]  # fmt: skip
    texts = [seen_in([vars(each) for each in (api, run, runs)]), *map(seen_in, things), *map(stored, things)]  # fmt: skip
    assert_nowhere(of_client(client), *texts, *map(str, things))
    assert isinstance(frame, pl.DataFrame)


def test_a_pickle_that_is_stored_says_what_it_lost_and_where_to_have_it(guarded):
    other = pickle.loads(pickle.dumps(client_for(guarded.url)))
    assert "without the key that it was given and the passwords of its proxies" in repr(other)
    scan = pickle.loads(
        pickle.dumps(scan_histories("e/x", keys=["a"], client=client_for(guarded.url)))
    )
    for read in (other.default_entity, scan.collect):
        with pytest.raises(
            CredentialsError, match=r"a copy without the key.*`api_key=`.*WANDB_API_KEY"
        ):
            read()
    assert not guarded.requests


def test_secrets_are_equal_by_value_and_shown_by_none():
    secret = secrets.Secret(KEY)
    assert secret == secrets.Secret(KEY)
    assert secret != secrets.Secret(NETRC)
    assert secret != KEY
    assert {secret: 1}[secrets.Secret(KEY)] == 1
    hidden = secrets.Hidden(KEY)
    assert_nowhere(seen_in([secret, hidden, {secret: hidden}]), stored(secret), stored(hidden))
    assert hidden == KEY


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"url: /f?a='b'&sig={SIGNATURE} (Caused by x)", "url: /f (Caused by x)"),
        (f"url: /f?name=(b)&sig={SIGNATURE}", "url: /f"),
        (f"('https://h.example/f?sig={SIGNATURE}',)", "('https://h.example/f',)"),
        (f"http://me:it's{PASSWORD}@h.example/x", "http://h.example/x"),
        (f"http://me:p@{PASSWORD}@h.example", "http://h.example"),
        ("what? nothing", "what nothing"),
    ],
)
def test_addresses_are_shown_without_what_is_secret_in_them(text, shown):
    assert secrets.without_secrets(text) == shown
