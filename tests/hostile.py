"""Text that is made to hurt whoever prints it, a project full of it, and the law for what is shown."""

from __future__ import annotations

import re

from hypothesis import strategies as st

from wbframe.server import History, Project, RunRecord, Sweep

# A title, a cleared screen, a way back to the line's start, one of 8 bits, overrides and isolates of direction, what
# breaks lines elsewhere, what nobody sees, a tag, and a character that nobody has assigned.
PIECES = [
    "\x1b]0;title\x07", "\x1b[2J\x1b[H", "\r", "\n", "\x9b31m", "\x85", "\x00", "\x08\x08", "\x7f", "\u202e", "\u2066",
    "\u2069", "\u200f", "\u061c", "\u2028", "\u2029", "\u200b", "\ufeff", "\U000e0041", "\u200d", "\U000e01f0", "\ue000", "\t",
]  # fmt: skip
NASTY = "".join(PIECES)
# What stays as it is: letters of all scripts, marks upon them, emoji of one sign and of several.
KIND = [
    "größe",
    "損失",
    "خسارة",
    "e\u0301",
    "🔥",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "❤\ufe0f",
]

nasty_texts = st.lists(
    st.one_of(st.sampled_from(PIECES), st.sampled_from(KIND), st.text(max_size=4)), max_size=12
).map("".join)


def is_seen(text, *, lines=False):
    """Tell whether a text holds nothing but characters that are seen, and blanks."""
    without = re.sub("(?<=[\u2190-\U0001faff\ufe0f])\u200d(?=[\u2190-\U0001faff])", "", text)
    return all(
        each.isprintable() or each in " \u00a0\u3000" or (lines and each == "\n")
        for each in without
    )


def nasty_project(text=NASTY, *, entity="e", name="p"):
    """Make a project with a text in every name, key and value, and enough in it to be warned of."""
    row = {f"k{text}": 1.0, "t": text, "big": 2**60 + 1, "a": 0.5, f"{text}big": 2**60 + 1}
    rows = History([{"_step": step, **row} for step in range(40)])
    runs = tuple(
        RunRecord(
            name=f"r{i}{text}",
            display_name=text,
            state=f"finished{text}",
            config={"lr": 0.1, f"c{text}": text, "nest": {text: [text]}, "a.b": 1, "a": {"b": 2}},
            summary={"loss": 0.5, f"s{text}": text, "=sum": text},
            history=rows,
            tags=(text, f"a{text}"),
            group=text,
            job_type=text,
            notes=text,
            sweep="sw",
            user={"name": text, "username": text},
        )
        for i in range(3)
    )
    sweep = Sweep(name="sw", config=f"name: {text!r}")
    return Project(entity=entity, name=name, runs=runs, sweeps=(sweep,))
