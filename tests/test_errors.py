"""One tree of errors; each is of the kind that a caller would expect, pickles, and is one line."""

from __future__ import annotations

import copy
import inspect
import pickle
import traceback
import warnings

import pytest

from tests.hostile import NASTY, is_seen
from wbframe import errors
from wbframe.errors import (
    ColumnError,
    NotFoundError,
    PrecisionWarning,
    RateLimitError,
    StatusError,
    TimedOutError,
    UsageError,
    WbframeError,
    WbframeWarning,
    did_you_mean,
    one_of,
)
from wbframe.warn import warn

ALL = [getattr(errors, name) for name in errors.__all__]
CLASSES = [each for each in ALL if inspect.isclass(each)]


@pytest.mark.parametrize("kind", CLASSES)
def test_one_tree(kind):
    assert issubclass(kind, WbframeError if kind.__name__.endswith("Error") else WbframeWarning)
    assert kind.__doc__
    assert kind.__name__ in errors.__doc__


@pytest.mark.parametrize("kind", [each for each in CLASSES if issubclass(each, WbframeError)])
def test_errors_pickle(kind):
    error = (
        kind("what went wrong", 503) if issubclass(kind, StatusError) else kind("what went wrong")
    )
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert str(again) == "what went wrong"
    assert getattr(again, "status", None) == getattr(error, "status", None)


def test_what_callers_catch():
    assert issubclass(UsageError, ValueError)
    assert issubclass(ColumnError, LookupError)
    assert issubclass(NotFoundError, ValueError)
    assert issubclass(NotFoundError, LookupError)
    assert issubclass(TimedOutError, errors.ConnectionFailedError)
    assert issubclass(RateLimitError, StatusError)
    assert issubclass(PrecisionWarning, UserWarning)


@pytest.mark.parametrize(
    ("name", "known", "expected"),
    [
        ("stat", ["state", "tags"], " Did you mean 'state'?"),
        ("STATE", ["state"], " Did you mean 'state'?"),
        ("zzz", ["state"], ""),
        ("", ["state"], ""),
        ("a", [], ""),
        ("loss", ["los", "loss1", "losss", "loss2"], " Did you mean 'losss', 'loss2', 'loss1'?"),
        ("loss", ["Loss", "LOSS"], " Did you mean 'LOSS'?"),
    ],
)
def test_near_names(name, known, expected):
    assert did_you_mean(name, known) == expected


def test_near_names_are_at_most_so_many():
    assert did_you_mean("loss", ["loss1", "loss2", "loss3"], most=1).count("'") == 2


def test_one_of():
    error = one_of("match", 3, ["any", "all"])
    assert isinstance(error, UsageError)
    assert str(error) == "`match` must be one of 'any', 'all'; got 3."


@pytest.mark.parametrize("kind", CLASSES)
def test_a_message_is_one_line_that_is_seen_whatever_is_in_it(kind):
    told = f"could not read {NASTY}\r\n{'x' * 10_000}; set `keys`"
    error = kind(told, 503) if issubclass(kind, StatusError) else kind(told)
    for each in (error, pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert is_seen(str(each))
        assert is_seen(repr(each))
        assert len(str(each)) <= 2_000
        assert str(each).startswith("could not read \\x1b]0;title")
        assert str(each).endswith("; set `keys`")
        assert str(each) == str(error)
    assert is_seen("".join(traceback.format_exception_only(error)).removesuffix("\n"))


def test_what_is_added_to_an_error_on_its_way_is_seen_too():
    error = errors.QueryError("the server answered: no")
    error.args = (f"{error}; it has no {NASTY}",)
    assert is_seen(str(error))
    assert str(error).startswith("the server answered: no; it has no \\x1b")


def test_what_is_known_of_an_error_besides_stays_exact():
    error = errors.SchemaMismatchError(f"a value does not fit {NASTY!r}")
    error.key = NASTY
    assert error.key == NASTY
    assert StatusError("no", 503).status == 503


def test_a_warning_is_one_line_that_is_seen_by_whatever_way_it_is_given():
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        warn(NASTY * 1_000, errors.LeftOutWarning)
        warn(NASTY * 1_000, DeprecationWarning)
        warnings.warn(NASTY * 1_000, errors.NewKeyWarning, stacklevel=1)
    assert len(told) == 3
    for each in told:
        assert is_seen(str(each.message))
        assert len(str(each.message)) <= 2_000


def test_names_that_nobody_types_are_not_compared():
    """Two texts of a megabyte take an hour to compare."""
    names = ["x" * i + "y" * (1_000_000 - i) for i in range(3)]
    assert did_you_mean("x" * 1_000_000, names) == ""
    assert did_you_mean("los", [*names, "loss"]) == " Did you mean 'loss'?"
