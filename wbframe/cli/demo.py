"""What ``wbframe demo`` shows: a project of real trainings, read over HTTP from a server in this process."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import polars as pl

import wbframe

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["curves", "play"]

_PATH = "wbframe/demo"
_KEYS = ["train/loss", "eval/loss"]
# Runs of the demo project whose curves differ enough to be told apart in text.
_DRAWN = ["sgd-classifier-averaged", "softmax-long", "mlp-long"]
_SHOWN = ["name", "state", "config.learning_rate", "summary.best.accuracy"]
_MARKS = "abcdefghijklmnopqrstuvwxyz"

_OWN = """
The same for a project of yours; the key is found in WANDB_API_KEY, or where `wandb login` put it:

    import polars as pl, wbframe
    runs = pl.read_wandb_runs("<entity>/<project>")
    rows = pl.read_wandb_histories("<entity>/<project>", keys=["<key>", "<key>"])
"""


def play(say: Callable[[str], object]) -> None:
    """Serve the demo project, read its runs and histories, and show both.

    Parameters
    ----------
    say
        Gets each piece of text, without a line break at its end.

    Raises
    ------
    UsageError
        If aiohttp, which the server needs, is not installed.
    """
    with (
        wbframe.server.serve("demo") as server,
        wbframe.Client(server.url, server.api_key) as client,
    ):
        say(
            f"A server in this process has the project {_PATH}: small trainings on images of digits."
        )
        runs = wbframe.polars.read_runs(_PATH, client=client)
        listed = wbframe.polars.report_of(runs)
        say(f"\n>>> runs = pl.read_wandb_runs({_PATH!r})")
        say(f">>> runs.shape\n{runs.shape}\n>>> runs.select({_SHOWN})\n{runs.select(_SHOWN)}")
        rows = wbframe.polars.read_histories(
            _PATH, keys=_KEYS, samples=500, run_columns=["name"], client=client
        )
        read = wbframe.polars.report_of(rows)
        say(
            f"\n>>> rows = pl.read_wandb_histories({_PATH!r}, keys={_KEYS}, samples=500, run_columns=['name'])"
        )
        say(f">>> rows\n{rows}")
    say(f"\n{_KEYS[0]} by _step\n{curves(rows, _KEYS[0], _DRAWN)}")
    if listed is not None and read is not None:
        requests, received = (
            listed.requests + read.requests,
            listed.bytes_received + read.bytes_received,
        )
        say(
            f"\n{requests} requests, {received:,} bytes, {listed.seconds + read.seconds:.2f} s:"
            f" {read.rows:,} of {read.rows_known:,} rows of {read.runs} runs."
            f"\nThe server sampled the {read.sampled_runs} runs that have logged more than `samples`,"
            f" which is {read.samples} as in W&B's own API."
        )
    say(_OWN)


def curves(
    rows: pl.DataFrame, key: str, names: list[str], *, width: int = 68, height: int = 12
) -> str:
    """Draw a key of a few runs over `_step`, on a logarithmic scale, as text.

    Parameters
    ----------
    rows
        A histories frame with the run column `name`.
    key
        Its key to draw; what is not finite and above 0 is left out.
    names
        The runs to draw; each gets a letter.
    width, height
        Of the picture without its scales, in characters.

    Examples
    --------
    >>> frame = pl.DataFrame({"name": ["run"] * 3, "_step": [0, 1, 2], "loss": [1.0, 0.1, 0.01]})
    >>> print(curves(frame, "loss", ["run"], width=3, height=3))
           1 |a
         0.1 | a
        0.01 |  a
             +---
              0 2
              a run
    """
    drawn = rows.filter(pl.col("name").is_in(names), pl.col(key).is_finite(), pl.col(key) > 0)
    if drawn.is_empty():
        return "  nothing to draw"
    last = drawn["_step"].max()
    assert isinstance(last, int)
    cells = (
        drawn.group_by("name", pl.col("_step") * width // (last + 1))
        .agg(pl.col(key).log10().mean().alias("log"))
        .sort("name", "_step")
    )
    low, high = cells["log"].min(), cells["log"].max()
    assert isinstance(low, float)
    assert isinstance(high, float)
    per_line = (high - low) / (height - 1) or 1.0
    canvas = [[" "] * width for _ in range(height)]
    for name, column, log in cells.iter_rows():
        canvas[round((high - log) / per_line)][column] = _MARKS[names.index(name)]
    lines = [
        f"{_scale(i, height, high, per_line):>8} |{''.join(line)}".rstrip()
        for i, line in enumerate(canvas)
    ]
    axis = f"0{last:>{width - 1}}"
    legend = "  ".join(f"{mark} {name}" for mark, name in zip(_MARKS, names, strict=False))
    return "\n".join([*lines, f"{'':>8} +{'-' * width}", f"{'':>10}{axis}", f"{'':>10}{legend}"])


def _scale(line: int, height: int, high: float, per_line: float) -> str:
    """Give the label of a line: the top, the middle and the bottom have one."""
    if line not in {0, height // 2, height - 1}:
        return ""
    return f"{math.pow(10, high - line * per_line):.3g}"
