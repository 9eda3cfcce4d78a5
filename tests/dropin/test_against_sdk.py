"""The same calls on wbframe and on the official SDKs, against the same server."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import pytest

import wbframe
from benchmarks.peers import run_peer
from tests.dropin import shown
from tests.dropin.calls import ALL, CALLS
from wbframe import dropin
from wbframe.dropin import clients
from wbframe.server import serve

pytestmark = pytest.mark.referee

PROJECTS = ("ragged", "demo", "empty", "odd")
SCRIPT = Path(shown.__file__).read_text(encoding="utf-8")
CASES = [(project, name) for name, call in CALLS.items() for project in call.projects]


def calls_of(project):
    return {name: call.code for name, call in CALLS.items() if project in call.projects}


@pytest.fixture(scope="module")
def local():
    with serve(list(PROJECTS)) as server:
        yield server


@pytest.fixture(scope="module", params=ALL)
def sdk(request):
    return request.param


@pytest.fixture(scope="module")
def theirs(sdk, local):
    """What an SDK gives for every call."""
    env = {"WANDB_BASE_URL": local.url, "WANDB_API_KEY": local.api_key}
    calls = {project: calls_of(project) for project in PROJECTS}
    return run_peer(sdk, SCRIPT, env, {"calls": calls}, timeout=600)


@pytest.fixture(scope="module")
def ours(local):
    """What wbframe gives for every call."""
    found = {}
    for project in PROJECTS:
        api = wbframe.Api({"base_url": local.url}, api_key=local.api_key)
        names = {"api": api, "Runs": wbframe.Runs, "client": api, "P": project}
        found[project] = shown.attempts(calls_of(project), names)
    return found


@pytest.mark.parametrize(("project", "name"), CASES)
def test_a_call_gives_the_same(project, name, sdk, theirs, ours):
    mine, other = ours[project][name], theirs[project][name]
    row, kind = CALLS[name].differs.get(sdk, (None, None))
    if row is None:
        if "error" in mine and "error" in other:
            assert same_error(mine["error"], other["error"]), (mine, other)
        else:
            assert exact(mine) == exact(other)
        return
    if kind == "raises":
        assert "error" in other, other
        assert "value" in mine, mine
    elif kind == "refuses":
        assert "value" in other, other
        assert "error" in mine, mine
    elif kind == "error":
        assert "error" in other, other
        assert "WbframeError" in mine["error"]
    elif kind == "rows":
        assert without_order(mine) == without_order(other)
    else:
        assert kind == "value"
        assert exact(mine) != exact(other)


def exact(found):
    """Tell 1 from 1.0 and from True."""
    return json.dumps(found, sort_keys=True)


def same_error(mine, other):
    """Code that catches the SDK's error must catch ours: by the built-in class that it is of."""
    builtin = next((each for each in other if each in BUILT_IN), None)
    return builtin in mine


BUILT_IN = ("ValueError", "IndexError", "KeyError", "TypeError", "AttributeError", "StopIteration")


def without_order(found):
    """Show a frame with its rows sorted."""
    frame = found["value"]
    return {**frame, "rows": sorted(map(repr, frame["rows"]))}


@pytest.mark.parametrize("name", [name for name, call in CALLS.items() if call.differs])
def test_a_difference_is_a_row_of_the_table(name):
    firsts = [line.split("  ")[0].strip() for line in dropin.__doc__.splitlines()]
    for row, _ in CALLS[name].differs.values():
        assert any(first.startswith(row) for first in firsts if first), row


CLIENTS = """
def main(args):
    import os, wandb
    from typing import Any
    from types import SimpleNamespace
    scope = {"Any": Any}
    exec("from __future__ import annotations\\n" + args["source"], scope)
    api = wandb.Api()
    given = [api] + ([api._service_api] if hasattr(api, "_service_api") else [api.client])
    return [scope["_server_and_key"](each) for each in given]
"""


def test_what_the_sdk_calls_a_client_names_server_and_key(sdk, local):
    env = {"WANDB_BASE_URL": local.url, "WANDB_API_KEY": local.api_key}
    source = inspect.getsource(clients._server_and_key)
    found = run_peer(sdk, CLIENTS, env, {"source": source})
    assert found == [[local.url, local.api_key]] * 2
