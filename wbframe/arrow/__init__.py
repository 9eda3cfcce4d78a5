"""The Arrow face: tables, and readers that hand out batches while later ones are on their way."""

from __future__ import annotations

from wbframe.arrow.batches import buckets_reader, histories_reader, runs_reader
from wbframe.arrow.reads import read_buckets, read_histories, read_runs

__all__ = [
    "buckets_reader",
    "histories_reader",
    "read_buckets",
    "read_histories",
    "read_runs",
    "runs_reader",
]
