"""Files of settings and keys may be anything: they are read, or said to be wrong; nothing is waited for or filled."""

from __future__ import annotations

import json
import os
import sys

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as checked
from hypothesis import strategies as st

import wbframe
from tests.io.test_credentials import HERE, KEY, OTHER, find_key, netrc, settings
from tests.scripts import run_script
from wbframe.core.protocol.project import VIEWER
from wbframe.errors import CredentialsError, PlainHttpWarning, WbframeError
from wbframe.io.client.credentials import find_base_url, is_loopback, is_plain, named_by_folder
from wbframe.io.client.settings import netrc_key, read_settings
from wbframe.server import serve

# Each stands in the place of each file in turn; a process of its own, with little memory, reads them all.
READS = """
import encodings.utf_8_sig, os, resource, sys
import wbframe
from wbframe.core.protocol.project import VIEWER

home = {home!r}
# Four gigabytes: threads of polars take addresses, and a file of one gigabyte that is held shows.
resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
os.environ.clear()
os.environ.update(HOME=home, WANDB_BASE_URL_="")
os.makedirs(home + "/work/wandb", exist_ok=True)
os.makedirs(home + "/.config/wandb", exist_ok=True)
os.chdir(home + "/work")

def fifo(at): os.mkfifo(at)
def device(at): os.symlink("/dev/zero", at)
def random(at): os.symlink("/dev/urandom", at)
def folder(at): os.mkdir(at)
def loop(at): os.symlink(at, at)
def huge(at):
    with open(at, "wb") as file: file.truncate(1 << 30)
def long_line(at):
    with open(at, "wb") as file: file.write(b"[default]\\na" + b" " * 60_000 + b"b\\n")
def many_lines(at):
    with open(at, "wb") as file: file.write(b"[default]\\n" + b"a = 1\\n" * 200_000)
def closed(at):
    with open(at, "wb") as file: file.write(b"[default]\\n")
    os.chmod(at, 0)

places = {places!r}
kinds = [fifo, device, random, folder, loop, huge, long_line, many_lines, closed]
try:
    wbframe.Client("http://127.0.0.1:9", "k" * 40, retry=wbframe.RetryPolicy(tries=1)).send(VIEWER)
except wbframe.errors.ConnectionFailedError:
    pass  # all that takes is imported, which nobody may read
if os.getuid() == 0:
    for folder_, _, _ in os.walk(home): os.chown(folder_, 65534, 65534)
    os.setuid(65534)
for place, variables in places:
    for kind in kinds:
        at = home + "/" + place
        kind(at)
        os.environ.update(variables)
        try:
            wbframe.Client({base_url!r}, retry=wbframe.RetryPolicy(tries=1)).send(VIEWER)
            said = "read"
        except wbframe.errors.WbframeError as error:
            said = type(error).__name__ + " " + str(error)
        for name in variables: del os.environ[name]
        if kind is folder: os.rmdir(at)
        else: os.unlink(at)
        print(place, kind.__name__, said, sep="|")
"""
BAD = {"fifo", "device", "random", "folder", "loop", "huge", "long_line", "many_lines", "closed"}
PLACES = {
    ".config/wandb/settings": {},
    "work/wandb/settings": {},
    ".netrc": {},
    "named": {"NETRC": "{home}/named"},
    "jwt": {"WANDB_IDENTITY_TOKEN_FILE": "{home}/jwt"},
}


@pytest.mark.skipif(sys.platform == "win32", reason="has no such files")
def test_what_is_no_file_of_settings_is_an_error_at_once(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    for each in (home, *home.parents):
        if each.owner() == home.owner() and "pytest" in str(each):
            each.chmod(0o755)
    places = [
        (place, {name: value.format(home=home) for name, value in variables.items()})
        for place, variables in PLACES.items()
    ]
    ended = run_script(READS.format(home=str(home), places=places, base_url=None))
    assert ended.returncode == 0, ended.stderr
    told = [line.split("|") for line in ended.stdout.splitlines()]
    assert {(place, kind) for place, kind, _ in told} == {
        (place, kind) for place in PLACES for kind in BAD
    }
    for place, kind, said in told:
        assert said.startswith("CredentialsError cannot read "), (place, kind, said)
        assert place.rpartition("/")[2] in said


@pytest.mark.skipif(sys.platform == "win32", reason="has no such files")
def test_what_is_no_file_of_tokens_holds_none(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    for each in (home, *home.parents):
        if each.owner() == home.owner() and "pytest" in str(each):
            each.chmod(0o755)
    (home / "jwt").write_text("a.b.c")
    with serve("empty") as server:
        server.trust("a.b.c")
        variables = {
            "WANDB_IDENTITY_TOKEN_FILE": f"{home}/jwt",
            "WANDB_CREDENTIALS_FILE": f"{home}/tokens/t",
        }
        (home / "tokens").mkdir()
        script = READS.format(home=str(home), places=[("tokens/t", variables)], base_url=server.url)
        # What is there is replaced by a file of its own.
        script = script.replace(
            "if kind is folder: os.rmdir(at)", "if os.path.isdir(at): os.rmdir(at)"
        )
        ended = run_script(script)
    assert ended.returncode == 0, ended.stderr
    assert [line.split("|")[2] for line in ended.stdout.splitlines()] == ["read"] * len(BAD)


# ---------------------------------------------------------------- odd spellings


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf[default]\nbase_url = https://own.example\nentity = me\n",
        b"[default]\r\nbase_url = https://own.example\r\nentity = me\r\n",
        b"[other]\nentity = you\n[default]\nbase_url: https://own.example\nENTITY=me\n",
        b"; a word\n[default]\n# another\nbase_url = https://own.example\n\nentity = me\n[x]\n",
        b"[DEFAULT]\nentity = me\n[default]\nbase_url = https://own.example\n",
        b"[default]\rbase_url = https://own.example\rentity = me\r",
    ],
)
def test_settings_in_any_of_their_spellings(content, nobody):
    file = nobody / ".config" / "wandb" / "settings"
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    found = read_settings()
    assert (found.base_url, found.entity, found.folder) == ("https://own.example", "me", None)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("entity = me\n", "it is wrong in line 1"),
        ("[default]\nentity = me\nentity = you\n", "it is wrong in line 3"),
        ("[default]\n[default]\n", "it is wrong in line 2"),
        ("[default]\nentity\n", "it is wrong in line 2"),
        ("[default]\nentity = me\n".encode("utf-16"), "it is no text in UTF-8"),
        ("[default]\nentity = " + "m" * 10_000, "a line is too long"),
    ],
)
def test_settings_that_are_wrong_say_where_and_no_more(content, why, nobody):
    for folder in (nobody / ".config" / "wandb", nobody.parent / "work" / "wandb"):
        folder.mkdir(parents=True)
        file = folder / "settings"
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        with pytest.raises(CredentialsError) as caught:
            find_base_url(None)
        shown = file if folder.parent.name == ".config" else "wandb/settings"
        assert (
            str(caught.value) == f"cannot read the settings file {shown}: {why}; mend or remove it"
        )
        assert caught.value.__cause__ is caught.value.__context__ is None
        file.unlink()


pieces = st.lists(
    st.sampled_from([b"[default]", b"[", b"]", b"=", b":", b"\n", b"\r\n", b" ", b"\t", b"#", b";", b'"', b"'", b"\\",
                     b"base_url", b"api_key", b"https://x.example", b"machine", b"login", b"password", b"default",
                     b"macdef", b"account", b"x", b"\xff", b"\x00", b"\xef\xbb\xbf", b"%(x)s", b"\xe2\x80\xa8"])
    | st.binary(max_size=3),
    max_size=30,
)  # fmt: skip


@given(pieces)
@example([b"machine", b" ", b"x", b" ", b'"'])
@example([b"machine"])
@checked(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
def test_files_of_any_bytes_are_read_or_wrong(nobody, some):
    for place in (nobody / ".config" / "wandb" / "settings", nobody / ".netrc"):
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(b"".join(some))
    for read in (read_settings, lambda: netrc_key("x")):
        try:
            read()
        except CredentialsError as error:
            raised = error
        else:
            continue
        assert raised.__cause__ is raised.__context__ is None


# ---------------------------------------------------------------- whose key goes where


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:{other}", "http://localhost:{port}", "http://127.0.0.2:{port}"]
)
def test_an_entry_of_netrc_is_for_its_host_and_port(address, nobody):
    with serve("empty") as server:
        netrc(nobody, f"127.0.0.1:{server.port}", KEY)
        assert find_key(server.url, None) == KEY
        assert find_key(address.format(port=server.port, other=server.port + 1), None) is None


def test_no_host_is_called_default(nobody):
    (nobody / ".netrc").write_text(f"default login user password {KEY}\n", encoding="utf-8")
    assert find_key("http://default", None) is None
    settings(nobody.parent / "work" / "wandb", base_url="http://default")
    assert find_key("http://default", None, folder=named_by_folder(None)) is None


def test_a_key_in_settings_is_for_the_scheme_that_they_name(nobody):
    settings(nobody / ".config" / "wandb", base_url="https://own.example", api_key=OTHER)
    assert find_key("https://own.example", None) == OTHER
    for other in ("http://own.example", "https://own.example:8443", "https://own.example.evil"):
        assert find_key(other, None) is None


def test_netrc_names_no_scheme_so_a_folder_does_not_have_its_key_sent_unencrypted(nobody):
    netrc(nobody, "own.example", KEY)
    settings(nobody.parent / "work" / "wandb", base_url="http://own.example")
    client = wbframe.Client(retry=wbframe.RetryPolicy(tries=1))
    with pytest.raises(
        CredentialsError,
        match=r"the key in .*\.netrc stays here: .*names the server http://own\.example",
    ):
        client.send(VIEWER)
    settings(nobody.parent / "work" / "wandb", base_url="https://own.example")
    assert find_key("https://own.example", None, folder=named_by_folder(None)) == KEY
    proxies = {"http": "http://127.0.0.1:9"}
    client = wbframe.Client(
        "http://own.example", retry=wbframe.RetryPolicy(tries=1), proxies=proxies
    )
    with (
        pytest.warns(
            PlainHttpWarning,
            match=r"own\.example unencrypted.*\(the proxy http://127\.0\.0\.1:9 reads it",
        ),
        pytest.raises(WbframeError),
    ):
        client.send(VIEWER)


@pytest.mark.parametrize("variable", ["WANDB_CONFIG_DIR", "WANDB_DIR"])
def test_a_relative_place_is_what_the_folder_brings(variable, nobody, monkeypatch):
    monkeypatch.setenv(variable, "conf")
    at = nobody.parent / "work" / "conf"
    settings(at if variable == "WANDB_CONFIG_DIR" else at / "wandb", base_url=HERE)
    assert read_settings().base_url == HERE
    assert named_by_folder(None) == str(
        at.relative_to(nobody.parent / "work")
        / ("settings" if variable == "WANDB_CONFIG_DIR" else "wandb/settings")
    )
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    with pytest.raises(CredentialsError, match="stays here"):
        wbframe.Client().send(VIEWER)
    monkeypatch.setenv(variable, str(at))
    assert named_by_folder(None) is None


def test_a_user_without_a_home_has_no_files(nobody, monkeypatch):
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    assert find_base_url(None) == "https://api.wandb.ai"
    assert find_key(HERE, None) is None


# ---------------------------------------------------------------- this machine


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST", "127.0.0.1", "127.255.0.3", "127.1", "0x7f000001", "2130706433", "0177.0.0.1", "::1",
     "0:0:0:0:0:0:0:1", "::ffff:127.0.0.1", "::FFFF:7f00:1"],
)  # fmt: skip
def test_this_machine_by_any_of_its_addresses(host):
    assert is_loopback(host)
    assert not is_plain(f"http://[{host}]" if ":" in host else f"http://{host}")


@pytest.mark.parametrize(
    "host",
    ["", "127.0.0.1.evil.example", "localhost.evil.example", "evil.localhost", "localhost.", "127.0.0.1.", "0.0.0.0",
     "::", "128.0.0.1", "0127.0.0.1", "127.0.0.1 evil", "127.0.0.1\n", "\uff11\uff12\uff17.0.0.1", "127\u30020\u30020\u30021", "127.0.0.1%2eevil",
     "%31%32%37.0.0.1", "127.0.0.1@evil", "evil@127.0.0.1", "127.0.0.1\\.evil", "::127.0.0.1", "[::1]", "::1].evil",
     "\uff4cocalhost", "l\u043ecalhost", "127.0.0.1:80", "127.0.0.256", "1" * 5000],
)  # fmt: skip
def test_what_only_looks_like_this_machine_is_another(host):
    assert not is_loopback(host)


@pytest.mark.parametrize(
    "address",
    ["http://127.0.0.1@evil.example", "http://evil.example\\@127.0.0.1", "http://127.0.0.1\\.evil.example", "http://[::1].evil.example",
     "http://[::1", "http://127.0.0.1:80:80", "http://127.0.0.1:99999", "http://127.0.0.1:0", "http://127.0.0.1:x", "http://127.0.0.1%2eevil.example",
     "http://127.0.0.1 evil.example", "http://evil.example\n.127.0.0.1", "http://evil.example\t", "http:/127.0.0.1", "http:127.0.0.1",
     "http://127.0.0.1/\x00", "http://.", "//127.0.0.1", "file:///etc/passwd", "javascript:1", "http://a.example/b\\c"],
)  # fmt: skip
def test_addresses_that_are_read_in_two_ways_are_none(address, nobody):
    if address.endswith("\t"):
        assert find_base_url(address) == address.strip()
        return
    with pytest.raises(wbframe.errors.UsageError, match="`base_url` must be an address"):
        wbframe.Client(address)


def test_a_file_of_tokens_that_nests_without_end_holds_none(nobody, monkeypatch):
    file = nobody / "tokens.json"
    file.write_text("[" * 200_000)
    (nobody / "jwt").write_text("a.b.c")
    monkeypatch.setenv("WANDB_CREDENTIALS_FILE", str(file))
    monkeypatch.setenv("WANDB_IDENTITY_TOKEN_FILE", str(nobody / "jwt"))
    with serve("empty") as server:
        server.trust("a.b.c")
        assert wbframe.Client(server.url).send(VIEWER)
        assert server.url in json.loads(file.read_text())["credentials"]
