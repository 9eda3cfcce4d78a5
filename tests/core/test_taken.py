"""What readers of JSON and of files raise is one error that says what was read; what is no such error passes."""

from __future__ import annotations

import json

import msgspec
import polars as pl
import pyarrow as pa
import pytest

from wbframe.core.decode.taken import taken_in
from wbframe.errors import (
    AnswerError,
    NotFoundError,
    PrecisionWarning,
    SchemaMismatchError,
    UsageError,
)
from wbframe.io.threads import StoppedError


def deep():
    return msgspec.json.decode(b"[" * 100_000)


RAW = {
    "nesting": deep,
    "digits": lambda: int("9" * 5000),
    "JSON": lambda: json.loads("{"),
    "strict JSON": lambda: msgspec.json.decode(b"{"),
    "its shape": lambda: msgspec.json.decode(b"{}", type=list[int]),
    "UTF-8": b"\xff".decode,
    "surrogates": "\ud800".encode,
    "size": lambda: float(10**400),
    "polars": lambda: pl.DataFrame({"a": [1]})["b"],
    "panic": lambda: (_ for _ in ()).throw(pl.exceptions.PanicException("a\nb")),
    "arrow": lambda: pa.array([1]).cast(pa.list_(pa.int8())),
    "arrow's values": lambda: pa.array(["a"]).cast(pa.int8()),
    "files": lambda: pa.OSFile("/nowhere/at/all"),
}


@pytest.mark.parametrize("name", RAW)
def test_a_raw_error_is_one_of_ours(name):
    with pytest.raises(AnswerError) as told, taken_in("the config of run 'r'"):
        RAW[name]()
    assert str(told.value).startswith("could not read the config of run 'r': ")
    assert "\n" not in str(told.value)
    assert len(str(told.value)) < 300
    assert told.value.__cause__ is not None
    assert not told.value.too_big


def test_too_little_memory_may_be_too_much_asked():
    with pytest.raises(AnswerError, match="not memory enough") as told, taken_in("it"):
        bytearray(2**62)
    assert told.value.too_big


@pytest.mark.parametrize(
    "error",
    [
        KeyboardInterrupt(),
        StoppedError(),
        GeneratorExit(),
        UsageError("ours, and a ValueError"),
        NotFoundError("ours, and a LookupError"),
        SchemaMismatchError("ours"),
        PrecisionWarning("made an error of"),
        AssertionError("no error of reading"),
        NameError("no error of reading"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_is_no_error_of_reading_passes(error):
    with pytest.raises(type(error)) as caught, taken_in("it"):
        raise error
    assert caught.value is error


def test_what_is_read_well_passes():
    with taken_in("it"):
        found = json.loads("[1]")
    assert found == [1]
