"""What a server may make up: pages, keys, files and cells without end are one error, in few requests and little memory."""

from __future__ import annotations

import base64
import json
import re
import tracemalloc
from contextlib import contextmanager
from itertools import count, islice

import polars as pl
import pytest

import wbframe
from tests.clocks import FakeClock
from tests.wire import answer, wire
from wbframe.core import hints
from wbframe.errors import AnswerError, UsageError
from wbframe.polars import read_histories, read_runs
from wbframe.server import History, Project, RunRecord, serve

PATH = "e/p"


def spelled(project):
    return answer(json.dumps({"data": {"project": project}}).encode())


@contextmanager
def telling(**answers):
    """Serve what functions give for each operation, of its variables; an operation that has none is refused."""

    def script(line, request):
        asked = json.loads(request.partition(b"\r\n\r\n")[2])
        operation = re.match(r"query (\w+)", asked["query"])[1]
        server.operations.append(operation)
        if operation in answers:
            line.send(spelled(answers[operation](asked["variables"])))
        else:
            line.send(answer(b'{"errors": [{"message": "no such field"}]}'))

    with wire(script) as server:
        server.operations = []
        yield server, wbframe.Client(server.url, "k" * 40, clock=FakeClock(), timeout=20)


def page(names, cursor, *, counted=None, more=True, **node):
    edges = [{"node": {"name": name, **node}, "cursor": cursor} for name in names]
    found = {"runs": {"edges": edges, "pageInfo": {"endCursor": cursor, "hasNextPage": more}}}
    return found if counted is None else {**found, "runCount": counted}


def offset(number):
    return base64.b64encode(b"arrayconnection:%d" % number).decode()


# ---------------------------------------------------------------- pages


@pytest.mark.parametrize("names", [["a", "b"], [], ["a"]])
def test_pages_that_go_on_with_no_new_run_are_an_error_in_few_requests(names):
    cursors = count()
    with telling(Runs=lambda _: page(names, f"c{next(cursors)}", counted=50)) as (server, client):
        with client, pytest.raises(AnswerError, match=r"counts 50 runs, has given \d, .* no other"):
            read_runs(PATH, columns=["run_id"], client=client)
        assert len(server.asked) <= 6


def test_pages_that_go_on_though_all_runs_are_there_are_read():
    cursors = count()
    with telling(Runs=lambda _: page(["a", "b"], f"c{next(cursors)}", counted=2)) as (
        server,
        client,
    ):
        with client:
            assert read_runs(PATH, columns=["run_id"], client=client)["run_id"].to_list() == [
                "a",
                "b",
            ]
        assert len(server.asked) <= 3


@pytest.mark.parametrize("counted", [10**6, 10**12, 10**30])
def test_a_count_out_of_this_world_takes_no_memory_and_no_requests(counted):
    """Pages whose cursors can be foretold are asked for side by side."""

    def runs(variables):
        first, after = variables["first"], variables.get("after")
        at = int(base64.b64decode(after).rpartition(b":")[2]) if after else 0
        return page([f"r{i}" for i in range(first)], offset(at + first), counted=counted)

    with telling(Runs=runs) as (server, client):
        tracemalloc.start()
        try:
            with client, pytest.raises(AnswerError, match="brought no other"):
                read_runs(PATH, columns=["run_id"], client=client)
            assert tracemalloc.get_traced_memory()[1] < 64 << 20
        finally:
            tracemalloc.stop()
        assert len(server.asked) < 40


def test_cursors_of_thousands_of_digits_are_no_numbers():
    cursor = base64.b64encode(b"9" * 6000).decode()
    with (
        telling(Runs=lambda _: page(["a", "b"], cursor, counted=50)) as (_, client),
        client,
        pytest.raises(AnswerError, match="repeats the cursor"),
    ):
        read_runs(PATH, columns=["run_id"], client=client)


@pytest.mark.parametrize("each", [1, 3])
def test_the_drop_in_ends_too(each):
    cursors = count()
    names = [f"r{i}" for i in range(each)]
    node = {"id": "x", "config": "{}", "summaryMetrics": "{}", "state": "finished"}

    def runs(_):
        return page(names, f"c{next(cursors)}", counted=50, **node)

    with telling(Runs=runs) as (server, client), client:
        with pytest.raises(AnswerError, match="brought no other"):
            list(wbframe.Api(client=client).runs(PATH))
        assert len(server.asked) < 8


def test_fields_that_go_on_with_nothing_new_are_done_without():
    cursors = count()

    def fields(_):
        edges = [{"node": {"path": "config.lr.value", "type": "number"}}]
        info = {"endCursor": f"c{next(cursors)}", "hasNextPage": True}
        return {"fields": {"edges": edges, "pageInfo": info}}

    def runs(_):
        return page(["a"], "c", counted=1, more=False, config='{"lr": {"value": 1}}')

    with telling(Fields=fields, Runs=runs) as (server, client), client:
        frame = read_runs(PATH, client=client)
        assert frame["config.lr"].to_list() == [1]
        assert server.operations.count("Fields") < 20


def test_fields_without_end_are_done_without(monkeypatch):
    monkeypatch.setattr("wbframe.core.schema.types.MOST_KEYS", 5_000)
    numbers = count()

    def fields(variables):
        names = [f"config.k{next(numbers)}.value" for _ in range(variables["first"])]
        edges = [{"node": {"path": name, "type": "number"}} for name in names]
        info = {"endCursor": names[-1], "hasNextPage": True}
        return {"fields": {"edges": edges, "pageInfo": info}}

    def runs(_):
        return page(["a"], "c", counted=1, more=False, config='{"lr": {"value": 1}}')

    with telling(Fields=fields, Runs=runs) as (server, client), client:
        frame = read_runs(PATH, client=client)
        assert frame["config.lr"].to_list() == [1]
        assert server.operations.count("Fields") < 120


# ---------------------------------------------------------------- a whole read


def test_runs_without_end_are_larger_than_a_read_may_be():
    numbers = count()

    def runs(variables):
        names = [f"r{next(numbers)}" for _ in range(variables["first"])]
        return page(names, names[-1])

    with telling(Runs=runs) as (server, client), client:
        client.largest_answer = 1 << 20
        own = client.like(wbframe.Client, largest_read=300_000)
        with pytest.raises(
            AnswerError, match=r"larger than `largest_read` \(300,000 bytes\); read fewer"
        ):
            read_runs(PATH, columns=["run_id"], client=own)
        assert sum(map(len, (each for each in server.asked))) < 1 << 20
        assert own.traffic.bytes_received < 600_000
        # What is handed on is not held.
        batches = wbframe.arrow.runs_reader(PATH, columns=["run_id"], client=own)
        assert sum(batch.num_rows for batch in islice(batches, 40)) > 300_000 // 30


def test_the_budget_of_a_read_is_in_proportion_to_that_of_an_answer():
    assert wbframe.Client("http://127.0.0.1:9", "k" * 40).largest_read == 16 << 30
    assert wbframe.Client("http://127.0.0.1:9", "k" * 40, largest_answer=10).largest_read == 160
    assert wbframe.Client("http://127.0.0.1:9", "k" * 40, largest_read=7).largest_read == 7
    for wrong in (0, -1, 1.5, "1"):
        with pytest.raises(UsageError, match="`largest_read` must be a whole number of bytes"):
            wbframe.Client("http://127.0.0.1:9", "k" * 40, largest_read=wrong)


def sparse(keys):
    """Rows of which each has a key of its own."""
    rows = [{"_step": i, f"k{i}": 1.0} for i in range(keys)]
    return RunRecord(name="r", history=History(rows))


@pytest.mark.parametrize("samples", [500, None])
def test_cells_that_nobody_sent_are_larger_than_a_read_may_be(samples):
    with serve(Project(entity="e", name="p", runs=(sparse(300),))) as server:
        client = wbframe.Client(server.url, server.api_key, largest_read=600_000)
        with (
            client,
            pytest.raises(AnswerError, match=r"rows of \d+ columns are larger than `largest_read`"),
        ):
            read_histories(PATH, samples=samples, client=client)
        own = client.like(wbframe.Client, largest_read=8_000_000)
        with own:
            assert read_histories(PATH, samples=samples, client=own).height == 300


def test_cells_of_runs_that_nobody_sent_too():
    runs = tuple(RunRecord(name=f"r{i}", config={f"k{i}": i}) for i in range(200))
    with serve(Project(entity="e", name="p", runs=runs)) as server:
        client = wbframe.Client(server.url, server.api_key, largest_read=250_000)
        with client, pytest.raises(AnswerError, match="are larger than `largest_read`"):
            read_runs(PATH, columns=["config.*"], client=client)
        own = client.like(wbframe.Client, largest_read=8_000_000)
        with own:
            assert read_runs(PATH, columns=["config.*"], client=own).shape == (200, 200)


# ---------------------------------------------------------------- one run


@pytest.fixture
def few_keys(monkeypatch):
    monkeypatch.setattr(hints, "MOST_KEYS", 100)


def counted(keys):
    counts = {f"k{i}": {"typeCounts": [{"type": "number", "count": 1}]} for i in range(keys)}
    return {"lastStep": 0, "keys": counts}


def test_keys_of_one_run_without_end_are_an_error(few_keys):
    run = RunRecord(name="r", history=History([{"_step": 0, "a": 1}]), history_keys=counted(300))
    with serve(Project(entity="e", name="p", runs=(run,))) as server:
        client = wbframe.Client(server.url, server.api_key)
        with (
            client,
            pytest.raises(
                AnswerError, match=r"the keys of e/p/r: .* more than 100 keys; leave this run out"
            ),
        ):
            read_histories(PATH, client=client)


@pytest.mark.parametrize("where", ["config", "summary"])
def test_values_of_one_run_without_end_are_an_error(where, few_keys):
    run = RunRecord(name="r", **{where: {f"k{i}": "" for i in range(900)}})
    with serve(
        Project(entity="e", name="p", runs=(run, RunRecord(name="s", **{where: {"a": 1}})))
    ) as server:
        client = wbframe.Client(server.url, server.api_key)
        with client:
            with pytest.raises(AnswerError, match=rf"the {where} of run 'r' .* more than 100 keys"):
                read_runs(PATH, columns=[f"{where}.*"], client=client)
            with pytest.warns(wbframe.errors.LeftOutWarning, match="more than 100 keys"):
                frame = read_runs(
                    PATH, columns=["run_id", f"{where}.*"], on_error="skip", client=client
                )
            assert frame["run_id"].to_list() == ["s"]


def test_as_many_keys_as_people_have_are_read():
    keys = {f"module.{i}.weight": float(i) for i in range(3_000)}
    with serve(Project(entity="e", name="p", runs=(RunRecord(name="r", summary=keys),))) as server:
        client = wbframe.Client(server.url, server.api_key)
        with client:
            frame = read_runs(PATH, columns=["summary.*"], client=client)
    assert frame.select(pl.sum_horizontal(pl.all())).item() == sum(keys.values())


def test_keys_of_all_runs_without_end_are_an_error(monkeypatch):
    monkeypatch.setattr("wbframe.core.schema.types.MOST_KEYS", 300)
    runs = tuple(
        RunRecord(name=f"r{i}", history_keys=counted(i), history=History([{"_step": 0, "k0": 1}]))
        for i in (10, 400)
    )
    with serve(Project(entity="e", name="p", runs=runs)) as server:
        client = wbframe.Client(server.url, server.api_key)
        with client, pytest.raises(AnswerError, match="more than 300 keys; name those to read"):
            read_histories(PATH, client=client)


def test_files_of_one_run_without_end_are_an_error(monkeypatch):
    from wbframe.core.model import RunPath
    from wbframe.core.protocol.exports import exports_answer, exports_request

    path = RunPath(entity="e", project="p")
    request = exports_request(path, ["r"])
    files = [f"https://storage.example/{i}.parquet?sig=x" for i in range(hints.MOST_FILES + 1)]

    def told(urls):
        run = {"parquetHistory": {"parquetUrls": urls, "liveData": []}}
        return json.dumps({"data": {"project": {"r0": run}}}).encode()

    with pytest.raises(AnswerError, match="more than 10,000 files of one run"):
        exports_answer(told(files), request, path, ["r"])
    [export] = exports_answer(told(files[1:]), request, path, ["r"])
    assert len(export.urls) == hints.MOST_FILES
