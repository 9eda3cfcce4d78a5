"""The server and the key are found where the official SDK finds them, and nowhere else."""

from __future__ import annotations

import pytest

import wbframe
from wbframe.core.paths import parse_paths
from wbframe.errors import CredentialsError, MissingKeyError, PathError, UsageError
from wbframe.io.client.credentials import (
    app_places,
    find_base_url,
    find_default,
    netrc_path,
    read_settings,
)
from wbframe.io.client.credentials import find_key as find_secret
from wbframe.io.client.secrets import Secret
from wbframe.io.read.paging import resolved
from wbframe.server import serve

HERE = "http://127.0.0.1:8080"
SAAS = "https://api.wandb.ai"
KEY, OTHER = "a" * 40, "b" * 40


def find_key(base_url, api_key, **options):
    found = find_secret(base_url, None if api_key is None else Secret(api_key), **options)
    return None if found is None else found.reveal()


def settings(folder, **values):
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"{name} = {value}" for name, value in values.items()]
    (folder / "settings").write_text("\n".join(["[default]", *lines]), encoding="utf-8")


def netrc(home, host, key, *, name=".netrc"):
    with (home / name).open("a", encoding="utf-8") as file:
        file.write(f"machine {host}\n  login user\n  password {key}\n")


# ---------------------------------------------------------------- the server


def test_the_public_service_is_the_default(nobody):
    assert find_base_url(None) == SAAS
    assert wbframe.Client().base_url == SAAS


def test_argument_before_environment_before_local_before_global_settings(nobody, monkeypatch):
    settings(nobody / ".config" / "wandb", base_url="https://global.example")
    assert find_base_url(None) == "https://global.example"
    settings(nobody.parent / "work" / "wandb", base_url="https://local.example")
    assert find_base_url(None) == "https://local.example"
    monkeypatch.setenv("WANDB_BASE_URL", "https://variable.example/")
    assert find_base_url(None) == "https://variable.example"
    assert find_base_url("https://argument.example//") == "https://argument.example"


def test_settings_may_lie_elsewhere(nobody, monkeypatch, tmp_path):
    settings(tmp_path / "config", entity="from config")
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "config"))
    assert read_settings().entity == "from config"
    settings(tmp_path / "elsewhere" / "wandb", entity="from dir")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path / "elsewhere"))
    assert read_settings().entity == "from dir"
    settings(nobody.parent / "work" / ".wandb", entity="from dot")
    assert read_settings().entity == "from dot"


@pytest.mark.parametrize(
    "address",
    [
        "api.wandb.ai",
        "ftp://api.wandb.ai",
        "https://",
        "http:///x",
        f"https://api:{KEY}@api.wandb.ai",
        "https://[api",
    ],
)
def test_what_is_no_address_is_refused_without_telling_it(address, nobody):
    with pytest.raises(UsageError, match=r"an address like 'https://api\.wandb\.ai'") as caught:
        wbframe.Client(address)
    assert KEY not in str(caught.value)


def test_the_web_apps_host_is_not_the_api(nobody):
    with pytest.raises(UsageError, match=r"not 'https://wandb\.ai'"):
        wbframe.Client("https://wandb.ai")


def test_settings_that_cannot_be_read_say_so(nobody):
    (nobody / ".config" / "wandb").mkdir(parents=True)
    path = nobody / ".config" / "wandb" / "settings"
    path.write_text("no section = here", encoding="utf-8")
    with pytest.raises(CredentialsError, match="cannot read the settings file") as caught:
        find_base_url(None)
    assert "\n" not in str(caught.value)
    path.write_bytes(b"[default]\nentity = \xff\xfe\n")
    with pytest.raises(CredentialsError, match="cannot read the settings file"):
        find_base_url(None)
    path.write_text("[other]\nentity = x", encoding="utf-8")
    assert read_settings().entity is None


# ---------------------------------------------------------------- the key


def test_argument_before_environment_before_netrc_before_settings(nobody, monkeypatch):
    settings(nobody / ".config" / "wandb", base_url=HERE, api_key="s" * 40)
    assert find_key(HERE, None) == "s" * 40
    netrc(nobody, "127.0.0.1:8080", "n" * 40)
    assert find_key(HERE, None) == "n" * 40
    monkeypatch.setenv("WANDB_API_KEY", f" {KEY}\n")
    assert find_key(HERE, None) == KEY
    assert find_key(HERE, OTHER) == OTHER


def test_the_two_hosts_of_the_service_share_a_key(nobody):
    netrc(nobody, "api.wandb.ai", KEY)
    assert find_key("https://api.forge.coreweave.com", None) == KEY
    assert find_key(SAAS, None) == KEY


def test_a_key_of_another_host_stays_where_it_is(nobody):
    netrc(nobody, "api.wandb.ai", KEY)
    settings(nobody / ".config" / "wandb", base_url="https://own.example", api_key=OTHER)
    assert find_key(HERE, None) is None
    assert find_key("https://own.example", None) == OTHER


def test_a_settings_key_without_an_address_is_the_services(nobody):
    settings(nobody / ".config" / "wandb", api_key=OTHER)
    assert find_key(SAAS, None) == OTHER
    assert find_key(HERE, None) is None


def test_netrc_may_be_named_or_have_an_underscore(nobody, monkeypatch, tmp_path):
    netrc(nobody, "127.0.0.1:8080", KEY, name="_netrc")
    assert netrc_path().name == "_netrc"
    assert find_key(HERE, None) == KEY
    netrc(tmp_path, "127.0.0.1:8080", OTHER, name="named")
    monkeypatch.setenv("NETRC", str(tmp_path / "named"))
    assert find_key(HERE, None) == OTHER


def test_the_default_entry_of_netrc_is_for_others(nobody):
    (nobody / ".netrc").write_text(f"default login user password {KEY}\n", encoding="utf-8")
    assert find_key(HERE, None) is None


@pytest.mark.parametrize("content", [b"not a netrc", b"\xff\xfe\xfa machine"])
def test_a_netrc_that_cannot_be_read_says_so(content, nobody):
    (nobody / ".netrc").write_bytes(content)
    with pytest.raises(CredentialsError, match=r"cannot read .*\.netrc.*mend or remove"):
        find_key(HERE, None)


def test_a_blank_key_says_what_to_do(nobody):
    with pytest.raises(
        MissingKeyError,
        match=r"no API key for 127\.0\.0\.1:8080: pass `api_key=`, set WANDB_API_KEY, or run `wandb login`",
    ):
        find_key(HERE, "  ")


@pytest.mark.parametrize(
    "key",
    [
        "0123456789abcdef" * 2 + "01234567",
        "wandb_v1_" + "aB3_" * 19 + "x",
        "local-" + "a" * 40,
        "eyJhbGciOiJub25lIn0.eyJzdWIiOiJtZSJ9.c2lnbmF0dXJl",
    ],
)
def test_a_key_has_any_of_the_forms_that_there_are(key, nobody, monkeypatch):
    assert find_key(HERE, key) == key
    netrc(nobody, "127.0.0.1:8080", key)
    assert find_key(HERE, None) == key
    with serve("empty", api_key=key) as server:
        monkeypatch.setenv("WANDB_API_KEY", key)
        frame = wbframe.polars.read_runs("wbframe/empty", client=wbframe.Client(server.url))
        assert frame.height == 0


@pytest.mark.parametrize("key", ["a b", "a\nb", "schl\u00fcssel\u2026"])
def test_what_cannot_be_a_key_is_not_sent(key, nobody):
    with pytest.raises(CredentialsError, match="the API key holds") as caught:
        find_key(HERE, key)
    assert key not in str(caught.value)


def test_the_key_is_looked_up_at_the_first_request(nobody, monkeypatch):
    with serve("empty") as server:
        client = wbframe.Client(server.url)
        monkeypatch.setenv("WANDB_API_KEY", server.api_key)
        assert wbframe.polars.read_runs("wbframe/empty", client=client).height == 0


# ---------------------------------------------------------------- defaults


def test_default_entity_and_project(nobody, monkeypatch):
    assert find_default("entity") is None
    settings(nobody / ".config" / "wandb", entity="filed", project="planned")
    assert find_default("entity") == "filed"
    assert wbframe.Client(HERE).default_project() == "planned"
    monkeypatch.setenv("WANDB_ENTITY", "named")
    monkeypatch.setenv("WANDB_PROJECT", "there")
    assert wbframe.Client(HERE).default_entity() == "named"
    assert wbframe.Client(HERE).default_project() == "there"
    client = wbframe.Client(HERE, entity="given", project="too")
    assert (client.default_entity(), client.default_project()) == ("given", "too")


def test_paths_get_the_default_entity(nobody, monkeypatch):
    monkeypatch.setenv("WANDB_ENTITY", "named")
    [path] = resolved(wbframe.Client(HERE), parse_paths("project"))
    assert (path.entity, path.project) == ("named", "project")


# ---------------------------------------------------------------- the web app


@pytest.mark.parametrize(
    ("base_url", "address"),
    [
        (SAAS, "https://wandb.ai/ent/proj"),
        (SAAS, "https://WANDB.ai/ent/proj/runs/abc?nw=x"),
        (SAAS, "https://forge.coreweave.com/wandb/ent/proj"),
        ("https://api.forge.coreweave.com", "https://wandb.ai/ent/proj"),
        ("https://api.own.example", "https://app.own.example/ent/proj"),
        ("https://own.example", "https://own.example/ent/proj"),
        ("https://Own.example", "https://own.Example/ent/proj"),
        (HERE, "http://127.0.0.1:8080/ent/proj"),
        (f"{HERE}/wandb", "http://127.0.0.1:8080/wandb/ent/proj/table?nw=x"),
        (f"{HERE}/wandb", "http://127.0.0.1:8080/wandb/ent/proj"),
        ("https://api.own.example/x", "https://app.own.example/x/ent/proj/runs"),
    ],
)
def test_addresses_of_the_servers_own_app(base_url, address, nobody):
    [path] = resolved(wbframe.Client(base_url), parse_paths(address))
    assert (path.entity, path.project, path.host) == ("ent", "proj", None)


def test_an_app_elsewhere_is_named_by_a_variable(nobody, monkeypatch):
    with pytest.raises(PathError, match=r"the address is of look\.example"):
        resolved(wbframe.Client(HERE), parse_paths("https://look.example/ent/proj"))
    monkeypatch.setenv("WANDB_APP_URL", "https://look.example/")
    assert "look.example" in app_places(HERE)
    assert resolved(wbframe.Client(HERE), parse_paths("https://look.example/ent/proj"))
    monkeypatch.setenv("WANDB_APP_URL", "https://look.example/app")
    [path] = resolved(wbframe.Client(HERE), parse_paths("https://look.example/app/ent/proj"))
    assert (path.entity, path.project, path.run) == ("ent", "proj", None)


@pytest.mark.parametrize("wrong", [5, b"https://api.wandb.ai", ["https://api.wandb.ai"]])
def test_an_address_is_text(wrong, nobody):
    with pytest.raises(UsageError, match="`base_url` must be an address like"):
        wbframe.Client(wrong)


def test_a_key_is_text(nobody):
    with pytest.raises(CredentialsError, match="the API key must be text; got int") as caught:
        find_key("https://api.wandb.ai", 12345)
    assert "12345" not in str(caught.value)
