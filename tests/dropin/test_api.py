"""`Api`: paths, what it keeps, what it refuses."""

from __future__ import annotations

import pytest

import wbframe
from wbframe import errors


@pytest.fixture
def api(server):
    return wbframe.Api({"base_url": server.url}, api_key=server.api_key)


def test_the_same_runs_are_given_again_until_they_are_flushed(server, api):
    runs = api.runs("wbframe/ragged")
    len(runs)
    assert api.runs("wbframe/ragged") is runs
    assert len(server.requests) == 2
    assert api.runs("wbframe/ragged", per_page=3) is not runs
    assert api.run("wbframe/ragged/whole") is api.run("wbframe/ragged/whole")
    api.flush()
    assert api.runs("wbframe/ragged") is not runs


@pytest.mark.parametrize(
    "path",
    [
        "wbframe/ragged/whole",
        "wbframe/ragged/runs/whole",
        "wbframe/ragged:whole",
        "ragged/whole",
        "ragged:whole",
        "/wbframe/ragged/whole/",
    ],
)
def test_paths_of_a_run(api, path):
    run = api.run(path)
    assert (run.entity, run.project, run.id) == ("wbframe", "ragged", "whole")


def test_addresses(server, api):
    assert api.run(f"{server.url}/wbframe/ragged/runs/whole").id == "whole"
    assert len(api.runs(f"{server.url}/wbframe/ragged")) == 13
    with pytest.raises(errors.PathError, match="no run"):
        api.run(f"{server.url}/wbframe/ragged")


def test_defaults_fill_up_paths(server):
    given = {"base_url": server.url, "entity": "wbframe", "project": "ragged"}
    api = wbframe.Api(given, api_key=server.api_key)
    assert len(api.runs()) == 13
    assert api.run("whole").id == "whole"
    assert api.settings["project"] == "ragged"
    assert api.default_entity == "wbframe"


@pytest.mark.parametrize("path", ["", "a/b/c/d", "wbframe/ragged:"])
def test_no_path_of_a_run(api, path):
    with pytest.raises(errors.PathError, match="a run is"):
        api.run(path)


def test_the_rest_is_in_the_sdk(api):
    with pytest.raises(AttributeError, match=r"wandb\.Api\(\)"):
        api.artifact("wbframe/ragged/model:latest")
    assert "key" not in repr(api)


def test_unknown_overrides_are_told():
    with pytest.raises(errors.UsageError, match="overrides"):
        wbframe.Api({"organization": "o"})
