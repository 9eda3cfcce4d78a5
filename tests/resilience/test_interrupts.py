"""Whatever ends a read in the middle surfaces as it is, and leaves nothing behind: no lock, thread or half answer."""

from __future__ import annotations

import asyncio
import gc
import threading

import polars as pl
import pytest

import wbframe
from tests.scripts import run_script
from wbframe.io import threads
from wbframe.polars import read_histories, read_runs, scan_histories, scan_runs

pytestmark = pytest.mark.filterwarnings(
    "ignore:`LazyFrame.collect_batches` is:Warning", "ignore:.*unstable:Warning"
)


def own():
    """Give our threads; those that have just been let go get a moment."""
    left = [
        each
        for each in threading.enumerate()
        if each.name.startswith("wbframe") and "_" in each.name
    ]
    left = [each for each in left if "resolve" not in each.name and "server" not in each.name]
    for each in left:
        each.join(5.0)
    return [each.name for each in left if each.is_alive()]


@pytest.fixture
def reader(server):
    with wbframe.Client(server.url, server.api_key, concurrency=3) as made:
        made.budget._now = made.budget._most = 60
        yield made


# ---------------------------------------------------------------- Ctrl-C

MANY = """
import os, random, signal, sys, threading, time, warnings

armed = False

def once(*_):
    # polars may hand one Ctrl-C over twice, and one that came late is none of the next read.
    global armed
    if armed:
        armed = False
        raise KeyboardInterrupt

signal.signal(signal.SIGINT, once)  # before polars puts a handler of its own before it
warnings.simplefilter("ignore")
import polars as pl
import wbframe, wbframe.arrow, wbframe.pandas

client = wbframe.Client({url!r}, {key!r}, concurrency=3)
client.budget._now = client.budget._most = 120
path, drawn = "e/x", random.Random({seed})
reads = [
    lambda: wbframe.read_runs(path, client=client),
    lambda: wbframe.read_histories(path, client=client),
    lambda: wbframe.read_histories(path, samples=None, client=client),
    lambda: pl.concat(wbframe.scan_histories(path, client=client).collect_batches()),
    lambda: wbframe.scan_runs(path, client=client).collect(engine="in-memory"),
    lambda: wbframe.scan_histories(path, client=client).collect(engine="streaming"),
    lambda: pl.from_pandas(wbframe.pandas.read_histories(path, client=client)),
    lambda: pl.DataFrame(wbframe.Runs(client, "e", "p").histories(keys=["a"], format="polars")),
]
wanted, took = [], []
for read in reads:
    read()
    started = time.perf_counter()
    wanted.append(read())
    took.append(time.perf_counter() - started)

def own():
    end = time.monotonic() + 10.0
    while left := [each for each in threading.enumerate() if each.name.startswith("wbframe")]:
        if time.monotonic() > end:
            break
        # What polars lets go of on a thread of its own, it lets go of in Python when it is called again.
        pl.Series([1])
        left[0].join(0.1)
    return [each.name for each in left]

interrupted = 0
for i in range({times}):
    which = drawn.randrange(len(reads))
    timer = threading.Timer(drawn.random() * took[which], lambda: os.kill(os.getpid(), signal.SIGINT))
    try:
        armed = True
        timer.start()
        frame = reads[which]()
        armed = False
    except KeyboardInterrupt:
        interrupted += 1
    else:
        assert frame.equals(wanted[which]), ("other rows", i, which)
    armed = False
    timer.join()
    assert own() == [], (i, which, own())
    if i % 5 == 4:
        which = drawn.randrange(len(reads))
        assert reads[which]().equals(wanted[which]), ("other rows after it", i, which)
free = 0
while client.decoding.acquire(blocking=False):
    free += 1
print(client.pace._active, free == client.decoding._initial_value, interrupted > {times} // 10, interrupted)
"""


def test_ctrl_c_at_any_moment_leaves_nothing_behind(server):
    script = MANY.format(url=server.url, key=server.api_key, seed=21, times=100)
    ended = run_script(script)
    assert ended.stdout.startswith("0 True True "), ended.stdout + ended.stderr


# ---------------------------------------------------------------- out of polars


class Ended(BaseException):
    """What a handler of a signal may raise."""


class OddError(Exception):
    """Of a class that cannot be made of what it says."""

    def __init__(self, first, second):
        super().__init__(f"{first} {second}")


WAYS = {
    "in memory": lambda lazy: lazy.collect(engine="in-memory"),
    "streaming": lambda lazy: lazy.collect(engine="streaming"),
    "schema": lambda lazy: lazy.collect_schema(),
    "plan": lambda lazy: lazy.explain(),
    "batches": lambda lazy: list(lazy.collect_batches()),
    "file": lambda lazy: lazy.sink_parquet("/dev/null"),
    "behind": lambda lazy: lazy.filter(pl.col("run_id") != "").select("run_id").collect(),
    "explained": wbframe.explain,
    "joined": lambda lazy: lazy.join(lazy, on="run_id", how="semi").collect(),
}
ENDS = [
    KeyboardInterrupt(),
    SystemExit(3),
    Ended("of a signal"),
    TimeoutError("of a signal"),
    OddError("of a", "signal"),
]


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("end", ENDS, ids=lambda end: type(end).__name__)
@pytest.mark.parametrize("scan", [scan_runs, scan_histories])
def test_what_ends_a_query_is_not_made_an_error_of_polars(monkeypatch, scan, end, way, reader):
    real = reader.send
    monkeypatch.setattr(reader, "send", lambda *_, **__: (_ for _ in ()).throw(end))
    lazy = scan("e/p", client=reader)
    with pytest.raises(type(end)) as caught:
        way(lazy)
    assert caught.value.args == end.args
    assert getattr(caught.value, "code", None) == getattr(end, "code", None)
    monkeypatch.setattr(reader, "send", real)
    assert lazy.select("run_id").collect().height >= 9
    assert own() == []


@pytest.mark.parametrize("engine", ["in-memory", "streaming"])
@pytest.mark.parametrize("end", ENDS, ids=lambda end: type(end).__name__)
def test_what_ends_a_query_between_its_batches_is_not_made_an_error_of_polars(
    monkeypatch, end, engine, reader
):
    lazy = scan_histories("e/p", client=reader)
    lazy.collect_schema()
    real, sent = reader.send, []

    def send(request, **options):
        sent.append(request)
        if len(sent) > 3:
            raise end
        return real(request, **options)

    monkeypatch.setattr(reader, "send", send)
    with pytest.raises(type(end)):
        lazy.collect(engine=engine)
    monkeypatch.setattr(reader, "send", real)
    assert lazy.collect(engine=engine).height == 180
    assert own() == []


def test_errors_of_before_are_not_told_again(monkeypatch, reader):
    # Swallowed by what is no method of our frames, and not to be found by the next query.
    real = reader.send
    monkeypatch.setattr(reader, "send", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
    lazy = scan_runs("e/p", client=reader)
    with pytest.raises((pl.exceptions.ComputeError, KeyboardInterrupt)):
        pl.collect_all([lazy])
    monkeypatch.setattr(reader, "send", real)
    with pytest.raises(pl.exceptions.PolarsError, match="KeyboardInterrupt"):
        lazy.select(pl.col("KeyboardInterrupt")).collect()


# ---------------------------------------------------------------- what a program does


def test_an_exception_where_the_program_is_asked(reader):
    class Tired(wbframe.Clock):
        def sleep(self, seconds):
            raise RuntimeError("enough")

    tired = wbframe.Client(
        reader.base_url, wbframe.server.API_KEY, clock=Tired(), requests_per_minute=60
    )

    def reads(read):
        for _ in range(3):
            read("e/p", client=tired)

    for read in (read_runs, read_histories):
        with pytest.raises(RuntimeError, match="enough"):
            reads(read)
        assert tired.pace._active == 0
    assert own() == []


@pytest.mark.parametrize(
    "end", [RuntimeError("enough"), KeyboardInterrupt(), SystemExit(3), GeneratorExit()]
)
@pytest.mark.parametrize("read", [read_runs, read_histories])
@pytest.mark.parametrize("nth", [1, 2])
def test_an_exception_in_a_hook_of_progress(read, end, nth, reader):
    told = []

    def hook(progress):
        told.append(progress)
        if len(told) == nth:
            raise end

    with pytest.raises(type(end)) as caught:
        read("e/p", client=reader, progress=hook)
    assert caught.value is end
    assert own() == []
    assert read("e/p", client=reader).height in (9, 180)


def parts_of(face, client):
    if face == "pandas":
        return wbframe.pandas.iter_histories("e/p", client=client)
    if face == "arrow":
        return wbframe.arrow.histories_reader("e/p", client=client)
    if face == "scan":
        return scan_histories("e/p", client=client).collect_batches(chunk_size=20)
    return wbframe.Runs(client, "e", "p")[0].scan_history(page_size=5)


faces = pytest.mark.parametrize("face", ["pandas", "arrow", "scan", "drop-in"])


@faces
def test_what_is_left_half_way_ends(face, reader):
    parts = iter(parts_of(face, reader))
    next(parts)
    del parts
    gc.collect()
    for _ in parts_of(face, reader):
        break

    def fails():
        for _ in parts_of(face, reader):
            raise LookupError("of the program")

    with pytest.raises(LookupError):
        fails()
    held = [iter(parts_of(face, reader))]
    next(held[0])
    dropping = threading.Thread(target=held.clear)
    dropping.start()
    dropping.join(20)
    gc.collect()
    assert own() == []
    assert read_histories("e/p", client=reader).height == 180


@pytest.mark.parametrize("face", ["pandas", "scan"])
def test_two_threads_at_one_iterator_are_told_so(face, server, reader):
    parts = iter(parts_of(face, reader))
    next(parts)
    server.fail(delay=1.0, times=99)
    under_way = threading.Event()
    real = server._faults.take

    def take(*asked, **where):
        under_way.set()
        return real(*asked, **where)

    server._faults.take = take
    rest = []
    reading = threading.Thread(target=lambda: rest.extend(parts))
    reading.start()
    assert under_way.wait(20)
    for call in (parts.close, lambda: next(parts)):
        with pytest.raises(wbframe.errors.UsageError, match="another thread is reading"):
            call()
    server.clear()
    reading.join(30)
    assert sum(map(len, rest)) > 0
    parts.close()
    assert own() == []


def test_a_generator_raises_its_own_errors():
    def items():
        yield 1
        raise ValueError("generator already executing")

    given = threads.Items(items())
    assert next(given) == 1
    with pytest.raises(ValueError, match="executing") as caught:
        next(given)
    assert type(caught.value) is ValueError


def test_a_client_that_is_closed_beside_its_reads(reader):
    wanted = read_histories("e/p", client=reader)
    ended = threading.Event()
    found, errors = [], []

    def work():
        try:
            found.extend(read_histories("e/p", client=reader) for _ in range(10))
        except wbframe.errors.WbframeError as error:
            errors.append(error)

    def close():
        while not ended.wait(0.001):
            reader.close()

    reading = [threading.Thread(target=work) for _ in range(3)]
    closing = [threading.Thread(target=close) for _ in range(2)]
    for each in (*reading, *closing):
        each.start()
    for each in reading:
        each.join(40)
    ended.set()
    for each in closing:
        each.join(10)
    # Threads that died of another error have added neither.
    assert len(found) == 30 or errors
    assert all(frame.equals(wanted) for frame in found)
    reader.close()
    reader.close()
    assert read_histories("e/p", client=reader).equals(wanted)


# ---------------------------------------------------------------- asyncio


def test_a_read_in_a_running_loop(reader):
    async def work():
        return read_histories("e/p", client=reader), await scan_runs(
            "e/p", client=reader
        ).collect_async()

    rows, runs = asyncio.run(work())
    assert (rows.height, runs.height) == (180, 9)


def test_a_cancelled_query(server, reader):
    lazy = scan_histories("e/p", client=reader)
    lazy.collect_schema()
    server.fail(delay=0.5, times=99)

    async def work():
        task = asyncio.ensure_future(lazy.collect_async())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(work())
    server.clear()
    assert read_histories("e/p", client=reader).height == 180
    assert own() == []


def test_an_interrupted_wait_holds_nothing():
    # As when Ctrl-C comes between two steps of a wait: whoever waits next, and the worker, go on.
    class Interrupted:
        def __init__(self, latch):
            self.latch = latch

        def acquire(self, **options):
            self.latch.acquire(**options)
            raise KeyboardInterrupt

        def release(self):
            self.latch.release()

    go_on = threading.Event()
    with threads.pool(1, "wbframe-test") as workers:
        task = workers.submit(go_on.wait, 20)
        real, task._latch = task._latch, Interrupted(task._latch)
        with pytest.raises(KeyboardInterrupt):
            task.result()
        task._latch = real
        go_on.set()
        assert task.result(20) is True
    assert own() == []


def test_an_interrupted_end_leaves_no_thread(monkeypatch):
    real = threading.Thread.join

    def join(self, timeout=None):
        if self.name.startswith("wbframe-test"):
            monkeypatch.setattr(threading.Thread, "join", real)
            raise KeyboardInterrupt
        real(self, timeout)

    made = threads.Threads(2, "wbframe-test")
    tasks = [made.submit(threads.wait, 600.0) for _ in range(5)]
    monkeypatch.setattr(threading.Thread, "join", join)
    with pytest.raises(KeyboardInterrupt):
        made.end()
    assert own() == []
    for task in tasks:
        with pytest.raises(threads.StoppedError):
            task.result(20)
    with pytest.raises(threads.StoppedError):
        made.submit(print)


def test_threads_that_nobody_ends_end_by_themselves():
    made = threads.Threads(2, "wbframe-test")
    assert made.submit(int, "3").result(20) == 3
    del made
    gc.collect()
    assert own() == []
