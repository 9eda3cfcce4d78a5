"""One tree of errors; each is of the kind that a caller would expect, pickles, and is one line."""

from __future__ import annotations

import inspect
import pickle

import pytest

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
