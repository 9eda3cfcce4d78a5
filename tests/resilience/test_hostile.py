"""Answers that nobody honest sends: an error that wbframe raises on purpose, or right cells; no crash, no hang."""

from __future__ import annotations

import json
import math

import msgspec
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import wbframe
from tests.scripts import run_script
from wbframe.core.decode.rows import decode_rows, infer_types, is_shallow, join_texts
from wbframe.core.filters import EMPTY
from wbframe.core.histories.entries import run_entry
from wbframe.core.histories.rows import read_answer
from wbframe.core.histories.tasks import Group, HistoryTask, RunRead
from wbframe.core.model import RunPath
from wbframe.core.protocol import answers, project, runs
from wbframe.core.protocol.runs import ProjectListing
from wbframe.core.runs.frame import run_leaves
from wbframe.core.schema.histories import HistorySchema
from wbframe.errors import AnswerError, WbframeError

PATH = RunPath(entity="e", project="p")
SCHEMA = HistorySchema(
    lead={"_step": pl.Int64()}, keys={"a": pl.Float64(), "b": pl.String()}, run_columns={}, names={}
)
LISTING = ProjectListing(
    path=PATH, filters=EMPTY, order="+created_at", fields=runs.NodeFields(), per_page=2
)

numbers = st.one_of(
    st.integers(), st.floats(), st.sampled_from([2**53 + 1, -(2**63), 2**64, 1e308])
)
texts = st.one_of(
    st.text(max_size=8), st.sampled_from(["NaN", "Infinity", "{}", "[[", "\ud800", "\x00"])
)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, texts),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=12,
)
names = st.sampled_from(
    ["project", "runs", "runCount", "edges", "node", "cursor", "pageInfo", "endCursor", "hasNextPage", "name", "config",
     "summaryMetrics", "historyKeys", "historyLineCount", "keys", "lastStep", "typeCounts", "type", "count", "r0",
     "sampledHistory", "history", "_step", "a", "b", "fields", "path", "viewer", "entity", "sweep", "user", "tags"]
)  # fmt: skip
shaped = st.recursive(
    values,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(names, inner, max_size=4)),
    max_leaves=30,
)


def spelled(value):
    return json.dumps(value).encode()


def on_purpose(work):
    """Do something that may fail, if it says so."""
    try:
        return work()
    except WbframeError as error:
        told = str(error)
    assert "\n" not in told
    assert len(told) < 3000
    return None


def everything(content):
    """Read an answer as everything that it could be the answer to."""
    request = LISTING.request()
    page = on_purpose(lambda: LISTING.page(content, request))
    for node in page.nodes if page else ():
        on_purpose(lambda node=node: run_entry(0, PATH, node))
        on_purpose(lambda node=node: run_leaves(node, where="it"))
    on_purpose(lambda: project.fields_page(content, request, PATH))
    on_purpose(lambda: project.count_answer(content, request, PATH))
    on_purpose(lambda: project.viewer_entity(content))
    on_purpose(lambda: project.keys_answer(content, request, PATH))
    for field in ("sampledHistory", "history"):
        groups = (Group(keys=("a", "b")),) if field == "sampledHistory" else ()
        run = RunRead(ordinal=0, run_id="r", field=field, groups=groups)
        task = HistoryTask(path=PATH, runs=(run,), schema=SCHEMA, samples=10)
        rows = on_purpose(lambda task=task: read_answer(task, content, task.request()))
        for frame in rows.frames.values() if rows else ():
            assert set(frame.columns) <= {"_step", "a", "b"}
    answers.messages_of(content)


@given(shaped)
@settings(max_examples=300)
def test_answers_of_any_shape(value):
    everything(spelled({"data": value}))
    everything(spelled(value))


@given(st.binary(max_size=200))
@settings(max_examples=100)
def test_bytes(content):
    everything(content)
    everything(b'{"data": ' + content + b"}")


@given(shaped, st.integers(0, 400), st.integers(0, 255))
@settings(max_examples=150)
def test_answers_with_a_byte_changed(value, place, byte):
    content = bytearray(spelled({"data": {"project": value}}))
    content[place % len(content)] = byte
    everything(bytes(content))


@given(
    st.lists(
        st.dictionaries(st.sampled_from(["_step", "a", "b", "c"]), values, max_size=4), max_size=5
    )
)
@settings(max_examples=200)
def test_cells_are_right_or_an_error(rows):
    frame = on_purpose(lambda: decode_rows(spelled(rows), {"a": pl.Float64()}).frame)
    if frame is None:
        return
    for row, cell in zip(rows, frame["a"], strict=True):
        value = row.get("a")
        value = (
            {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}.get(value, value)
            if isinstance(value, str)
            else value
        )
        if value is None:
            assert cell is None
        elif math.isnan(float(value)):
            assert math.isnan(cell)
        else:
            assert not isinstance(value, bool)
            try:
                assert cell == float(value)
            except OverflowError:
                assert math.isinf(cell)


DEPTH = 100_000
DEEP = [
    b"[" * DEPTH + b"]" * DEPTH,
    b'{"a":' * DEPTH + b"1" + b"}" * DEPTH,
    b"[" * DEPTH,
    b'[{"_step":1,"a":' + b"[" * DEPTH + b"]" * DEPTH + b"}]",
    b'[{"_step":1,"a":1,"other":' + b'{"x":[' * DEPTH + b"]}" * DEPTH + b"}]",
]


@pytest.mark.parametrize("deep", range(len(DEEP)))
def test_nesting_without_end(deep):
    content = DEEP[deep]
    everything(content)
    everything(
        b'{"data": {"project": {"r0": {"sampledHistory": [%b]}, "runs": {"edges": %b}}}}'
        % (content, content)
    )
    text = msgspec.json.encode([content.decode()])
    everything(b'{"data": {"project": {"r0": {"history": %b}}}}' % text)
    on_purpose(lambda: decode_rows(content, {"_step": pl.Int64(), "a": pl.Float64()}))
    on_purpose(lambda: infer_types(join_texts(text)))
    assert not is_shallow(content)


def test_many_rows_are_not_deep():
    assert is_shallow(b"[" + b",".join([b'{"a":1}'] * 9000) + b"]")


def test_a_long_text_is_a_text():
    rows = decode_rows(b'[{"a":"' + b"x" * 30_000_000 + b'"}]', {"a": pl.String()}).frame
    assert rows["a"].str.len_bytes().item() == 30_000_000


def test_nesting_does_not_end_the_process():
    """In a process of its own, for what would end it is no exception."""
    script = """
import polars as pl
from wbframe.core.decode.rows import decode_rows
from wbframe.errors import AnswerError, WbframeError
depth = 300_000
for raw in (b'[{"a":1,"z":' + b"[" * depth + b"]" * depth + b"}]", b'[{"a":1,"z":' + b'{"z":' * depth + b"1" + b"}" * depth + b"}]"):
    try:
        decode_rows(raw, {"a": pl.Float64()})
    except WbframeError as error:
        print("told")
"""
    ended = run_script(script)
    assert ended.stdout.split() == ["told", "told"], ended.stderr


def test_an_index_that_lies(server, client):
    body = {
        "data": {
            "project": {
                "fields": {"edges": [{"node": {"path": "config.lr.value", "type": "string"}}]}
            }
        }
    }
    import wbframe

    server.fail(body=spelled(body), match="query Fields")
    frame = wbframe.polars.read_runs("e/p", columns=["run_id", "config.lr"], client=client)
    assert frame["config.lr"].to_list()[:2] == ["0.0", "0.1"]
    body["data"]["project"]["fields"]["edges"][0]["node"]["type"] = "boolean"
    server.fail(body=spelled(body), match="query Fields")
    again = on_purpose(
        lambda: wbframe.polars.read_runs("e/p", columns=["run_id", "config.lr"], client=client)
    )
    assert again is None or [float(cell) for cell in again["config.lr"]] == [
        i / 10 for i in range(9)
    ]


# ---------------------------------------------------------------- the drop-in


class Answering(wbframe.Client):
    """Answers each request alike."""

    content = b""

    def send(self, request, **options):
        return self.content


def the_drop_in(content):
    """Do what code of the SDK does, whatever it is answered."""
    client = Answering("http://127.0.0.1:9", "k" * 40)
    client.content = content
    found = wbframe.Runs(client, "e", "p", per_page=2)
    on_purpose(lambda: list(found))
    on_purpose(lambda: len(found))
    on_purpose(lambda: found.histories(keys=["a"], format="polars"))
    on_purpose(found.histories)
    run = on_purpose(lambda: wbframe.Run(client, "e", "p", "r"))
    for each in [*found.objects, *([run] if run else ())]:
        for look in (
            lambda run: (
                run.config,
                run.summary,
                run.user,
                run.sweep,
                run.state,
                run.url,
                repr(run),
            ),
            lambda run: run.metadata,
            lambda run: run.history(keys=["a"]),
            lambda run: list(run.scan_history()),
            lambda run: list(run.scan_history(keys=["a", "b"], match="any")),
        ):
            on_purpose(lambda look=look, each=each: look(each))


node = st.fixed_dictionaries(
    {"name": st.one_of(st.just("r"), values)},
    optional=dict.fromkeys(
        ["id", "displayName", "state", "config", "summaryMetrics", "systemMetrics", "historyKeys", "historyLineCount",
         "user", "tags", "sweepName", "createdAt", "history", "events", "sampledHistory", "files"],
        values,
    ),
)  # fmt: skip
page = st.fixed_dictionaries(
    {
        "runs": st.fixed_dictionaries(
            {
                "edges": st.lists(
                    st.fixed_dictionaries({"node": node}, optional={"cursor": values}), max_size=2
                ),
                "pageInfo": st.fixed_dictionaries({"hasNextPage": values, "endCursor": values}),
            }
        )
    },
    optional={"runCount": values, "r0": node, "s0": values, "r1": node, "run": node},
)


@pytest.mark.filterwarnings("ignore::wbframe.errors.WbframeWarning")
@given(st.one_of(shaped, page))
@settings(max_examples=80, deadline=None)
def test_the_drop_in_takes_answers_of_any_shape(project):
    the_drop_in(spelled({"data": {"project": project}}))


@pytest.mark.parametrize("project", [{}, {"runs": None}, {"runCount": 3}])
def test_the_drop_in_takes_no_answer_without_runs_for_no_runs(project):
    client = Answering("http://127.0.0.1:9", "k" * 40)
    client.content = spelled({"data": {"project": project}})
    for read in (list, len, wbframe.Runs.histories):
        with pytest.raises(AnswerError, match="the answer has no runs"):
            read(wbframe.Runs(client, "e", "p"))
