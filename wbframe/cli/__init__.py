"""The command line: `main` runs it; `commands` says what it takes, `output` writes, `demo` shows."""

from __future__ import annotations

import re
import shlex
import warnings
from typing import TYPE_CHECKING

import click

from wbframe.cli.commands import command
from wbframe.cli.output import say
from wbframe.errors import LeftOutWarning, SampledWarning, UsageError, WbframeError, WbframeWarning

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


# What a shell sees of a program that SIGINT ended.
_INTERRUPTED = 130
# As messages write it; a shell needs it otherwise.
_OVERRIDE = re.compile(r"schema_overrides=\{'(.*)': pl\.(\w+)\}")


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
        For `sys.exit`: 0; 1 for what went wrong; 2 for a wrong call; 130 after Ctrl-C. A closed pipe is
        1 without a word.

    Examples
    --------
    >>> main(["--version"])
    wbframe, version ...
    0
    """
    with warnings.catch_warnings():
        warnings.simplefilter("always", WbframeWarning)
        # What is left out or thinned out stands behind the data, in lines of their own.
        warnings.simplefilter("ignore", LeftOutWarning)
        warnings.simplefilter("ignore", SampledWarning)
        warnings.showwarning = _show_warning  # type: ignore[assignment]
        try:
            # From --help and --version click gives 0; from a command, what the function returned.
            return command.main(args, prog_name="wbframe", standalone_mode=False) or 0
        except click.ClickException as error:
            error.show()
            return error.exit_code
        except (click.Abort, KeyboardInterrupt):
            return _INTERRUPTED
        except UsageError as error:
            say(f"error: {_as_options(str(error))}")
            return 2
        except (WbframeError, OSError) as error:
            say(f"error: {_as_options(str(error))}")
            return 1


def _show_warning(message: Warning | str, *_: object) -> None:
    """Show a warning in one line, without the place that gave it."""
    say(f"warning: {_as_options(str(message))}")


def _as_options(text: str) -> str:
    """Spell the arguments that a message names as options."""

    def override(found: re.Match[str]) -> str:
        return f"--override {shlex.quote('='.join(found.groups()))}"

    spelled = _OVERRIDE.sub(override, text).replace("on_incomplete='warn'", "--on-incomplete warn")
    return spelled.replace("pass `api_key=`, ", "")
