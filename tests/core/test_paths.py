"""The forms of a path."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wbframe.core.model import RunPath, RunPaths
from wbframe.core.paths import FORMS, parse_path, parse_paths, path_at, paths_of
from wbframe.errors import ColumnError, PathError, UsageError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("proj", RunPath(project="proj")),
        ("/proj/", RunPath(project="proj")),
        ("ent/proj", RunPath(entity="ent", project="proj")),
        (" ent/proj ", RunPath(entity="ent", project="proj")),
        ("ent/proj/abc", RunPath(entity="ent", project="proj", run="abc")),
        ("ent/proj/runs/abc", RunPath(entity="ent", project="proj", run="abc")),
        ("ent/proj/sweeps/s1", RunPath(entity="ent", project="proj", sweep="s1")),
        ("ent/my proj/a b", RunPath(entity="ent", project="my proj", run="a b")),
        ("https://wandb.ai/ent/proj", RunPath(entity="ent", project="proj", host="wandb.ai")),
        ("https://wandb.ai/ent/proj/", RunPath(entity="ent", project="proj", host="wandb.ai")),
        ("https://wandb.ai/ent/proj/table?nw=1#x", RunPath(entity="ent", project="proj", host="wandb.ai")),
        ("https://wandb.ai/ent/proj/sweeps", RunPath(entity="ent", project="proj", host="wandb.ai")),
        ("https://wandb.ai/ent/proj/runs/abc/overview", RunPath(entity="ent", project="proj", run="abc", host="wandb.ai")),
        ("https://wandb.ai/ent/proj/sweeps/s1?x=y", RunPath(entity="ent", project="proj", sweep="s1", host="wandb.ai")),
        ("https://wandb.ai/ent/my%20proj/runs/a%2Fb", RunPath(entity="ent", project="my proj", run="a/b", host="wandb.ai")),
        ("https://wandb.ai/ent/my+proj", RunPath(entity="ent", project="my proj", host="wandb.ai")),
        ("https://forge.coreweave.com/wandb/ent/proj", RunPath(entity="ent", project="proj", host="forge.coreweave.com")),
        ("http://Localhost:8080/ent/proj", RunPath(entity="ent", project="proj", host="localhost:8080")),
        ("ent/proj/runs", RunPath(entity="ent", project="proj")),
        ("ent/proj/abc/files", RunPath(entity="ent", project="proj", run="abc")),
        ("ent/proj/abc/logs", RunPath(entity="ent", project="proj", run="abc")),
        ("https://wandb.ai/ent/proj/settings", RunPath(entity="ent", project="proj", host="wandb.ai")),
        ("ent/my%20proj/runs/a%2Bb", RunPath(entity="ent", project="my proj", run="a+b")),
        ("ent/caf%C3%A9", RunPath(entity="ent", project="caf\u00e9")),
        ("ent/proj/runs/abc/files/output.log", RunPath(entity="ent", project="proj", run="abc")),
        ("https://wandb.ai/ent/proj/runs", RunPath(entity="ent", project="proj", host="wandb.ai")),
        ("https://wandb.ai/ent/proj/workspace?nw=nwuserme", RunPath(entity="ent", project="proj", host="wandb.ai")),
        ("https://wandb.ai/ent/proj/reports", RunPath(entity="ent", project="proj", host="wandb.ai")),
        ("https://wandb.ai/ent/proj/groups", RunPath(entity="ent", project="proj", host="wandb.ai")),
        ("https://wandb.ai/ent/proj/runs/abc/logs", RunPath(entity="ent", project="proj", run="abc", host="wandb.ai")),
        ("https://wandb.ai/ent/proj/runs/abc/workspace?nw=x", RunPath(entity="ent", project="proj", run="abc", host="wandb.ai")),
        ("https://wandb.ai/ent/proj/runs/abc/files/media/images/x.png", RunPath(entity="ent", project="proj", run="abc", host="wandb.ai")),
        ("https://wandb.ai/ent/proj/runs/abc/artifacts/model/m/v0/files", RunPath(entity="ent", project="proj", run="abc", host="wandb.ai")),
        ("https://wandb.ai/ent/proj/sweeps/s1/workspace", RunPath(entity="ent", project="proj", sweep="s1", host="wandb.ai")),
        ("https://me:secret@wandb.ai/ent/proj", RunPath(entity="ent", project="proj", host="wandb.ai")),
    ],
)  # fmt: skip
def test_every_form(text, expected):
    assert replace(parse_path(text), page=()) == expected
    assert parse_paths(text) == (parse_path(text),)


def test_paths_pass_and_lists_keep_their_order_and_count_once():
    path = RunPath(project="p")
    assert parse_path(path) is path
    assert parse_paths(["b/c", "p", path, "b/c"]) == (RunPath(entity="b", project="c"), path)
    assert parse_paths(text for text in ("p", "q")) == (path, RunPath(project="q"))


def test_paths_of_a_frame_may_be_none():
    assert parse_paths(RunPaths()) == ()
    path = RunPath(project="p", run="r")
    assert parse_paths(RunPaths([path, path])) == (path,)


@given(st.text())
def test_any_text_is_a_path_or_shows_the_forms(text):
    try:
        found = parse_path(text)
    except PathError as error:
        told = any(
            each in str(error)
            for each in ("is the path of a folder", "is that of", "is the page of", "without its")
        )
        assert told or all(form in str(error) for form in FORMS)  # noqa: PT017 -- both outcomes are looked at
    else:
        assert found.project.strip()
        assert not (found.run and found.sweep)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("https://wandb.ai/ent/proj/groups/seed-1", r"is that of a group of runs: read 'ent/proj' with filters=\{'group': 'seed-1'\}"),
        ("https://wandb.ai/ent/proj/groups/a%20b/workspace?nw=x", r"filters=\{'group': 'a b'\}"),
        ("ent/proj/groups/g", r"filters=\{'group': 'g'\}"),
        ("https://wandb.ai/ent/proj/reports/My-report--Vmlldzox", "a report: read its project 'ent/proj'"),
        ("https://api.wandb.ai/links/ent/abc", "a link to a report: read its project"),
        ("https://wandb.ai/ent/proj/artifacts/model/m/v0", "an artifact: read its project 'ent/proj'"),
        ("https://wandb.ai/ent/proj/weave/traces?view=x", "Weave, which has no runs"),
        ("https://wandb.ai/ent/proj/weave", "Weave, which has no runs"),
        ("https://wandb.ai/ent/projects", "the page of 'ent', not of a project: name one, as 'ent/<project>'"),
        ("https://wandb.ai/ent", "cannot read the path"),
        ("wandb.ai/ent/proj", "an address without its https://"),
        ("www.wandb.ai/ent/proj/runs/abc", "an address without its https://"),
        ("localhost:8080/ent/proj", "an address without its https://, or http://"),
        ("10.0.0.1:8080/ent/proj/runs/abc", "an address without its https://, or http://"),
        ("https://wandb.ai/a/b/c/d", "cannot read the path"),
        ("https://host.example/wandb/ent/proj/groups/g", r"read 'ent/proj' with filters=\{'group': 'g'\}"),
        ("./wandb", "the path of a folder; offline folders are not read yet: `wandb sync`"),
        ("..", "the path of a folder"),
        ("~/runs/wandb", "the path of a folder"),
        ("C:\\runs\\wandb", "the path of a folder"),
        ("file:///home/me/wandb", "the path of a folder"),
        ("wandb/offline-run-20260101_120000-abc", "the path of a folder"),
        ("/home/me/wandb/run-20260101_120000-abc", "the path of a folder"),
        (Path("wandb"), "the path of a folder"),
        (Path("/tmp/wandb"), "the path of a folder"),
        ("/home/me/experiments/2026/runs", "the path of a folder"),
        ("wandb/run-20260101_120000-abc/run-abc.wandb", "the path of a folder"),
        ("run-abc.wandb", "the path of a folder"),
        ("ent/pr%00oj", "cannot read the path"),
        ("https://wandb.ai/ent/pr%0Aoj", "cannot read the path"),
    ],
)  # fmt: skip
def test_what_is_meant_and_what_to_do(text, message):
    for parse in (parse_path, parse_paths):
        with pytest.raises(PathError, match=message) as caught:
            parse(text)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("address", "prefix", "expected"),
    [
        ("https://host.example/wandb/ent/proj", "/wandb", ("ent", "proj", None, None)),
        ("https://host.example/wandb/ent/proj/table", "/wandb/", ("ent", "proj", None, None)),
        ("https://host.example/a/b/ent/proj/runs/r/files/x", "/a/b", ("ent", "proj", "r", None)),
        ("https://host.example/a/b/ent/proj", "/a/b", ("ent", "proj", None, None)),
        ("https://host.example/a%20b/ent/proj/sweeps/s", "/a%20b", ("ent", "proj", None, "s")),
        ("https://host.example/ent/proj/runs/runs", "/wandb", ("ent", "proj", "runs", None)),
        ("https://host.example/ent/proj", "", ("ent", "proj", None, None)),
    ],
)
def test_an_app_may_lie_below_a_path(address, prefix, expected):
    found = path_at(parse_path(address), prefix)
    assert (found.entity, found.project, found.run, found.sweep) == expected


def test_an_address_below_another_path_is_none_of_this_app():
    with pytest.raises(
        PathError, match=r"cannot read the path 'https://host.example/a/ent/proj/runs/r'"
    ):
        path_at(parse_path("https://host.example/a/ent/proj/runs/r"), "/b")


@pytest.mark.parametrize(
    "address",
    [
        "https://wandb.ai/x?key=secret",
        "https://me:secret@wandb.ai/x",
        "https://me:secret@wandb.ai/ent/proj/groups/g?key=secret",
        "https://secret@wandb.ai/a/b/c/d/e",
    ],
)
def test_a_key_in_an_address_is_not_told(address):
    with pytest.raises(PathError) as caught:
        parse_path(address)
    assert "secret" not in str(caught.value)


def test_rows_of_a_frame():
    rows = [
        {"entity": "e", "project": "p", "run_id": "a"},
        {"entity": "f", "project": "q", "run_id": "b"},
    ]
    names = ["entity", "project", "run_id"]
    a, b = RunPath(entity="e", project="p", run="a"), RunPath(entity="f", project="q", run="b")
    assert paths_of(rows, names, None) == (a, b)
    assert paths_of(rows, names, "x/y") == (
        RunPath(entity="x", project="y", run="a"),
        RunPath(entity="x", project="y", run="b"),
    )
    assert paths_of([], names, None) == ()
    for bad, columns, path, error in (
        (rows, ["entity", "project"], None, ColumnError),
        (rows, ["run_id", "entity"], None, ColumnError),
        (rows, ["run_id"], "x/y/sweeps/z", UsageError),
        ([{"run_id": None}], ["run_id"], "x/y", UsageError),
        ([{"run_id": 1}], ["run_id"], "x/y", UsageError),
    ):
        with pytest.raises(error):
            paths_of(bad, columns, path)
