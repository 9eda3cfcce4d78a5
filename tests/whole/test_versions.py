"""Parts of a file are those that were asked for, of one version of it: right cells, or an error; never a mixture."""

from __future__ import annotations

import contextlib
import io
import re
from contextlib import contextmanager

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import wbframe
from tests.lying import Answer, honest, storage
from tests.whole.truth import PATH, project_of
from wbframe.core.protocol.spans import LEAST_TAIL
from wbframe.errors import AnswerError, WbframeError
from wbframe.io.read.storage import Storage
from wbframe.server import Exports, History, RunRecord, serve

ROWS, KEYS = 9_000, 8
ETAGS = ({"ETag": '"1"'}, {"ETag": '"2"'})


def file_of(version, *, rows=ROWS, compression="none"):
    """Make a file; other versions have other cells at the same places."""
    rng = np.random.default_rng(version)
    columns = {f"m{i}": rng.normal(size=rows) for i in range(KEYS)}
    sink = io.BytesIO()
    table = pa.table({"_step": np.arange(rows) * version, **columns})
    pq.write_table(table, sink, compression=compression, use_dictionary=False)
    return sink.getvalue()


ONE, TWO = file_of(1), file_of(2)
KEY = "m4"
TAIL = f"bytes=-{LEAST_TAIL}"


def cells(content):
    table = pq.read_table(io.BytesIO(content), columns=["_step", KEY])
    return list(zip(table["_step"].to_pylist(), table[KEY].to_pylist(), strict=True))


TRUTH = {1: cells(ONE), 2: cells(TWO)}
assert len(ONE) == len(TWO) > 2 * LEAST_TAIL
assert TRUTH[1] != TRUTH[2]


@contextmanager
def reading(answer, **options):
    """Give a function that reads one key of a run whose only file is at a storage, what was asked, and the client."""
    run = RunRecord(name="r", history=History([{KEY: 1.0}, {KEY: 1.0}]), exports=Exports.all())
    options = {"retry": wbframe.RetryPolicy(tries=4, first_wait=0.0), **options}
    with storage(answer) as (address, asked), serve(project_of(run)) as server:
        server.engine.links.base = address
        with wbframe.Client(server.url, server.api_key, **options) as client:

            def read():
                frame = pl.read_wandb_histories(PATH, keys=[KEY], samples=None, client=client)
                return frame.select("_step", KEY).rows()

            yield read, asked, client


def refused(read, match="the exported file"):
    """Read what must be an error of one line, that names the file without its signature."""
    with pytest.raises(AnswerError, match=match) as caught:
        read()
    told = str(caught.value)
    assert re.search(r"http://127\.0\.0\.1:\d+/\S*0\.parquet", told)
    assert "sig=" not in told
    assert "\n" not in told
    return told


# ---------------------------------------------------------------- what holds of every honest storage


def test_a_key_is_read_by_ranges_of_the_version_that_was_begun():
    with reading(lambda asked: honest(ONE, asked, ETAGS[0])) as (read, asked, client):
        assert read() == TRUTH[1]
    assert [each.match for each in asked] == [None] + ['"1"'] * (len(asked) - 1)
    assert len(asked) == 3  # the end, the steps, the key
    assert client.last_report.bytes_received < len(ONE)


AGO = {"Last-Modified": "Tue, 01 Sep 2026 10:00:00 GMT"}


def test_a_date_is_compared_where_there_is_no_etag():
    with reading(lambda asked: honest(ONE, asked, AGO)) as (read, asked, _):
        assert read() == TRUTH[1]
    assert [each.match for each in asked] == [None] * 3


JUST_NOW = {"Last-Modified": "Tue, 01 Sep 2099 10:00:00 GMT"}


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"ETag": 'W/"1"'},
        {"ETag": "bare"},
        {"ETag": '""'},
        {"Last-Modified": "lately"},
        JUST_NOW,
    ],
)
def test_where_nothing_is_sure_to_tell_versions_apart_the_file_is_read_at_once(told):
    """A weak ETag may stay while bytes change, and a date while a second lasts."""

    def answer(asked):
        return honest((ONE, TWO, ONE)[asked.number], asked, told)

    with reading(answer) as (read, asked, _):
        assert read() == TRUTH[2]
    assert [each.range for each in asked] == [TAIL, None]


# ---------------------------------------------------------------- a file that is replaced


def replaced_at(number, before=ONE, after=TWO, told=ETAGS):
    """Serve another file from some request on."""
    return lambda asked: (
        honest(before, asked, told[0]) if asked.number < number else honest(after, asked, told[1])
    )


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize(
    "told",
    [
        ETAGS,
        (AGO, {"Last-Modified": "Tue, 01 Sep 2026 10:00:09 GMT"}),
        ({"ETag": '"1"'}, {}),
        ({"ETag": '"1"'}, {"ETag": 'W/"1"'}),
        (AGO, {"ETag": '"2"'}),
        (AGO, {}),
    ],
)  # fmt: skip
def test_a_file_that_is_replaced_is_read_anew(number, told):
    with reading(replaced_at(number, told=told)) as (read, _, _):
        assert read() == TRUTH[2]


def test_a_storage_that_knows_no_conditions_is_compared_with():
    def answer(asked):
        asked.match = None
        return replaced_at(2)(asked)

    with reading(answer) as (read, asked, _):
        assert read() == TRUTH[2]
    assert len(asked) == 3 + 3


def test_a_file_that_has_become_shorter_is_read_anew():
    short = file_of(3, rows=10)
    with reading(replaced_at(1, after=short)) as (read, _, _):
        assert read() == cells(short)
    with reading(replaced_at(1, after=short, told=({"ETag": '"1"'}, {"ETag": '"1"'}))) as (
        read,
        _,
        _,
    ):
        assert read() == cells(short)


def test_a_file_that_is_replaced_each_time_is_an_error():
    def answer(asked):
        return honest((ONE, TWO)[asked.number % 2], asked, {"ETag": f'"{asked.number}"'})

    with reading(answer) as (read, asked, _):
        refused(read, "was replaced while it was read, 3 times; read again later")
    # The footer and two ranges side by side, of which the second may not be begun when the first has failed.
    assert 3 * 2 <= len(asked) <= 3 * 3


def test_a_storage_that_refuses_every_condition_is_read_without():
    def answer(asked):
        return Answer(412) if asked.match else honest(ONE, asked, ETAGS[0])

    with reading(answer) as (read, asked, _):
        assert read() == TRUTH[1]
    assert len(asked) == 3 + 3


def test_an_address_that_was_asked_for_anew_may_not_lead_to_another_version():
    def answer(asked):
        return Answer(403) if asked.number == 1 else replaced_at(2)(asked)

    with reading(answer) as (read, asked, _):
        assert read() == TRUTH[2]
    assert len({each.path for each in asked}) == 2


def test_a_file_without_ranges_from_the_end_is_of_one_version():
    def answer(asked):
        return Answer(501) if asked.range.startswith("bytes=-") else replaced_at(2)(asked)

    with reading(answer) as (read, asked, _):
        assert read() == TRUTH[2]
    assert [each.range for each in asked][:2] == [TAIL, "bytes=0-0"]


# ---------------------------------------------------------------- a part that is another one


def changed(**headers):
    """Change headers of an answer; None takes one away."""

    def lie(answer, _):
        for name, value in headers.items():
            answer.headers.pop(name.replace("_", "-"), None)
            if value is not None:
                answer.headers[name.replace("_", "-")] = value
        return answer

    return lie


def moved(by, *, told):
    """Send a part from elsewhere, and tell so or not."""

    def lie(answer, content):
        start, last = map(int, re.findall(r"\d+", answer.headers["Content-Range"])[:2])
        answer.body = content[start + by : last + 1 + by]
        if told:
            answer.headers["Content-Range"] = f"bytes {start + by}-{last + by}/{len(content)}"
        return answer

    return lie


def cut(first, last, *, told):
    """Send less or more of a part at its ends, and tell so or not."""

    def lie(answer, content):
        start, end = map(int, re.findall(r"\d+", answer.headers["Content-Range"])[:2])
        start, end = start + first, end + 1 + last
        answer.body = content[start:end]
        if told:
            answer.headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(content)}"
        return answer

    return lie


def untold(lie):
    """Let the body end with the connection."""

    def other(answer, content):
        answer = lie(answer, content)
        answer.told = False
        return answer

    return other


def multipart(answer, _):
    answer.headers["Content-Type"] = "multipart/byteranges; boundary=x"
    told = answer.headers.pop("Content-Range")
    answer.body = (
        b"--x\r\nContent-Range: " + told.encode() + b"\r\n\r\n" + answer.body + b"\r\n--x--"
    )
    return answer


def packed(answer, _):
    import gzip

    answer.headers["Content-Encoding"] = "gzip"
    answer.body = gzip.compress(answer.body)
    return answer


def in_stars(answer, content):
    told = answer.headers["Content-Range"]
    answer.headers["Content-Range"] = told.replace(f"/{len(content)}", "/*")
    return answer


def of_another_total(answer, content):
    told = answer.headers["Content-Range"]
    answer.headers["Content-Range"] = told.replace(f"/{len(content)}", f"/{len(content) + 8}")
    return answer


LIES = {
    "no range told": changed(Content_Range=None),
    "another unit": changed(Content_Range="rows 0-9/10"),
    "no numbers": changed(Content_Range="bytes -/x"),
    "negative": changed(Content_Range="bytes -5-9/10"),
    "backwards": changed(Content_Range="bytes 9-5/10"),
    "huge": changed(Content_Range="bytes 0-9/" + "9" * 5000),
    "behind the end": changed(Content_Range="bytes 5-20/10"),
    "two of them": changed(Content_Range="bytes 0-9/10, bytes 0-9/10"),
    "moved and told": moved(800, told=True),
    "moved back and told": moved(-80, told=True),
    "shorter and told": cut(0, -8, told=True),
    "later and told": cut(8, 0, told=True),
    "wider and told": cut(-8, 0, told=True),
    "shorter": cut(0, -8, told=False),
    "longer": cut(-8, 0, told=False),
    "shorter, of no length": untold(cut(0, -8, told=False)),
    "longer, of no length": untold(cut(-8, 0, told=False)),
    "several parts": multipart,
    "packed": packed,
    "packed in what nobody knows": changed(Content_Encoding="x-odd"),
    "no total": in_stars,
    "the first bytes": changed(Content_Range="bytes 0-0/1"),
}


def lying(lie, numbers, content=ONE, told=ETAGS[0]):
    """Serve a file, and lie in some answers."""

    def answer(asked):
        given = honest(content, asked, told)
        return lie(given, content) if asked.number in numbers and given.status == 206 else given

    return answer


@pytest.mark.parametrize("name", LIES)
@pytest.mark.parametrize("first", [0, 1, 2])
def test_a_part_that_is_another_one_is_asked_for_again_then_an_error(name, first):
    with reading(lying(LIES[name], {first})) as (read, _, client):
        assert read() == TRUTH[1]
        assert client.last_report.requests == 2 + 3 + 1
    with reading(lying(LIES[name], range(first, 99))) as (read, asked, _):
        refused(read, "could not read the exported file .* gave up after 2 tries")
    # The two ranges are read side by side, and what lies is asked for twice.
    assert first + 2 <= len(asked) <= (2, 5, 4)[first]


@pytest.mark.parametrize("first", [0, 1, 2])
def test_a_file_of_another_length_than_before_is_another_file(first):
    """The lie that cannot be told from a file that was replaced."""
    with reading(lying(of_another_total, {first})) as (read, _, _):
        assert read() == TRUTH[1]
    with reading(lying(of_another_total, range(first, 99))) as (read, _, _):
        refused(read)


def test_a_part_that_nobody_asked_for_is_not_taken():
    alone = Answer(206, {"Content-Range": "bytes 0-3/4"}, b"PAR1")
    with (
        wbframe.Client(
            "http://127.0.0.1:1", "k" * 40, retry=wbframe.RetryPolicy(tries=1)
        ) as client,
        storage(lambda _: alone) as (address, _),
        contextlib.closing(Storage(client)) as files,
        pytest.raises(AnswerError, match="no range was asked for"),
    ):
        files.get(f"{address}/f", None)


@pytest.mark.parametrize("etag", ['"1"', '"2"', None])
@pytest.mark.parametrize("number", [1, 2])
def test_the_whole_in_place_of_a_part_is_of_that_version_or_read_anew(number, etag):
    def answer(asked):
        if asked.number < number:
            return honest(ONE, asked, ETAGS[0])
        whole = ONE if etag == '"1"' else TWO
        return Answer(200, {} if etag is None else {"ETag": etag}, whole)

    with reading(answer) as (read, _, _):
        assert read() == TRUTH[1 if etag == '"1"' else 2]


ranges = st.builds(
    "bytes {}-{}/{}".format,
    st.integers(0, len(ONE) + 9),
    st.integers(0, len(ONE) + 9),
    st.sampled_from([str(len(ONE)), str(len(ONE) - 1), "*", "0", ""]),
)
texts = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    status=st.sampled_from([200, 206, 206, 206, 416]),
    told=st.one_of(ranges, texts, st.none()),
    etag=st.one_of(st.just('"1"'), texts, st.none()),
    place=st.integers(0, 2),
    start=st.integers(0, len(ONE)),
    length=st.integers(0, 200_000),
)
def test_heads_of_any_kind_give_right_cells_or_an_error(
    serving_once, status, told, etag, place, start, length
):
    def answer(asked):
        if asked.number % 3 != place:
            return honest(ONE, asked, ETAGS[0])
        headers = {"Content-Range": told, "ETag": etag}
        body = ONE[start : start + length]
        return Answer(
            status, {key: each for key, each in headers.items() if each is not None}, body
        )

    read, become = serving_once
    become(answer)
    with contextlib.suppress(WbframeError):
        assert read() == TRUTH[1]


@pytest.fixture
def serving_once():
    """One storage whose answers change."""
    current = []

    def answer(asked):
        return current[0](asked)

    with reading(answer) as (read, asked, _):

        def become(answer):
            current[:] = [answer]
            asked.clear()

        yield read, become


def test_a_file_of_no_bytes_is_an_error():
    with reading(lambda asked: honest(b"", asked, ETAGS[0])) as (read, asked, _):
        refused(read, "is no Parquet file: it is empty")
    assert [each.range for each in asked] == [TAIL, "bytes=0-0"]
