from __future__ import annotations

import itertools
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wbframe.server.projects.rows import (
    MOST_SAMPLED,
    History,
    Spec,
    SpecError,
    even,
    flatten,
    window,
)
from wbframe.server.projects.wire import encode, spelled

KEYS = ("a", "b", "c/d", "e.f", "_step")


@given(st.integers(0, 300), st.integers(1, 320))
def test_even_sampling_keeps_the_first_and_the_last_row(count, samples):
    chosen = list(even(count, samples))
    assert len(chosen) == min(count, samples)
    assert chosen == sorted(set(chosen))
    if count:
        assert chosen[0] == 0
    if count and samples > 1:
        assert chosen[-1] == count - 1
        gaps = {after - before for before, after in itertools.pairwise(chosen)}
        assert not gaps or max(gaps) - min(gaps) <= 1


def test_nothing_is_sampled_of_nothing():
    assert list(even(5, 0)) == []
    assert list(even(0, 5)) == []


@given(
    st.lists(st.integers(0, 20), max_size=12).map(sorted),
    st.none() | st.integers(-2, 22),
    st.none() | st.integers(-2, 22),
)
def test_windows_are_half_open_or_closed(steps, low, high):
    for closed in ("left", "both"):
        start, stop = window(steps, low, high, closed=closed)
        assert steps[start:stop] == [
            step
            for step in steps
            if (low is None or step >= low)
            and (high is None or step < high or (closed == "both" and step == high))
        ]


VALUES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats()
    | st.text(max_size=3)
    | st.lists(st.floats(), max_size=2)
    | st.just({"_type": "histogram", "bins": [math.nan, 1.0]})
)
ROWS = st.lists(st.dictionaries(st.sampled_from(KEYS[:-1]), VALUES), max_size=12)


@given(ROWS, st.lists(st.sampled_from((*KEYS, "absent")), min_size=1, max_size=4), st.booleans())
def test_a_spec_is_answered_like_a_slow_reading_of_the_rows(rows, keys, float_step):
    history = History(rows)
    spec = Spec.parse(json.dumps({"keys": keys, "samples": 500}))
    wanted = []
    for step, logged in enumerate(rows):
        row = {**logged, "_step": step}
        if all(key in row for key in keys):
            picked = {key: spelled(row[key]) for key in dict.fromkeys(keys)}
            wanted.append(picked)
    got = history.sample(spec, float_step=float_step)
    assert json.loads(got, parse_constant=pytest.fail) == wanted
    if "_step" in keys and wanted:
        first = json.loads(got)[0]["_step"]
        assert isinstance(first, float if float_step else int)
    assert history.sample(spec, float_step=float_step) == got


@given(ROWS)
def test_rows_survive_encoding(rows):
    history = History(rows)
    kept = [{**row, "_step": step} for step, row in enumerate(rows)]
    assert encode(history.to_dicts(), bare=True) == encode(kept, bare=True)
    texts = history.texts(samples=500)
    assert [json.loads(text, parse_constant=pytest.fail) for text in texts] == spelled(kept)
    assert [text.encode() for text in history.texts(bare=True)] == history.rows


def test_bare_tokens_are_a_choice():
    history = History([{"x": math.nan}, {"x": -math.inf}, {"x": 1.5}])
    assert history.texts(bare=True) == [
        '{"x":NaN,"_step":0}',
        '{"x":-Infinity,"_step":1}',
        '{"x":1.5,"_step":2}',
    ]
    assert history.texts() == [
        '{"x":"NaN","_step":0}',
        '{"x":"-Infinity","_step":1}',
        '{"x":1.5,"_step":2}',
    ]


def test_steps_are_bounded_as_the_endpoints_say():
    history = History({"_step": step, "x": step} for step in (0, 5, 5, 9))
    assert [json.loads(text)["x"] for text in history.texts(min_step=5, max_step=9)] == [5, 5]
    closed = Spec(keys=("x",), min_step=5, max_step=9)
    assert json.loads(history.sample(closed)) == [{"x": 5}, {"x": 5}, {"x": 9}]
    assert history.sample(Spec(keys=("x",), min_step=10)) == b"[]"


def test_rows_are_put_in_step_order_and_ties_stay():
    history = History(
        [{"_step": 7, "x": 1}, {"_step": 3.0, "x": 2}, {"_step": 7, "x": 3}, {"x": 4}]
    )
    assert history.steps == [3, 7, 7, 8]
    assert [row["x"] for row in history.to_dicts()] == [2, 1, 3, 4]


def test_no_spec_gives_more_than_the_cap():
    history = History({"x": step} for step in range(MOST_SAMPLED + 90))
    rows = json.loads(history.sample(Spec(keys=("_step",), samples=10**6)))
    assert len(rows) == MOST_SAMPLED
    assert rows[0] == {"_step": 0}
    assert rows[-1] == {"_step": MOST_SAMPLED + 89}


def test_an_explicit_null_is_held_and_a_missing_key_is_not():
    history = History([{"x": None}, {}, {"x": 1}])
    assert json.loads(history.sample(Spec(keys=("_step", "x")))) == [
        {"_step": 0, "x": None},
        {"_step": 2, "x": 1},
    ]


def test_nested_dicts_become_dotted_keys_and_media_do_not():
    row = {"a": {"b": {"c": 1}, "m": {"_type": "image-file"}}, "e": {}, "l": [{"x": 1}]}
    assert flatten(row) == {
        "a.b.c": 1,
        "a.m": {"_type": "image-file"},
        "e": {},
        "l": [{"x": 1}],
    }


def test_key_statistics_count_types():
    history = History(
        [
            {"n": 1, "m": "text", "b": True, "h": {"_type": "histogram"}},
            {"n": math.nan, "m": 2.5, "l": [1], "e": {}, "z": None},
            {"n": 0.5, "m": 1},
        ]
    )
    counts = {key: stats.counts for key, stats in history.keys.items()}
    assert counts == {
        "_step": {"number": 3},
        "n": {"number": 3},
        "m": {"string": 1, "number": 2},
        "b": {"bool": 1},
        "h": {"histogram": 1},
        "l": {"list": 1},
        "e": {"map": 1},
        "z": {"nil": 1},
    }
    assert history.keys["_step"].to_json()["monotonic"] is True
    assert history.keys["n"].to_json() == {
        "typeCounts": [{"type": "number", "count": 3}],
        "monotonic": False,
        "previousValue": 0.5,
    }
    assert history.keys["z"].to_json()["previousValue"] < -1e308


def test_picks_are_kept_and_bounded():
    history = History({f"k{key}": step for key in range(40)} for step in range(3))
    first = history.pick(("k0",))
    assert history.pick(("k0",)) is first
    for key in range(1, 20):
        history.pick((f"k{key}",))
    again = history.pick(("k0",))
    assert again is not first
    assert again == first


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no json", "must be JSON text"),
        ("[]", "needs `keys`"),
        ("{}", "needs `keys`"),
        ('{"keys": []}', "needs `keys`"),
        ('{"keys": [1]}', "needs `keys`"),
        ('{"keys": "a"}', "needs `keys`"),
        ('{"keys": ["a"], "samples": 0}', "at least 1"),
        ('{"keys": ["a"], "samples": "x"}', "`samples` of a spec must be a whole number"),
        ('{"keys": ["a"], "minStep": 1.5}', "`minStep` of a spec must be a whole number"),
        ('{"keys": ["a"], "maxStep": true}', "`maxStep` of a spec must be a whole number"),
    ],
)
def test_bad_specs_are_refused(text, message):
    with pytest.raises(SpecError, match=message):
        Spec.parse(text)


def test_specs_have_defaults():
    assert Spec.parse('{"keys": ["a", "b", "a"]}') == Spec(keys=("a", "b"), samples=500)
    assert Spec.parse('{"keys": ["a"], "samples": null, "minStep": 2.0, "maxStep": 7}') == Spec(
        keys=("a",), samples=500, min_step=2, max_step=7
    )


def test_integers_of_any_size_are_encoded():
    assert encode({"x": 2**70, "y": [-(2**65)]}) == b'{"x":%d,"y":[%d]}' % (2**70, -(2**65))
    assert encode((1, math.inf)) == b'[1,"Infinity"]'


def test_histories_show_their_size():
    assert repr(History([{"x": 1}])) == "<History of 1 rows, 2 keys>"
