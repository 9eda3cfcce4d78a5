"""Records of the log are lines that can be seen, whoever formats them."""

from __future__ import annotations

import ast
import io
import json
import logging

import pytest

from tests.hostile import NASTY, is_seen
from tests.test_imports import MODULES
from wbframe.log import log_of


@pytest.fixture
def written():
    """What a plain handler of the root logger writes, at DEBUG."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(message)s"))
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield stream
    finally:
        root.setLevel(level)
        root.removeHandler(handler)


@pytest.mark.parametrize("room", ["", "read", "client", "server", "of-tomorrow"])
def test_a_record_is_a_line_that_is_seen(written, room):
    log_of(room).info("%s of %d: %s", NASTY, 3, NASTY * 10_000)
    line = written.getvalue().removesuffix("\n")
    assert is_seen(line)
    assert len(line) <= 2_000
    assert " of 3: " in line


def test_what_a_record_says_besides_is_seen_too(written):
    written_as_json = logging.StreamHandler(stream := io.StringIO())
    written_as_json.setFormatter(
        logging.Formatter("%(wbframe_reason)s %(wbframe_wait)s %(message)s")
    )
    log = log_of("client")
    log.addHandler(written_as_json)
    try:
        log.info("tried", extra={"wbframe_reason": NASTY, "wbframe_wait": 0.5})
    finally:
        log.removeHandler(written_as_json)
    assert is_seen(stream.getvalue().removesuffix("\n"))
    assert stream.getvalue().endswith(" 0.5 tried\n")


def test_a_traceback_in_the_log_is_lines_that_are_seen(written):
    try:
        int(f"no number{NASTY}")
    except ValueError:
        log_of("server").exception("a request failed")
    told = written.getvalue()
    assert told.startswith("a request failed\nTraceback")
    assert "ValueError: " in told
    assert is_seen(told, lines=True)
    assert json.dumps(told)


def test_every_logger_of_the_package_is_made_in_one_place():
    for name, path in MODULES.items():
        called = {
            ast.unparse(node.func)
            for node in ast.walk(ast.parse(path.read_text("utf-8")))
            if isinstance(node, ast.Call)
        }
        assert "logging.getLogger" not in called or name == "wbframe.log", name
        assert "warnings.warn" not in called, name
        assert "warnings.warn_explicit" not in called or name == "wbframe.warn", name
