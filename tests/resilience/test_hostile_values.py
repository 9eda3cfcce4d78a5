"""Values that nobody honest logs, in configs, summaries and rows: the right value or one of our errors, on each face."""

from __future__ import annotations

import json
import math
import warnings
from base64 import b64encode
from contextlib import contextmanager
from dataclasses import replace

import polars as pl
import pytest

import wbframe
from tests.scripts import run_script
from wbframe.core.batches import halves_of
from wbframe.core.model import RunPath
from wbframe.core.protocol.exports import exports_answer, exports_request
from wbframe.core.protocol.runs import RunNode, one_earlier
from wbframe.core.runs.frame import RunsBuffer, runs_frame
from wbframe.core.schema.runs import RunsSchema
from wbframe.errors import AnswerError, SchemaMismatchError, WbframeError
from wbframe.io.read.parts import send_in_parts
from wbframe.server import History, Project, RunRecord, serve
from wbframe.server.differing.registry import DIFFERENCES, Difference

PATH = "wbframe/p"
RUNS = RunPath(entity="wbframe", project="p")
MARK = b"in its place"
PLACES = ["config", "summary", "history"]

HOSTILE = {
    "deep list": b"[" * 100_000 + b"]" * 100_000,
    "deep object": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "nearly too deep": b'{"a":' * 900 + b"1" + b"}" * 900,
    "a million digits": b"1" * 1_000_000,
    "5000 digits and a half": b"1" * 5000 + b".5",
    "1e999999": b"1e999999",
    "an exponent without end": b"1e99999999999999999999",
    "next to nothing": b"-1e-99999999999999999999",
    "a lone surrogate": rb'"a\ud800b"',
    "a NUL": rb'"a\u0000b"',
    "a bare NUL": b'"a\x00b"',
    "no UTF-8": b'"a\xffb"',
    "a mark of bytes": b'\xef\xbb\xbf"a"',
    "a key twice": b'{"a":1,"a":2}',
    "a key of a million letters": b'{"' + b"k" * 1_000_000 + b'":1}',
    "a key that is a surrogate": rb'{"\ud800":1}',
    "a key that is a NUL": rb'{"\u0000":1}',
    "a key of nothing": b'{"":1}',
    "bare NaN": b"NaN",
    "a beginning": b'{"a"',
    "nothing": b"",
}


class Hostile:
    """A server that puts other bytes where the project has a mark; JSON in text is escaped twice."""

    def after(self, value, asking, reply):
        escaped = json.dumps(self.put.decode("latin-1"), ensure_ascii=False)[1:-1]
        body = reply.body.replace(b'\\"%b\\"' % MARK, escaped.encode("latin-1"))
        return replace(reply, body=body.replace(b'"%b"' % MARK, self.put))

    def client(self):
        patient = wbframe.RetryPolicy(tries=1)
        return wbframe.Client(self.server.url, self.server.api_key, retry=patient)


@contextmanager
def serving(put, *runs):
    """Serve runs, with other bytes in the place of the mark."""
    made = Hostile()
    made.put = put
    with pytest.MonkeyPatch.context() as patch:
        kind = Difference(name="_hostile", says="", after=made.after)
        patch.setitem(DIFFERENCES, kind.name, kind)
        project = Project(entity="wbframe", name="p", runs=runs)
        with serve(project, differing={kind.name: True}) as made.server:
            yield made


@pytest.fixture(scope="module", params=PLACES)
def hostile(request):
    mark = MARK.decode()
    run = RunRecord(
        name="r",
        config={"a": mark if request.param == "config" else 1},
        summary={"b": mark if request.param == "summary" else 2},
        history=History([{"x": mark if request.param == "history" else 1.5}] * 3),
    )
    with serving(b"1", run) as made:
        made.place = request.param
        yield made


def one(client):
    return wbframe.Runs(client, "wbframe", "p")[0]


TEXT = {"a": pl.String, "b": pl.String, "x": pl.String}
FACES = {
    "runs": lambda client: pl.read_wandb_runs(PATH, client=client),
    "runs as text": lambda client: pl.read_wandb_runs(
        PATH,
        columns=["config.a", "summary.b"],
        schema_overrides={"config.a": pl.String, "summary.b": pl.String},
        client=client,
    ),
    "runs as decimals": lambda client: pl.read_wandb_runs(
        PATH,
        columns=["config.a", "summary.b"],
        schema_overrides={"config.a": pl.Decimal(38, 2), "summary.b": pl.Int64},
        client=client,
    ),
    "runs of pandas": lambda client: wbframe.pandas.read_runs(PATH, client=client),
    "runs that are scanned": lambda client: pl.scan_wandb_runs(PATH, client=client).collect(),
    "rows": lambda client: pl.read_wandb_histories(PATH, client=client),
    "rows as integers": lambda client: pl.read_wandb_histories(
        PATH, schema_overrides={"x": pl.Int128}, client=client
    ),
    "rows as lists": lambda client: pl.read_wandb_histories(
        PATH, schema_overrides={"x": pl.List(pl.Float64)}, client=client
    ),
    "whole rows": lambda client: pl.read_wandb_histories(PATH, samples=None, client=client),
    "rows of Arrow": lambda client: wbframe.arrow.read_histories(PATH, client=client),
    "rows that are scanned": lambda client: pl.scan_wandb_histories(PATH, client=client).collect(),
    "the drop-in's run": lambda client: (one(client).config, dict(one(client).summary)),
    "the drop-in's rows": lambda client: one(client).history(pandas=False),
    "the drop-in's scan": lambda client: list(one(client).scan_history()),
    "the drop-in's frame": lambda client: one(client).history(),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_each_face_gives_a_value_or_an_error_of_ours(hostile, name):
    hostile.put = HOSTILE[name]
    for face, read in FACES.items():
        told = None
        with warnings.catch_warnings(), hostile.client() as client:
            warnings.simplefilter("ignore")
            try:
                read(client)
            except WbframeError as error:
                told = str(error)
        assert told is None or ("\n" not in told and len(told) < 1000), face


def values(hostile, dtype=pl.String):
    """Read what stands in the place of the mark."""
    with hostile.client() as client:
        if hostile.place == "history":
            frame = pl.read_wandb_histories(PATH, schema_overrides={"x": dtype}, client=client)
            return frame["x"].unique().to_list()
        column = "config.a" if hostile.place == "config" else "summary.b"
        frame = pl.read_wandb_runs(
            PATH, columns=[column], schema_overrides={column: dtype}, client=client
        )
        return frame[column].to_list()


@pytest.mark.parametrize(
    ("put", "want"),
    [
        (rb'"a\ud800b"', "a\ufffdb"),
        (rb'"a\u0000b"', "a\x00b"),
        (b'"a\x00b"', "a\x00b"),
        (b'["a",NaN]', '["a","NaN"]'),
        (b"1" * 5000, "1" * 5000),
        (b"1" * 1_000_000 + b".5", "1" * 1_000_000 + ".5"),
        (b"1e99999999999999999999", "1e99999999999999999999"),
        (b'"' + b"t" * 1_000_000 + b'"', "t" * 1_000_000),
        (b"[" * 30 + b"]" * 30, "[" * 30 + "]" * 30),
    ],
    ids=lambda each: str(each)[:24],
)
def test_what_can_be_told_is_told_exactly(hostile, put, want):
    hostile.put = put
    assert values(hostile) == [want]


@pytest.mark.parametrize(
    "dtype", [pl.Decimal(38, 2), pl.Int64, pl.Int128, pl.Datetime("us", "UTC")]
)
@pytest.mark.parametrize(
    "put", ["1e999999", "1e99999999999999999999", "1" * 5000, "-" + "1" * 5000]
)
def test_a_number_beyond_a_dtype_names_its_key(hostile, put, dtype):
    hostile.put = put.encode()
    with pytest.raises(SchemaMismatchError) as told:
        values(hostile, dtype)
    assert told.value.key in {"config.a", "summary.b", "x"}
    assert len(str(told.value)) < 400


def test_a_number_beyond_float64_is_infinite(hostile):
    hostile.put = b"1e999999"
    assert values(hostile, pl.Float64) == [math.inf]


@pytest.mark.parametrize("name", ["deep list", "deep object", "no UTF-8", "a beginning", "nothing"])
def test_what_cannot_be_read_says_what_it_is_of(hostile, name):
    hostile.put = HOSTILE[name]
    with pytest.raises(AnswerError, match=r"run 'r'|runs of wbframe/p|history|rows"):
        values(hostile)


def test_a_run_whose_config_is_too_deep_may_be_left_out():
    runs = [RunRecord(name=f"r{i}", config={"a": MARK.decode() if i == 1 else i}) for i in range(3)]
    with serving(b"[" * 5000 + b"]" * 5000, *runs) as made, made.client() as client:
        with pytest.warns(wbframe.errors.LeftOutWarning):
            frame = pl.read_wandb_runs(
                PATH, columns=["run_id", "config.a"], on_error="skip", client=client
            )
        assert sorted(frame["run_id"]) == ["r0", "r2"]
        assert [each.why for each in client.last_report.left_out] == [
            "could not read the config of wbframe/p/r1: it is nested too deeply"
        ]


def test_names_with_a_nul_are_kept_by_every_face():
    run = RunRecord(name="r", config={"a\0b": 1}, history=History([{"x\0y": 1.5}]))
    with (
        serve(Project(entity="wbframe", name="p", runs=[run])) as server,
        wbframe.Client(server.url, server.api_key) as client,
    ):
        for read in (pl.read_wandb_runs, wbframe.pandas.read_runs):
            assert "config.a\0b" in list(read(PATH, client=client).columns)
        for face in (wbframe.polars, wbframe.pandas):
            assert list(face.read_histories(PATH, client=client).columns)[2:] == ["x\0y"]
        table = wbframe.arrow.read_histories(PATH, client=client)
        assert table["x\0y"].to_pylist() == [1.5]


def test_too_little_memory_is_an_error_of_ours():
    """In a process of its own, whose memory ends; the server, in this one, has enough."""
    run = RunRecord(name="r", history=History([{"x": MARK.decode()}]))
    with serving(b"[" + b"{}," * 4_000_000 + b"1]", run) as made:
        server = made.server
        script = f"""
import resource
import wbframe
client = wbframe.Client({server.url!r}, {server.api_key!r}, retry=wbframe.RetryPolicy(tries=1))
run = wbframe.Runs(client, "wbframe", "p")[0]
with open("/proc/self/statm") as file:
    used = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 230_000_000,) * 2)
try:
    run.history(keys=["x"], pandas=False)
except wbframe.errors.AnswerError as error:
    print(type(error).__name__, str(error))
"""
        ended = run_script(script)
    assert "there is not memory enough" in ended.stdout, ended.stderr
    assert ended.stdout.count("\n") == 1


def test_what_there_is_no_memory_for_is_asked_for_in_halves():
    """What a reader has no memory for is not made here: that it says so is all that counts."""
    names = [f"r{i}" for i in range(4)]
    project = Project(entity="wbframe", name="p", runs=[RunRecord(name=name) for name in names])
    asked = []

    def read(part, content, request):
        asked.append(len(part))
        if len(part) > 1:
            raise MemoryError
        return exports_answer(content, request, RUNS, part)

    with (
        serve(project) as server,
        wbframe.Client(server.url, server.api_key) as client,
    ):
        parts = send_in_parts(
            client, names, halves_of, lambda part: exports_request(RUNS, part), read, patient=True
        )
        assert sum(map(len, parts)) == 4
    assert asked == [4, 2, 1, 1, 2, 1, 1]


def test_tags_without_end_are_an_error_of_ours():
    buffer = RunsBuffer()
    buffer.add(RUNS, [RunNode(name="r", tags="[" * 100_000)])
    with pytest.raises(AnswerError, match="could not read the runs: it is nested too deeply"):
        runs_frame(buffer, RunsSchema(columns={"tags": pl.List(pl.String)}))


@pytest.mark.parametrize("digits", [1, 18, 5000])
def test_a_cursor_of_any_number_of_digits_is_no_raw_error(digits):
    cursor = b64encode(b"arrayconnection:" + b"1" * digits).decode()
    assert (one_earlier(cursor) == cursor) == (digits > 18)
