"""`bucketedHistory` against a plain reading of the rows."""

from __future__ import annotations

import json
import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.server.asking import answer, engine_of, project_data
from wbframe.server import Features, synthetic
from wbframe.server.api.buckets import BucketSpec, bucketed
from wbframe.server.projects.rows import SpecError

NUMBERS = st.integers(-50, 50) | st.floats(-1e6, 1e6).map(lambda x: round(x, 3))
CELLS = NUMBERS | st.none() | st.booleans() | st.text(max_size=2) | st.just(math.nan)


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def plainly(xs, ys, spec):
    """Sum up with nothing but loops."""
    pairs = [(x, y) for x, y in zip(xs, ys, strict=True) if is_number(x) and is_number(y)]
    if not pairs:
        return []
    low, high = min(x for x, _ in pairs), max(x for x, _ in pairs)
    buckets = [[] for _ in range(spec.bins)]
    for x, y in pairs:
        width = (high - low) / spec.bins
        index = math.floor((x - low) / width) if width else 0
        buckets[min(index, spec.bins - 1)].append((x, y))
    return [
        (
            statistics.fmean(x for x, _ in each),
            statistics.fmean(y for _, y in each),
            min(y for _, y in each),
            max(y for _, y in each),
            each[-1][1],
        )
        for each in buckets
        if each
    ]


@given(st.lists(st.tuples(CELLS, CELLS), max_size=40), st.integers(1, 12))
def test_buckets_are_those_of_a_plain_reading(pairs, bins):
    xs, ys = [x for x, _ in pairs], [y for _, y in pairs]
    spec = BucketSpec(key="k", bins=bins, x_axis="_timestamp")
    got = bucketed(xs, ys, spec)
    names = ("_timestampAvg", "kAvg", "kMin", "kMax", "kLast")
    assert all(tuple(each) == names for each in got)
    wanted = plainly(xs, ys, spec)
    assert len(got) == len(wanted)
    for each, other in zip(got, wanted, strict=True):
        assert list(each.values()) == pytest.approx(list(other), rel=1e-9, abs=1e-6)


def ask(engine, *specs, run="cadence1", project="ragged"):
    texts = [json.dumps(spec) for spec in specs]
    found = project_data(
        engine,
        project,
        f'run(name: "{run}") {{ bucketedHistory(specs: $specs) }}',
        specs=("[JSONString!]!", texts),
    )
    return found["run"]["bucketedHistory"]


@pytest.fixture(scope="module")
def engine(ragged_project):
    return engine_of(ragged_project)


def test_a_bucket_for_each_part_of_the_steps(engine, ragged_project):
    rows = ragged_project.run("cadence1").history.to_dicts()
    (found,) = ask(engine, {"keys": ["eval/loss"], "bins": 4, "xAxis": "_step"})
    pairs = [(row["_step"], row["eval/loss"]) for row in rows if "eval/loss" in row]
    wanted = plainly(*zip(*pairs, strict=True), BucketSpec(key="eval/loss", bins=4))
    assert [tuple(each.values()) for each in found] == [pytest.approx(each) for each in wanted]
    assert set(found[0]) == {
        "_stepAvg", "eval/lossAvg", "eval/lossMin", "eval/lossMax", "eval/lossLast",
    }  # fmt: skip


def test_bounds_are_inclusive_and_other_axes_work(engine):
    spec = {"keys": ["train/loss"], "bins": 100, "minStep": 10, "maxStep": 12}
    by_step, by_time, nothing, no_axis = ask(
        engine,
        spec,
        {**spec, "xAxis": "_runtime"},
        {"keys": ["no"]},
        {"keys": ["train/loss"], "xAxis": "no"},
    )
    assert [each["_stepAvg"] for each in by_step] == [10, 11, 12]
    assert [each["_runtimeAvg"] for each in by_time] == [5.0, 5.5, 6.0]
    assert nothing == no_axis == []


def test_machine_metrics(engine):
    cpu, memory, whole, by_step = ask(
        engine,
        {"keys": ["system/cpu"], "bins": 2, "xAxis": "_timestamp"},
        {"keys": ["system/memory"], "bins": 2, "xAxis": "_runtime"},
        {"keys": ["system/memory_percent"], "bins": 2, "xAxis": "_runtime"},
        {"keys": ["system/cpu"], "bins": 2, "xAxis": "_step"},
    )
    assert [each["system/cpuMin"] for each in cpu] == [20.0, 20.0]
    assert [each["system/cpuMax"] for each in cpu] == [26.0, 26.0]
    assert [each["system/memoryAvg"] for each in memory] == [41.5, 41.5]
    assert len(whole) == 2
    assert by_step == []


def test_answers_may_be_text(ragged_project, engine):
    spec = {"keys": ["train/loss"], "bins": 3}
    texts = ask(engine_of(ragged_project, features=Features(buckets_as_text=True)), spec)
    assert [json.loads(text) for text in texts] == ask(engine, spec)


def test_columns_that_are_not_rows():
    project = synthetic(runs=1, rows=100, keys=1)
    (found,) = ask(
        engine_of(project),
        {"keys": ["metric/00"], "bins": 10},
        run="run-00000",
        project="synthetic",
    )
    assert [each["_stepAvg"] for each in found] == [
        pytest.approx(4.5 + 9.9 * i, abs=1) for i in range(10)
    ]


def test_without_the_feature_it_is_refused(ragged_project):
    old = engine_of(ragged_project, features=Features(bucketed_history=False))
    document = '{ project(name: "ragged") { run(name: "whole") { bucketedHistory(specs: []) } } }'
    assert answer(old, document)[0] == 400


@pytest.mark.parametrize(
    "wrong",
    [
        {"keys": []},
        {"keys": ["a", "b"]},
        {"keys": ["a"], "bins": 0},
        {"keys": ["a"], "bins": True},
        {"keys": ["a"], "bins": "many"},
        {"keys": ["a"], "xAxis": 3},
        {"keys": ["a"], "minStep": 0.5},
    ],
)
def test_senseless_specs_are_refused(ragged_project, wrong):
    with pytest.raises(SpecError):
        BucketSpec.parse(json.dumps(wrong))
    text = json.dumps(json.dumps(wrong))
    document = f'{{ project(name: "ragged") {{ run(name: "whole") {{ bucketedHistory(specs: [{text}]) }} }} }}'
    status, body = answer(engine_of(ragged_project), document)
    assert status == 200
    assert body["errors"]


def test_defaults_of_a_spec():
    assert BucketSpec.parse('{"keys":["a"]}') == BucketSpec(key="a", bins=500)
    assert BucketSpec.parse('{"keys":["a"],"samples":300}').bins == 300
    assert BucketSpec.parse('{"keys":["a"],"samples":300,"bins":7}').bins == 7
