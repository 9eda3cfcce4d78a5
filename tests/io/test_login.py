"""Who asks: by a key that is for this server, by an access token, or as nobody."""

from __future__ import annotations

import contextlib
import copy
import json
import logging
import pickle
import stat
import warnings
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

import wbframe
from benchmarks.peers import CURRENT, run_peer
from tests.clocks import FakeClock
from tests.io.test_credentials import netrc, settings
from wbframe.core.protocol.project import VIEWER
from wbframe.errors import (
    AccessError,
    ConnectionFailedError,
    CredentialsError,
    MissingKeyError,
    NoKeyWarning,
    PlainHttpWarning,
    ProjectNotFoundError,
    RefusedKeyError,
    WbframeError,
)
from wbframe.io.client import identity
from wbframe.server import serve

JWT = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJtZSJ9.c2lnbmF0dXJl"


@pytest.fixture
def served(nobody):
    with serve(["ragged", "empty"]) as server:
        yield server


def asks(client):
    return client.send(VIEWER)


def documents(server):
    return ["token" if each.document == "/oidc/token" else "query" for each in server.requests]


# ---------------------------------------------------------------- hosts that a folder names


def folder(nobody, **values):
    settings(nobody.parent / "work" / "wandb", **values)


def test_a_key_of_the_environment_is_not_for_a_host_that_the_folder_names(
    served, nobody, monkeypatch
):
    folder(nobody, base_url=served.url)
    monkeypatch.setenv("WANDB_API_KEY", served.api_key)
    for client in (wbframe.Client(), wbframe.Api().client, None):
        with pytest.raises(
            CredentialsError,
            match=r"WANDB_API_KEY stays here: only .*wandb/settings names .*127\.0\.0\.1.*WANDB_BASE_URL or `base_url=`",
        ):
            wbframe.polars.read_runs("wbframe/ragged", client=client)
    assert not served.requests
    monkeypatch.setenv("WANDB_BASE_URL", served.url)
    assert asks(wbframe.Client())
    monkeypatch.delenv("WANDB_BASE_URL")
    assert asks(wbframe.Client(served.url))


def test_nor_is_a_key_that_is_given(served, nobody):
    folder(nobody, base_url=served.url)
    with pytest.raises(CredentialsError, match="the `api_key` of the call stays here"):
        asks(wbframe.Client(api_key=served.api_key))
    assert not served.requests


def test_nor_an_identity_token(served, nobody, monkeypatch, tmp_path):
    folder(nobody, base_url=served.url)
    monkeypatch.setenv("WANDB_IDENTITY_TOKEN_FILE", str(tmp_path / "jwt"))
    with pytest.raises(CredentialsError, match="WANDB_IDENTITY_TOKEN_FILE stays here"):
        asks(wbframe.Client())
    assert not served.requests


def test_nor_the_key_of_the_users_own_settings(served, nobody):
    settings(nobody / ".config" / "wandb", api_key=served.api_key)
    folder(nobody, base_url=served.url)
    with pytest.raises(MissingKeyError):
        asks(wbframe.Client())
    assert [each.status for each in served.requests] == [401]


def test_a_key_that_was_made_for_the_host_is_shown_to_it(served, nobody):
    folder(nobody, base_url=served.url)
    netrc(nobody, f"127.0.0.1:{served.port}", served.api_key)
    assert asks(wbframe.Client())


def test_so_is_that_of_the_same_file(served, nobody):
    folder(nobody, base_url=served.url, api_key=served.api_key)
    assert asks(wbframe.Client())


def test_a_folder_may_name_the_host_that_is_the_users_anyway(served, nobody, monkeypatch):
    folder(nobody, base_url=f"{served.url}/")
    settings(nobody / ".config" / "wandb", base_url=served.url)
    monkeypatch.setenv("WANDB_API_KEY", served.api_key)
    assert asks(wbframe.Client())


def test_a_folder_that_the_environment_names_in_full_was_chosen(
    served, nobody, monkeypatch, tmp_path
):
    settings(tmp_path / "chosen" / "wandb", base_url=served.url)
    monkeypatch.setenv("WANDB_DIR", str(tmp_path / "chosen"))
    monkeypatch.setenv("WANDB_API_KEY", served.api_key)
    assert asks(wbframe.Client())


@pytest.mark.parametrize(
    ("named", "foreign"),
    [
        ("https://api.wandb.ai", False),
        ("https://api.forge.coreweave.com", False),
        ("https://api.wandb.ai.evil.example", True),
        ("http://api.wandb.ai", True),
    ],
)
def test_the_service_is_trusted_where_no_other_server_is_the_users(
    named, foreign, nobody, monkeypatch
):
    folder(nobody, base_url=named)
    assert (wbframe.Client()._login._folder is not None) is foreign
    settings(nobody / ".config" / "wandb", base_url="https://own.example")
    assert wbframe.Client()._login._folder is not None


def test_where_a_server_was_named_travels_with_its_client(served, nobody, monkeypatch):
    folder(nobody, base_url=served.url)
    monkeypatch.setenv("WANDB_API_KEY", served.api_key)
    client = wbframe.Client()
    for other in (
        pickle.loads(pickle.dumps(client)),
        copy.deepcopy(client),
        client.like(wbframe.Client),
    ):
        with pytest.raises(CredentialsError, match="stays here"):
            asks(other)
    with pytest.raises(CredentialsError, match="stays here"):
        wbframe.doctor("wbframe/ragged", client=client)
    assert not served.requests


# ---------------------------------------------------------------- proxies


def test_no_proxy_of_the_environment_stands_before_this_machine(served, monkeypatch):
    with serve("empty") as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        client = wbframe.Client(served.url, served.api_key, proxies={"https": proxy.url})
        assert asks(client)
        assert asks(client)
        assert not proxy.requests
        assert client.http_options()["proxies"] == {"https": proxy.url}


def test_a_key_for_this_machine_by_way_of_a_proxy_warns(served):
    address = served.url.replace("//", "//me:s3cret@")
    client = wbframe.Client("http://127.0.0.1:9", served.api_key, proxies={"http": address})
    with (
        pytest.warns(
            PlainHttpWarning,
            match=rf"by way of the proxy http://127\.0\.0\.1:{served.port}; leave out",
        ),
        contextlib.suppress(WbframeError),
    ):
        asks(client)


def test_a_host_that_only_looks_like_this_machine_is_another(served):
    client = wbframe.Client(
        "http://127.0.0.1.evil.example", served.api_key, proxies={"http": served.url}
    )
    with pytest.warns(PlainHttpWarning, match="unencrypted"), contextlib.suppress(WbframeError):
        asks(client)


# ---------------------------------------------------------------- nobody


def test_what_is_public_is_read_without_a_key(served):
    served.public = True
    with pytest.warns(
        NoKeyWarning, match=r"only what is public is found: no API key for 127.*`wandb login`"
    ) as told:
        frame = wbframe.polars.read_runs(
            "wbframe/ragged", columns=["name"], client=wbframe.Client(served.url)
        )
    assert frame.height
    assert len(told) == 1
    with pytest.warns(NoKeyWarning), pytest.raises(ProjectNotFoundError):
        wbframe.polars.read_runs("wbframe/private", client=wbframe.Client(served.url))


@pytest.mark.parametrize(
    ("path", "error", "status"),
    [("wbframe/ragged", MissingKeyError, 401), ("forbidden/p", AccessError, 403)],
)
def test_where_a_key_is_wanted_it_is_said_how(path, error, status, served):
    served.public = error is AccessError
    with pytest.raises(
        error,
        match=rf"wants a key \(HTTP {status}\), and there is no API key for .*: pass `api_key=`, set WANDB_API_KEY, or run",
    ):
        wbframe.polars.read_runs(path, columns=["name"], client=wbframe.Client(served.url))


def test_a_key_that_comes_later_is_found(served, nobody):
    client = wbframe.Client(served.url)
    with pytest.raises(MissingKeyError):
        asks(client)
    netrc(nobody, f"127.0.0.1:{served.port}", "wrong" * 8)
    with pytest.raises(RefusedKeyError):
        asks(client)
    (nobody / ".netrc").unlink()
    netrc(nobody, f"127.0.0.1:{served.port}", served.api_key)
    assert asks(client)


def test_nobody_is_warned_of_plain_http_where_no_key_goes(nobody):
    client = wbframe.Client(
        "http://wandb.example",
        proxies={"http": "http://127.0.0.1:9"},
        retry=wbframe.RetryPolicy(tries=1),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ConnectionFailedError):
            asks(client)


# ---------------------------------------------------------------- copies


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
def test_a_copy_keeps_what_it_was_given(duplicate, served):
    client = wbframe.Client(
        served.url, served.api_key, proxies={"https": "http://me:s3cret@proxy.example"}
    )
    other = duplicate(client)
    assert repr(other) == repr(client)
    assert other.http_options() == client.http_options()
    assert asks(other)


def test_a_pickle_says_what_it_lost(served, monkeypatch):
    proxies = {"https": "http://me:s3cret@proxy.example:3128", "ftp": "you:s3cret@other.example"}
    client = wbframe.Client(served.url, served.api_key, proxies=proxies)
    stored = pickle.dumps(client)
    assert b"s3cret" not in stored
    other = pickle.loads(pickle.dumps(pickle.loads(stored)))
    assert repr(other) == (
        f"<Client {served.url}, a copy without the key that it was given and the passwords of its proxies>"
    )
    assert other.http_options()["proxies"] == {
        "https": "http://proxy.example:3128",
        "ftp": "other.example",
    }
    with pytest.raises(
        MissingKeyError,
        match=r"a copy without the key that it was given, and there is no API key for",
    ):
        asks(other)
    monkeypatch.setenv("WANDB_API_KEY", served.api_key)
    assert asks(other)


# ---------------------------------------------------------------- identity tokens


@pytest.fixture
def trusted(served, nobody, monkeypatch):
    """A server that trusts the identity token in the environment's file."""
    file = nobody / "identity.jwt"
    file.write_text(f"{JWT}\n", encoding="utf-8")
    monkeypatch.setenv("WANDB_IDENTITY_TOKEN_FILE", str(file))
    served.trust(JWT)
    return served


def kept(nobody):
    return nobody / ".config" / "wandb" / "credentials.json"


def hours(count):
    return (datetime.now(timezone.utc) + timedelta(hours=count)).strftime("%Y-%m-%d %H:%M:%S")


def keep(file, *, token="t0ken", at, ends):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"credentials": {at: {"access_token": token, "expires_at": ends}}}))


def test_an_identity_token_is_exchanged_once_and_what_came_is_kept(trusted, nobody):
    client = wbframe.Client(trusted.url)
    assert wbframe.polars.read_runs("wbframe/ragged", columns=["name"], client=client).height
    assert documents(trusted)[0] == "token"
    assert documents(trusted).count("token") == 1
    file = kept(nobody)
    [(at, entry)] = json.loads(file.read_text())["credentials"].items()
    assert at == trusted.url
    assert entry.keys() == {"access_token", "expires_at"}
    assert hours(0.98) < entry["expires_at"] <= hours(1)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    trusted.clear()
    assert asks(wbframe.Client(trusted.url))
    assert documents(trusted) == ["query"]
    assert [each.name for each in file.parent.iterdir()] == ["credentials.json"]


def test_the_file_may_be_named_and_keeps_the_tokens_of_others(trusted, monkeypatch, tmp_path):
    file = tmp_path / "named" / "tokens.json"
    keep(file, at="https://other.example", ends="2026-01-01 00:00:00")
    monkeypatch.setenv("WANDB_CREDENTIALS_FILE", str(file))
    assert asks(wbframe.Client(trusted.url))
    found = json.loads(file.read_text())["credentials"]
    assert found.keys() == {"https://other.example", trusted.url}
    assert found["https://other.example"]["access_token"] == "t0ken"


@pytest.mark.parametrize(
    ("ends_in", "asked"),
    [(0.05, ["token", "query"]), (-1, ["token", "query"]), (0.2, ["query"])],
)
def test_a_token_is_exchanged_anew_before_it_ends(ends_in, asked, trusted, nobody):
    trusted._tokens.given["t0ken"] = float("inf")
    keep(kept(nobody), at=trusted.url, ends=hours(ends_in))
    assert asks(wbframe.Client(trusted.url))
    assert documents(trusted) == asked


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{",
        '{"credentials": 3}',
        '{"credentials": {"%s": {"access_token": 3, "expires_at": "x"}}}',
    ],
)
def test_a_file_of_something_else_holds_no_token(content, trusted, nobody):
    kept(nobody).parent.mkdir(parents=True)
    kept(nobody).write_text(content.replace("%s", trusted.url))
    assert asks(wbframe.Client(trusted.url))
    assert trusted.url in json.loads(kept(nobody).read_text())["credentials"]


def test_a_long_read_takes_another_token_in_time(trusted, monkeypatch):
    client = wbframe.Client(trusted.url)
    assert asks(client)
    later = datetime.now(timezone.utc) + timedelta(seconds=3600 - 299)
    monkeypatch.setattr(identity, "_now", lambda: later)
    assert asks(client)
    assert asks(client)
    assert documents(trusted) == ["token", "query", "token", "query", "query"]


def test_a_token_of_a_few_minutes_is_used(trusted):
    trusted.trust(JWT, seconds=100)
    client = wbframe.Client(trusted.url)
    assert asks(client)
    assert asks(client)
    assert documents(trusted) == ["token", "query", "query"]


def test_a_token_that_the_server_no_longer_knows_is_exchanged_anew(trusted):
    client = wbframe.Client(trusted.url)
    assert asks(client)
    trusted.revoke()
    assert asks(client)
    assert documents(trusted) == ["token", "query", "query", "token", "query"]
    trusted.clear()
    trusted.fail(status=401, times=2, match="viewer")
    with pytest.raises(
        RefusedKeyError,
        match=r"the access token was refused \(HTTP 401\).*identity\.jwt written anew",
    ):
        asks(client)
    assert asks(client)


def test_threads_share_one_exchange(trusted):
    client = wbframe.Client(trusted.url)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: asks(client), range(16)))
    assert documents(trusted).count("token") == 1


def test_the_identity_token_is_read_anew_for_each_exchange(trusted, nobody, monkeypatch):
    client = wbframe.Client(trusted.url)
    assert asks(client)
    trusted._tokens.trusted.clear()
    trusted.trust("another.identity.token")
    Path(nobody / "identity.jwt").write_text("another.identity.token")
    trusted.revoke()
    assert asks(client)


@pytest.mark.parametrize(
    "fault", [{"status": 503}, {"status": 429, "headers": {"Retry-After": "0"}}, {"drop": True}]
)
def test_an_exchange_that_may_pass_is_tried_again(fault, trusted):
    trusted.fail(**fault, match="oidc")
    client = wbframe.Client(trusted.url, clock=FakeClock())
    assert asks(client)
    assert documents(trusted) == ["token", "token", "query"]


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"status": 401, "body": json.dumps({"error": "invalid_grant", "error_description": f"no {JWT}"}).encode()}, r"takes no identity token from .*identity\.jwt \(HTTP 401\): invalid_grant, no \*\*\*; have the file"),
        ({"status": 404, "body": b"not found"}, r"\(HTTP 404\); this server may know no identity tokens: set WANDB_API_KEY"),
        ({"status": 400, "body": b"[3]"}, r"\(HTTP 400\); have the file written anew"),
        ({"status": 302, "body": b"", "headers": {"Location": "https://elsewhere.example/"}}, r"\(HTTP 302\)"),
        ({"status": 200, "body": b"{}"}, "gave no access token"),
        ({"status": 200, "body": b'{"access_token": "x", "expires_in": "soon"}'}, "gave no access token"),
        ({"status": 200, "body": b'{"access_token": "x", "expires_in": -5}'}, "gave no access token"),
    ],
)  # fmt: skip
def test_an_exchange_that_is_refused_says_so(fault, message, trusted, caplog):
    caplog.set_level(logging.DEBUG)
    trusted.fail(**fault, match="oidc")
    with pytest.raises(CredentialsError, match=message) as caught:
        asks(wbframe.Client(trusted.url))
    assert "\n" not in str(caught.value)
    assert JWT not in f"{caught.value!r} {caplog.text}"
    assert documents(trusted) == ["token"]


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe"])
def test_an_identity_token_that_cannot_be_read_says_so(content, trusted, nobody):
    file = nobody / "identity.jwt"
    file.unlink() if content is None else file.write_bytes(content)
    with pytest.raises(
        CredentialsError,
        match=r"the identity token in .*identity\.jwt \(WANDB_IDENTITY_TOKEN_FILE\)",
    ):
        asks(wbframe.Client(trusted.url))
    assert not trusted.requests


def test_a_key_and_an_identity_token_are_one_too_many(trusted, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", trusted.api_key)
    with pytest.raises(
        CredentialsError, match="both WANDB_API_KEY and WANDB_IDENTITY_TOKEN_FILE are set"
    ):
        asks(wbframe.Client(trusted.url))
    assert asks(wbframe.Client(trusted.url, trusted.api_key))
    assert documents(trusted) == ["query"]


def test_an_identity_token_comes_before_netrc(trusted, nobody):
    netrc(nobody, f"127.0.0.1:{trusted.port}", "wrong" * 8)
    assert asks(wbframe.Client(trusted.url))


def test_who_cannot_keep_a_token_goes_without(trusted, monkeypatch, tmp_path, caplog):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("WANDB_CREDENTIALS_FILE", str(tmp_path / "file" / "tokens.json"))
    client = wbframe.Client(trusted.url)
    assert asks(client)
    assert "cannot keep the access token" in caplog.text


def test_tokens_are_nowhere(trusted, caplog):
    caplog.set_level(logging.DEBUG)
    client = wbframe.Client(trusted.url)
    assert asks(client)
    [token] = trusted._tokens.given
    login = client._login
    seen = [
        client,
        vars(client),
        vars(login),
        vars(login._auth),
        login._auth._access,
        pickle.dumps(client),
    ]
    text = f"{seen!r} {caplog.text} {[vars(each) for each in caplog.records]}"
    assert token not in text
    assert JWT not in text


SDK = """
import wandb

def main(path):
    return [run.name for run in wandb.Api().runs(path)][:1]
"""


@pytest.mark.referee
def test_the_sdk_and_wbframe_share_a_token(trusted, nobody, monkeypatch):
    # The SDK makes no folder for it.
    file = str(nobody / "tokens.json")
    monkeypatch.setenv("WANDB_CREDENTIALS_FILE", file)
    env = {
        "WANDB_BASE_URL": trusted.url,
        "WANDB_IDENTITY_TOKEN_FILE": str(nobody / "identity.jwt"),
        "WANDB_CREDENTIALS_FILE": file,
    }
    assert run_peer(CURRENT, SDK, env, "wbframe/ragged")
    assert documents(trusted).count("token") == 1
    trusted.clear()
    assert asks(wbframe.Client(trusted.url))
    assert documents(trusted) == ["query"]
