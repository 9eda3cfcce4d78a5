"""Frames as text and files: a table for the terminal, CSV, JSON, NDJSON, Parquet."""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click
import msgspec
import polars as pl

from wbframe.core.decode.parquet import spelled
from wbframe.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from wbframe.report import ScanReport

__all__ = ["ENDINGS", "FORMS", "table_format"]

Writer = Callable[[pl.DataFrame, "ScanReport | None", BinaryIO], None]

_TABLE_ROWS = 20
_CHARS_A_COLUMN = 14


@contextmanager
def table_format(rows: int = _TABLE_ROWS) -> Iterator[None]:
    """Let frames take the width of the terminal while they are printed.

    Parameters
    ----------
    rows
        How many of its rows a frame shows.
    """
    width = shutil.get_terminal_size((100, 24)).columns
    columns = max(3, width // _CHARS_A_COLUMN)
    with pl.Config(tbl_width_chars=width, tbl_cols=columns, tbl_rows=rows, fmt_str_lengths=40):
        yield


def _table(frame: pl.DataFrame, _: ScanReport | None, out: BinaryIO) -> None:
    """Write what a person reads."""
    with table_format():
        out.write(f"{frame}\n".encode())


def _csv(frame: pl.DataFrame, _: ScanReport | None, out: BinaryIO) -> None:
    """Write CSV: lists as JSON text, times as ISO 8601."""
    texts = [
        pl.Series(each.name, list(map(_json_text, _plain(each))), pl.String)
        for each in frame
        if each.dtype.is_nested()
    ]
    out.write(
        frame.with_columns(texts).write_csv(datetime_format="%Y-%m-%dT%H:%M:%S%.6fZ").encode()
    )


def _json(frame: pl.DataFrame, _: ScanReport | None, out: BinaryIO) -> None:
    """Write an array with an object a line."""
    between = b"[\n"
    for row in _json_rows(frame):
        out.write(between + row)
        between = b",\n"
    out.write(b"[]\n" if frame.is_empty() else b"\n]\n")


def _ndjson(frame: pl.DataFrame, _: ScanReport | None, out: BinaryIO) -> None:
    """Write an object a line."""
    out.writelines(row + b"\n" for row in _json_rows(frame))


def _parquet(frame: pl.DataFrame, report: ScanReport | None, out: BinaryIO) -> None:
    """Write Parquet, with the report in the file's metadata as Arrow tables have it."""
    buffer = io.BytesIO()
    metadata = {} if report is None else {"wbframe": json.dumps(asdict(report))}
    frame.write_parquet(buffer, metadata=metadata)
    out.write(buffer.getbuffer())


FORMS: dict[str, Writer] = {
    "table": _table,
    "csv": _csv,
    "json": _json,
    "ndjson": _ndjson,
    "parquet": _parquet,
}
"""What writes a frame, and the report on how it was read if the format has a place for it, to a file."""

ENDINGS = {
    ".csv": "csv",
    ".json": "json",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".txt": "table",
}
"""The format that the ending of a file's name says."""


def _json_rows(frame: pl.DataFrame) -> Iterator[bytes]:
    """Give each row as a JSON object."""
    encode = msgspec.json.Encoder().encode
    for row in zip(*(_plain(each) for each in frame), strict=True):
        yield encode(dict(zip(frame.columns, row, strict=True)))


def _json_text(value: object) -> str | None:
    """Spell a value as JSON; null stays null."""
    return None if value is None else msgspec.json.encode(value).decode()


def _plain(series: pl.Series) -> Iterable[object]:
    """Give values that JSON has; NaN and the infinities as W&B spells them, not as null."""
    values = series.to_list()
    simple = series.is_finite().all() if series.dtype.is_float() else not series.dtype.is_nested()
    return values if simple else map(spelled, values)


def write(
    frame: pl.DataFrame, report: ScanReport | None, *, form: str, output: Path | None
) -> None:
    """Write a frame, and say on stderr if it is a sample."""
    if output is None:
        sys.stdout.flush()
        FORMS[form](frame, report, sys.stdout.buffer)
        sys.stdout.buffer.flush()
    else:
        with output.open("wb") as file:
            FORMS[form](frame, report, file)
    for each in report.left_out if report is not None else ():
        say(f"left out: {each.what}: {each.why}")
    if report is not None and report.sampled:
        known = "" if report.rows_known is None else f" of {report.rows_known}"
        say(
            f"sampled: {report.rows}{known} rows; {report.sampled_runs} of {report.runs} runs have"
            f" logged more than --samples {report.samples}; --samples all reads every row"
        )


def check_folder(output: Path, option: str) -> None:
    """Find out before anything is read whether a file can be written.

    Raises
    ------
    UsageError
        If it cannot.
    """
    if not output.parent.is_dir():
        raise UsageError(f"{option}: there is no folder {str(output.parent)!r}")
    if not output.exists() and not os.access(output.parent, os.W_OK):
        raise UsageError(f"{option}: {str(output)!r} may not be written; name another file")


def replace_file(output: Path, text: str) -> None:
    """Write a file so that it is the old one or the new one, whatever happens meanwhile."""
    handle, beside = tempfile.mkstemp(dir=output.parent, prefix=f".{output.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(beside).replace(output)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise


def say(text: str) -> None:
    """Say something that is not data: on stderr, in one line."""
    click.echo(f"wbframe: {' '.join(text.split())}", err=True)
