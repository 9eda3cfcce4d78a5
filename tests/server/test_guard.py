"""Who is heard: names, origins and keys, over real sockets."""

from __future__ import annotations

import base64
import http.client
import socket
import warnings

import pytest
import requests

import wbframe
from wbframe.errors import PlainHttpWarning, UsageError
from wbframe.server import API_KEY, Project, built_in, serve
from wbframe.server.guard import Authority, exposure

VIEWER = b'{"query": "{ viewer { entity } }"}'


def asked(server, *, method="POST", path="/graphql", port=None, headers=(), body=VIEWER):
    """Send a request with just these headers beside the key; give status, headers and body."""
    connection = http.client.HTTPConnection("127.0.0.1", port or server.port, timeout=20)
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    token = base64.b64encode(f"api:{server.api_key}".encode()).decode()
    given = [("Authorization", f"Basic {token}"), ("Content-Length", str(len(body))), *headers]
    for name, value in given:
        connection.putheader(name, value)
    connection.endheaders(body)
    answer = connection.getresponse()
    found = answer.status, dict(answer.getheaders()), answer.read()
    connection.close()
    return found


def status(server, **options):
    code, headers, body = asked(server, **options)
    assert not [name for name in headers if name.lower().startswith("access-control")]
    assert b"\n" not in body.rstrip(b"\n") or body.startswith(b"<?xml")
    return code


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "127.0.0.1:{port}", "localhost:{port}", "LocalHost", "localhost.", "localhost.:{port}",
        "127.9.9.9:{port}", "[::1]:{port}", "[::1]", "[0:0:0:0:0:0:0:1]:{port}", "localhost:9", "localhost:",
    ],
)  # fmt: skip
def test_names_of_this_machine_are_heard(server, host):
    assert status(server, headers=[("Host", host.format(port=server.port))]) == 200


FOREIGN = [
    "evil.example", "evil.example:{port}", "127.0.0.1.evil.example:{port}", "localhost.evil.example",
    "evil.localhost", "notlocalhost", "127.0.0.1@evil.example", "evil.example@127.0.0.1", "127.1", "2130706433",
    "0x7f.0.0.1", "192.168.0.9:{port}", "8.8.8.8", "[2001:db8::1]:{port}", "[::1", "::1", "localhost:x",
    "localhost:80:80", "localhost evil.example", "localhost,evil.example", "localhost/", "http://localhost",
    "xn--lclhost-...", "l\u043ecalhost", "0.0.0.0:{port}", "-", ".", "..", "[]", "[localhost]",
]  # fmt: skip


@pytest.mark.parametrize("host", FOREIGN)
def test_other_names_are_not(server, host):
    host = host.format(port=server.port).encode()
    for method, path in (
        ("POST", "/graphql"),
        ("POST", "/oidc/token"),
        ("GET", "/"),
        ("GET", "/x"),
    ):
        assert status(server, method=method, path=path, headers=[("Host", host)]) == 403
    assert status(server, method="GET", port=server.storage_port, headers=[("Host", host)]) == 403
    assert server.requests == []
    assert server.storage_requests == []


@pytest.mark.parametrize(
    "hosts", [[], ["localhost", "evil.example"], ["localhost", "localhost"], [""]]
)
def test_a_request_names_one_host(server, hosts):
    assert status(server, headers=[("Host", each) for each in hosts]) in {400, 403}
    assert server.requests == []


def test_this_is_no_proxy(server):
    for target in ("http://evil.example/graphql", "http://localhost/graphql"):
        assert status(server, path=target, headers=[("Host", "localhost")]) == 400


FROM_A_PAGE = {
    "another site": [("Origin", "http://evil.example")],
    "another scheme": [("Origin", "ftp://{host}")],
    "a sandbox or a file": [("Origin", "null")],
    "no origin at all": [("Origin", "")],
    "another port of this machine": [("Origin", "http://127.0.0.1:3000")],
    "no port": [("Origin", "http://127.0.0.1")],
    "another name of this machine": [("Origin", "http://localhost:{port}")],
    "a look-alike": [("Origin", "http://{host}.evil.example")],
    "a user": [("Origin", "http://{host}@evil.example")],
    "two": [("Origin", "http://{host}"), ("Origin", "http://evil.example")],
    "the site alone": [("Sec-Fetch-Site", "cross-site")],
    "the same site": [("Sec-Fetch-Site", "same-site"), ("Sec-Fetch-Mode", "no-cors")],
    "a site of no known kind": [("Sec-Fetch-Site", "")],
    "a page alone": [("Referer", "http://evil.example/page")],
    "a page of this machine": [("Referer", "http://127.0.0.1:8888/notebook")],
    "a form": [("Origin", "http://evil.example"), ("Content-Type", "text/plain")],
}  # fmt: skip


@pytest.mark.parametrize("method", ["POST", "GET", "OPTIONS", "PUT", "DELETE", "HEAD"])
@pytest.mark.parametrize("sent", FROM_A_PAGE.values(), ids=FROM_A_PAGE)
def test_pages_of_other_origins_are_not_heard(server, method, sent):
    host = f"127.0.0.1:{server.port}"
    headers = [(name, value.format(host=host, port=server.port)) for name, value in sent]
    assert status(server, method=method, headers=[("Host", host), *headers]) == 403
    port = server.storage_port
    assert status(server, method=method, port=port, headers=[("Host", host), *headers]) == 403
    assert server.requests == server.storage_requests == []


def test_a_page_of_its_own_and_an_address_that_was_typed_are_heard(server):
    host = f"127.0.0.1:{server.port}"
    own = [("Origin", f"http://{host.upper()}"), ("Referer", f"http://{host}/page?q#f")]
    assert status(server, headers=[("Host", host), *own, ("Sec-Fetch-Site", "same-origin")]) == 200
    typed = [("Host", host), ("Sec-Fetch-Site", "none")]
    assert status(server, method="GET", path="/", headers=typed, body=b"") == 200


def test_a_preflight_allows_nothing(server):
    host = ("Host", f"127.0.0.1:{server.port}")
    more = ("Access-Control-Request-Method", "POST")
    assert status(server, method="OPTIONS", headers=[host, more]) == 405
    assert status(server, method="OPTIONS", headers=[host, more, ("Origin", "http://a.b")]) == 403


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/html"])  # fmt: skip
def test_what_forms_send_is_no_request(server, kind):
    assert status(server, headers=[("Host", "localhost"), ("Content-Type", kind)]) == 415
    assert [each.status for each in server.requests] == [415]


def test_signed_addresses_are_guarded_too():
    demo = built_in("demo")
    with serve(demo) as server, wbframe.Client(server.url, server.api_key) as client:
        run = demo.runs[0].name
        whole = wbframe.polars.read_histories(f"wbframe/demo/{run}", samples=None, client=client)
        assert whole.height
        served = server.storage_requests
        assert served
        assert all("sig=" not in each.path for each in served)
        query = f'{{ project(name: "demo") {{ run(name: "{run}") {{ parquetHistory(liveKeys: []) {{ parquetUrls }} }} }} }}'  # fmt: skip
        answer = requests.post(
            f"{server.url}/graphql", json={"query": query}, auth=("api", server.api_key), timeout=20
        )
        (url,) = answer.json()["data"]["project"]["run"]["parquetHistory"]["parquetUrls"]
        assert requests.get(url, timeout=20).status_code == 200
        for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}):
            assert requests.get(url, headers=headers, timeout=20).status_code == 403


def test_names_that_were_allowed():
    with serve("empty", hosts=["Tunnel.example", "wandb"]) as server:
        for host in ("tunnel.example", "tunnel.example:443", "wandb:8080", "localhost"):
            assert status(server, headers=[("Host", host)]) == 200
        assert status(server, headers=[("Host", "other.example")]) == 403
        page = [("Host", "tunnel.example"), ("Origin", "https://tunnel.example")]
        assert status(server, headers=page) == 403  # ports 80 and 443
        assert status(server, headers=[("Host", "tunnel.example:443"), page[1]]) == 200


@pytest.mark.parametrize("hosts", ["localhost", ["http://a.example"], ["a b"], [3], [""]])
def test_hosts_are_a_list_of_names(hosts):
    with pytest.raises(UsageError, match="`hosts`"):
        serve("empty", hosts=hosts)


def test_where_others_listen_it_says_so_and_has_any_address():
    with pytest.warns(PlainHttpWarning, match=r"whoever reaches 0\.0\.0\.0 .* unencrypted") as said:
        server = serve("empty", host="0.0.0.0")
    assert said[0].filename == __file__
    assert "\n" not in str(said[0].message)
    assert server.api_key not in str(said[0].message)
    with server:
        for host in ("192.168.0.9:8080", "[2001:db8::1]", "localhost", "0.0.0.0"):
            assert status(server, headers=[("Host", host)]) == 200
        for host in ("evil.example", "192.168.0.9.evil.example"):
            assert status(server, headers=[("Host", host)]) == 403
        page = [("Host", "192.168.0.9:8080"), ("Origin", "http://evil.example")]
        assert status(server, headers=page) == 403


def test_on_this_machine_nothing_is_said():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for host in ("127.0.0.1", "localhost"):
            serve("empty", host=host).stop()


def test_the_public_key_is_called_so():
    assert "public" in (exposure("0.0.0.0", public_key=True) or "")
    assert exposure("127.0.0.1", public_key=True) is None
    assert exposure("[::1]") is None
    assert exposure("127.0.0.1.evil.example") is not None


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
def test_ipv6():
    try:
        server = serve("empty", host="::1")
    except UsageError as error:
        pytest.skip(str(error))
    with server, wbframe.Client(server.url, server.api_key) as client:
        assert server.url == f"http://[::1]:{server.port}"
        assert wbframe.polars.read_runs("wbframe/empty", client=client).is_empty()


def test_an_address_that_is_none_is_an_error():
    for host in ("no.such.host.invalid", "300.1.1.1", "a\0b"):
        with pytest.raises(UsageError, match="cannot listen on"):
            serve("empty", host=host)


# ---------------------------------------------------------------- the key


def test_each_start_has_a_key_of_its_own():
    with serve("empty") as one, serve("empty") as other:
        assert len({one.api_key, other.api_key, API_KEY}) == 3
        for server in (one, other):
            assert len(server.api_key) == 40  # old SDKs take no other length
            assert server.api_key.isalnum()
            assert server.api_key not in repr(server)
        wrong = requests.post(
            f"{one.url}/graphql", data=VIEWER, auth=("api", other.api_key), timeout=20
        )
        assert wrong.status_code == 401


def test_the_fixed_key_is_had_by_name():
    with serve("empty", api_key=API_KEY) as server:
        assert server.api_key == API_KEY
        assert status(server, headers=[("Host", "localhost")]) == 200


@pytest.mark.parametrize("key", ["", "k\n", "k\x1b[2J", "ключ", "\ud800", 3, b"k"])
def test_a_key_that_no_client_could_show_is_an_error(key):
    with pytest.raises(UsageError, match="`api_key`") as told:
        serve("empty", api_key=key)
    assert "\n" not in str(told.value)


def test_who_shows_no_key_has_no_document_parsed(monkeypatch):
    with serve(Project(entity="e", name="p")) as server:
        monkeypatch.setattr(server.engine, "_prepare_afresh", None)
        body = b'{"query": "query Named { viewer { id } }"}'
        assert requests.post(f"{server.url}/graphql", data=body, timeout=20).status_code == 401
        assert [(each.status, each.operation) for each in server.requests] == [(401, "Named")]


def test_spellings():
    assert Authority.of_address("http://[::1]:80/x") == Authority("::1", 80)
    assert Authority.of_address("https://a") == Authority("a", 443)
    assert Authority.of_address("file:///etc/passwd") is None
