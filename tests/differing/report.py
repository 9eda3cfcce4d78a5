"""Print what becomes of each read on each server that differs.

``python -m tests.differing.report [--pairs] [--all] [--part=1/2] [name or part of one ...]``
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections import Counter

from tests.differing import battery
from tests.differing.variants import IGNORED, MORE, PAIRS, UNORDERED, name_of, variants, verdict


def judge(differing):
    """Do every read that a variant touches; give outcomes and what is wrong with each."""
    ignored = frozenset().union(*(IGNORED.get(name, frozenset()) for name in differing))
    found = battery.judged(
        differing,
        ignored=ignored,
        unordered=not UNORDERED.keys().isdisjoint(differing),
        more=max((MORE.get(name, "") for name in differing), key=("", "nulls", "any").index),
    )
    wrong = {
        read: verdict(differing, read, each, battery.truth()[read].requests)
        for read, each in found.items()
    }
    return found, wrong


def report(chosen, *, every: bool = False) -> Counter[str]:
    """Print a block for each variant, and count what is wrong by kind."""
    kinds: Counter[str] = Counter()
    for differing in chosen:
        started = time.monotonic()
        found, wrong = judge(differing)
        bad = {read: text for read, text in wrong.items() if text}
        justified = sorted(
            read for read, each in found.items() if each.kind != "ok" and not wrong[read]
        )
        ok = sum(each.kind == "ok" for read, each in found.items() if not wrong[read])
        seconds = time.monotonic() - started
        mark = "FAIL" if bad else "pass"
        print(
            f"{mark}  {name_of(differing)}: {len(found)} reads, {ok} ok, {len(justified)} justified,"
            f" {len(bad)} not ({seconds:.1f} s)"
        )
        for read, text in bad.items():
            kinds[text.split(":")[0]] += 1
            print(f"      {read}: {text[:300]}")
        for read in justified if every else ():
            print(f"      ({read}: {found[read].kind}: {found[read].detail[:200]})")
        kinds["variants that fail" if bad else "variants that pass"] += 1
        sys.stdout.flush()
    return kinds


def main(arguments: list[str]) -> None:
    os.environ["WANDB_APP_URL"] = "http://app.test"  # runs of two servers have one address
    logging.disable(logging.CRITICAL)
    words = [each for each in arguments if not each.startswith("--")]
    chosen = list(PAIRS) if "--pairs" in arguments else list(variants())
    if words:
        chosen = [each for each in chosen if any(word in name_of(each) for word in words)]
    part, parts = next(
        (map(int, each[7:].split("/")) for each in arguments if each.startswith("--part=")), (1, 1)
    )
    chosen = chosen[part - 1 :: parts]
    for read, each in battery.truth().items():
        if each.kind != "ok":
            print(f"      the plain server itself: {read}: {each.kind}: {each.detail[:200]}")
    started = time.monotonic()
    kinds = report(chosen, every="--all" in arguments)
    print()
    for kind, count in kinds.most_common():
        print(f"{count:6} {kind}")
    print(f"{time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main(sys.argv[1:])
