"""Programs end when they are told to, whatever their reads wait for, and as they would without them."""

from __future__ import annotations

import signal
import socket
import textwrap

import pytest

import wbframe
from tests.scripts import run_script

START = """
import atexit, os, signal, sys, threading, time
import polars as pl
import wbframe, wbframe.arrow, wbframe.pandas

client = wbframe.Client({url!r}, {key!r}, timeout=600.0)
path = {path!r}

def stopped(*_):
    sys.exit(143)
"""


def run(address, key, script, path="e/p"):
    """Run a script; one that does not end in a minute fails, where requests would take ten."""
    return run_script(START.format(url=address, key=key, path=path) + textwrap.dedent(script))


@pytest.fixture
def silent():
    """The address of a server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


READS = {
    "runs": "wbframe.read_runs(path, client=client)",
    "runs, named": "wbframe.read_runs(path, columns=['name'], client=client)",
    "histories": "wbframe.read_histories(path, client=client)",
    "scan": "wbframe.scan_runs(path, client=client).collect()",
    "scan, streaming": "wbframe.scan_histories(path, client=client).collect(engine='streaming')",
    "pandas": "wbframe.pandas.read_runs(path, client=client)",
    "drop-in": "len(wbframe.Runs(client, 'e', 'p'))",
}
ENDS = {
    "the end": ("", 0),
    "sys.exit": ("sys.exit(3)", 3),
    "an error": ("raise LookupError('of the program')", 1),
}
read = pytest.mark.parametrize("read", READS.values(), ids=READS)


@read
def test_an_exit_waits_for_no_request(silent, read):
    ended = run(
        silent,
        wbframe.server.API_KEY,
        f"""
        threading.Thread(target=lambda: {read}, daemon=True).start()
        while not any(each.name.startswith("wbframe") for each in threading.enumerate()):
            time.sleep(0.01)
        time.sleep(0.2)
        sys.exit(3)
        """,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (3, "", "")


@pytest.mark.parametrize(("end", "code"), ENDS.values(), ids=ENDS)
def test_an_exit_beside_a_read_that_was_left_half_way(server, end, code):
    ended = run(
        server.url,
        server.api_key,
        f"""
        client.budget._now = client.budget._most = 60
        parts = [
            iter(wbframe.pandas.iter_histories(path, client=client)),
            iter(wbframe.scan_histories(path, client=client).collect_batches(chunk_size=20)),
            wbframe.arrow.histories_reader(path, client=client),
        ]
        reads = [next(parts[0]), next(parts[1]), parts[2].read_next_batch()]
        print(len(reads[0]) > 0, flush=True)
        {end}
        """,
    )
    assert (ended.returncode, ended.stdout) == (code, "True\n"), ended.stderr
    assert ("LookupError" in ended.stderr) == (code == 1)
    assert "Fatal" not in ended.stderr
    assert "Exception in" not in ended.stderr


def test_an_exit_beside_a_read_that_waits_half_way(server):
    ended = run(
        server.url,
        server.api_key,
        """
        client.budget._now = client.budget._most = 60
        parts = wbframe.pandas.iter_histories(path, client=client)
        next(parts)
        print("half-way", flush=True)
        sys.stdin.readline()
        """,
    )
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_thread_that_is_no_daemon_reads_to_its_end(server):
    server.fail(delay=0.2, times=99)
    ended = run(
        server.url,
        server.api_key,
        """
        def work():
            threading.main_thread().join()
            for samples in (500, None):
                print(wbframe.read_histories(path, samples=samples, client=client).height)
            print(wbframe.scan_runs(path, client=client).collect(engine="streaming").height)
        threading.Thread(target=work).start()
        sys.exit(3)
        """,
        path="e/x",
    )
    assert (ended.returncode, ended.stdout) == (3, "180\n180\n9\n"), ended.stderr


def test_what_runs_at_the_exit_may_read(server):
    ended = run(
        server.url,
        server.api_key,
        """
        # Before and after what wbframe does at the exit.
        atexit.register(lambda: print(wbframe.read_histories(path, client=client).height))
        """,
    )
    early = run_script(
        f"""
import atexit
atexit.register(lambda: print(wbframe.read_histories("e/p", client=client).height))
import wbframe
client = wbframe.Client({server.url!r}, {server.api_key!r})
client.send(__import__("wbframe.core.protocol.project", fromlist=["VIEWER"]).VIEWER)
"""
    )
    assert (ended.stdout, early.stdout) == ("180\n", "180\n"), ended.stderr + early.stderr


# ---------------------------------------------------------------- signals


@pytest.mark.parametrize("read", [READS["histories"], READS["scan, streaming"]])
def test_sigterm_ends_a_read_at_once(silent, read):
    ended = run(
        silent,
        wbframe.server.API_KEY,
        f"""
        threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGTERM)).start()
        {read}
        """,
    )
    assert ended.returncode == -signal.SIGTERM


@pytest.mark.parametrize("read", [READS["runs, named"], READS["scan"], READS["scan, streaming"]])
def test_sigterm_ends_a_read_as_its_handler_says(silent, read):
    ended = run(
        silent,
        wbframe.server.API_KEY,
        f"""
        signal.signal(signal.SIGTERM, stopped)
        timer = threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGTERM))
        timer.start()
        try:
            {read}
        finally:
            timer.join()
            left = [each.name for each in threading.enumerate() if each.name.startswith("wbframe_")]
            print(left)
        """,
    )
    assert (ended.returncode, ended.stdout) == (143, "[]\n"), ended.stderr


def test_ctrl_c_while_another_thread_reads(server):
    server.fail(delay=0.2, times=99)
    ended = run(
        server.url,
        server.api_key,
        """
        found = []
        reading = threading.Thread(target=lambda: found.append(wbframe.read_histories(path, client=client).height))
        reading.start()
        threading.Timer(0.2, lambda: signal.raise_signal(signal.SIGINT)).start()
        try:
            while True:
                time.sleep(0.05)
                if found:
                    # What runs beside polars may take it; it is no error of the read.
                    break
        except KeyboardInterrupt:
            print("interrupted")
        reading.join()
        print(found, wbframe.read_runs(path, client=client).height)
        """,
    )
    assert ended.stdout.endswith("[180] 9\n"), ended.stderr
