"""What of an answer to a range is believed: values in, values out."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wbframe.core.protocol.ranges import ByteRange, Version, read_content_range, read_head
from wbframe.errors import AnswerError

WHOLE = 1000
asked_ranges = st.one_of(
    st.integers(-1200, -1).map(ByteRange),
    st.tuples(st.integers(0, WHOLE - 1), st.integers(1, 400)).map(
        lambda pair: ByteRange(pair[0], min(pair[0] + pair[1], WHOLE))
    ),
    st.integers(0, WHOLE - 1).map(ByteRange),
)
numbers = st.one_of(
    st.integers(0, 1100).map(str), st.sampled_from(["", "-1", "*", "1e3", "²", "9" * 30])
)
told_ranges = st.one_of(
    st.builds("{} {}-{}/{}".format, st.sampled_from(["bytes", "Bytes", "rows", ""]), numbers, numbers, numbers),
    st.text(max_size=20),
)  # fmt: skip


def head(asked, told, **headers):
    return read_head(asked, 206, {"Content-Range": told, **headers})


def spelled(asked, size=WHOLE):
    start, end = asked.of(size)
    return f"bytes {start}-{end - 1}/{size}"


@given(asked_ranges)
def test_the_range_that_was_asked_is_taken(asked):
    found = head(asked, spelled(asked), ETag='"1"')
    start, end = asked.of(WHOLE)
    part = found.part(bytes(end - start))
    assert (part.start, len(part.content)) == (start, end - start)
    assert part.version == Version(size=WHOLE, etag='"1"')
    assert not part.whole


@given(asked_ranges, told_ranges, st.integers(0, 1100))
def test_what_is_taken_is_what_was_asked(asked, told, length):
    """Whatever is told: who takes the bytes knows where they lie, in a file of which size."""
    with contextlib.suppress(AnswerError):
        part = head(asked, told).part(bytes(length))
        size = part.version.size
        assert (part.start, part.start + length) == asked.of(size)
        assert told.lower() == spelled(asked, size)


@given(asked_ranges, asked_ranges)
def test_another_range_is_none(asked, other):
    if asked.of(WHOLE) != other.of(WHOLE):
        with pytest.raises(AnswerError, match="was answered by"):
            head(asked, spelled(other))


@pytest.mark.parametrize("length", [0, 9, 11])
def test_a_body_of_another_length_is_none(length):
    asked = ByteRange(10, 20)
    with pytest.raises(AnswerError, match="came of a range of 10"):
        head(asked, spelled(asked)).part(bytes(length))
    with pytest.raises(AnswerError, match="a range of 10 bytes came with"):
        head(asked, spelled(asked), **{"Content-Length": str(length)})


@pytest.mark.parametrize("told", ["gzip", "br", "GZIP", "identity, gzip", "x-odd"])
def test_a_part_that_is_packed_is_none(told):
    asked = ByteRange(10, 20)
    with pytest.raises(AnswerError, match="came packed"):
        head(asked, spelled(asked), **{"Content-Encoding": told})
    assert head(asked, spelled(asked), **{"Content-Encoding": "Identity"}).length == 10


def test_a_file_that_is_whole_is_as_long_as_it_is():
    part = read_head(ByteRange(10, 20), 200, {"ETag": 'W/"1"'}).part(b"abc")
    assert (part.start, part.whole, part.version) == (0, True, Version(size=3, etag='W/"1"'))


@pytest.mark.parametrize("status", [201, 204, 304, 404])
def test_other_statuses_give_nothing(status):
    with pytest.raises(AnswerError, match=f"HTTP {status}"):
        read_head(None, status, {})


@pytest.mark.parametrize(
    ("told", "found"),
    [
        ("bytes 0-0/1", (0, 1, 1)),
        (" bytes 2-4/10 ", (2, 5, 10)),
        (f"bytes 0-9/{2**63 - 1}", (0, 10, 2**63 - 1)),
        (f"bytes 0-9/{2**63}", None),
        ("bytes */10", None),
        ("bytes 0-9/*", None),
        ("bytes=0-9/10", None),
        ("bytes 0-10/10", None),
        ("bytes 5-4/10", None),
        ("bytes  0-9/10", None),
        ("bytes \u0660-\u0669/10", None),
        ("", None),
    ],
)
def test_content_ranges(told, found):
    assert read_content_range(told) == found


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"etag": '"1"'}, {"etag": '"1"'}, True),
        ({"etag": '"1"', "modified": "a"}, {"etag": '"1"', "modified": "b"}, True),
        ({"etag": '"1"'}, {"etag": '"2"'}, False),
        ({"etag": 'W/"1"'}, {"etag": 'W/"1"'}, True),
        ({"etag": 'W/"1"', "modified": "a"}, {"etag": 'W/"1"', "modified": "b"}, False),
        ({"etag": '"1"'}, {"etag": 'W/"1"'}, False),
        ({"etag": '"1"'}, {}, False),
        ({"modified": "a"}, {"modified": "a"}, True),
        ({"modified": "a"}, {"modified": "b"}, False),
        ({}, {}, True),
    ],
)
def test_versions(one, other, same):
    a, b = Version(size=1, **one), Version(size=1, **other)
    assert a.same(b) is b.same(a) is same
    assert a.same(a)
    assert not a.same(Version(size=2, **one))


@pytest.mark.parametrize(
    "etag", ['"a\r\nX: y"', '"a', 'a"', '""', '"ä"', '"a"b"', '"' + "a" * 2000 + '"']
)
def test_an_etag_that_is_none_is_not_sent_back(etag):
    assert Version(size=1, etag=etag).strong is None
