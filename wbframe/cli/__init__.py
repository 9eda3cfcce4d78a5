"""The command line: `main` runs it.

`commands` says what it does, `options` what it takes; `output` and `files` write, `screen` shows, `stderr` tells,
`words` puts messages into its own words, `codes` has the exit codes, `demo` plays.
"""

from __future__ import annotations

import io
import os
import sys
import warnings
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from wbframe.cli.codes import INTERRUPTED, code_of
from wbframe.cli.commands import command
from wbframe.cli.stderr import say, say_lines
from wbframe.cli.words import as_options
from wbframe.errors import WbframeError, WbframeWarning
from wbframe.text import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

# What the output says of the report anyway.
_SAID = {"LeftOutWarning", "SampledWarning"}


# ---------------------------------------------------------------- the program


def main(args: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    args
        What stands behind the program's name; default: what the shell gave.

    Returns
    -------
    int
        For `sys.exit`; `wbframe.cli.codes` has what each means. A closed pipe is 1 without a word.

    Examples
    --------
    >>> main(["--version"])
    wbframe, version ...
    0
    """
    with warnings.catch_warnings():
        warnings.simplefilter("always", WbframeWarning)
        warnings.showwarning = _show_warning  # type: ignore[assignment]
        try:
            # From --help and --version click gives 0; from a command, what the function returned.
            return command.main(args, prog_name="wbframe", standalone_mode=False) or 0
        except click.ClickException as error:
            _show_call(error)
            return error.exit_code
        except (click.Abort, KeyboardInterrupt):
            return INTERRUPTED
        except (WbframeError, OSError) as error:
            say(f"error: {as_options(str(error))}")
            return code_of(error)
        finally:
            _let_go()


def _let_go() -> None:
    """Write no more to streams that take nothing: at its end Python would try again, and change the exit code."""
    # https://docs.python.org/3/library/signal.html#note-on-sigpipe
    for stream in filter(None, (sys.stdout, sys.stderr)):
        try:
            stream.flush()
        except (OSError, ValueError):
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _show_call(error: click.ClickException) -> None:
    """Show what is wrong with a call, and how one is made."""
    # click writes what was typed as it is.
    shown = io.StringIO()
    error.show(shown)
    usage, label, told = shown.getvalue().partition("Error: ")
    say_lines(f"{usage}{label}{one_line(told)}".rstrip("\n"))


def _show_warning(message: Warning | str, category: type[Warning], *_: object) -> None:
    """Show a warning in one line, without the place that gave it."""
    if category.__name__ not in _SAID:
        say(f"warning: {as_options(str(message))}")
