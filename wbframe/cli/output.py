"""Frames as text and files: a table for the terminal, CSV, JSON, NDJSON, Parquet."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, BinaryIO

import msgspec
import polars as pl

from wbframe.cli.files import check_file, is_kept, replacing
from wbframe.cli.stderr import say
from wbframe.cli.words import as_options
from wbframe.core.decode.spelling import spelled
from wbframe.errors import IncompleteError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from wbframe.report import ScanReport

__all__ = ["ENDINGS", "FORMS", "Output", "table_format"]

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


def _gzipped(write: Writer) -> Writer:
    """Pack what another writer writes."""

    def packed(frame: pl.DataFrame, report: ScanReport | None, out: BinaryIO) -> None:
        # Without a time in it, equal frames are equal files.
        with gzip.GzipFile(filename="", mode="wb", fileobj=out, mtime=0) as file:
            write(frame, report, file)  # type: ignore[arg-type]

    return packed


_PLAIN: dict[str, Writer] = {"csv": _csv, "json": _json, "ndjson": _ndjson}
FORMS: dict[str, Writer] = {
    "table": _table,
    **_PLAIN,
    "parquet": _parquet,
    **{f"{form}.gz": _gzipped(write) for form, write in _PLAIN.items()},
}
"""What writes a frame, and the report on how it was read if the format has a place for it, to a file."""

ENDINGS = {
    **{f".{form}": form for form in FORMS if form != "table"},
    ".jsonl": "ndjson",
    ".jsonl.gz": "ndjson.gz",
    ".pq": "parquet",
    ".txt": "table",
}
"""The format that the ending of a file's name says."""


def _json_rows(frame: pl.DataFrame) -> Iterator[bytes]:
    """Give each row as a JSON object."""
    encode = msgspec.json.Encoder(decimal_format="number").encode
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


@dataclass(frozen=True, slots=True)
class Output:
    """Where a frame goes, and in which format.

    Attributes
    ----------
    form
        One of `FORMS`.
    file
        None for stdout.
    rows
        How many of them a table shows; -1 for all.
    """

    form: str
    file: Path | None
    rows: int = _TABLE_ROWS
    _started: float = field(default_factory=time.perf_counter)

    @classmethod
    def of(cls, form: str | None, file: Path | None, *, rows: int = _TABLE_ROWS) -> Output:
        """Check what was asked for, before anything is read.

        Raises
        ------
        UsageError
            If no format is named, the file cannot be written, or the format is none for a terminal.
        """
        if file is not None:
            check_file(file, "--output")
        if form is None and file is not None:
            name = file.name.lower()
            fitting = [ending for ending in ENDINGS if name.endswith(ending)]
            if not fitting:
                raise UsageError(
                    f"--output: the ending of {file.name!r} says no format; add --format,"
                    f" one of {', '.join(FORMS)}"
                )
            form = ENDINGS[max(fitting, key=len)]
        if form not in {None, "table", *_PLAIN} and file is None and sys.stdout.isatty():
            raise UsageError(
                f"{form} is bytes that no terminal shows: add --output FILE, or redirect stdout"
            )
        return cls(form or "table", file, rows)

    def write(self, frame: pl.DataFrame, report: ScanReport | None) -> None:
        """Write a frame, and say on stderr what became of it and what it lacks.

        Raises
        ------
        IncompleteError
            If nothing came, and something was left out: then nothing is written.
        """
        left_out = () if report is None else report.left_out
        if frame.is_empty() and left_out:
            _say_left_out(report)
            raise IncompleteError(
                f"nothing came: {len(left_out)} left out, as said above; nothing was written"
            )
        with table_format(self.rows):
            if self.file is None:
                sys.stdout.flush()
                FORMS[self.form](frame, report, sys.stdout.buffer)
                sys.stdout.buffer.flush()
            else:
                with replacing(self.file) as file:
                    FORMS[self.form](frame, report, file)
                self._say_written(frame, self.file)
        _say_left_out(report)
        _say_sampled(report)

    def _say_written(self, frame: pl.DataFrame, file: Path) -> None:
        """Say what is in the file now."""
        size = f", {file.stat().st_size:,} bytes" if is_kept(file) else ""
        seconds = time.perf_counter() - self._started
        say(
            f"wrote {file}: {frame.height:,} rows, {frame.width:,} columns{size} in {seconds:.1f} s"
        )


def _say_left_out(report: ScanReport | None) -> None:
    """Say what was left out, a line each."""
    for each in report.left_out if report is not None else ():
        say(f"left out: {each.what}: {as_options(each.why)}")


def _say_sampled(report: ScanReport | None) -> None:
    """Say if it is a sample."""
    if report is not None and report.sampled:
        known = "" if report.rows_known is None else f" of {report.rows_known}"
        say(
            f"sampled: {report.rows}{known} rows; {report.sampled_runs} of {report.runs} runs have"
            f" logged more than --samples {report.samples}; --samples all reads every row"
        )
