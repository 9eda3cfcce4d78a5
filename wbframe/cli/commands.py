"""The command `wbframe`: the readers, the local server and the demo from a shell."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import wbframe
from wbframe.cli import options as opt
from wbframe.cli.files import check_file, replacing
from wbframe.cli.output import Output
from wbframe.cli.screen import show, table_format
from wbframe.cli.stderr import say
from wbframe.core.arguments import call_with, history_scan, runs_scan
from wbframe.errors import PlainHttpWarning

if TYPE_CHECKING:
    from wbframe.scans.source import Source
    from wbframe.server.http import Server

__all__ = ["command"]
_DEMO_ROWS = 8


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=opt.codes_text(),
)
@click.version_option(wbframe.__version__, prog_name="wbframe")
def command() -> None:
    """Read Weights & Biases runs and histories as frames.

    The API key is found as the W&B SDK finds it (WANDB_API_KEY, then netrc, then the settings files); no
    option takes it, since shells remember what is typed.

    \b
    Completion of commands, options and their values, for a line of ~/.bashrc, ~/.zshrc or config.fish:
    eval "$(_WBFRAME_COMPLETE=bash_source wbframe)"
    eval "$(_WBFRAME_COMPLETE=zsh_source wbframe)"
    _WBFRAME_COMPLETE=fish_source wbframe | source
    """  # noqa: D301 -- click wants the character


# ---------------------------------------------------------------- the readers


@command.command(epilog=opt.codes_text())
@opt.PATHS
@opt.COLUMNS
@opt.WHICH
@opt.PER_PAGE
@opt.OVERRIDES
@opt.CONVERT_INTEGER
@opt.ON_ERROR
@opt.PROGRESS
@opt.CLIENT
@opt.OUTPUT
def runs(
    paths: tuple[str, ...], form: str | None, output: Path | None, safe: bool, **options: Any
) -> None:
    """Read the runs of a project, one row a run.

    PATH is entity/project, entity/project/sweeps/<id>, entity/project/<run id>, or the web address of one.

    \b
    wbframe runs ent/proj
    wbframe runs ent/proj -c name,state,config.lr -c 'summary.*' --order -created_at --limit 20
    wbframe runs ent/proj --filters '{"state": "finished"}' -o runs.parquet
    """  # noqa: D301 -- click wants the character
    out = Output.of(form, output, safe=safe)
    with opt.connected(options) as client:
        frame = wbframe.polars.read_runs(paths, client=client, **options)
        out.write(frame, client.last_report)


@command.command(epilog=opt.codes_text())
@opt.PATHS
@opt.ROWS
@opt.WHICH
@opt.OVERRIDES
@opt.CONVERT_INTEGER
@opt.ON_ERROR
@opt.PROGRESS
@opt.CLIENT
@opt.OUTPUT
def histories(
    paths: tuple[str, ...], form: str | None, output: Path | None, safe: bool, **options: Any
) -> None:
    """Read what the runs of a project have logged.

    PATH is entity/project, entity/project/sweeps/<id>, entity/project/<run id>, or the web address of one.

    \b
    wbframe histories ent/proj -k train/loss,eval/loss
    wbframe histories ent/proj -k 'eval/*' --run-columns config.lr --max-step 1000 -o eval.csv.gz
    wbframe histories ent/proj --samples all -o whole.parquet
    wbframe histories ent/proj/ab12cd34 --stream system -k cpu --format ndjson
    """  # noqa: D301 -- click wants the character
    out = Output.of(form, output, safe=safe)
    with opt.connected(options) as client:
        frame = wbframe.polars.read_histories(paths, client=client, **options)
        out.write(frame, client.last_report)


@command.command(epilog=opt.codes_text())
@opt.PATHS
@opt.BUCKETS
@opt.WHICH
@opt.ON_ERROR
@opt.PROGRESS
@opt.CLIENT
@opt.OUTPUT
def buckets(
    paths: tuple[str, ...], form: str | None, output: Path | None, safe: bool, **options: Any
) -> None:
    """Read minimum, maximum, mean and last value of keys in stretches of an axis: plots that hide no peak.

    PATH is entity/project, entity/project/sweeps/<id>, entity/project/<run id>, or the web address of one.

    \b
    wbframe buckets ent/proj -k train/loss --bins 100
    wbframe buckets ent/proj -k 'eval/*' --x-axis epoch --run-columns name -o eval.parquet
    """  # noqa: D301 -- click wants the character
    out = Output.of(form, output, safe=safe)
    with opt.connected(options) as client:
        frame = wbframe.buckets.read_buckets(paths, client=client, **options)
        out.write(frame, client.last_report)


@command.command(epilog=opt.codes_text())
@opt.PATHS
@opt.KEYS
@opt.STREAM
@opt.WHICH
@opt.ON_ERROR
@opt.CLIENT
@opt.OUTPUT
def keys(
    paths: tuple[str, ...], form: str | None, output: Path | None, safe: bool, **options: Any
) -> None:
    """List the keys that the runs of a project have logged: types, dtypes, and how many runs and rows hold them.

    As the readers know them: a request a page of runs, and one where the type of a key is open. Config and
    summary keys are columns of the runs; "wbframe runs PATH --limit 1 -f ndjson" names them.

    \b
    wbframe keys ent/proj
    wbframe keys ent/proj -k 'eval/*' --filters '{"state": "finished"}' -f csv
    """  # noqa: D301 -- click wants the character
    from wbframe.io.read.keys import read_key_frame  # noqa: PLC0415 -- the other commands do without it

    out = Output.of(form, output, rows=-1, safe=safe)
    with opt.connected(options) as client:
        scan = call_with(history_scan, {"path": paths, **options})
        out.write(*read_key_frame(client, scan))


# ---------------------------------------------------------------- explain


@command.group()
def explain() -> None:
    """Say what a read would ask the server for, and by how many requests, without reading."""


@explain.command("runs", epilog=opt.codes_text())
@opt.PATHS
@opt.COLUMNS
@opt.WHICH
@opt.PER_PAGE
@opt.OVERRIDES
@opt.ON_ERROR
@opt.CLIENT
def explain_runs(paths: tuple[str, ...], **options: Any) -> None:
    """Explain "wbframe runs" with the same arguments.

    \b
    wbframe explain runs ent/proj -c name,config.lr
    """  # noqa: D301 -- click wants the character
    from wbframe.scans.source import RunsSource  # noqa: PLC0415 -- as below

    with opt.connected(options) as client:
        _explain(RunsSource(call_with(runs_scan, {"path": paths, **options}), client))


@explain.command("histories", epilog=opt.codes_text())
@opt.PATHS
@opt.ROWS
@opt.WHICH
@opt.OVERRIDES
@opt.ON_ERROR
@opt.CLIENT
def explain_histories(paths: tuple[str, ...], **options: Any) -> None:
    """Explain "wbframe histories" with the same arguments.

    \b
    wbframe explain histories ent/proj -k train/loss --samples all
    """  # noqa: D301 -- click wants the character
    from wbframe.scans.source import HistorySource  # noqa: PLC0415 -- the other commands do without it

    with opt.connected(options) as client:
        _explain(HistorySource(call_with(history_scan, {"path": paths, **options}), client))


@explain.command("buckets", epilog=opt.codes_text())
@opt.PATHS
@opt.BUCKETS
@opt.WHICH
@opt.ON_ERROR
@opt.CLIENT
def explain_buckets(paths: tuple[str, ...], **options: Any) -> None:
    """Explain "wbframe buckets" with the same arguments.

    \b
    wbframe explain buckets ent/proj -k train/loss --bins 100
    """  # noqa: D301 -- click wants the character
    from wbframe.scans.buckets import BucketSource  # noqa: PLC0415 -- as above

    with opt.connected(options) as client:
        _explain(BucketSource(*wbframe.buckets.bucket_scan({"path": paths, **options}), client))


def _explain(source: Source[Any]) -> None:
    """Say what a scan does."""
    from wbframe.scans.source import registered  # noqa: PLC0415 -- as above

    # Where polars asks for it, an error on the way becomes one of its own.
    source.promise()
    show(str(wbframe.explain(registered(source))))


# ---------------------------------------------------------------- beside the readers


@command.command(epilog=opt.codes_text())
@click.argument("path", metavar="ENTITY/PROJECT")
@opt.CLIENT
@click.option(
    "--json",
    "output",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the report here too, as JSON.",
)
def doctor(path: str, output: Path | None, **options: Any) -> None:
    """Say how a server answers, by at most 40 requests that change nothing.

    Which optional fields it has, how far its index and counts can be trusted, what its bounds, caps and filters
    mean, what wbframe will use, and how long reads take. Names, values and hosts are hashes, on the screen as in
    the file, so that both can be shown to others.

    \b
    wbframe doctor ent/proj
    wbframe doctor ent/proj --json report.json
    """  # noqa: D301 -- click wants the character
    if output is not None:
        check_file(output, "--json")
    with opt.connected(options) as client:
        report = wbframe.doctor(path, client=client)
    show(str(report))
    if output is not None:
        with replacing(output) as file:
            file.write(report.to_json().encode())


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
@click.option(
    "--allow-host",
    "hosts",
    multiple=True,
    metavar="NAME",
    help="A name under which others ask for it, such as that of a tunnel. Repeatable.",
)
@click.option(
    "--fixed-key",
    is_flag=True,
    help="The same key at each start, which is public, in place of a random one.",
)
def serve(
    projects: tuple[str, ...],
    port: int,
    host: str,
    latency: float,
    hosts: tuple[str, ...],
    fixed_key: bool,
) -> None:
    """Serve projects on this machine as W&B does, until Ctrl-C.

    \b
    wbframe serve
    wbframe serve --project demo --project ./my-project --port 8080 --latency 0.1
    """  # noqa: D301 -- click wants the character
    from wbframe.server.guard import exposure  # noqa: PLC0415 -- the other commands do without it

    exposed = exposure(host, public_key=fixed_key)
    if exposed is not None:
        say(f"warning: {exposed}")
    more: dict[str, Any] = {"hosts": hosts} if hosts else {}
    if fixed_key:
        more["api_key"] = wbframe.server.API_KEY
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PlainHttpWarning)  # said above
        wbframe.server.serve_forever(
            list(projects) or None, port=port, host=host, latency=latency, ready=_announce, **more
        )


@command.command()
def demo() -> None:
    """Read a project of real trainings from a server in this process, and show what comes back.

    Needs no account and no network, but aiohttp: pip install 'wbframe[server]'.
    """
    from wbframe.cli.demo import play  # noqa: PLC0415 -- the other commands do without it

    with table_format(_DEMO_ROWS):
        play(show)


def _announce(server: Server) -> None:
    """Say where the server is, in lines that another shell takes."""
    served = ", ".join(sorted(server.engine.catalog.views))
    show(f"# {served}\n# at {server.url} until Ctrl-C; for other shells:")
    show(f"export WANDB_BASE_URL={server.url}\nexport WANDB_API_KEY={server.api_key}")
