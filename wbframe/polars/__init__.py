"""The polars face: readers and scans as functions."""

from __future__ import annotations

from wbframe.polars.reads import read_histories, read_runs, report_of
from wbframe.polars.scans import scan_histories, scan_runs

__all__ = ["read_histories", "read_runs", "report_of", "scan_histories", "scan_runs"]
