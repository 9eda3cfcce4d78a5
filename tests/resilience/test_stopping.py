"""Reads that nobody waits for any more end at once, and leave neither thread nor socket."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import wbframe
from tests.scripts import run_script
from wbframe.core.protocol.project import VIEWER
from wbframe.io import threads
from wbframe.polars import read_histories, scan_histories

# Longer than a read may take to end, and over before the server is.
SLOW = 5.0


def alive():
    return {
        each.name
        for each in threading.enumerate()
        if each.name.startswith("wbframe")
        and "server" not in each.name
        and "resolve" not in each.name
    }


def small(client):
    client.budget._now = client.budget._most = 1
    return client


def quick(started):
    assert time.perf_counter() - started < 3.0
    assert not alive()


@pytest.fixture
def reader(server):
    with wbframe.Client(server.url, server.api_key, concurrency=3) as made:
        yield small(made)


@pytest.fixture
def lone(server):
    """A client that reads one task after the other, so that it is known which is under way."""
    with wbframe.Client(server.url, server.api_key, concurrency=1) as made:
        yield small(made)


def test_a_closed_generator_cuts_what_is_under_way(server, lone):
    source = wbframe.arrow.histories_reader("e/p", keys=["a"], client=lone)
    server.fail(delay=SLOW, match="sampledHistory", times=1)
    # The second run's answer does not come, the first one's does.
    real, seen = server._faults.take, []

    def second(text, where="api"):
        seen.append(text)
        return real(text, where) if sum("sampledHistory" in each for each in seen) > 1 else None

    server._faults.take = second
    try:
        assert source.read_next_batch().num_rows == 20
        started = time.perf_counter()
        source.close()
        del source
    finally:
        server._faults.take = real
    quick(started)


def test_an_error_in_one_task_cuts_the_others(server, lone):
    real, seen = server._faults.take, []

    def faults(text, where="api"):
        if "sampledHistory" not in text:
            return None
        seen.append(text)
        return (
            wbframe.server.faults.Fault(status=404)
            if len(seen) == 1
            else wbframe.server.faults.Fault(delay=SLOW)
        )

    server._faults.take = faults
    started = time.perf_counter()
    try:
        with pytest.raises(wbframe.errors.StatusError):
            read_histories("e/p", keys=["a"], client=lone)
    finally:
        server._faults.take = real
    quick(started)
    assert lone.send(VIEWER)


def test_an_exception_in_the_progress_hook_stops_the_read(server, reader):
    def raising(progress):
        if progress.kind == "histories":
            raise RuntimeError("enough")

    started = time.perf_counter()
    with pytest.raises(RuntimeError, match="enough"):
        read_histories("e/p", keys=["a"], client=reader, progress=raising)
    quick(started)


def test_whole_histories_stop_too(server):
    with wbframe.Client(server.url, server.api_key, concurrency=2) as client:
        # The first run is waited for first.
        server.fail(status=404, where="storage", match="/r0/")
        server.fail(delay=SLOW, where="storage", times=30)
        started = time.perf_counter()
        with pytest.raises(wbframe.errors.StatusError):
            read_histories("e/x", samples=None, client=client)
        quick(started)


def test_waits_for_a_pause_are_stopped(server):
    with wbframe.Client(server.url, server.api_key, concurrency=2) as client:
        client.pace.refused(100.0)
        started = time.perf_counter()
        with threads.pool(2, "wbframe-test") as workers:
            future = workers.submit(client.send, VIEWER)
            workers.scope.stop()
            with pytest.raises(threads.StoppedError):
                future.result(3)
        quick(started)


INTERRUPTED = """
    import signal

    def once(*_):
        if not ended:  # polars hands over one and the same Ctrl-C twice
            raise KeyboardInterrupt

    ended = []
    signal.signal(signal.SIGINT, once)  # before polars puts a handler of its own before it
    import polars, sys, threading, time
    import wbframe
    from wbframe.server import serve, synthetic

    with serve(synthetic(runs=30, rows=3, keys=1)) as server:
        path = next(iter(server.engine.catalog.views))
        client = wbframe.Client(server.url, server.api_key)
        client.budget._now = client.budget._most = 1
        server.fail(delay=30.0, match="{match}", times=99)
        print("reading", flush=True)
        threading.Timer(0.7, lambda: signal.raise_signal(signal.SIGINT)).start()
        started = time.perf_counter()
        try:
            try:
                {call}
            finally:
                ended.append(True)
        except BaseException as error:
            taken = time.perf_counter() - started
            left = [t.name for t in threading.enumerate() if t.name.startswith("wbframe_")]
            # In what makes a schema polars takes it for an error like any other.
            print("KeyboardInterrupt" in repr(error), taken < 3.5, left, flush=True)
"""


@pytest.mark.parametrize(
    ("call", "match"),
    [
        ("wbframe.polars.read_histories(path, client=client)", "istory("),
        ("wbframe.polars.read_histories(path, client=client)", "query Runs"),
        ("wbframe.arrow.histories_reader(path, client=client).read_all()", "istory("),
        ("wbframe.pandas.read_histories(path, client=client)", "istory("),
        (
            "wbframe.polars.scan_histories(path, client=client).collect(engine='streaming')",
            "istory(",
        ),
        ("wbframe.polars.scan_runs(path, client=client).collect(engine='streaming')", "query Runs"),
        ("wbframe.polars.scan_runs(path, client=client).collect_schema()", "query Fields"),
    ],
)
def test_ctrl_c(call, match):
    script = textwrap.dedent(INTERRUPTED).replace("{call}", call).replace("{match}", match)
    ended = run_script(script)
    assert ended.stdout.split("\n")[1] == "True True []", ended.stdout + ended.stderr


def test_asyncio(server, reader):
    async def both():
        return await asyncio.gather(
            *(asyncio.to_thread(read_histories, "e/p", keys=["a"], client=reader) for _ in range(3))
        )

    first, *others = asyncio.run(both())
    assert first.height == 180
    assert all(each.equals(first) for each in others)


def test_threads_share_a_client_and_its_budget(server, reader):
    with ThreadPoolExecutor(4) as pool:
        frames = list(
            pool.map(lambda _: scan_histories("e/p", keys=["a"], client=reader).collect(), range(8))
        )
    assert all(each.equals(frames[0]) for each in frames)
    assert not alive()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_process_has_connections_and_locks_of_its_own():
    script = """
import os, warnings
import wbframe
from wbframe.core.protocol.project import VIEWER
from wbframe.server import serve
with serve("empty") as server:
    client = wbframe.Client(server.url, server.api_key)
    client.send(VIEWER)
    kept = client._session
    client._lock.acquire()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        child = os.fork()
    if not child:
        client.send(VIEWER)
        os._exit(0 if client._session is not kept else 3)
    client._lock.release()
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), client._session is kept, bool(client.send(VIEWER)))
"""
    ended = run_script(script)
    assert ended.stdout.strip() == "0 True True", ended.stderr


def test_a_policy_and_a_clock_pickle():
    assert pickle.loads(pickle.dumps(wbframe.RetryPolicy(tries=3))) == wbframe.RetryPolicy(tries=3)
    assert signal.getsignal(signal.SIGINT) is not None
