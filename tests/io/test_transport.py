"""A transport of gql's that the caller has made: documents go through it, and its key is shown nowhere else."""

from __future__ import annotations

import copy
import logging
import pickle
import traceback

import polars as pl
import pytest
from gql.transport.requests import RequestsHTTPTransport
from polars.testing import assert_frame_equal
from requests.auth import HTTPBasicAuth

import wbframe
from tests.clocks import FakeClock
from wbframe.errors import RefusedKeyError, StatusError, UsageError
from wbframe.server import serve

KEY = "tr4nsp0rtk3y" + "0123456789abcdef" * 2
AGENT = "somebody's own agent"
PATH = "wbframe/demo"


@pytest.fixture
def guarded(demo_project):
    with serve(demo_project, api_key=KEY) as server:
        yield server


def transport_to(server, key=KEY, **options):
    return RequestsHTTPTransport(
        url=f"{server.url}/graphql",
        auth=HTTPBasicAuth("api", key),
        headers={"User-Agent": AGENT},
        **options,
    )


@pytest.fixture
def through(guarded, nobody):
    """A client that knows the key by its transport alone."""
    with wbframe.Client(transport=transport_to(guarded)) as client:
        yield client


def runs(client):
    return pl.read_wandb_runs(PATH, filters=pl.col("state") == "finished", client=client)


def histories(client):
    return pl.read_wandb_histories(
        PATH,
        samples=500,
        keys=["train/loss", "eval/*"],
        run_columns=["name"],
        limit=5,
        client=client,
    )


def whole(client):
    return pl.read_wandb_histories(PATH, samples=None, limit=2, client=client)


@pytest.mark.parametrize("read", [runs, histories, whole])
def test_a_read_through_a_transport_is_the_read_of_a_plain_client(read, guarded, through):
    got = read(through)
    asked = [(each.document, each.variables) for each in guarded.requests]
    assert {each.user_agent for each in guarded.requests} == {AGENT}
    assert not any(each.authorization_seen for each in guarded.storage_requests)
    guarded.clear()
    with wbframe.Client(guarded.url, KEY) as plain:
        assert_frame_equal(got, read(plain))
    assert sorted(asked, key=repr) == sorted(
        ((each.document, each.variables) for each in guarded.requests), key=repr
    )
    assert AGENT not in {each.user_agent for each in guarded.requests}
    assert got.height > 0


def test_the_address_is_that_of_the_transport(guarded, through, monkeypatch):
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    assert through.base_url == guarded.url
    assert wbframe.Client(transport=transport_to(guarded)).base_url == guarded.url


def test_requests_through_a_transport_are_tried_again(guarded, nobody):
    client = wbframe.Client(transport=transport_to(guarded), clock=FakeClock())
    guarded.fail(status=503, times=2)
    assert histories(client).height > 0
    assert client.last_report.retries == 1  # then without what the server may lack


def one_line(caught):
    message = str(caught.value)
    assert "\n" not in message
    assert KEY not in message
    return message


@pytest.mark.parametrize("wrong", [3, "https://api.wandb.ai/graphql", HTTPBasicAuth("api", KEY)])
def test_anything_else_is_refused(wrong):
    with pytest.raises(
        UsageError, match=r"`transport` must be a gql.*RequestsHTTPTransport"
    ) as caught:
        wbframe.Client(transport=wrong)
    assert f"got {type(wrong).__name__}" in one_line(caught)


@pytest.mark.parametrize("beside", [{"base_url": "https://api.wandb.ai"}, {"api_key": KEY}])
def test_a_transport_and_an_address_or_a_key_is_one_too_many(beside, guarded):
    with pytest.raises(UsageError, match="leave out `base_url` and `api_key`") as caught:
        wbframe.Client(transport=transport_to(guarded), **beside)
    one_line(caught)


def test_such_a_client_is_not_pickled(through):
    with pytest.raises(UsageError, match="cannot be pickled") as caught:
        pickle.dumps(through)
    one_line(caught)


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
def test_a_copy_of_such_a_client_shares_its_transport(duplicate, through):
    assert runs(duplicate(through)).equals(runs(through))


def test_the_key_is_in_no_text(guarded, nobody, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    told = []
    faults = ({"status": 401}, {"status": 404, "times": 40})
    for fault, wanted in zip(faults, (RefusedKeyError, StatusError), strict=True):
        client = wbframe.Client(transport=transport_to(guarded), clock=FakeClock())
        guarded.fail(**fault)
        with pytest.raises(wanted) as caught:
            runs(client)
        told += [
            repr(client),
            str(client),
            repr(client.last_report),
            repr(pickle.dumps(caught.value)),
        ]
        told += traceback.format_exception(caught.value)
        one_line(caught)
    out, err = capfd.readouterr()
    assert KEY not in "\n".join([*told, caplog.text, out, err])
