"""How far a read has come, as it is told: to a function, by a bar where one can be drawn, by lines elsewhere."""

from __future__ import annotations

import os
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from wbframe.errors import UsageError
from wbframe.report import Progress

__all__ = ["Hook", "ended", "hook_of", "silent"]

Hook = Callable[[Progress], object]

# Seconds between two lines, where no bar is drawn.
_EVERY = 5.0


def silent(_: Progress) -> None:
    """Say nothing."""


def hook_of(progress: bool | Hook | None) -> Hook:  # noqa: FBT001 -- the value of the argument `progress`
    """Turn the argument `progress` into a function; False and None are silence.

    True is a bar of tqdm's on a terminal and in a notebook; where stderr is neither, a line every five seconds
    and one at the end, since a log has no place for bars.

    Raises
    ------
    UsageError
        If a bar is to be drawn and tqdm is not installed, or `progress` is something that cannot be called.
    """
    if progress is None or progress is False:
        return silent
    if progress is True:
        return _Bar(_tqdm()) if _draws_bars() else _Lines()
    if not callable(progress):
        raise UsageError(f"`progress` must be True, False or a function; got {progress!r}")
    return progress


def ended(hook: Hook) -> None:
    """Take the bar of a read that has failed off the terminal's last line."""
    if isinstance(hook, _Bar):
        hook.close()


def text_of(progress: Progress) -> str:
    """Say what a read has got so far, besides the runs.

    Examples
    --------
    >>> from wbframe.report import Progress
    >>> text_of(Progress(kind="histories", done=3, rows=7770, bytes_received=1_234_567, waited=2.0))
    '7,770 rows, 1.2 MB, waited 2.0 s'
    """
    rows = f"{progress.rows:,} rows, " if progress.rows else ""
    return f"{rows}{progress.bytes_received / 1e6:.1f} MB, waited {progress.waited:.1f} s"


def _draws_bars() -> bool:
    """Tell whether what is written to stderr can be written over: on a terminal, and in a notebook."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if shell is not None and "IPKernelApp" in shell.config:
        return True
    dumb = os.environ.get("TERM") == "dumb"
    return sys.stderr is not None and sys.stderr.isatty() and not dumb


def _tqdm() -> Any:
    """Give what draws bars."""
    try:
        with warnings.catch_warnings():
            # In a notebook without ipywidgets it would warn that its bar is one of text.
            warnings.simplefilter("ignore")
            from tqdm.auto import tqdm  # noqa: PLC0415
    except ImportError as error:
        raise UsageError("progress=True needs tqdm: pip install 'wbframe[progress]'") from error
    return tqdm


class _Bar:
    """One bar for all that one read does: it begins anew where the read goes over to something else."""

    def __init__(self, tqdm: Any) -> None:
        self._tqdm = tqdm
        self._bar: Any = None

    def __call__(self, progress: Progress) -> None:
        if self._bar is None:
            self._bar = self._tqdm(desc=progress.kind, unit="run", total=progress.total)
        bar = self._bar
        if bar.total != progress.total:
            # A widget takes another total by `reset` alone, which would also start its clock again.
            started = getattr(bar, "start_t", None)  # none where TQDM_DISABLE is set
            bar.reset(progress.total)
            bar.total, bar.start_t = progress.total, started
        bar.set_description_str(progress.kind, refresh=False)
        bar.set_postfix_str(text_of(progress), refresh=False)
        bar.update(progress.done - bar.n)
        if progress.report is not None:
            self.close()

    def close(self) -> None:
        """Leave the bar as it is, and go on below it."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class _Lines:
    """A line now and then, and one at the end."""

    def __init__(self) -> None:
        self._due = time.monotonic() + _EVERY

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if progress.report is None and now < self._due:
            return
        self._due = now + _EVERY
        of = "" if progress.total is None else f" of {progress.total}"
        line = f"wbframe: {progress.kind}: {progress.done}{of} runs, {text_of(progress)}"
        # Without stderr `print` would take stdout, and who reads that wants data.
        if sys.stderr is not None:
            with suppress(OSError):  # nobody is there any more, and the read goes on
                print(line, file=sys.stderr, flush=True)  # noqa: T201 -- what `progress=True` asks for
