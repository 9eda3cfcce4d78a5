"""Halves of surrogate pairs, which JSON may hold and UTF-8 not: one spelling on every face, and none is sent."""

from __future__ import annotations

import http.client
import http.server
import threading
from contextlib import contextmanager
from urllib.parse import urlsplit

import pandas as pd
import polars as pl
import pytest

import wbframe
from wbframe.errors import FilterError, PathError, UsageError
from wbframe.server import History, Project, RunRecord, serve

HALF = "a\ud800b"
SPELLED = "a\ufffdb"
# What a relay puts the escape of a half in place of: in JSON, and in JSON text within JSON.
IN_JSON, IN_TEXT = "aQJSONQb", "aQTEXTQb"
ESCAPES = {b"QJSONQ": rb"\ud800", b"QTEXTQ": rb"\\ud800"}


class Relay(http.server.BaseHTTPRequestHandler):
    """Hands requests on, and writes halves of surrogate pairs into the answers."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name: self.headers[name] for name in ("Authorization", "Content-Type")}
        behind = http.client.HTTPConnection(self.server.behind)
        behind.request("POST", self.path, body, headers)
        answer = behind.getresponse()
        content = answer.read()
        behind.close()
        for mark, escape in ESCAPES.items():
            # The index names keys of the config in plain JSON.
            content = content.replace(mark, rb"\ud800" if b"query Fields" in body else escape)
        self.send_response(answer.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def relayed(server):
    """Serve what a server serves, with halves of surrogate pairs in it."""
    relay = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Relay)
    relay.daemon_threads = True
    relay.behind = urlsplit(server.url).netloc
    thread = threading.Thread(target=relay.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{relay.server_port}"
    finally:
        relay.shutdown()
        thread.join()
        relay.server_close()


def project():
    rows = History([{"_step": i, "t": IN_JSON, IN_JSON: 3.0, "a": float(i)} for i in range(5)])
    config = {"k": IN_TEXT, IN_TEXT: 1, "nest": {IN_TEXT: [IN_TEXT]}}
    run = RunRecord(
        name="r",
        display_name=IN_JSON,
        notes=IN_JSON,
        tags=(IN_JSON,),
        config=config,
        summary={"s": IN_TEXT, IN_TEXT: 2.0},
        history=rows,
    )
    return Project(entity="e", name="p", runs=(run,))


@pytest.fixture(scope="module")
def halves():
    with serve(project()) as server, relayed(server) as url:
        yield server, url


@pytest.fixture
def client(halves):
    server, url = halves
    server.clear()
    with wbframe.Client(url, server.api_key) as made:
        yield made


RUNS = {
    "polars": wbframe.polars.read_runs,
    "scan": lambda *args, **more: wbframe.scan_runs(*args, **more).collect(),
    "arrow": lambda *args, **more: pl.from_arrow(wbframe.arrow.read_runs(*args, **more)),
    "pandas": lambda *args, **more: pl.from_pandas(wbframe.pandas.read_runs(*args, **more)),
}
ROWS = {
    "polars": wbframe.polars.read_histories,
    "scan": lambda *args, **more: wbframe.scan_histories(*args, **more).collect(),
    "arrow": lambda *args, **more: pl.from_arrow(wbframe.arrow.read_histories(*args, **more)),
    "pandas": lambda *args, **more: pl.from_pandas(wbframe.pandas.read_histories(*args, **more)),
}


@pytest.mark.parametrize("face", RUNS)
def test_runs_have_one_spelling_on_every_face(client, face):
    (row,) = RUNS[face]("e/p", client=client).to_dicts()
    assert row["name"] == row["notes"] == SPELLED
    assert list(row["tags"]) == [SPELLED]
    assert row["config.k"] == row["summary.s"] == SPELLED
    assert (row[f"config.{SPELLED}"], row[f"summary.{SPELLED}"]) == (1.0, 2.0)
    assert row[f"config.nest.{SPELLED}"] == f'["{SPELLED}"]'


@pytest.mark.parametrize("samples", [500, None])
@pytest.mark.parametrize("face", ROWS)
def test_rows_have_one_spelling_on_every_face(client, face, samples):
    frame = ROWS[face]("e/p", samples=samples, client=client)
    assert frame["t"].to_list() == [SPELLED] * 5
    assert frame[SPELLED].to_list() == [3.0] * 5
    only = ROWS[face]("e/p", keys=["t"], samples=samples, client=client)
    assert only["t"].to_list() == [SPELLED] * 5


def test_buckets_and_namespaces_have_it_too(client):
    for keys in (None, [SPELLED], ["a", SPELLED]):
        buckets = wbframe.read_buckets("e/p", keys=keys, bins=2, client=client)
        assert buckets[f"{SPELLED}.max"].to_list() == [3.0] * 2
    runs = wbframe.read_runs("e/p", client=client)
    assert wbframe.of(runs).histories(keys=["t"], client=client)["t"].to_list() == [SPELLED] * 5


def test_a_name_as_it_is_spelled_in_a_frame_is_a_name(client):
    """The server is asked for all, since its own name cannot be sent."""
    columns = ["run_id", f"config.{SPELLED}", f"summary.{SPELLED}", f"config.nest.{SPELLED}"]
    frame = wbframe.read_runs("e/p", columns=columns, client=client)
    assert frame.row(0) == ("r", 1.0, 2.0, f'["{SPELLED}"]')
    assert wbframe.scan_runs("e/p", client=client).select(columns).collect().equals(frame)
    for samples in (500, None):
        rows = wbframe.read_histories("e/p", keys=[SPELLED], samples=samples, client=client)
        assert rows[SPELLED].to_list() == [3.0] * 5
        both = wbframe.read_histories(
            "e/p", keys=[SPELLED, "a"], match="all", samples=samples, client=client
        )
        assert both.height == 5
        lazy = wbframe.scan_histories("e/p", samples=samples, client=client)
        assert lazy.select(pl.col(SPELLED).sum()).collect().item() == 15.0


KEPT = {
    "name": pl.col("name") == SPELLED,
    "one of": pl.col("name").is_in(["x", SPELLED]),
    "part": pl.col("notes").str.contains("\ufffd", literal=True),
    "value": pl.col("config.k") == SPELLED,
    "field": pl.col(f"config.{SPELLED}") == 1,
    "not": ~(pl.col("name") != SPELLED),
    "tag": pl.col("tags").list.contains(SPELLED),
    "or": (pl.col("state") == "crashed") | (pl.col("summary.s") == SPELLED),
    "end": pl.col("name").str.ends_with("\ufffdb"),
}


@pytest.mark.parametrize("condition", KEPT)
def test_a_filter_keeps_what_it_keeps_of_the_frame(client, condition):
    whole = wbframe.read_runs("e/p", client=client)
    assert whole.filter(KEPT[condition]).height == 1
    lazy = wbframe.scan_runs("e/p", client=client).filter(KEPT[condition])
    assert lazy.collect().height == 1
    (told,) = wbframe.explain(lazy).scans[0].conjuncts
    assert told.status == "local"
    assert told.reason
    assert wbframe.read_runs("e/p", filters=KEPT[condition], client=client).height == 1
    rows = wbframe.scan_histories(
        "e/p", run_columns=KEPT[condition].meta.root_names(), client=client
    )
    assert rows.filter(KEPT[condition]).collect().height == 5


WRONG = {
    "path": lambda **to: wbframe.read_runs(f"e/{HALF}", **to),
    "address": lambda **to: wbframe.read_runs(f"https://wandb.ai/e/{HALF}", **to),
    "run": lambda **to: wbframe.read_histories(f"e/p/{HALF}", **to),
    "columns": lambda **to: wbframe.read_runs("e/p", columns=[f"config.{HALF}"], **to),
    "columns, a glob": lambda **to: wbframe.read_runs("e/p", columns=[f"config.{HALF}*"], **to),
    "filters": lambda **to: wbframe.read_runs("e/p", filters={"displayName": HALF}, **to),
    "filters, field": lambda **to: wbframe.read_runs("e/p", filters={f"config.{HALF}": 1}, **to),
    "filters, list": lambda **to: wbframe.scan_runs(
        "e/p", filters={"$or": [{"state": {"$in": ["a", HALF]}}]}, **to
    ),
    "filters, regex": lambda **to: wbframe.read_runs(
        "e/p", filters={"displayName": {"$regex": HALF}}, **to
    ),
    "order": lambda **to: wbframe.read_runs("e/p", order=f"+config.{HALF}", **to),
    "overrides": lambda **to: wbframe.read_runs(
        "e/p", schema_overrides={f"config.{HALF}": pl.Int64}, **to
    ),
    "keys": lambda **to: wbframe.read_histories("e/p", keys=[HALF], **to),
    "keys of a scan": lambda **to: wbframe.scan_histories("e/p", keys=["a", HALF], **to),
    "keys, all": lambda **to: wbframe.read_histories("e/p", keys=["a", HALF], match="all", **to),
    "x_axis": lambda **to: wbframe.read_histories("e/p", keys=["a"], x_axis=HALF, **to),
    "run_columns": lambda **to: wbframe.read_histories("e/p", run_columns=[f"config.{HALF}"], **to),
    "buckets": lambda **to: wbframe.read_buckets("e/p", keys=[HALF], **to),
    "pandas": lambda **to: wbframe.pandas.read_histories("e/p", keys=[HALF], **to),
    "arrow": lambda **to: wbframe.arrow.read_histories("e/p", keys=[HALF], **to),
}


@pytest.mark.parametrize("argument", WRONG)
def test_an_argument_that_cannot_be_sent_is_told_before_any_request(halves, client, argument):
    with pytest.raises(UsageError) as raised:
        WRONG[argument](client=client)
    assert "\\ud800" in str(raised.value)
    assert str(raised.value).isprintable()
    expected = {"path": PathError, "address": PathError, "run": PathError}
    assert type(raised.value) is expected.get(
        argument, FilterError if argument.startswith("filters") else UsageError
    )
    assert not halves[0].requests


def test_an_entity_that_cannot_be_sent_is_told_before_any_request(halves):
    server, url = halves
    server.clear()
    with (
        wbframe.Client(url, server.api_key, entity=HALF) as client,
        pytest.raises(UsageError, match=r"\\ud800"),
    ):
        wbframe.read_runs("p", client=client)
    assert not server.requests


# ---------------------------------------------------------------- the drop-in


@pytest.fixture
def runs(halves):
    server, url = halves
    api = wbframe.Api(api_key=server.api_key, overrides={"base_url": url})
    return api.runs("e/p")


def test_python_objects_of_the_drop_in_are_those_of_pythons_json(runs):
    run = runs[0]
    assert run.config == {"k": HALF, HALF: 1, "nest": {HALF: [HALF]}}
    assert dict(run.summary)[HALF] == 2.0
    assert run.summary["s"] == HALF
    assert {row["t"] for row in run.history(pandas=False)} <= {HALF, SPELLED}


def test_frames_of_the_drop_in_are_spelled_as_every_frame(runs):
    assert runs[0].history()["t"].tolist() == [SPELLED] * 5
    for form in ("pandas", "polars"):
        assert list(runs.histories(format=form)["t"]) == [SPELLED] * 5


def test_frames_of_halves_at_any_depth_are_built():
    from wbframe.dropin.columns import Columns
    from wbframe.dropin.pandas_frame import pandas_frame
    from wbframe.dropin.polars_frame import polars_frame

    rows = [
        {"t": HALF, "m": HALF, "l": [HALF, "x"], "d": {HALF: HALF}, HALF: 1},
        {"t": "x", "m": 2, "l": [], "d": {HALF: None}, HALF: 2},
        {"t": None, "m": {"k": HALF}},
    ]
    frame, _ = polars_frame(Columns(rows))
    assert frame["t"].to_list() == [SPELLED, "x", None]
    assert frame["m"].to_list() == [SPELLED, "2", f'{{"k":"{SPELLED}"}}']
    assert frame["l"].to_list() == [[SPELLED, "x"], [], None]
    assert frame["d"].to_list()[0] == {SPELLED: SPELLED}
    assert frame[SPELLED].to_list() == [1, 2, None]
    table, _ = pandas_frame(Columns(rows))
    assert table["t"].tolist()[:2] == [SPELLED, "x"]
    assert isinstance(table, pd.DataFrame)
    assert SPELLED in table.columns


def test_keys_that_become_alike_are_an_error_and_no_column_is_lost():
    from wbframe.dropin.columns import Columns
    from wbframe.dropin.polars_frame import polars_frame
    from wbframe.errors import AnswerError

    with pytest.raises(AnswerError, match="two keys differ in halves of surrogate pairs alone"):
        polars_frame(Columns([dict([("\ud800", 1), ("\ud801", 2)])]))  # noqa: C406


@pytest.mark.parametrize(
    "asked",
    [
        lambda api: api.runs("e/p", filters={"display_name": HALF}),
        lambda api: api.runs(f"e/{HALF}"),
        lambda api: api.run(f"e/p/{HALF}"),
        lambda api: api.runs("e/p")[0].history(keys=[HALF]),
        lambda api: list(api.runs("e/p")[0].scan_history(keys=[HALF])),
        lambda api: api.runs("e/p", order=f"+config.{HALF}"),
    ],
)
def test_the_drop_in_sends_no_half_either(halves, asked):
    server, url = halves
    api = wbframe.Api(api_key=server.api_key, overrides={"base_url": url})
    with pytest.raises(UsageError) as raised:
        list(asked(api))
    assert str(raised.value).isprintable()
