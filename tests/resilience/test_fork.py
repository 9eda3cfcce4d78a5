"""A forked process reads, or is told at once why it cannot; the one that it was forked from never notices."""

from __future__ import annotations

import ast
import os
import textwrap

import pytest

from tests.scripts import run_script
from tests.test_imports import MODULES

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")

START = """
import gc, multiprocessing, os, signal, sys, threading, time, warnings
# Of threads beside a fork, which is what this is about.
warnings.simplefilter("ignore", DeprecationWarning)
import polars as pl
import wbframe, wbframe.arrow, wbframe.pandas
from wbframe.errors import ForkedError

key = {key!r}
client = wbframe.Client({url!r}, key)
path = {path!r}

def forked(work, seconds=20):
    "Fork, work there, and give how that ended; who hangs is killed."
    child = os.fork()
    if not child:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(seconds)
        code = 9
        try:
            code = work() or 0
        except BaseException as error:
            print(type(error).__name__, error, file=sys.stderr)
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

def told(read):
    "Give 0 for our error that says what to do, and is told again."
    for _ in range(2):
        try:
            read()
        except ForkedError as error:
            if "spawn" not in str(error):
                return 3
        else:
            return 4
    return 0
"""


def run(server, script, path="e/p"):
    start = START.format(url=server.url, key=server.api_key, path=path)
    ended = run_script(start + textwrap.dedent(script))
    assert not ended.returncode, ended.stderr
    # Shown where a test fails.
    print(ended.stderr)
    return ended.stdout.split("\n")[:-1]


READS = """
lazy = wbframe.scan_runs(path, client=client)
rows = wbframe.scan_histories(path, client=client)
reads = {
    "runs": lambda: wbframe.read_runs(path, client=client),
    "histories": lambda: wbframe.read_histories(path, client=client),
    "whole": lambda: wbframe.read_histories(path, samples=None, client=client),
    "buckets": lambda: wbframe.read_buckets(path, client=client),
    "scan, made": lambda: wbframe.scan_histories(path, client=client),
    "scan, here": lambda: lazy.collect(),
    "scan, streaming": lambda: rows.collect(engine="streaming"),
    "scan, schema": lambda: lazy.collect_schema(),
    "scan, batches": lambda: list(rows.collect_batches()),
    "scan, sink": lambda: lazy.sink_parquet(os.devnull),
    "explain": lambda: wbframe.explain(lazy),
    "pandas": lambda: wbframe.pandas.read_runs(path, client=client),
    "pandas, parts": lambda: list(wbframe.pandas.iter_histories(path, client=client)),
    "arrow": lambda: wbframe.arrow.read_histories(path, client=client),
    "arrow, batches": lambda: wbframe.arrow.runs_reader(path, client=client).read_all(),
}
"""


@pytest.mark.parametrize(
    "used",
    [
        "wbframe.read_runs(path, columns=['run_id'], client=client)",
        "wbframe.scan_histories(path, client=client).collect(engine='streaming')",
        "pl.DataFrame({'a': [2, 1]}).sort('a')",
        "pl.thread_pool_size()",
    ],
)
def test_after_polars_was_used_each_read_is_an_error_at_once(server, used):
    # The alarm is shorter than the patience with a polars of which nothing can be seen.
    said = run(
        server,
        f"""
        {used}
        {textwrap.indent(READS, " " * 8).strip()}
        for name, read in reads.items():
            print(name, forked(lambda: told(read), seconds=5))
        print(*(read() is not None for read in (reads["runs"], reads["scan, here"])))
        """,
    )
    *each, last = said
    assert len(each) == 15
    assert [line for line in each if not line.endswith(" 0")] == []
    assert last == "True True"


def test_the_names_of_the_threads_of_polars_may_be_others(server):
    said = run(
        server,
        """
        os.environ["POLARS_THREAD_NAME"] = "of-a-length-that-is-cut"
        pl.DataFrame({"a": [2, 1]}).sort("a")
        print(forked(lambda: told(lambda: wbframe.read_runs(path, client=client)), seconds=5))
        """,
    )
    assert said == ["0"]


@pytest.mark.parametrize(
    "used",
    [
        "pass",
        "client.send(wbframe.core.protocol.project.VIEWER)",
        '[run.config for run in wbframe.Runs(client, "e", "p")]',
    ],
)
def test_before_polars_was_used_a_forked_process_reads(server, used):
    said = run(
        server,
        f"""
        import wbframe.core.protocol.project
        {used}
        def work():
            runs = wbframe.read_runs(path, client=client)
            rows = wbframe.scan_histories(path, client=client).collect(engine="streaming")
            # A use of polars there, and a process that is forked from this one.
            again = forked(lambda: told(lambda: wbframe.read_runs(path, client=client)), seconds=5)
            print(runs.height, rows.height, again, flush=True)
        print(forked(work))
        print(wbframe.read_runs(path, client=client).height)
        """,
    )
    assert said == ["9 180 0", "0", "9"]


def test_a_polars_that_does_not_answer_is_an_error_too(server):
    # In newer releases a query of nothing begins but one of its pools.
    said = run(
        server,
        """
        import wbframe.io.forks
        wbframe.io.forks._PATIENCE = 1.0
        pl.LazyFrame().collect(engine="in-memory")
        def work():
            try:
                return 0 if wbframe.read_runs(path, client=client).height == 9 else 5
            except ForkedError:
                return 0
        print(forked(work))
        """,
    )
    assert said == ["0"]


def test_the_drop_in_needs_no_polars(server):
    said = run(
        server,
        """
        api = wbframe.Api(overrides={"base_url": client.base_url}, api_key=key)
        wbframe.read_histories(path, client=client)
        run = api.run(path + "/r0")
        def work():
            print(len(api.runs(path)), run.config["lr"], len(run.history()), len(list(run.scan_history())), flush=True)
        print(forked(work))
        """,
    )
    assert said == ["9 0.0 20 20", "0"]


def test_pools_of_processes(server):
    said = run(
        server,
        """
        os.environ["WANDB_API_KEY"] = key
        wanted = wbframe.read_runs(path, client=client)
        fork, spawn = map(multiprocessing.get_context, ("fork", "spawn"))
        with fork.Pool(1) as pool:
            asked = pool.apply_async(wbframe.read_runs, (path,), {"client": client})
            try:
                asked.get(20)
            except ForkedError as error:
                print("spawn" in str(error))
        with spawn.Pool(1) as pool:
            print(pool.apply(wbframe.read_runs, (path,), {"client": client}).equals(wanted))
        """,
    )
    assert said == ["True", "True"]


def test_a_read_goes_on_beside_its_forks(server):
    # Each child ends in another way with what it has of the read: closed, dropped, taken on, left to the exit.
    said = run(
        server,
        """
        wanted = wbframe.arrow.read_histories(path, client=client).num_rows
        client.budget._now = client.budget._most = 60
        parts = wbframe.pandas.iter_histories(path, client=client)
        height = len(next(parts))
        def closed():
            parts.close()
        def dropped():
            global parts
            del parts
            gc.collect()
        def taken_on():
            try:
                next(parts)
            except ForkedError as error:
                return 0 if "before the process was forked" in str(error) else 3
        for work in (closed, dropped, taken_on):
            print(forked(work))
        if not (child := os.fork()):
            client.close()
            sys.exit(5)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        height += sum(map(len, parts))
        print(height == wanted, client.traffic.retries)
        """,
    )
    assert said == ["0", "0", "0", "5", "True 0"]


def test_a_read_on_another_thread_goes_on_beside_forks(server):
    server.fail(delay=0.3, match="istory(", times=99)
    said = run(
        server,
        """
        client.budget._now = client.budget._most = 60
        found = []
        reading = threading.Thread(target=lambda: found.append(wbframe.read_histories(path, client=client)))
        reading.start()
        codes = set()
        while reading.is_alive():
            codes.add(forked(lambda: told(lambda: wbframe.read_runs(path, client=client)), seconds=20))
            reading.join(0.05)
        print(codes <= {0, 4} or codes, found[0].height, client.traffic.retries)
        """,
    )
    assert said == ["True 180 0"]


def test_no_lock_stays_held(server):
    said = run(
        server,
        """
        from wbframe.io.client import client as module
        from wbframe.dropin import clients
        from wbframe.scans import source
        lazy = wbframe.scan_runs(path, client=client)
        inner = source.RunsSource(wbframe.core.arguments.runs_scan(path), client)
        def hold():
            for lock in (
                client._lock, client._learning, client.pace._changed, client.budget._lock, client.pages._lock,
                module._defaults_guard.lock, clients._made_guard.lock, inner._guard.lock,
            ):
                lock.acquire()
            while client.decoding.acquire(blocking=False):
                pass
            held.set()
            threading.Event().wait()
        held = threading.Event()
        threading.Thread(target=hold, daemon=True).start()
        held.wait()
        os.environ.update(WANDB_BASE_URL=client.base_url, WANDB_API_KEY=key)
        def work():
            frames = lazy.collect(), wbframe.read_histories(path, client=client), wbframe.read_runs(path)
            runs = wbframe.Runs(client, "e", "p")
            print(*(frame.height for frame in frames), len(runs), len(inner.promise().columns) > 0, flush=True)
        print(forked(work))
        os._exit(0)
        """,
    )
    assert said == ["9 180 9 9 True", "0"]


def test_a_server_is_not_stopped_by_a_process_that_was_forked_from_its_own():
    ended = run_script(
        textwrap.dedent(
            """
            import os, sys, warnings
            warnings.simplefilter("ignore", DeprecationWarning)
            import wbframe
            from wbframe.server import serve
            with serve("empty") as server:
                if not (child := os.fork()):
                    sys.exit(7)
                code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
                client = wbframe.Client(server.url, server.api_key, retry=wbframe.RetryPolicy(tries=1))
                print(code, wbframe.read_runs("wbframe/empty", client=client).height)
            """
        )
    )
    assert ended.stdout == "7 0\n", ended.stderr


# ---------------------------------------------------------------- the law

# Where what is made is begun anew in a forked process, or is of one read, which does not go on there.
MADE = {"Lock", "RLock", "Condition", "Semaphore", "BoundedSemaphore", "Event", "Barrier"}
ANEW = {
    "wbframe.io.forks": {"begin", "_works"},
    "wbframe.io.scopes": {"__init__"},
    "wbframe.io.threads": {"__init__"},
    # Of one read, whose files it is for.
    "wbframe.io.read.storage": {"__init__"},
    "wbframe.io.client.client": {"begin"},
    # `Client.begin` makes both.
    "wbframe.io.client.pace": {"__init__"},
    "wbframe.io.client.learned": {"__init__", "learn_anew"},
}


@pytest.mark.parametrize(
    "name", [each for each in MODULES if not each.startswith("wbframe.server")]
)
def test_whatever_can_be_held_at_a_fork_begins_anew(name):
    tree = ast.parse(MODULES[name].read_text("utf-8"))
    where = {}
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef):
            where |= dict.fromkeys(ast.walk(function), function.name)
    made = {
        where.get(call, "the module")
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        and getattr(call.func, "attr", getattr(call.func, "id", "")) in MADE
    }
    assert made <= ANEW.get(name, set()), f"use wbframe.io.forks.Guard in {name}"
