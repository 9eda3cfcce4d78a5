"""No live row is lost in silence, whatever a server cuts, thins out, or says of how many there are."""

from __future__ import annotations

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from wbframe.core.hints import widened
from wbframe.core.histories.live import Profile, Steps, Told, WindowRows, live_rows
from wbframe.core.histories.whole import Expected, combined, shortfall
from wbframe.core.model import STEP
from wbframe.core.protocol.exports import Export


def thinned(steps, most):
    """Thin out evenly, as servers do: the first and the last stay."""
    if len(steps) <= most:
        return steps
    every = -(-len(steps) // most)
    return steps[::every]


def cut(steps, most):
    """End a list."""
    return steps[:most]


@st.composite
def servers(draw):
    """Give a run's steps and exports, and what a server makes of a question for steps or rows."""
    stride = draw(st.sampled_from([1, 1, 2, 7]))
    count = draw(st.integers(0, 900))
    steps = [stride * i for i in range(count)]
    if draw(st.booleans()):
        gone = draw(st.integers(2, 9))
        steps = [step for i, step in enumerate(steps) if i % gone]
    exported = steps[: draw(st.integers(0, len(steps)))] if draw(st.booleans()) else []
    caps = [draw(st.sampled_from([40, 77, 100, 250, 5000])) for _ in range(2)]
    shorten = draw(st.sampled_from([thinned, cut]))
    inclusive = draw(st.booleans())

    def answer(low, high, samples, cap):
        found = [
            s for s in steps if (low is None or s >= low) and (high is None or s < high + inclusive)
        ]
        return shorten(found, min(cap, samples))

    return steps, exported, caps, answer


def read(expected, steps, exported, caps, answer, *, tells_live):
    """Drive the decisions as the reader does; gives the steps read, what it was told of, and the rounds."""
    known = Steps()
    live = [step for step in steps if step not in set(exported)] if tells_live else None
    urls = ("file",) if exported else ()
    inside = [s for s in exported if (expected.min_step or 0) <= s < (expected.max_step or 2**60)]
    files = pl.Series(STEP, inside, dtype=pl.Int64)
    reader = live_rows(
        expected, Export(urls=urls, live_steps=None if live is None else tuple(live)), files, known
    )
    asked, rounds = next(reader, None), 0
    frames = []
    while asked is not None:
        rounds += 1
        if isinstance(asked, Profile):
            given_ = answer(*widened(asked.min_step, asked.max_step), asked.samples, caps[0])
            got = Told(given_, asked.samples)
        else:
            got = []
            for window in asked:
                given_ = answer(*widened(window.min_step, window.max_step), window.samples, caps[1])
                inner = [s for s in given_ if window.min_step <= s < window.max_step]
                frame = pl.DataFrame({STEP: pl.Series(inner, dtype=pl.Int64)})
                got.append(WindowRows(frame, len(given_), window.samples))
        try:
            asked = reader.send(got)
        except StopIteration as stop:
            frames, asked = stop.value, None
    whole = combined(files.to_frame(), frames)[STEP]
    return whole, known, rounds


@given(servers(), st.data())
def test_no_live_row_is_lost_in_silence(served, data):
    steps, exported, caps, answer = served
    bounds = data.draw(
        st.sampled_from([(None, None), (None, None), (30, None), (None, 700), (55, 650)])
    )
    counted = data.draw(st.booleans())
    expected = Expected(
        line_count=len(steps) if counted else None,
        last_step=steps[-1] if steps and data.draw(st.booleans()) else None,
        ended=True,
        min_step=bounds[0],
        max_step=bounds[1],
    )
    whole, known, rounds = read(
        expected, steps, exported, caps, answer, tells_live=data.draw(st.booleans())
    )
    there = [s for s in steps if (bounds[0] or 0) <= s < (bounds[1] or 2**60)]
    assert whole.is_unique().all()
    assert set(whole.to_list()) <= set(there)
    if whole.to_list() != there:
        assert shortfall(expected, whole, known.known) is not None
    # A list that ends says nothing of what lies behind.
    assert rounds <= 20 + 4 * len(steps) / min(caps)


@given(servers())
def test_a_server_without_caps_is_asked_as_often_as_one_needs_to_be(served):
    steps, exported, _, answer = served
    expected = Expected(line_count=len(steps), last_step=None, ended=True)
    whole, _, rounds = read(expected, steps, exported, [10_000, 10_000], answer, tells_live=True)
    assert whole.to_list() == steps
    assert rounds <= 2
