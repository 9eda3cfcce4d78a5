"""The storage host, and runs that grow while they are read."""

from __future__ import annotations

import io
import json
import threading
from urllib.parse import urlsplit

import pyarrow.parquet as pq
import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from wbframe.errors import UsageError
from wbframe.server import (
    Exports,
    Features,
    FileFormat,
    History,
    built_in,
    growing,
    serve,
    synthetic,
)
from wbframe.server.files.links import Links, RefusedLinkError, Shelf, StoredFile
from wbframe.server.files.storage import cut_out
from wbframe.server.projects.exports import ExportFile

ASK = """query P($project: String!, $run: String!, $keys: [String!]!) {
  project(name: $project, entityName: "wbframe") { run(name: $run) {
    state historyLineCount historyKeys
    parquetHistory(liveKeys: $keys) { parquetUrls liveData }
    history(samples: 10000)
  } } }"""


def ask(server, run="cadence1", project="ragged", keys=("_step",)):
    variables = {"project": project, "run": run, "keys": list(keys)}
    answered = requests.post(
        f"{server.url}/graphql",
        json={"query": ASK, "variables": variables},
        auth=("api", server.api_key),
        timeout=5,
    )
    assert answered.status_code == 200, answered.content
    return answered.json()["data"]["project"]["run"]


def urls_of(server, *arguments, **options):
    return ask(server, *arguments, **options)["parquetHistory"]["parquetUrls"]


def get(url, asked=None, method="GET", **headers):
    if asked is not None:
        headers["Range"] = asked
    return requests.request(method, url, headers=headers, timeout=5)


@pytest.fixture
def stored(ragged_project):
    """A server of exported runs, and the URL of one file."""
    with serve(ragged_project, exports=Exports.all()) as server:
        yield server, urls_of(server)[0]


def test_a_file_is_elsewhere_and_whole(stored):
    server, url = stored
    assert url.startswith(f"{server.storage_url}/exports/wbframe/ragged/cadence1/240/0.parquet?")
    assert server.storage_port != server.port
    answered = get(url)
    assert answered.status_code == 200
    assert answered.headers["Accept-Ranges"] == "bytes"
    table = pq.read_table(io.BytesIO(answered.content))
    assert table["_step"].to_pylist() == list(range(240))
    assert get(url).content == answered.content
    assert get(url.replace(server.storage_url, server.url)).status_code == 404


def test_parts_of_a_file(stored):
    _, url = stored
    whole = get(url).content
    size = len(whole)
    for asked, start, stop in (
        ("bytes=0-0", 0, 1),
        ("bytes=-8", size - 8, size),
        ("bytes=10-19", 10, 20),
        (f"bytes={size - 3}-", size - 3, size),
        (f"bytes=5-{size + 100}", 5, size),
        (f"bytes=-{size + 100}", 0, size),
    ):
        answered = get(url, asked)
        assert answered.status_code == 206, asked
        assert answered.content == whole[start:stop]
        assert answered.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{size}"
        assert int(answered.headers["Content-Length"]) == stop - start
    behind = get(url, f"bytes={size}-")
    assert (behind.status_code, behind.headers["Content-Range"]) == (416, f"bytes */{size}")
    for senseless in ("bytes=0-1,4-5", "rows=0-1", "bytes=9-2", "bytes=-", "nonsense"):
        answered = get(url, senseless)
        assert (answered.status_code, answered.content) == (200, whole)


@given(st.integers(0, 12), st.none() | st.integers(0, 14), st.integers(0, 12))
def test_ranges_are_those_of_slices(start, last, size):
    data = bytes(range(size))
    found = cut_out(f"bytes={start}-{'' if last is None else last}", size)
    if last is not None and last < start:
        assert found is None
    else:
        assert data[found.start : found.stop] == data[start : None if last is None else last + 1]
    tail = cut_out(f"bytes=-{start}", size)
    assert data[tail.start : tail.stop] == (data[-start:] if start else b"")


def test_only_get_is_signed(stored):
    server, url = stored
    server.clear()
    for method in ("HEAD", "PUT", "POST", "DELETE"):
        assert get(url, method=method).status_code == 403
    assert [logged.method for logged in server.storage_requests] == [
        "HEAD",
        "PUT",
        "POST",
        "DELETE",
    ]
    assert server.storage_requests[0].bytes == 0
    assert server.requests == []


def test_the_log_tells_who_sent_a_key(stored):
    server, url = stored
    part = get(url, "bytes=0-9", **{"User-Agent": "a test"})
    get(url, Authorization="Basic abc")
    first, second = server.storage_requests
    assert (first.method, first.path, first.range) == ("GET", urlsplit(url).path, "bytes=0-9")
    assert (first.status, first.bytes, first.user_agent) == (206, len(part.content), "a test")
    assert [first.authorization_seen, second.authorization_seen] == [False, True]
    assert second.status == 200
    assert 0 < first.seconds < 5
    assert first.started < second.started
    server.clear()
    assert server.storage_requests == []


def test_wrong_signatures_are_refused(stored):
    server, url = stored
    other = urls_of(server, "drifting")[0]
    swapped = url.split("?")[0] + "?" + other.split("?")[1]
    for wrong in (url.split("?")[0], url[:-1] + ("0" if url[-1] != "0" else "1"), swapped):
        answered = get(wrong)
        assert answered.status_code == 403
        assert b"<Code>SignatureDoesNotMatch</Code>" in answered.content
        assert answered.headers["Content-Type"] == "application/xml"
    assert get(url).status_code == 200


def test_urls_expire_and_fresh_ones_do_not(stored):
    server, url = stored
    assert get(url).status_code == 200
    server.expire_urls()
    refused = get(url, "bytes=0-0")
    assert refused.status_code == 403
    assert b"Request has expired" in refused.content
    fresh = urls_of(server)[0]
    assert fresh != url
    assert get(fresh).status_code == 200


def test_urls_expire_after_some_gets(ragged_project):
    features = Features(url_gets=2)
    with serve(ragged_project, exports=Exports.all(), features=features) as server:
        url = urls_of(server)[0]
        assert "expires=2&" in url
        assert [get(url, "bytes=0-3").status_code for _ in range(4)] == [206, 206, 403, 403]
        assert get(urls_of(server)[0]).status_code == 200


def test_odd_names_of_runs():
    project = built_in("ragged")
    renamed = type(project)(
        entity="wbframe",
        name="p \u00fc%",
        runs=(type(project.runs[0])(name="a b/\u00e9?#", history=History([{"x": 1}])),),
        exports=Exports.all(),
    )
    with serve(renamed) as server:
        (url,) = urls_of(server, "a b/\u00e9?#", project="p \u00fc%")
        assert url.isascii()
        assert pq.read_table(io.BytesIO(get(url).content))["x"].to_pylist() == [1]


def test_storage_goes_wrong_on_its_own(stored):
    server, url = stored
    server.fail(status=503, where="storage", times=2)
    server.fail(where="storage", match="no such path")
    assert ask(server)["state"] == "finished"
    assert [get(url).status_code for _ in range(3)] == [503, 503, 200]
    assert server.pending_faults == 1
    server.clear()
    server.fail(where="storage", match="cadence1", body=b"half")
    assert get(url).content == b"half"
    server.fail(status=500)
    assert get(url).status_code == 200
    assert server.pending_faults == 1
    assert [logged.fault for logged in server.storage_requests] == [True, False]
    with pytest.raises(UsageError, match="`where` must be one of 'api', 'storage'"):
        server.fail(where="store")


def test_storage_cuts_connections(stored):
    server, url = stored
    server.fail(drop=True, where="storage")
    with pytest.raises(requests.ConnectionError):
        get(url)
    server.fail(truncate=True, where="storage")
    with pytest.raises(requests.RequestException):
        get(url)
    server.fail(delay=0.1, where="storage")
    assert get(url).status_code == 200
    logged = server.storage_requests
    assert [each.status for each in logged] == [0, 200, 200]
    assert logged[2].seconds >= 0.1


def test_storage_has_the_latency_of_the_server(ragged_project):
    with serve(ragged_project, exports=Exports.all()) as server:
        url = urls_of(server)[0]
        server.latency = 0.1
        get(url)
        assert server.storage_requests[0].seconds >= 0.1


def test_redirects_keep_path_and_query(stored, ragged_project):
    server, url = stored
    with serve(ragged_project, exports=Exports.all()) as other:
        server.redirect(other.storage_url, where="storage")
        moved = requests.get(url, timeout=5, allow_redirects=False)
        assert moved.status_code == 302
        assert moved.headers["Location"] == url.replace(server.storage_url, other.storage_url)
        server.redirect(other.url, status=307, match="Viewer")
        answered = requests.post(
            f"{server.url}/graphql",
            json={"query": "query Viewer { viewer { id } }"},
            auth=("api", server.api_key),
            timeout=5,
        )
        assert answered.history[0].status_code == 307
        assert answered.url == f"{other.url}/graphql"
        assert len(other.requests) == 1


def test_a_file_that_cannot_be_made_is_a_500(stored, monkeypatch, caplog):
    _, url = stored

    def broken(*_arguments):
        raise RuntimeError("a bug")

    monkeypatch.setattr("wbframe.server.files.links.parquet", broken)
    assert get(url).status_code == 500
    assert "a bug" in caplog.text


def test_large_files_are_sent_whole():
    project = synthetic(runs=2, rows=40_000, keys=10, exports=Exports.split(files=2))
    with serve(project) as server:
        run = ask(server, "run-00000", "synthetic")["parquetHistory"]
        tables = [pq.read_table(io.BytesIO(get(url).content)) for url in run["parquetUrls"]]
        assert [len(table) for table in tables] == [16_000, 16_000]
        assert [row["_step"] for row in run["liveData"]] == list(range(32_000, 40_000))
        assert all(logged.bytes > 1_000_000 for logged in server.storage_requests)


def stored_file(index, rows=1000):
    history = History({"x": i} for i in range(rows))
    return StoredFile(f"/{index}", history, ExportFile(range(rows)), FileFormat())


def test_the_shelf_keeps_the_latest_files():
    size = Shelf().get(stored_file(0)).size
    shelf = Shelf(most=2 * size + 10, files=1)
    files = [stored_file(index) for index in range(4)]
    made = [shelf.get(each) for each in files[:2]]
    assert shelf.get(files[0]) is made[0]
    shelf.get(files[2])
    assert shelf.get(files[0]) is made[0]
    assert shelf.get(files[1]) is not made[1]
    assert shelf.size <= 2 * size + 10
    small = Shelf(most=1, files=2)
    last = [small.get(each) for each in files]
    assert [small.get(each) for each in files[2:]] == last[2:]
    assert small.get(files[0]) is not last[0]


def test_a_file_is_made_once_for_all_who_ask(monkeypatch):
    entered, go = threading.Event(), threading.Event()
    calls = []

    def slow(*_arguments):
        calls.append(1)
        entered.set()
        go.wait(5)
        return object.__new__(Sized)

    class Sized:
        size = 1

    monkeypatch.setattr("wbframe.server.files.links.parquet", slow)
    shelf, file = Shelf(), stored_file(0, rows=1)
    got = []
    threads = [threading.Thread(target=lambda: got.append(shelf.get(file))) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert entered.wait(5)
    go.set()
    for thread in threads:
        thread.join(5)
    assert len(calls) == 1
    assert got == [got[0]] * 3


def test_links_forget_the_oldest(monkeypatch):
    monkeypatch.setattr("wbframe.server.files.links._LINKS_KEPT", 2)
    links = Links()
    urls = [links.sign([stored_file(0, rows=1)])[0] for _ in range(3)]
    sigs = [url.partition("sig=")[2] for url in urls]
    with pytest.raises(RefusedLinkError) as refused:
        links.use("/0", sigs[0])
    assert (refused.value.status, refused.value.code) == (403, "SignatureDoesNotMatch")
    assert links.use("/0", sigs[2]).path == "/0"


def steps_of(url):
    return pq.read_table(io.BytesIO(get(url).content))["_step"].to_pylist()


def live_steps(run):
    return [row["_step"] for row in run["parquetHistory"]["liveData"]]


def test_a_running_run_grows():
    with serve("growing") as server:
        before = ask(server, "tail", "growing")
        assert before["state"] == "running"
        assert [steps_of(url) for url in before["parquetHistory"]["parquetUrls"]] == [
            list(range(100)),
            list(range(100, 200)),
        ]
        assert live_steps(before) == list(range(200, 250))
        server.advance("wbframe/growing/tail", 60)
        after = ask(server, "tail", "growing")
        urls = after["parquetHistory"]["parquetUrls"]
        assert [len(steps_of(url)) for url in urls] == [100, 100, 100]
        assert live_steps(after) == list(range(300, 310))
        assert after["historyLineCount"] == len(after["history"]) == 310
        assert after["historyKeys"]["lastStep"] == 309
        old = before["parquetHistory"]["parquetUrls"][1]
        assert steps_of(old) == list(range(100, 200))
        server.advance("wbframe/growing/tail", 0, state="finished")
        assert ask(server, "tail", "growing")["state"] == "finished"


def test_overlap_and_runs_without_exports():
    with serve("growing") as server:
        assert live_steps(ask(server, "overlap", "growing")) == list(range(190, 250))
        none = {"parquetUrls": [], "liveData": []}
        live, fresh = (ask(server, name, "growing") for name in ("live", "fresh"))
        assert live["parquetHistory"] == fresh["parquetHistory"] == none
        assert len(live["history"]) == 250
        server.advance("wbframe/growing/fresh", 3)
        assert live_steps(ask(server, "fresh", "growing")) == [0, 1, 2]
        (url,) = urls_of(server, "ended", project="growing")
        assert steps_of(url) == list(range(250))
        server.advance("wbframe/growing/live", state="crashed")
        assert len(urls_of(server, "live", project="growing")) == 1


def test_rows_of_the_callers_own():
    with serve("growing") as server:
        rows = [{"loss": 1.5, "nested": {"a": 1}}, {"_step": 7, "late": float("nan")}, {"x": "y"}]
        server.advance("wbframe/growing/live", rows)
        found = [json.loads(row) for row in ask(server, "live", "growing")["history"]]
        assert len(found) == 253
        # the row behind step 7 is step 8; rows are in step order
        assert [row["_step"] for row in found[6:12]] == [6, 7, 7, 8, 8, 9]
        assert found[8]["late"] == "NaN"
        assert found[10]["x"] == "y"
        assert found[-1] == {"_step": 250, "loss": 1.5, "nested.a": 1}
        keys = ask(server, "live", "growing")["historyKeys"]["keys"]
        assert keys["nested.a"]["typeCounts"] == [{"type": "number", "count": 1}]
        assert keys["_step"]["typeCounts"] == [{"type": "number", "count": 253}]


def test_a_listing_shows_the_run_as_it_is_now():
    listing = """{ project(name: "growing", entityName: "wbframe") {
      runs(filters: "{\\"state\\": \\"running\\"}") { edges { node { name historyLineCount } } } } }"""
    with serve("growing") as server:

        def listed():
            answered = requests.post(
                f"{server.url}/graphql",
                json={"query": listing},
                auth=("api", server.api_key),
                timeout=5,
            ).json()
            edges = answered["data"]["project"]["runs"]["edges"]
            return {edge["node"]["name"]: edge["node"]["historyLineCount"] for edge in edges}

        assert listed() == {"live": 250, "tail": 250, "overlap": 250, "fresh": 0}
        server.advance("wbframe/growing/live", 5, state="finished")
        server.advance("wbframe/growing/fresh", 5)
        assert listed() == {"tail": 250, "overlap": 250, "fresh": 5}


@pytest.mark.parametrize(
    ("run", "rows", "message"),
    [
        ("wbframe/growing/no", 1, "no run 'wbframe/growing/no' is served"),
        ("wbframe/no/live", 1, "no run"),
        ("live", 1, "entity/project/run"),
        ("wbframe/growing/live", 2001, "2000 rows of 'wbframe/growing/live' are to come"),
        ("wbframe/growing/live", -1, "asked for -1"),
        ("wbframe/growing/ended", 1, "0 rows"),
    ],
)
def test_runs_cannot_grow_beyond_what_is_to_come(run, rows, message):
    with serve("growing") as server, pytest.raises(UsageError, match=message):
        server.advance(run, rows)


def test_growing_is_the_same_on_every_call():
    ours, again = growing(), growing()
    assert [run.history.rows for run in ours.runs] == [run.history.rows for run in again.runs]
    assert ours.runs[0].coming == again.runs[0].coming
    assert ours.path == "wbframe/growing"


@given(
    st.lists(st.integers(0, 9), max_size=6),
    st.lists(st.none() | st.integers(0, 9), max_size=6),
)
def test_growing_in_two_steps_is_as_logging_at_once(first, more):
    ours = [{"_step": step, "k": i, "n": {"d": i}} for i, step in enumerate(first)]
    added = [{"k": -i, **({} if step is None else {"_step": step})} for i, step in enumerate(more)]
    grown = History(ours).extended(added)
    start = max(first, default=-1) + 1
    if added and added[0].get("_step") is None:
        added[0] = {**added[0], "_step": start}
    stepped = []
    for row in added:
        step = row.get("_step")
        stepped.append({**row, "_step": stepped[-1]["_step"] + 1 if step is None else step})
    whole = History([*ours, *stepped])
    assert [json.loads(row) for row in grown.rows] == [json.loads(row) for row in whole.rows]
    assert grown.steps == whole.steps
    assert {key: each.counts for key, each in grown.keys.items()} == {
        key: each.counts for key, each in whole.keys.items()
    }
