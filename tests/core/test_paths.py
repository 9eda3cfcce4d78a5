"""The forms of a path."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wbframe.core.model import RunPath, RunPaths
from wbframe.core.paths import FORMS, parse_path, parse_paths, paths_of
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
        ("https://me:secret@wandb.ai/ent/proj", RunPath(entity="ent", project="proj", host="wandb.ai")),
    ],
)  # fmt: skip
def test_every_form(text, expected):
    assert parse_path(text) == expected
    assert parse_paths(text) == (expected,)


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
        assert all(form in str(error) for form in FORMS)  # noqa: PT017 -- both outcomes are looked at
    else:
        assert found.project.strip()
        assert not (found.run and found.sweep)


def test_a_key_in_an_address_is_not_told():
    with pytest.raises(PathError) as caught:
        parse_path("https://wandb.ai/x?key=secret")
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
