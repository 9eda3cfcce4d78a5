"""What is shown: characters that are seen, lines that are short, and nothing of a text lost that could be read."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.hostile import KIND, NASTY, PIECES, is_seen, nasty_texts
from wbframe.text import LONGEST, as_utf8, is_utf8, legible, listed, one_line, shortened


@given(nasty_texts)
@settings(max_examples=300)
def test_what_is_legible_is_seen_and_stays_so(text):
    shown = legible(text)
    assert is_seen(shown)
    assert legible(shown) == shown
    assert is_seen(legible(text, keep="\n"), lines=True)
    assert legible(text, keep="\n").count("\n") == text.count("\n")
    if text.isprintable():
        assert shown == text


@given(nasty_texts, st.integers(60, 300), st.integers(1, 500))
@settings(max_examples=300)
def test_a_line_is_one_line_of_at_most_so_many_characters(text, most, times):
    for shown in (one_line(text * times, most), shortened(text * times, most)):
        assert is_seen(shown)
        assert len(shown) <= most
    assert one_line(one_line(text * times, most), most) == one_line(text * times, most)


@pytest.mark.parametrize("piece", PIECES)
def test_no_piece_of_a_hostile_text_is_shown_as_it_is(piece):
    assert is_seen(legible(piece))
    assert is_seen(one_line(f"a{piece}b"))


@pytest.mark.parametrize("text", [*KIND, "a b", "\\x1b", "Ω", "日本\u3000語"])
def test_what_people_write_stays_as_it_is(text):
    assert legible(text) == text


def test_what_joins_emoji_is_seen_elsewhere():
    assert legible("a\u200db \U0001f468\u200d") == "a\\u200db \U0001f468\\u200d"


def test_a_long_line_keeps_both_ends_and_says_what_it_lacks():
    line = one_line(f"could not read it: {'x' * 50_000}; set WANDB_API_KEY")
    assert line.startswith("could not read it: xxx")
    assert line.endswith("xxx; set WANDB_API_KEY")
    more = int(line.partition("... (")[2].partition(" more characters")[0].replace(",", ""))
    shown = len(line) - len(f"... ({more:,} more characters) ...")
    assert more + shown == 50_000 + len("could not read it: ; set WANDB_API_KEY")


def test_many_megabytes_are_no_work():
    """As few characters are looked at as are shown: what is between is neither split nor spelled."""
    looked = []

    class Text(str):
        __slots__ = ()

        def __getitem__(self, at):
            found = super().__getitem__(at)
            looked.append(len(found))
            return found

        def split(self, *_):
            raise AssertionError("all of it is split")

    line = one_line(Text("\x1b" * 10_000_000))
    assert len(line) <= LONGEST
    assert sum(looked) <= 10 * LONGEST


def test_lists_are_cut_in_number():
    assert listed([str(i) for i in range(1_200)], 2, "; ") == "0; 1 and 1,198 more"


@given(st.text(st.characters(codec=None), max_size=20))
def test_what_utf8_has_no_bytes_for(text):
    assert is_utf8(text) == (not any("\ud800" <= each <= "\udfff" for each in text))
    assert is_utf8(as_utf8(text))
    assert len(as_utf8(text)) == len(text)
    assert is_utf8(legible(text))
    assert as_utf8(NASTY) == NASTY
