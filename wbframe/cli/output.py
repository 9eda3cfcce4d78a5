"""Frames as text and files: a table for a person, CSV, JSON, NDJSON, Parquet."""

from __future__ import annotations

import gzip
import io
import json
import re
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import TYPE_CHECKING, BinaryIO

import msgspec
import polars as pl

from wbframe.cli.files import check_file, is_kept, replacing
from wbframe.cli.screen import TABLE_ROWS, renamed, show, stdout, table
from wbframe.cli.stderr import say
from wbframe.cli.words import as_options
from wbframe.core.decode.spelling import spelled
from wbframe.errors import IncompleteError, UsageError
from wbframe.text import legible

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from wbframe.report import ScanReport

__all__ = ["ENDINGS", "FORMS", "Output"]

Writer = Callable[[pl.DataFrame, "ScanReport | None", BinaryIO], None]

# What a spreadsheet takes for the beginning of a formula, in wide characters too, and what it skips before one.
# https://owasp.org/www-community/attacks/CSV_Injection
_FORMULA = r"^[=+\-@\t\r\n＝＋－＠]"  # noqa: RUF001 -- these are meant


def _table(
    frame: pl.DataFrame, _: ScanReport | None, out: BinaryIO, rows: int = TABLE_ROWS
) -> None:
    """Write what a person reads."""
    out.write(f"{table(frame, rows)}\n".encode())


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


def _without_formulas(frame: pl.DataFrame) -> pl.DataFrame:
    """Put an apostrophe before names and texts in which a spreadsheet would see a formula."""
    texts = [
        pl.when(pl.col(each.name).str.contains(_FORMULA))
        .then(pl.lit("'") + pl.col(each.name))
        .otherwise(pl.col(each.name))
        .alias(each.name)
        for each in frame
        if each.dtype == pl.String
    ]
    quoted = [f"'{name}" if re.search(_FORMULA, name) else name for name in frame.columns]
    safe = frame.with_columns(texts)
    safe.columns = renamed(quoted)
    return safe


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

_SPREADSHEETS = frozenset({"csv", "csv.gz"})

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


def _in_json(sign: str) -> str:
    """Spell a character as JSON may."""
    units = sign.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


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
    safe
        Whether texts that a spreadsheet would take for formulas are marked as text.
    """

    form: str
    file: Path | None
    rows: int = TABLE_ROWS
    safe: bool = False
    _started: float = field(default_factory=time.perf_counter)

    @classmethod
    def of(
        cls, form: str | None, file: Path | None, *, rows: int = TABLE_ROWS, safe: bool = False
    ) -> Output:
        """Check what was asked for, before anything is read.

        Raises
        ------
        WbframeError
            If there is no stdout to write to.
        UsageError
            If no format is named, the file cannot be written, the format is none for a terminal, or `safe` is
            asked for of a format that no spreadsheet calculates.
        """
        if file is None:
            stdout()
        else:
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
        if safe and form not in _SPREADSHEETS:
            raise UsageError(
                "--safe is for CSV alone: add --format csv, or an --output FILE that ends in .csv or .csv.gz"
            )
        if form not in {None, "table", *_PLAIN} and file is None and stdout().isatty():
            raise UsageError(
                f"{form} is bytes that no terminal shows: add --output FILE, or redirect stdout"
            )
        return cls(form or "table", file, rows, safe)

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
        frame = self.made_safe(frame)
        if self.file is None:
            self._to_stdout(frame, report)
        else:
            with replacing(self.file) as file:
                self._writer(frame, report, file)
            self._say_written(frame, self.file)
        _say_left_out(report)
        _say_sampled(report)

    def made_safe(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Mark what a spreadsheet would calculate, if that is asked for."""
        return _without_formulas(frame) if self.safe else frame

    @property
    def _writer(self) -> Writer:
        """What writes the format."""
        found = FORMS[self.form]
        return partial(found, rows=self.rows) if found is _table else found

    def _to_stdout(self, frame: pl.DataFrame, report: ScanReport | None) -> None:
        """Write data as they are; to a terminal, so that it shows them and obeys nothing."""
        out = stdout()
        if self.form != "table" and not out.isatty():
            out.flush()
            self._writer(frame, report, out.buffer)
            out.buffer.flush()
            return
        buffer = io.BytesIO()
        self._writer(frame, report, buffer)
        text = buffer.getvalue().decode().removesuffix("\n")
        # In JSON it stays the same text.
        show(legible(text, keep="\n", spell=_in_json) if "json" in self.form else text)

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
