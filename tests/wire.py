"""A server that sends what it is told, byte by byte, on a real socket: what no library for servers would send."""

from __future__ import annotations

import contextlib
import socket
import threading
from contextlib import contextmanager

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
VIEWED = b'{"data": {"viewer": {"entity": "me"}}}'


def answer(body=VIEWED, *headers, status=b"200 OK"):
    """Spell a whole answer."""
    lines = [b"HTTP/1.1 " + status, *headers, b"Content-Length: %d" % len(body)]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


class Line:
    """One connection, at its server's end.

    `sent` counts the bytes that went out.
    """

    def __init__(self, taken, ended):
        self.taken, self.ended, self.sent = taken, ended, 0

    def asked(self):
        """Read a request, head and body; empty where none comes."""
        head = b""
        while b"\r\n\r\n" not in head:
            piece = self.taken.recv(65536)
            if not piece:
                return b""
            head += piece
        head, _, body = head.partition(b"\r\n\r\n")
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                while len(body) < int(line.partition(b":")[2]):
                    piece = self.taken.recv(65536)
                    if not piece:
                        return b""
                    body += piece
        return head + b"\r\n\r\n" + body

    def send(self, content):
        """Send it, all at once."""
        self.taken.sendall(content)
        self.sent += len(content)

    def drip(self, content, every=0.05):
        """Send it a byte at a time."""
        for place in range(len(content)):
            self.send(content[place : place + 1])
            if self.ended.wait(every):
                raise ConnectionAbortedError

    def flood(self, content, times):
        """Send it again and again."""
        for _ in range(times):
            self.send(content)


class Wire:
    """What listens; `asked` has each request, `lines` has its connections."""

    def __init__(self, script):
        self.script, self.asked, self.lines = script, [], []
        self._ended = threading.Event()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        # What makes TLS of a connection.
        self.wrap = lambda taken: taken
        self.url = f"http://127.0.0.1:{self.port}"
        self._threads = []
        self._listener = threading.Thread(target=self._listen)
        self._listener.start()

    def _listen(self):
        while True:
            try:
                taken, _ = self._socket.accept()
            except OSError:
                return
            if self._ended.is_set():
                taken.close()
                return
            line = Line(self.wrap(taken), self._ended)
            self.lines.append(line)
            self._threads.append(threading.Thread(target=self._talk, args=(line,)))
            self._threads[-1].start()

    def _talk(self, line):
        # A client that has had enough cuts the line.
        with line.taken, contextlib.suppress(OSError):
            while head := line.asked():
                self.asked.append(head)
                if self.script(line, head) is False:
                    return

    def stop(self):
        """Cut everything, and wait for the threads."""
        self._ended.set()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
            pass
        self._listener.join()
        self._socket.close()
        for line in self.lines:
            with contextlib.suppress(OSError):
                line.taken.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()


@contextmanager
def wire(script):
    """Answer each request by a script of a `Line` and the request; one that gives False hangs up."""
    made = Wire(script)
    try:
        yield made
    finally:
        made.stop()


def saying(content):
    """Give a script that sends this, and hangs up."""

    def script(line, _):
        line.send(content)
        return False

    return script
