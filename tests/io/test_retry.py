"""The policy of trying again, and the budget of a request: small values."""

from __future__ import annotations

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from tests.clocks import FakeClock
from wbframe.errors import WbframeError
from wbframe.io.client.failures import (
    Failure,
    is_retried,
    of_no_answer,
    of_status,
    retry_after_seconds,
)
from wbframe.io.client.learned import Budget
from wbframe.io.client.retry import RetryPolicy, retrying


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("0", 0.0),
        ("3", 3.0),
        ("2.5", 2.5),
        ("-4", 0.0),
        ("", None),
        ("later", None),
        ("nan", None),
        ("inf", None),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 10.0),
        ("Thu, 01 Jan 1970 00:01:00 GMT", 0.0),
        ("Thu, 99 Jan 1970 00:01:00 GMT", None),
    ],
)
def test_retry_after(header, seconds):
    assert retry_after_seconds(header, now=90.0) == seconds


@given(st.text(max_size=40))
def test_no_header_makes_it_stumble(header):
    found = retry_after_seconds(header, now=0.0)
    assert found is None or 0 <= found < float("inf")


def test_which_statuses_are_tried_again():
    tried = {status for status in range(200, 600) if is_retried(status)}
    assert tried == {408, 425, 429, *range(500, 600)} - {501}


def test_which_failures_mean_too_big():
    assert of_no_answer(requests.ReadTimeout(), 1.0).error("it").too_big
    assert not of_no_answer(requests.ConnectTimeout(), 1.0).error("it").too_big
    big = {s for s in range(400, 600) if of_status(s, {}, b"").error("it").too_big}
    assert big == {413, 500, 504}
    assert not Failure(WbframeError, "other").error("it").too_big


def test_the_loop_ends_with_the_last_error():
    clock = FakeClock()
    waits = clock.waits
    tries = []

    def always():
        for attempt in retrying(
            RetryPolicy(tries=4, first_wait=0.0), clock, lambda error: error.again
        ):
            with attempt:
                tries.append(attempt)
                raise Failure(WbframeError, "always", again=True, retry_after=2.0)

    with pytest.raises(Failure, match="always"):
        always()
    assert (len(tries), waits) == (4, [2.0, 2.0, 2.0])


def test_other_errors_are_not_tried_again():
    def once():
        for attempt in retrying(RetryPolicy(), clock, lambda error: isinstance(error, Failure)):
            with attempt:
                raise KeyError

    clock = FakeClock()
    with pytest.raises(KeyError):
        once()
    assert not clock.waits


@given(st.lists(st.booleans(), max_size=60))
def test_the_budget_stays_between_its_ends(shrinks):
    budget = Budget(8000, least=1000)
    for shrink in shrinks:
        before = budget.now
        budget.shrink() if shrink else budget.grow()
        assert 1000 <= budget.now <= 8000
        assert budget.now <= before if shrink else budget.now >= before
