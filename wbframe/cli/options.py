"""The options that commands share, and the values that they take."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import polars as pl

import wbframe
from wbframe.cli.codes import EXIT_CODES
from wbframe.cli.output import FORMS
from wbframe.cli.stderr import told
from wbframe.core.model import DEFAULT_BINS, DEFAULT_ORDER, DEFAULT_SAMPLES
from wbframe.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

Decorator = Callable[[Any], Any]

# ---------------------------------------------------------------- values


def _json_object(text: str) -> dict[str, Any]:
    """Parse the JSON object of `--filters`."""
    try:
        found = json.loads(text)
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise click.BadParameter(
            f'{text!r} is JSON, but no object like \'{{"state": "finished"}}\''
        )
    return found


def _samples(text: str) -> int | None:
    """Read a number of rows, or ``all``."""
    try:
        return None if text == "all" else int(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is neither a number nor 'all'") from None


_DTYPES = {
    dtype.__name__: dtype
    for dtype in (
        pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.Int128, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64,
        pl.Float32, pl.Float64, pl.Decimal, pl.String, pl.Boolean, pl.Date, pl.Datetime,
    )
}  # fmt: skip


def _dtype(spelled: str) -> Any:
    """Read a dtype as polars prints it; None if it is none."""
    if in_list := re.fullmatch(r"List\((.+)\)", spelled):
        inner = _dtype(in_list[1])
        return None if inner is None else pl.List(inner)
    if digits := re.fullmatch(r"Decimal\((\d+), ?(\d+)\)", spelled):
        return pl.Decimal(int(digits[1]), int(digits[2]))
    return _DTYPES.get(spelled)


def override(text: str) -> tuple[str, Any]:
    """Take apart a column and its dtype; the column's name may hold ``=`` itself.

    Raises
    ------
    click.BadParameter
        If it is not that.

    Examples
    --------
    >>> override("a=b=List(Int64)"), override("tokens=Decimal(38, 0)")
    (('a=b', List(Int64)), ('tokens', Decimal(precision=38, scale=0)))
    """
    column, _, spelled = text.rpartition("=")
    dtype = _dtype(spelled)
    if not column or dtype is None:
        known = ", ".join(_DTYPES)
        raise click.BadParameter(
            f"{text!r} is not COLUMN=DTYPE; dtypes are {known}, Decimal(38, 2), and List(...) of these"
        )
    return column, dtype


def split_names(text: str) -> list[str]:
    r"""Take apart a list of names; a comma of a name is spelled ``\,``.

    Examples
    --------
    >>> split_names(r"name,config.lr"), split_names(r"a\,b"), split_names(r"a/b\c")
    (['name', 'config.lr'], ['a,b'], ['a/b\\c'])
    """
    names, name, signs = [], "", iter(text)
    for sign in signs:
        if sign == ",":
            names.append(name)
            name = ""
        elif sign == "\\":
            escaped = next(signs, "")
            name += escaped if escaped in {",", "\\"} else sign + escaped
        else:
            name += sign
    return [*names, name]


def _names(*words: str) -> Callable[..., list[str] | str | None]:
    """Read lists of names; one of `words` alone is handed on as it is, since readers know it."""

    def read(
        _: click.Context, param: click.Parameter, given: Iterable[str]
    ) -> list[str] | str | None:
        found = [name for text in given for name in split_names(text)]
        if "" in found:
            raise click.BadParameter(
                "a name is empty; a comma of a name is spelled '\\,'", param=param
            )
        if len(found) == 1 and found[0] in words:
            return found[0]
        return found or None

    return read


# ---------------------------------------------------------------- options


def options(*each: Decorator) -> Decorator:
    """Join several options to one decorator that keeps their order in the help."""
    return lambda function: reduce(lambda done, option: option(done), reversed(each), function)


PATHS = click.argument("paths", metavar="PATH...", nargs=-1, required=True)
_LISTED = "Comma lists and repeats; \\, is a comma of a name."
COLUMNS = click.option(
    "-c",
    "--columns",
    multiple=True,
    callback=_names("varying", "used"),
    metavar="NAMES",
    help=f"Columns and globs, in the order wanted: name,config.lr,'summary.*'. {_LISTED}",
)
PER_PAGE = click.option(
    "--per-page",
    type=int,
    help="Runs a request, 1 to 1000. Default: 200, or 499 where few columns are read.",
)
WHICH = options(
    click.option(
        "--filters",
        type=_json_object,
        metavar="JSON",
        help='Which runs, as the server filters them: \'{"config.lr": {"$gt": 0.01}}\'.',
    ),
    click.option(
        "--order",
        default=DEFAULT_ORDER,
        show_default=True,
        help="A sign and a field: -created_at, +config.lr, -summary.loss.",
    ),
    click.option(
        "--limit", type=click.IntRange(min=0), help="The most runs, counted after the filters."
    ),
)
KEYS = click.option(
    "-k",
    "--keys",
    multiple=True,
    callback=_names("scalars"),
    metavar="NAMES",
    help=f"Logged keys and globs, in the order wanted; default all. {_LISTED}",
)
SAMPLES = click.option(
    "--samples",
    type=_samples,
    metavar="INTEGER|all",
    default=str(DEFAULT_SAMPLES),
    show_default=True,
    help="Rows of a run at the most, of each group of keys that is logged together.",
)


def _numbers(_context: Any, _option: Any, text: str | None) -> list[float] | None:
    """Read numbers between commas."""
    try:
        return None if text is None else [float(each) for each in text.split(",")]
    except ValueError:
        raise click.BadParameter(f"{text!r} is no list of numbers like 0,100,1000") from None


STREAM = click.option(
    "--stream",
    type=click.Choice(["default", "system"]),
    default="default",
    show_default=True,
    help="What was logged, or machine metrics.",
)
RUN_COLUMNS = click.option(
    "--run-columns",
    multiple=True,
    callback=_names(),
    metavar="NAMES",
    help=f"Columns of the runs to repeat beside each row. {_LISTED}",
)
_WINDOW = (
    click.option("--min-step", type=int, help="The first step to read."),
    click.option("--max-step", type=int, help="The step to stop before."),
)
ROWS = options(
    KEYS,
    SAMPLES,
    click.option(
        "--on-incomplete",
        type=click.Choice(["raise", "warn"]),
        default="raise",
        show_default=True,
        help="With --samples all, what to do where rows are missing.",
    ),
    click.option(
        "--x-axis",
        default="_step",
        show_default=True,
        help="A key to have beside _step; only rows with it are read.",
    ),
    STREAM,
    click.option(
        "--match",
        type=click.Choice(["any", "all"]),
        default="any",
        show_default=True,
        help="Rows with any of the keys, or with all.",
    ),
    RUN_COLUMNS,
    *_WINDOW,
)
BUCKETS = options(
    KEYS,
    click.option(
        "--bins",
        type=int,
        default=DEFAULT_BINS,
        show_default=True,
        help="Buckets of a run at the most.",
    ),
    click.option(
        "--grid",
        type=click.Choice(["run", "shared"]),
        default="run",
        show_default=True,
        help="Buckets of each run and key by itself, or the same for all.",
    ),
    click.option(
        "--edges",
        callback=_numbers,
        metavar="NUMBERS",
        help="The same buckets for all runs, by their edges: 0,100,1000 are two.",
    ),
    click.option(
        "--x-axis",
        help="The key along which they lie. Default: _step, _timestamp of machine metrics.",
    ),
    STREAM,
    RUN_COLUMNS,
    *_WINDOW,
)
OVERRIDES = click.option(
    "--override",
    "schema_overrides",
    type=override,
    callback=lambda _context, _option, pairs: dict(pairs),
    metavar="COLUMN=DTYPE",
    multiple=True,
    help="A column's dtype: tokens=Int64 keeps every digit. Repeatable.",
)
CONVERT_INTEGER = click.option(
    "--convert-integer",
    is_flag=True,
    help="Int64 for columns that hold whole numbers alone, all of which it holds exactly.",
)
ON_ERROR = click.option(
    "--on-error",
    type=click.Choice(["raise", "skip"]),
    default="raise",
    show_default=True,
    help="What to do with runs that cannot be read: skip names them on stderr.",
)
PROGRESS = click.option(
    "--progress",
    is_flag=True,
    help="Tell how far it is: a bar on a terminal (needs tqdm), else lines on stderr.",
)
_ABOVE_0 = click.FloatRange(min=0, min_open=True)
CLIENT = options(
    click.option(
        "--base-url",
        help="The API's address; default as the W&B SDK finds it, first in WANDB_BASE_URL.",
    ),
    click.option("--entity", help="The entity of a PATH that names none; or WANDB_ENTITY."),
    click.option(
        "--timeout", type=_ABOVE_0, help="Seconds a request; or WBFRAME_TIMEOUT. Default: 60."
    ),
    click.option(
        "--retry-seconds",
        type=click.FloatRange(min=0),
        help="How long what fails is tried again; or WBFRAME_RETRY_SECONDS. Default: 300.",
    ),
    click.option(
        "--requests-per-minute",
        type=_ABOVE_0,
        help="At the most; or WBFRAME_REQUESTS_PER_MINUTE. Default: what the server takes.",
    ),
    click.option("--concurrency", type=click.IntRange(min=1), help="Requests at once. Default: 6."),
    click.option(
        "--largest-answer", type=click.IntRange(min=1), help="Bytes of an answer. Default: 1 GiB."
    ),
    click.option(
        "--largest-read",
        type=click.IntRange(min=1),
        help="Bytes of all answers, and of the cells, of a read. Default: 16 times that.",
    ),
    click.option(
        "--largest-rows",
        type=click.IntRange(min=1),
        help="Rows of an exported file. Default: 50 million.",
    ),
    click.option("-v", "--verbose", is_flag=True, help="Log what is done to stderr."),
)
OUTPUT = options(
    click.option(
        "-f",
        "--format",
        "form",
        type=click.Choice(list(FORMS)),
        help="Default: what the ending of FILE says, else a table.",
    ),
    click.option(
        "-o",
        "--output",
        metavar="FILE",
        type=click.Path(dir_okay=False, writable=True, path_type=Path),
        help="Write here instead of to stdout; takes the place of FILE when it is whole.",
    ),
    click.option(
        "--safe",
        is_flag=True,
        help="Of CSV for a spreadsheet: an apostrophe before each text and column name that begins with = + - @,"
        " a tab or a line break, so that it is text there and no formula. Numbers stay as they are.",
    ),
)


# ---------------------------------------------------------------- what they come to

_CLIENT_NAMES = (
    "base_url",
    "entity",
    "timeout",
    "requests_per_minute",
    "concurrency",
    "largest_answer",
    "largest_read",
    "largest_rows",
)
# Of a patient policy, seconds between two tries on average.
_BETWEEN = 30.0


@contextmanager
def connected(given: dict[str, Any]) -> Iterator[wbframe.Client]:
    """Make the client that options say, and take these out; tell meanwhile what its log says."""
    named = {name: given.pop(name) for name in _CLIENT_NAMES}
    seconds = given.pop("retry_seconds")
    if seconds is not None:
        if not math.isfinite(seconds):
            raise UsageError(f"--retry-seconds must be a number of seconds; got {seconds}")
        # As often as fits: the seconds alone are what was asked for.
        tries = max(wbframe.RetryPolicy().tries, math.ceil(seconds / _BETWEEN))
        named["retry"] = wbframe.RetryPolicy(tries=tries, seconds=seconds)
    made = {name: value for name, value in named.items() if value is not None}
    with told(verbose=given.pop("verbose")), wbframe.Client(**made) as client:
        yield client


def codes_text() -> str:
    """List the exit codes, for the help."""
    lines = "\n".join(f"{code:>5}  {text}" for code, text in EXIT_CODES.items())
    return f"\b\nExit codes:\n{lines}"
