"""Whatever a server differs in, a read gives the true values or says why not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.differing import battery
from tests.differing.project import LONG_ROWS, small
from tests.differing.report import judge
from tests.differing.variants import (
    ALLOWED,
    COSTLY,
    EXAMPLES,
    IGNORED,
    MORE,
    NOT_TRIED,
    PAIRS,
    UNORDERED,
    name_of,
    variants,
)
from tests.whole.truth import rows_of
from wbframe.server import DIFFERENCES

# What is not held yet: on these servers some read still fails or believes a wrong hint. A variant
# leaves the list when it holds, and none may join it; the report says how each read goes there.
NOT_HELD = frozenset(Path(__file__).with_name("not_held.txt").read_text("utf-8").splitlines())


# All of the variants take long: CI runs a part of the single ones each day, as in "1/3".
PART, PARTS = map(int, os.environ.get("WBFRAME_MATRIX_PART", "1/1").split("/"))


def cases(chosen):
    """A parameter for each variant; those that are not held yet are marked, and not run."""
    unheld = pytest.mark.xfail(run=False, reason="not held yet: see not_held.txt")
    for each in chosen:
        name = name_of(each)
        yield pytest.param(each, id=name, marks=[unheld] if name in NOT_HELD else [])


def test_what_is_not_held_names_variants_that_there_are():
    assert NOT_HELD.difference(name_of(each) for each in (*variants(), *PAIRS)) == set()


def test_the_plain_server_gives_the_truth():
    plain = battery.truth()
    assert {name: each.kind for name, each in plain.items() if each.kind != "ok"} == {}
    runs = small().runs
    assert plain["runs_all"].value["run_id"].to_list() == [run.name for run in runs]
    for name, keys in (
        ("rows_whole", None),
        ("rows_key", ["loss"]),
        ("rows_apart", ["loss", "apart"]),
    ):
        expected = [(run.name, row["_step"]) for run in runs for row in rows_of(run, keys=keys)]
        assert plain[name].value.select("run_id", "_step").rows() == expected
    assert plain["long_whole"].value.height == 2 * LONG_ROWS + 700


def test_tables_name_differences_that_there_are():
    named = {
        *(each.partition("=")[0] for each in (*ALLOWED, *COSTLY)),
        *EXAMPLES,
        *IGNORED,
        *MORE,
        *NOT_TRIED,
        *UNORDERED,
    }
    assert named <= DIFFERENCES.keys()
    assert len({name for each in variants() for name in each}) >= 80


def fail_of(wrong):
    told = [f"{read}: {text[:200]}" for read, text in wrong.items() if text]
    if told:
        pytest.fail("\n".join([f"{len(told)} of {len(wrong)} reads", *told]), pytrace=False)


def surely(wrong, differing):
    """Give what is wrong; of what threads decide among themselves, what is wrong twice.

    How many pages are on their way when the first is refused, and whose request each fourth is.
    """
    by_chance = ("COSTLY", "error: RateLimitError")
    told = {read: text for read, text in wrong.items() if text}
    if not told or not all(text.startswith(by_chance) for text in told.values()):
        return told
    _, again = judge(differing)
    return {read: text for read, text in again.items() if text and read in told}


@pytest.mark.parametrize("differing", [*cases([*variants()][PART - 1 :: PARTS])])
def test_differing(differing):
    found, wrong = judge(differing)
    if not found:
        pytest.skip("no read asks for anything that this server answers otherwise")
    fail_of(surely(wrong, differing))


@pytest.mark.parametrize("differing", [*cases(PAIRS)])
def test_pairs(differing):
    _, wrong = judge(differing)
    fail_of(surely(wrong, differing))
