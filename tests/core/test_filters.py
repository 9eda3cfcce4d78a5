from __future__ import annotations

import datetime as dt
import json
import pickle
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wbframe.core import filters as f
from wbframe.core.filters import conjoin, parse, to_dict, to_json
from wbframe.core.schema.doubts import doubts
from wbframe.errors import FilterError
from wbframe.server.api.matching import MISSING, matches

BERLIN = dt.timezone(dt.timedelta(hours=2))

WIRE = {
    "empty": ({}, "{}"),
    "bare": ({"state": "finished"}, '{"state":"finished"}'),
    "bare null": ({"group": None}, '{"group":null}'),
    "spelled $eq stays": ({"state": {"$eq": "x"}}, '{"state":{"$eq":"x"}}'),
    "several keys": ({"state": "a", "group": "b"}, '{"state":"a","group":"b"}'),
    "several tests": (
        {"config.lr": {"$gte": 0.1, "$lt": 1}},
        '{"config.lr":{"$gte":0.1,"$lt":1}}',
    ),
    "user's spelling": ({"display_name": "a"}, '{"display_name":"a"}'),
    "joiners": (
        {"$or": [{"state": "a"}, {"$nor": [{"$and": [{"tags": "b"}, {}]}]}]},
        '{"$or":[{"state":"a"},{"$nor":[{"$and":[{"tags":"b"},{}]}]}]}',
    ),
    "joiner beside a field": (
        {"$or": [{"state": "a"}], "group": "b"},
        '{"$or":[{"state":"a"}],"group":"b"}',
    ),
    "tuple": ({"config.x": {"$in": (1, None, True)}}, '{"config.x":{"$in":[1,null,true]}}'),
    "set": ({"state": {"$in": {"b", "a"}}}, '{"state":{"$in":["a","b"]}}'),
    "empty $in": ({"state": {"$in": []}}, '{"state":{"$in":[]}}'),
    "a list of the config": ({"config.dims": [1, 2]}, '{"config.dims":[1,2]}'),
    "small float": ({"config.lr": 1e-07}, '{"config.lr":0.0000001}'),
    "large float": ({"config.n": 1e21}, '{"config.n":1000000000000000000000.0}'),
    "large int": ({"config.n": 2**70}, f'{{"config.n":{2**70}}}'),
    "another real": ({"config.n": Fraction(1, 4)}, '{"config.n":0.25}'),
    "aware time": (
        {"createdAt": {"$gte": dt.datetime(2026, 1, 1, 2, tzinfo=BERLIN)}},
        '{"createdAt":{"$gte":"2026-01-01T00:00:00Z"}}',
    ),
    "naive time is UTC": (
        {"createdAt": dt.datetime(2026, 1, 1, 0, 0, 0, 5)},  # noqa: DTZ001
        '{"createdAt":"2026-01-01T00:00:00.000005Z"}',
    ),
    "date": ({"createdAt": {"$lt": dt.date(2026, 1, 1)}}, '{"createdAt":{"$lt":"2026-01-01"}}'),
    "not ASCII": ({"config.ä": "ö"}, '{"config.\\u00e4":"\\u00f6"}'),
}


@pytest.mark.parametrize(("document", "text"), WIRE.values(), ids=WIRE)
def test_to_json_spells_the_document_for_the_wire(document, text):
    parsed = parse(document)
    assert to_json(parsed) == text
    assert parse(json.loads(text)) == parsed
    assert hash(parsed) == hash(pickle.loads(pickle.dumps(parsed)))


ERRORS = {
    "no mapping": ([], "A filter is a mapping"),
    "no mapping inside": ({"$and": ["x"]}, "A filter is a mapping"),
    "key": ({1: 2}, "keys of a filter are text"),
    "operator": ({"$xor": []}, r"no operator `\$xor`; it has \$and \$or .*Did you mean '\$or'"),
    "field operator": ({"state": {"$neq": 1}}, r"Did you mean '\$ne'"),
    "bare operator": ({"$eq": 1}, r"belongs under a field"),
    "joiner's operand": ({"$or": {"state": "a"}}, "takes a list of one or more filters"),
    "joiner under a field": ({"state": {"$and": [1]}}, "belongs outside of `state`"),
    "field": ({"stat": 1}, "no field `stat`.*Did you mean 'state'"),
    "our run_id": ({"run_id": "a"}, "calls a run's id `name`"),
    "summary": ({"summary.loss": 1}, "`summary_metrics.loss`"),
    "bare config": ({"config": {"lr": 1}}, "`config.<key>`"),
    "config without key": ({"config.": 1}, "`config.<key>`"),
    "bare summary": ({"summary_metrics": 1}, "`summary_metrics.<key>`"),
    "no operators": ({"state": {}}, "has no operator"),
    "nested keys": ({"config.opt": {"lr": 1}}, r"`config.opt.lr`"),
    "mixed": ({"config.opt": {"$gt": 1, "lr": 1}}, "mixes values and operators"),
    "$in": ({"state": {"$in": "finished"}}, r"`\$in` on `state` takes a list"),
    "$exists": ({"group": {"$exists": 1}}, "takes True or False"),
    "$regex": ({"group": {"$regex": 1}}, "takes text"),
    "list": ({"state": ["a", "b"]}, r"give {'\$in': \[...\]}"),
    "list of an order": ({"config.a": {"$gt": [1]}}, "give one value"),
    "set": ({"config.a": {1, 2}}, "compared with a set"),
    "null of an order": ({"config.a": {"$gt": None}}, "takes a number or text; got None"),
    "nan": ({"config.a": float("nan")}, "nan, which JSON cannot spell"),
    "nan under an unknown operator": ({"config.a": {"$all": [float("nan")]}}, "JSON cannot spell"),
    "object under an unknown operator": ({"tags": {"$all": [object()]}}, "a literal is"),
    "keys under an unknown operator": ({"tags": {"$not": {1: 2}}}, "keys of a filter are text"),
    "odd literal": ({"config.a": b"x"}, "of type bytes; a literal is"),
    "dict literal": ({"config.a": {"$eq": {"b": 1}}}, "of type dict; a literal is"),
    "look-ahead": ({"group": {"$regex": "a(?!b)"}}, r"`\(\?!`, which RE2 does not have"),
    "look-behind": ({"group": {"$regex": "(?<=a)b"}}, "RE2 does not have"),
    "back-reference": ({"group": {"$regex": r"(a)\1"}}, "RE2 does not have"),
    "named reference": ({"group": {"$regex": "(?P<n>a)(?P=n)"}}, "RE2 does not have"),
    "conditional": ({"group": {"$regex": "(a)?(?(1)b)"}}, "RE2 does not have"),
    "possessive": ({"group": {"$regex": "a++"}}, "RE2 does not have"),
    "verbose": ({"group": {"$regex": "(?ix)a"}}, "RE2 does not have"),
    "end": ({"group": {"$regex": r"a\Z"}}, "RE2 does not have"),
    "no regex": ({"group": {"$regex": "a("}}, "is no regular expression"),
}


@pytest.mark.parametrize(("document", "message"), ERRORS.values(), ids=ERRORS)
def test_parse_refuses(document, message):
    with pytest.raises(FilterError, match=message):
        parse(document)


def test_parse_refuses_bottomless_nesting():
    document: dict = {"state": "a"}
    for _ in range(100):
        document = {"$and": [document]}
    assert to_dict(parse(document)) == document
    with pytest.raises(FilterError, match="more than 100 levels"):
        parse({"$and": [document]})


@pytest.mark.parametrize(
    "pattern", [r"a\\1", r"[(?!]", r"\(\?!", r"a\++", r"[]++]+", "(?i)a", "(?:a|b)*?", "^a$", r"\d"]
)
def test_parse_takes_what_re2_reads(pattern):
    assert to_dict(parse({"group": {"$regex": pattern}})) == {"group": {"$regex": pattern}}


def test_every_known_field_parses():
    for name, main in f.FIELDS.items():
        assert f.server_name(name) == main
        assert to_dict(parse({name: "a"})) == {name: "a"}


AS_IT_IS = [
    {"tags": {"$all": ["a", "b"]}},
    {"config.lr": {"$not": {"$gt": 0.00001}}},
    {"displayName": {"$contains": "seed"}},
    {"$not": {"state": "failed", "$or": [{"config.a": 1}, {"config.b": None}]}},
    {"$and": []},
    {"$and": [{"state": "finished"}]},
    {"state": {"$fancy": "failed", "$ne": "killed"}},
    {"group": {"$regex": "a", "$options": "i"}},
    {"commit": "abc"},
    {"runInfo.program": "train.py"},
    {"history_line_count": {"$gt": 3}},
    {"$text": {"$search": "x"}},
]


@pytest.mark.parametrize("document", AS_IT_IS, ids=str)
def test_what_is_not_known_here_goes_as_it_is(document):
    parsed = parse(document)
    assert json.loads(to_json(parsed)) == document
    assert json.loads(to_json(conjoin(parsed, f.EMPTY))) == document
    assert hash(parsed) == hash(pickle.loads(pickle.dumps(parsed)))
    both = json.loads(to_json(conjoin(parsed, parse({"group": "g"}))))
    if document != {"$and": [{"state": "finished"}]}:
        assert both == {"$and": [document, {"group": "g"}]}


def test_values_under_an_unknown_operator_are_spelled_as_others_are():
    at = dt.datetime(2026, 1, 2, tzinfo=dt.timezone.utc)
    document = {"createdAt": {"$all": [at, 1e-7, {"a"}]}}
    assert to_json(parse(document)) == (
        '{"createdAt":{"$all":["2026-01-02T00:00:00Z",0.0000001,["a"]]}}'
    )


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"tags": {"$all": ["a"]}}, ["W&B has been seen to refuse `$all`"]),
        ({"state": {"$fancy": 1}}, ["does not document `$fancy`", "$and $or"]),
        ({"$not": {"state": "a"}}, ["does not document `$not`"]),
        ({"state": {"$ne": 1}}, []),
    ],
)
def test_doubts_name_what_is_not_documented(document, said):
    found = " ".join(doubts(parse(document)))
    assert bool(found) == bool(said)
    assert all(each in found for each in said)


def test_conjoin():
    a, b, c = (parse({"group": each}) for each in "abc")
    both = parse({"state": "x", "group": "y"})
    assert conjoin() == f.EMPTY
    assert conjoin(f.EMPTY, a) == a
    assert conjoin(conjoin(a, b), c) == conjoin(a, b, c) == f.And((a, b, c))
    assert to_dict(conjoin(both, a)) == {"$and": [{"state": "x", "group": "y"}, {"group": "a"}]}


NAN = float("nan")
# (stored value, tests, mongo, sql)
MATCHES = [
    ("a", "a", True, True),
    ("a", {"$eq": "b"}, False, False),
    ("a", {"$ne": "b"}, True, True),
    (MISSING, "a", False, False),
    (MISSING, None, True, False),
    (None, None, True, False),
    (0, None, False, False),
    (MISSING, {"$ne": "a"}, True, False),
    (None, {"$ne": "a"}, True, False),
    ("b", {"$ne": None}, True, False),
    (MISSING, {"$ne": None}, False, False),
    (MISSING, {"$in": ["a", None]}, True, False),
    ("a", {"$in": ["a", None]}, True, True),
    ("b", {"$in": ["a", None]}, False, False),
    ("b", {"$nin": ["a", None]}, True, False),
    ("b", {"$nin": ["a"]}, True, True),
    (MISSING, {"$nin": ["a"]}, True, False),
    ("a", {"$nin": ["a"]}, False, False),
    (MISSING, {"$gt": 0}, False, False),
    (None, {"$lt": 1}, False, False),
    (2, {"$gt": 1}, True, True),
    (1, {"$gt": 1}, False, False),
    (1, {"$gte": 1.0, "$lte": 1}, True, True),
    (1, {"$lt": 1}, False, False),
    (0.5, {"$lt": 1}, True, True),
    ("2", {"$gt": 1}, False, False),
    (2, {"$gt": "1"}, False, False),
    ("b", {"$gt": "a"}, True, True),
    (True, 1, False, False),
    (1, True, False, False),
    (True, True, True, True),
    (True, {"$gt": False}, True, True),
    (True, {"$gt": 0}, False, False),
    (2**53 + 1, {"$gt": 2.0**53}, True, True),
    (NAN, "NaN", True, True),
    (NAN, {"$gt": 1}, False, False),
    (float("inf"), {"$in": ["Infinity"]}, True, True),
    (float("-inf"), "-Infinity", True, True),
    (["a", "b"], "a", True, True),
    (["a", "b"], {"$in": ["c", "b"]}, True, True),
    (["a", "b"], {"$ne": "a"}, False, False),
    (["a", "b"], {"$nin": ["c"]}, True, True),
    ([], "a", False, False),
    ([1, 5], {"$gt": 4}, True, True),
    (["ab"], {"$regex": "b"}, True, True),
    ([1, 2], [1, 2], True, True),
    ([1, 2], [2, 1], False, False),
    ([1, 2], [1], False, False),
    ([[1, 2]], {"$in": [1]}, True, True),
    ({"a": 1}, {"$ne": 1}, True, True),
    ({"a": 1}, 1, False, False),
    ({"a": 1}, {"$gt": 1}, False, False),
    (MISSING, {"$exists": True}, False, False),
    (MISSING, {"$exists": False}, True, True),
    (None, {"$exists": True}, True, False),
    (0, {"$exists": True}, True, True),
    (0, {"$exists": False}, False, False),
    ("train-1", {"$regex": r"-\d"}, True, True),
    ("train-x", {"$regex": r"-\d"}, False, False),
    ("٣", {"$regex": r"\d"}, False, False),
    (12, {"$regex": "1"}, False, False),
    (MISSING, {"$regex": ""}, False, False),
]


@pytest.mark.parametrize(("value", "tests", "mongo", "sql"), MATCHES, ids=str)
def test_matches_one_field(value, tests, mongo, sql):
    parsed = parse({"config.x": tests})
    assert matches(parsed, {"config.x": value}.get) is mongo
    assert matches(parsed, {"config.x": value}.get, reading="sql") is sql


TIMES = [
    ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05", True),
    ("2026-01-02 03:04:05", "2026-01-02T03:04:05Z", True),
    ("2026-01-02T03:04:05.000Z", "2026-01-02T03:04:05", True),
    ("2026-01-02T03:04:05", "2026-01-02T05:04:05+02:00", True),
    ("2026-01-02T03:04:05", "2026-01-01T23:04:05-0400", True),
    ("2026-01-02T00:00:00", "2026-01-02", True),
    ("2026-01-02T03:04:05", "2026-01-02", False),
    ("2026-01-02T03:04:05", {"$gte": "2026-01-02T03"}, True),
    ("2026-01-02T03:00:00", {"$gt": "2026-01-02T03"}, False),
    ("2026-01-02T03:04:05.5Z", {"$gt": "2026-01-02T03:04:05Z"}, True),
    ("2026-01-02T03:04:05Z", {"$lt": "2026-01-02T03:04:05.001"}, True),
    ("2026-02-02T03:04:05Z", {"$gt": "2026-01"}, True),
    ("2026-02-30", "2026-02-30", True),
    ("0001-01-01T00:00:00+05:00", "0001-01-01T00:00:00+05:00", True),
    ("later", "later", True),
]


@pytest.mark.parametrize(("value", "tests", "fits"), TIMES)
def test_times_compare_as_times(value, tests, fits):
    assert matches(parse({"created_at": tests}), {"createdAt": value}.get) is fits


def test_text_that_looks_like_a_time_is_text_elsewhere():
    stored = {"config.day": "2026-01-02"}
    assert not matches(parse({"config.day": "2026-01-02T00:00:00"}), stored.get)


RUN = {"state": "finished", "group": None, "config.lr": 0.1}
JOINED = [
    ({}, True, True),
    ({"state": "finished", "config.lr": 0.1}, True, True),
    ({"state": "finished", "config.lr": 0.2}, False, False),
    ({"$and": [{"state": "finished"}, {"group": {"$ne": "a"}}]}, True, False),
    ({"$or": [{"state": "failed"}, {"config.lr": {"$lt": 1}}]}, True, True),
    ({"$or": [{"state": "failed"}, {"group": {"$ne": "a"}}]}, True, False),
    ({"$or": [{"state": "finished"}, {"group": "a"}]}, True, True),
    ({"$nor": [{"state": "failed"}, {"config.lr": 5}]}, True, True),
    ({"$nor": [{"state": "failed"}, {"group": "a"}]}, True, False),
    ({"$nor": [{"state": "finished"}, {"group": "a"}]}, False, False),
    ({"$nor": [{"$nor": [{"group": "a"}]}]}, False, False),
    ({"$nor": [{"group": {"$ne": "a"}}]}, False, False),
]


@pytest.mark.parametrize(("document", "mongo", "sql"), JOINED, ids=str)
def test_joiners(document, mongo, sql):
    parsed = parse(document)
    assert matches(parsed, lambda field: RUN.get(field, MISSING)) is mongo
    assert matches(parsed, lambda field: RUN.get(field, MISSING), reading="sql") is sql


def test_missing_survives_pickling():
    assert pickle.loads(pickle.dumps(MISSING)) is MISSING
    assert repr(MISSING) == "MISSING"


# A busy machine draws slowly; that is no failure of what is tested.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
literals = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text('ab1é"\\ \x00$', max_size=4),
)
orderable = literals.filter(lambda each: each is not None)
names = st.sampled_from(["state", "tags", "config.a", "summary_metrics.b/c"])
tests = st.one_of(
    literals,
    st.fixed_dictionaries({"$eq": literals}, optional={"$ne": literals, "$lte": orderable}),
    st.fixed_dictionaries({"$in": st.lists(literals, max_size=3)}, optional={"$gt": orderable}),
    st.fixed_dictionaries({"$nin": st.lists(literals, max_size=3), "$exists": st.booleans()}),
)
documents = st.recursive(
    st.dictionaries(names, tests, max_size=3),
    lambda inner: st.dictionaries(
        st.sampled_from(["$and", "$or", "$nor"]),
        st.lists(inner, min_size=1, max_size=3),
        min_size=1,
        max_size=2,
    ),
    max_leaves=8,
)
stored = st.dictionaries(
    names, st.one_of(literals, st.lists(st.text(max_size=2), max_size=2)), max_size=4
)


@patient
@given(documents)
def test_json_round_trip(document):
    text = to_json(parse(document))
    assert parse(json.loads(text)) == parse(document)
    assert to_json(parse(json.loads(text))) == text


@patient
@given(documents, stored)
def test_a_run_never_fits_a_filter_and_its_negation(document, run):
    def lookup(field):
        return run.get(field, MISSING)

    parsed = parse(document)
    for reading in ("mongo", "sql"):
        positive = matches(parsed, lookup, reading=reading)
        negative = matches(f.Nor((parsed,)), lookup, reading=reading)
        assert not (positive and negative)
        assert positive or negative or reading == "sql"
