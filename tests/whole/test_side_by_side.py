"""Files and their ranges are read side by side, in as few round trips in a row as there can be; rows do not change."""

from __future__ import annotations

import io
import threading
from contextlib import contextmanager

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import wbframe
from tests.lying import Answer, at_hand, honest, storage
from tests.whole.truth import PATH, project_of
from wbframe.core.protocol.ranges import Part, Version
from wbframe.core.protocol.spans import LEAST_TAIL
from wbframe.io import threads
from wbframe.io.read.columns import Sparse
from wbframe.io.read.files import read_file
from wbframe.io.read.storage import CONCURRENCY
from wbframe.server import Exports, History, RunRecord, serve

TOLD = {"ETag": '"1"'}
LIMIT = 30  # seconds after which a test has failed


def file_of(rows, keys, *, group_rows=None):
    """Make a file of numbers, as large as these are."""
    rng = np.random.default_rng(7)
    table = pa.table(
        {"_step": np.arange(rows), **{f"m{i}": rng.normal(size=rows) for i in range(keys)}}
    )
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="none", use_dictionary=False, row_group_size=group_rows)
    return sink.getvalue()


def truth(content, keys, runs):
    table = pq.read_table(io.BytesIO(content), columns=["_step", *keys])
    return pl.concat([pl.DataFrame(table)] * runs)


# Larger than what is read of the end, and small enough for that to be all.
SMALL, LARGE = file_of(2_000, 10), file_of(40_000, 20)
GROUPS = file_of(100_000, 12, group_rows=5_000)
assert len(SMALL) < LEAST_TAIL < 4 * LEAST_TAIL < len(LARGE) < len(GROUPS)


@contextmanager
def reading(answer, runs=1, rows=2, width=12, **record):
    """Give a client of a server with some runs whose files are at a storage, the server, and what that is asked."""
    row = {f"m{i}": 1.0 for i in range(width)}
    made = [
        RunRecord(name=f"r{i}", history=History([row] * rows), exports=Exports.all(), **record)
        for i in range(runs)
    ]
    with storage(answer) as (address, asked), serve(project_of(*made)) as server:
        server.engine.links.base = address
        with wbframe.Client(server.url, server.api_key) as client:
            yield client, server, asked


class Rounds:
    """Answers in rounds: each begins when so many requests as are expected of it wait, and others are refused."""

    def __init__(self, content, *sizes):
        self.content, self.sizes = content, sizes
        self.barriers = [threading.Barrier(size, timeout=LIMIT) for size in sizes]
        self.ends = [sum(sizes[: i + 1]) for i in range(len(sizes))]

    def __call__(self, asked):
        for end, barrier in zip(self.ends, self.barriers, strict=True):
            if asked.number < end:
                barrier.wait()
                return honest(self.content, asked, TOLD)
        return Answer(404)


def read(client, keys):
    frame = pl.read_wandb_histories(PATH, keys=keys, samples=None, client=client)
    return frame.select("_step", *keys)


KEYS = ["m3", "m7"]


@pytest.mark.parametrize(
    ("content", "runs", "rounds"),
    [
        (SMALL, 20, [20]),
        (SMALL, 32, [32]),
        (LARGE, 3, [3, 9]),
        (LARGE, 1, [1, 3]),
        (GROUPS, 1, [1, 32, 27]),
    ],
    ids=["20 small", "32 small", "3 large", "1 large", "many row groups"],
)
def test_files_and_their_ranges_are_read_in_so_many_round_trips(content, runs, rounds):
    """Exact: a round is answered only when all of it has been asked for, and nothing is but the rounds."""
    with reading(Rounds(content, *rounds), runs=runs) as (client, server, asked):
        assert read(client, KEYS).equals(truth(content, KEYS, runs))
        assert len(asked) == sum(rounds)
        assert {each.operation for each in server.requests} == {"Runs", "Exports"}


def test_no_more_are_under_way_than_may_be_over_all_files():
    lock, under_way, peak = threading.Lock(), 0, 0
    full = threading.Barrier(CONCURRENCY, timeout=LIMIT)

    def answer(asked):
        nonlocal under_way, peak
        with lock:
            under_way += 1
            peak = max(peak, under_way)
        try:
            if 4 <= asked.number < 4 + CONCURRENCY:
                full.wait()
            return honest(GROUPS, asked, TOLD)
        finally:
            with lock:
                under_way -= 1

    with reading(answer, runs=4) as (client, _, asked):
        assert read(client, KEYS).equals(truth(GROUPS, KEYS, 4))
    assert peak == CONCURRENCY
    assert len(asked) == 4 * (1 + 59)


# ---------------------------------------------------------------- what is known of a file, and what is so


@pytest.mark.filterwarnings("ignore::wbframe.errors.IncompleteHistoryWarning")
@pytest.mark.parametrize(
    ("counted", "gets"), [(2, 2), (12_000, 1), (20_000, 1), (10**9, 2), (None, 2)]
)
def test_a_wrong_count_of_rows_costs_bytes_or_a_request_and_no_row(counted, gets):
    """What the server has heard of is not what is in the file."""
    every = [f"m{i}" for i in range(20)]
    content = file_of(12_000, 20)
    with reading(
        lambda asked: honest(content, asked, TOLD), rows=2, width=20, history_line_count=counted
    ) as (client, _, asked):
        frame = pl.read_wandb_histories(
            PATH, keys=every, samples=None, on_incomplete="warn", client=client
        )
    assert frame.select("_step", *every).equals(truth(content, every, 1))
    assert len(asked) == gets


FILES = {
    "small": file_of(50, 3),
    "row groups": file_of(30_000, 9, group_rows=1_500),
    "no statistics of a part": file_of(9_000, 30, group_rows=4_000),
}


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    name=st.sampled_from(sorted(FILES)),
    share=st.floats(0.00001, 2),
    columns=st.sampled_from([None, [], ["m1"], ["m0", "m2"], ["m2", "m1", "m0"]]),
    window=st.sampled_from([{}, {"min_step": 8_000, "max_step": 8_100}, {"min_step": 29_000}]),
    beside=st.booleans(),
)
def test_however_much_of_the_end_is_read_rows_are_the_same(name, share, columns, window, beside):
    content = FILES[name]
    expected = read_file(at_hand(content), columns, end=len(content), **window)
    end = max(int(share * len(content)), 12)
    with threads.pool(4, "wbframe-ranges") as workers:
        got = read_file(
            at_hand(content), columns, end=end, workers=workers if beside else None, **window
        )
    assert got.equals(expected)


def test_a_part_may_lie_in_several():
    version = Version(size=9)
    parts = [Part(content=b"ab", start=1, version=version, whole=False)]
    source = Sparse(9, parts)
    source.add([Part(content=b"fgh", start=6, version=version, whole=False)])
    source.add([Part(content=b"cde", start=3, version=version, whole=False)])
    assert bytes(source.view(1, 9)) == b"abcdefgh"
    assert bytes(source.view(2, 4)) == b"bc"
    assert bytes(source.view(5, 5)) == b""
    for start, end in [(0, 2), (1, 10), (9, 10), (-1, 1)]:
        with pytest.raises(ValueError, match="are needed and were not read"):
            source.view(start, end)
    source.add([Part(content=b"_abcdefgh", start=0, version=version, whole=True)])
    assert bytes(source.view(0, 9)) == b"_abcdefgh"


# ---------------------------------------------------------------- addresses, errors and ends


def test_ranges_whose_address_has_expired_share_another_one():
    together = threading.Barrier(3, timeout=LIMIT)
    old = []

    def answer(asked):
        if asked.number == 0:
            old.append(asked.path)
        elif asked.path == old[0]:
            together.wait()
            return Answer(403)
        return honest(LARGE, asked, TOLD)

    with reading(answer) as (client, server, asked):
        assert read(client, KEYS).equals(truth(LARGE, KEYS, 1))
        assert [each.operation for each in server.requests] == ["Runs", "Exports", "Exports"]
    assert len({each.path for each in asked}) == 2
    assert len(asked) == 1 + 3 + 3


def test_a_range_that_cannot_be_had_is_an_error_and_no_thread_is_left():
    def answer(asked):
        return Answer(404) if asked.number == 2 else honest(LARGE, asked, TOLD)

    with (
        reading(answer) as (client, _, _),
        pytest.raises(wbframe.errors.StatusError, match="HTTP 404"),
    ):
        read(client, KEYS)
    assert not [each for each in threading.enumerate() if each.name.startswith("wbframe-ranges")]


def test_a_read_that_is_left_cuts_its_ranges():
    begun, ended = threading.Barrier(4, timeout=LIMIT), threading.Event()

    def answer(asked):
        if asked.number:
            begun.wait()
            ended.wait(LIMIT)
        return honest(LARGE, asked, TOLD)

    with reading(answer) as (client, _, asked):
        source = wbframe.arrow.histories_reader(PATH, keys=KEYS, samples=None, client=client)
        failed = []

        def take():
            try:
                source.read_next_batch()
            except Exception as error:  # noqa: BLE001 -- what it is depends on who was quicker
                failed.append(error)

        reader = threading.Thread(target=take)
        reader.start()
        begun.wait()
        for each in threading.enumerate():
            if each.name.startswith("wbframe-ranges"):
                assert each.daemon
        for each in list(threads._exit.open):
            each.scope.stop()
        reader.join(LIMIT)
        assert not reader.is_alive()
        assert not ended.is_set()
        ended.set()
    assert failed
    assert len(asked) == 4
    assert not [each for each in threading.enumerate() if each.name.startswith("wbframe-ranges")]


# ---------------------------------------------------------------- doing things together


def test_together_gives_what_came_in_order():
    with threads.pool(3, "wbframe-test") as workers:
        for given_workers in (workers, None):
            for count in (0, 1, 7):
                found = threads.together(given_workers, lambda each: each * 2, range(count))
                assert found == [each * 2 for each in range(count)]


def test_together_begins_no_more_after_one_has_failed_and_waits_for_those_begun():
    done = []
    one_begun, failed = threading.Event(), threading.Event()

    def work(item):
        if item == 0:
            assert one_begun.wait(LIMIT)
            failed.set()
            raise LookupError("first")
        one_begun.set()
        assert failed.wait(LIMIT)
        done.append(item)
        if item == 1:
            raise ValueError("second")

    with (
        threads.pool(1, "wbframe-test") as workers,
        pytest.raises(LookupError, match="first"),
    ):
        threads.together(workers, work, range(50))
    # The first of the others was at work when it failed.
    assert done[:1] == [1]
    assert len(done) <= 2
