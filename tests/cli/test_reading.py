"""The readers from a shell: what options hand on."""

from __future__ import annotations

import inspect

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import wbframe
from tests.cli.conftest import RAGGED
from wbframe.cli import commands
from wbframe.cli.options import split_names
from wbframe.server import History, Project, RunRecord, serve

READS = [
    (["runs", "wbframe/demo"], "read_runs", {}),
    (["runs", RAGGED, "-c", "name", "-c", "config.l*"], "read_runs", {"columns": ["name", "config.l*"]}),
    (["runs", RAGGED, "--filters", '{"state": "finished"}', "--limit", "3", "-c", "state"], "read_runs", {"filters": {"state": "finished"}, "limit": 3, "columns": ["state"]}),
    (["runs", RAGGED, "-c", "name,config.l*", "-c", "state"], "read_runs", {"columns": ["name", "config.l*", "state"]}),
    (["runs", "wbframe/demo", "--order", "-created_at", "--per-page", "5"], "read_runs", {"order": "-created_at", "per_page": 5}),
    (["runs", "wbframe/demo", "--convert-integer"], "read_runs", {"convert_integer": True}),
    (["runs", "wbframe/demo", "--override", "summary.train/loss=Float64"], "read_runs", {"schema_overrides": {"summary.train/loss": pl.Float64}}),
    (["runs", "wbframe/demo", "-c", "varying"], "read_runs", {"columns": "varying"}),
    (["runs", "wbframe/demo", "-c", "used"], "read_runs", {"columns": "used"}),
    (["histories", "wbframe/demo", "-k", "scalars", "--samples", "500"], "read_histories", {"keys": "scalars", "samples": 500}),
    (["histories", RAGGED, "-k", "train/loss", "-k", "eval/loss"], "read_histories", {"keys": ["train/loss", "eval/loss"]}),
    (["histories", RAGGED, "-k", "train/loss", "-k", "eval/loss", "--match", "all"], "read_histories", {"keys": ["train/loss", "eval/loss"], "match": "all"}),
    (["histories", RAGGED, "-k", "train/loss", "--samples", "7"], "read_histories", {"keys": ["train/loss"], "samples": 7}),
    (["histories", "wbframe/demo", "-k", "lr", "--samples", "all"], "read_histories", {"keys": ["lr"], "samples": None}),
    (["histories", "wbframe/demo", "-k", "lr", "--samples", "all", "--on-incomplete", "warn"], "read_histories", {"keys": ["lr"], "samples": None, "on_incomplete": "warn"}),
    (["histories", RAGGED, "-k", "train/loss", "--min-step", "3", "--max-step", "9"], "read_histories", {"keys": ["train/loss"], "min_step": 3, "max_step": 9}),
    (["histories", RAGGED, "-k", "train/loss", "--x-axis", "eval/loss"], "read_histories", {"keys": ["train/loss"], "x_axis": "eval/loss"}),
    (["histories", "wbframe/demo", "--stream", "system", "-k", "cpu"], "read_histories", {"stream": "system", "keys": ["cpu"]}),
    (["histories", RAGGED, "-k", "train/loss", "--run-columns", "state", "--run-columns", "created_at"], "read_histories", {"keys": ["train/loss"], "run_columns": ["state", "created_at"]}),
    (["histories", RAGGED, "-k", "train/loss,eval/loss", "--run-columns", "state,name"], "read_histories", {"keys": ["train/loss", "eval/loss"], "run_columns": ["state", "name"]}),
    (["histories", RAGGED, "-k", "big", "--override", "big=Int64"], "read_histories", {"keys": ["big"], "schema_overrides": {"big": pl.Int64}}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("args", "reader", "options"),
    READS,
    ids=lambda each: " ".join(each) if isinstance(each, list) else "",
)
def test_an_option_is_an_argument(run, args, reader, options):
    code, out, _ = run(*args, "--format", "parquet")
    assert code == 0
    assert_frame_equal(pl.read_parquet(out), getattr(wbframe.polars, reader)(args[1], **options))


def test_the_grid_of_buckets_is_an_option(run):
    options = ("-k", "train/loss", "--min-step", "10", "--max-step", "90", "--limit", "2")
    for given, asked in (
        (("--edges", "0,50,100"), {"edges": [0.0, 50.0, 100.0]}),
        (("--grid", "shared", "--bins", "4"), {"grid": "shared", "bins": 4}),
    ):
        code, out, _ = run("buckets", "wbframe/demo", *options, *given, "--format", "parquet")
        assert code == 0
        asked |= {"keys": ["train/loss"], "min_step": 10, "max_step": 90, "limit": 2}
        expected = wbframe.buckets.read_buckets("wbframe/demo", **asked)
        assert_frame_equal(pl.read_parquet(out), expected)
    code, _, err = run("buckets", "wbframe/demo", "--edges", "0,many")
    assert code == 2
    assert "0,many" in err


CLIENT = {
    "base_url", "entity", "timeout", "retry_seconds", "requests_per_minute", "concurrency", "largest_answer",
    "largest_read", "largest_rows", "verbose",
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "reader"),
    [
        ("runs", wbframe.polars.read_runs),
        ("histories", wbframe.polars.read_histories),
        ("buckets", wbframe.buckets.read_buckets),
    ],
)
def test_every_argument_has_its_option_and_the_key_has_none(name, reader):
    options = {each.name for each in commands.command.commands[name].params}
    arguments = set(inspect.signature(reader).parameters) - {"client"}
    renamed = {"path": "paths"}
    assert options - {"form", "output", "safe"} - CLIENT == {
        renamed.get(each, each) for each in arguments
    }
    assert options > CLIENT


def test_several_paths_are_read_one_after_the_other(run):
    _, out, _ = run("runs", "wbframe/demo", RAGGED, "-c", "project", "--format", "csv")
    projects = out.decode().split()[1:]
    assert projects == ["demo"] * 24 + ["ragged"] * (len(projects) - 24)
    assert len(projects) > 24


def test_base_url_wins_over_the_environment(run, served, monkeypatch):
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    assert run("runs", RAGGED, "-c", "run_id", "--base-url", served.url)[0] == 0


# ---------------------------------------------------------------- lists of names


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("a", ["a"]),
        ("a,b", ["a", "b"]),
        (r"a\,b,c", ["a,b", "c"]),
        (r"a\b", [r"a\b"]),
        (r"a\\,b", ["a\\", "b"]),
        (r"\\\,", [r"\,"]),
        ("a\\", ["a\\"]),
        ("", [""]),
        ("a,", ["a", ""]),
        ("summary.*,config.[ab]", ["summary.*", "config.[ab]"]),
    ],
)
def test_a_list_of_names_is_taken_apart_at_commas(text, names):
    assert split_names(text) == names


def test_a_column_and_a_key_whose_names_have_commas_can_be_asked_for(run, monkeypatch):
    rows = History([{"x,y": 1.5, "z": 2.0}])
    record = RunRecord(name="r0", config={"a,b": 7}, history=rows)
    with serve(Project(entity="e", name="p", runs=(record,))) as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        monkeypatch.setenv("WANDB_API_KEY", server.api_key)
        _, out, _ = run("runs", "e/p", "-c", r"config.a\,b,run_id", "-f", "csv")
        assert out.decode() == '"config.a,b",run_id\n7.0,r0\n'
        _, out, _ = run(
            "histories", "e/p", "-k", r"x\,y,z", "--run-columns", r"config.a\,b", "-f", "csv"
        )
        assert out.decode() == 'run_id,_step,"x,y",z,"config.a,b"\nr0,0,1.5,2.0,7.0\n'


@pytest.mark.parametrize(
    ("args", "reader", "handed"),
    [
        (["runs", RAGGED, "-c", "varying"], "read_runs", {"columns": "varying"}),
        (["runs", RAGGED, "-c", "used"], "read_runs", {"columns": "used"}),
        (["runs", RAGGED, "-c", "used,name"], "read_runs", {"columns": ["used", "name"]}),
        (["runs", RAGGED], "read_runs", {"columns": None}),
        (["histories", RAGGED, "-k", "scalars"], "read_histories", {"keys": "scalars"}),
        (["histories", RAGGED, "-k", "loss"], "read_histories", {"keys": ["loss"]}),
    ],
)
def test_words_that_stand_alone_are_handed_on_as_words(run, monkeypatch, args, reader, handed):
    given = {}

    def note(path, **options):
        given.update(options)
        return pl.DataFrame()

    monkeypatch.setattr(wbframe.polars, reader, note)
    assert run(*args)[0] == 0
    assert {name: given[name] for name in handed} == handed


# ---------------------------------------------------------------- the client


def test_options_of_the_client_reach_it(run, monkeypatch):
    made = []
    real = wbframe.Client

    def note(**options):
        made.append(real(**options))
        return made[-1]

    monkeypatch.setattr(wbframe, "Client", note)
    code, out, _ = run(
        "runs", "demo", "-c", "run_id", "--entity", "wbframe", "--timeout", "7", "--retry-seconds",
        "3600", "--requests-per-minute", "9000", "--concurrency", "2", "--largest-answer", "1000000",
        "--largest-read", "2000000", "--largest-rows", "5000", "-f", "csv",
    )  # fmt: skip
    assert (code, out.count(b"\n")) == (0, 25)
    (client,) = made
    assert (client.timeout, client.concurrency, client.largest_answer) == (7.0, 2, 1_000_000)
    assert (client.largest_read, client.largest_rows) == (2_000_000, 5000)
    assert client._rate == 9000
    # As many tries as the seconds may take, else the default would end them after minutes.
    assert (client.retry.seconds, client.retry.tries) == (3600.0, 120)


def test_options_that_are_not_given_leave_it_to_the_environment(run, monkeypatch):
    monkeypatch.setenv("WBFRAME_TIMEOUT", "nonsense")
    code, _, err = run("runs", RAGGED, "-c", "run_id")
    assert code == 2
    assert "WBFRAME_TIMEOUT" in err
    assert run("runs", RAGGED, "-c", "run_id", "--timeout", "5")[0] == 0
