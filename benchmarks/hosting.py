"""The local server in a process of its own, its answers prepared, so that it is never what is measured.

`Host` starts it and talks to it by lines of JSON over its stdin and stdout; `python -m benchmarks.hosting`
is the process itself. An answer is made and compressed the first time that it is asked for, and kept.
"""

from __future__ import annotations

import base64
import http.client
import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from wbframe.server import API_KEY, Exports, synthetic
from wbframe.server.api.catalog import Catalog
from wbframe.server.api.engine import Engine
from wbframe.server.http import Server

if TYPE_CHECKING:
    from collections.abc import Mapping

    from typing_extensions import Self

    from wbframe.server.api.engine import Question
    from wbframe.server.replies import Reply

ROOT = Path(__file__).resolve().parents[1]
PATH = "wbframe/synthetic"
_REPLAY_THREADS = 6


@dataclass(frozen=True, slots=True)
class Sent:
    """What a host has sent since its log was cleared: requests answered, and bytes of answers on the wire."""

    requests: int
    bytes: int


class PreparedServer(Server):
    """A server that makes each answer once."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._made: dict[Any, Reply] = {}
        super().__init__(*args, **kwargs)

    def _reply(self, question: Question | None, body: bytes, headers: Mapping[str, str]) -> Reply:
        if question is None or "parquetHistory" in question.document:  # an address may expire
            return super()._reply(question, body, headers)
        who = (headers.get("Authorization"), headers.get("Accept-Encoding"))
        key = (question.document, json.dumps(question.variables), *who)
        if key not in self._made:
            self._made[key] = super()._reply(question, body, headers)
        return self._made[key]


class Host:
    """A server process for one synthetic project; a context manager.

    Attributes
    ----------
    url, api_key
        For clients.
    """

    def __init__(self, *, exported: bool = False, compress: bool = True, **project: Any) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.hosting"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        self.url = self._say({"project": project, "exported": exported, "compress": compress})
        self.api_key = API_KEY

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def latency(self, milliseconds: float) -> None:
        """Hold back every answer from now on."""
        self._say({"latency": milliseconds / 1000})

    def clear(self) -> None:
        """Forget the logged requests."""
        self._say({"clear": True})

    def sent(self) -> Sent:
        """Tell what was sent since the log was cleared."""
        return Sent(*self._say({"sent": True}))

    def cpu_seconds(self) -> float:
        """Tell the CPU time of the server's process so far, all its threads together."""
        return float(self._say({"cpu": True}))

    def replay(self, taken: list[bytes] | None = None) -> float:
        """Send the logged requests again with a client that drops the answers; give the seconds.

        As wbframe does: the first page of runs (and what comes before it) alone, the rest side by side. It is the
        share of the server and the wire in what a reader takes. The bodies go to `taken`, as they were sent.
        """
        listed: list[list[Any]] = self._say({"log": True})
        self.clear()  # what is sent again is logged again
        first = next((i for i, each in enumerate(listed) if "runs(" in each[0]), 0)
        alone, rest = listed[: first + 1], listed[first + 1 :]
        address = urlsplit(self.url)
        signed = base64.b64encode(f"api:{self.api_key}".encode()).decode()
        headers = {
            "Authorization": f"Basic {signed}",
            "Content-Type": "application/json",
            "Accept-Encoding": "gzip",
        }

        def send(requests: list[list[Any]]) -> None:
            connection = http.client.HTTPConnection(address.hostname or "", address.port)
            for document, variables in requests:
                body = json.dumps({"query": document, "variables": variables})
                connection.request("POST", "/graphql", body, headers)
                content = connection.getresponse().read()
                if taken is not None:
                    taken.append(content)
            connection.close()

        started = time.perf_counter()
        send(alone)
        with ThreadPoolExecutor(_REPLAY_THREADS) as pool:
            list(pool.map(send, [rest[i::_REPLAY_THREADS] for i in range(_REPLAY_THREADS)]))
        return time.perf_counter() - started

    def _say(self, message: dict[str, Any]) -> Any:
        """Say something to the process, and give its answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(message), file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError("the server process has ended")
        return json.loads(answer)


def _started(message: dict[str, Any]) -> PreparedServer:
    """Start what the first line asks for."""
    exports = Exports.all() if message["exported"] else None
    project = synthetic(**message["project"], exports=exports)
    engine = Engine(Catalog((project,), "mongo"), None)
    return PreparedServer(
        engine, host="127.0.0.1", port=0, api_key=API_KEY, compress=message["compress"]
    )


def _answer(server: PreparedServer, message: dict[str, Any]) -> Any:
    """Do what a line says."""
    if "latency" in message:
        server.latency = message["latency"]
    elif "clear" in message:
        server.clear()
    elif "cpu" in message:
        return time.process_time()
    elif "log" in message:
        return [[each.document, each.variables] for each in server.requests]
    elif "sent" in message:
        answers = [each.response_bytes for each in server.requests]
        answers += [each.bytes for each in server.storage_requests]
        return len(answers), sum(answers)
    return None


def main() -> None:
    """Serve until stdin ends."""
    with _started(json.loads(sys.stdin.readline())) as server:
        print(json.dumps(server.url), flush=True)
        for line in sys.stdin:
            print(json.dumps(_answer(server, json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
