"""The command `wbframe`: the readers, the local server and the demo from a shell."""

from __future__ import annotations

import json
import re
import sys
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import polars as pl

import wbframe
from wbframe.cli.output import (
    ENDINGS,
    FORMS,
    check_folder,
    replace_file,
    say,
    table_format,
    write,
)
from wbframe.core.model import DEFAULT_ORDER, DEFAULT_SAMPLES
from wbframe.errors import UsageError
from wbframe.io.client.credentials import is_loopback

if TYPE_CHECKING:
    from collections.abc import Callable

    from wbframe.server.http import Server

__all__ = ["command"]
_DEMO_ROWS = 8


# ---------------------------------------------------------------- values of options


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
        pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64,
        pl.Int128, pl.UInt128, pl.Decimal, pl.Float32, pl.Float64, pl.String, pl.Boolean,
    )
}  # fmt: skip


def _override(text: str) -> tuple[str, Any]:
    """Take apart a column and its dtype; the column's name may hold ``=`` itself."""
    column, _, spelled = text.rpartition("=")
    in_list = re.fullmatch(r"List\((\w+)\)", spelled)
    dtype = _DTYPES.get(in_list[1] if in_list else spelled)
    if not column or dtype is None:
        known = ", ".join(_DTYPES)
        raise click.BadParameter(
            f"{text!r} is not COLUMN=DTYPE; dtypes are {known}, and List(...) of these"
        )
    return column, pl.List(dtype) if in_list else dtype


def _with(*options: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Join several options to one decorator that keeps their order in the help."""
    return lambda function: reduce(lambda done, option: option(done), reversed(options), function)


_PATHS = click.argument("paths", metavar="PATH...", nargs=-1, required=True)
_WHICH = _with(
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
_BASE_URL = click.option(
    "--base-url",
    help="The API's address; default as the W&B SDK finds it, first in WANDB_BASE_URL.",
)
_HOW = _with(
    click.option(
        "--override",
        "overrides",
        type=_override,
        metavar="COLUMN=DTYPE",
        multiple=True,
        help="A column's dtype: tokens=Int64 keeps every digit. Repeatable.",
    ),
    click.option(
        "--on-error",
        type=click.Choice(["raise", "skip"]),
        default="raise",
        show_default=True,
        help="What to do with runs that cannot be read: skip names them on stderr.",
    ),
    _BASE_URL,
    click.option(
        "--progress", is_flag=True, help="Show a bar where stderr is a terminal (needs tqdm)."
    ),
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
        help="Write here instead of to stdout.",
    ),
)


# ---------------------------------------------------------------- the commands


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(wbframe.__version__, prog_name="wbframe")
def command() -> None:
    """Read Weights & Biases runs and histories as frames.

    The API key is found as the W&B SDK finds it (WANDB_API_KEY, then netrc, then the settings files); no
    option takes it, since shells remember what is typed.
    """


@command.command()
@_PATHS
@click.option(
    "-c",
    "--columns",
    multiple=True,
    help="A column or glob, in the order wanted: name, config.lr, 'summary.*'. Repeatable.",
)
@_WHICH
@click.option(
    "--per-page",
    type=int,
    help="Runs a request, 1 to 1000. Default: 200, or 499 where few columns are read.",
)
@_HOW
def runs(
    paths: tuple[str, ...], columns: tuple[str, ...], base_url: str | None, **options: Any
) -> None:
    """Read the runs of a project, one row a run.

    PATH is entity/project, entity/project/sweeps/<id>, entity/project/<run id>, or the web address of one.

    \b
    wbframe runs ent/proj
    wbframe runs ent/proj -c name -c state -c config.lr -c 'summary.*' --order -created_at --limit 20
    wbframe runs ent/proj --filters '{"state": "finished"}' -o runs.parquet
    """  # noqa: D301 -- click wants the character
    out, reading = _split(options)
    with wbframe.Client(base_url) as client:
        frame = wbframe.polars.read_runs(paths, columns=columns or None, client=client, **reading)
        write(frame, client.last_report, **out)


@command.command()
@_PATHS
@click.option(
    "-k",
    "--keys",
    multiple=True,
    help="A logged key or glob, in the order wanted; default all. Repeatable.",
)
@click.option(
    "--samples",
    type=_samples,
    metavar="INTEGER|all",
    default=str(DEFAULT_SAMPLES),
    show_default=True,
    help="Rows of a run at the most, of each group of keys that is logged together.",
)
@click.option(
    "--on-incomplete",
    type=click.Choice(["raise", "warn"]),
    default="raise",
    show_default=True,
    help="With --samples all, what to do where rows are missing.",
)
@click.option(
    "--x-axis",
    default="_step",
    show_default=True,
    help="A key to have beside _step; only rows with it are read.",
)
@click.option(
    "--stream",
    type=click.Choice(["default", "system"]),
    default="default",
    show_default=True,
    help="What was logged, or machine metrics.",
)
@click.option(
    "--match",
    type=click.Choice(["any", "all"]),
    default="any",
    show_default=True,
    help="Rows with any of the keys, or with all.",
)
@click.option(
    "--run-columns",
    multiple=True,
    help="A column of the runs to repeat beside each row. Repeatable.",
)
@click.option("--min-step", type=int, help="The first step to read.")
@click.option("--max-step", type=int, help="The step to stop before.")
@_WHICH
@_HOW
def histories(
    paths: tuple[str, ...],
    keys: tuple[str, ...],
    run_columns: tuple[str, ...],
    base_url: str | None,
    **options: Any,
) -> None:
    """Read what the runs of a project have logged.

    PATH is entity/project, entity/project/sweeps/<id>, entity/project/<run id>, or the web address of one.

    \b
    wbframe histories ent/proj -k train/loss -k eval/loss
    wbframe histories ent/proj -k 'eval/*' --run-columns config.lr --max-step 1000 -o eval.csv
    wbframe histories ent/proj --samples all -o whole.parquet
    wbframe histories ent/proj/ab12cd34 --stream system -k cpu --format ndjson
    """  # noqa: D301 -- click wants the character
    out, reading = _split(options)
    with wbframe.Client(base_url) as client:
        frame = wbframe.polars.read_histories(
            paths, keys=keys or None, run_columns=run_columns or None, client=client, **reading
        )
        write(frame, client.last_report, **out)


@command.command()
@click.argument("path", metavar="ENTITY/PROJECT")
@_BASE_URL
@click.option(
    "--json",
    "output",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the report here too, as JSON.",
)
def doctor(path: str, base_url: str | None, output: Path | None) -> None:
    """Say how a server answers, by at most 40 requests that change nothing.

    Which optional fields it has, how far its index and counts can be trusted, what its bounds, caps and filters
    mean, what wbframe will use, and how long reads take. Names, values and hosts are hashes, on the screen as in
    the file, so that both can be shown to others.

    \b
    wbframe doctor ent/proj
    wbframe doctor ent/proj --json report.json
    """  # noqa: D301 -- click wants the character
    if output is not None:
        check_folder(output, "--json")
    with wbframe.Client(base_url) as client:
        report = wbframe.doctor(path, client=client)
    click.echo(str(report))
    if output is not None:
        replace_file(output, report.to_json())


@command.command()
@click.option(
    "--project",
    "projects",
    multiple=True,
    help="demo, ragged, empty, odd, or a project's folder; default all four. Repeatable.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    show_default=True,
    help="0 takes any free one.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--latency",
    type=click.FloatRange(min=0),
    default=0.0,
    show_default=True,
    help="Seconds that each answer is held back.",
)
def serve(projects: tuple[str, ...], port: int, host: str, latency: float) -> None:
    """Serve projects on this machine as W&B does, until Ctrl-C.

    \b
    wbframe serve
    wbframe serve --project demo --project ./my-project --port 8080 --latency 0.1
    """  # noqa: D301 -- click wants the character
    if not is_loopback(host):
        say(f"warning: whoever reaches {host} can read all that is served; the key is public")
    wbframe.server.serve_forever(
        list(projects) or None, port=port, host=host, latency=latency, ready=_announce
    )


@command.command()
def demo() -> None:
    """Read a project of real trainings from a server in this process, and show what comes back.

    Needs no account and no network, but aiohttp: pip install 'wbframe[server]'.
    """
    from wbframe.cli.demo import show  # noqa: PLC0415 -- the other commands do without it

    with table_format(_DEMO_ROWS):
        show(click.echo)


def _announce(server: Server) -> None:
    """Say where the server is, in lines that another shell takes."""
    served = ", ".join(sorted(server.engine.catalog.views))
    click.echo(f"# {served}\n# at {server.url} until Ctrl-C; for other shells:")
    click.echo(f"export WANDB_BASE_URL={server.url}\nexport WANDB_API_KEY={server.api_key}")
    sys.stdout.flush()


# ---------------------------------------------------------------- output


def _split(options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Part the options into those of the output and those of the reader, and check the first."""
    output: Path | None = options.pop("output")
    form: str | None = options.pop("form")
    if output is not None:
        check_folder(output, "--output")
    if form is None and output is not None:
        form = ENDINGS.get(output.suffix.lower())
        if form is None:
            raise UsageError(
                f"--output: the ending of {output.name!r} says no format; add --format,"
                f" one of {', '.join(FORMS)}"
            )
    if form == "parquet" and output is None and sys.stdout.isatty():
        raise UsageError(
            "parquet is bytes that no terminal shows: add --output FILE, or redirect stdout"
        )
    options["schema_overrides"] = dict(options.pop("overrides"))
    options["progress"] = options["progress"] and sys.stderr.isatty()
    return {"form": form or "table", "output": output}, options
