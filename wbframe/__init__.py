"""Weights & Biases runs and histories as polars, pandas and Arrow frames.

``import wbframe`` sets `pl.read_wandb_runs`, `pl.scan_wandb_runs` and their likes for histories and buckets on
polars, the readers on pandas (now or whenever pandas is imported), and ``df.wandb`` on the frames of both. All of
it is there as plain functions too, which editors and type checkers know: `wbframe.read_runs`, `wbframe.scan_runs`
and their likes give frames of polars, `wbframe.of` the namespace of any frame; and there are `wbframe.pandas` and
`wbframe.arrow`.
"""

from __future__ import annotations

import importlib
import logging
from typing import TYPE_CHECKING, Any

import wrapt

from wbframe import errors
from wbframe import namespaces as _namespaces
from wbframe._version import __version__
from wbframe.buckets import read_buckets, scan_buckets
from wbframe.log import log_of
from wbframe.namespaces import of
from wbframe.polars import read_histories, read_runs, scan_histories, scan_runs
from wbframe.report import LeftOut, Progress, ScanReport

if TYPE_CHECKING:
    last_report: ScanReport | None
    last_reports: dict[str, ScanReport]
    from wbframe import arrow, buckets, pandas, polars, server
    from wbframe.core.doctor.report import DoctorReport
    from wbframe.dropin.api import Api
    from wbframe.dropin.run import Run
    from wbframe.dropin.runs import Runs
    from wbframe.io.client.client import Client
    from wbframe.io.client.retry import Clock, RetryPolicy
    from wbframe.io.doctor.visit import doctor
    from wbframe.scans.explain import Explanation, explain

__all__ = [
    "Api",
    "Client",
    "Clock",
    "DoctorReport",
    "Explanation",
    "LeftOut",
    "Progress",
    "RetryPolicy",
    "Run",
    "Runs",
    "ScanReport",
    "__version__",
    "arrow",
    "buckets",
    "doctor",
    "errors",
    "explain",
    "last_report",
    "last_reports",
    "of",
    "pandas",
    "polars",
    "read_buckets",
    "read_histories",
    "read_runs",
    "scan_buckets",
    "scan_histories",
    "scan_runs",
    "server",
]

# Loaded when first used: HTTP, Arrow and pandas cost more to import than all the rest.
_LAZY = {
    "Api": "wbframe.dropin.api",
    "Client": "wbframe.io.client.client",
    "Clock": "wbframe.io.client.retry",
    "DoctorReport": "wbframe.core.doctor.report",
    "Explanation": "wbframe.scans.explain",
    "doctor": "wbframe.io.doctor.visit",
    "explain": "wbframe.scans.explain",
    "RetryPolicy": "wbframe.io.client.retry",
    "Run": "wbframe.dropin.run",
    "Runs": "wbframe.dropin.runs",
}
_REPORTS = frozenset({"last_report", "last_reports"})
_LAZY_MODULES = frozenset({"arrow", "pandas", "server"})


def __getattr__(name: str) -> Any:
    if name in _LAZY_MODULES:
        return importlib.import_module(f"wbframe.{name}")
    if name in _REPORTS:
        # Of the client that reads where none is given; making it sends nothing.
        return getattr(
            importlib.import_module("wbframe.io.client.client").client_or_default(None), name
        )
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(
        f"module 'wbframe' has no attribute {name!r}{errors.did_you_mean(name, __all__)}"
    )


def __dir__() -> list[str]:
    return sorted(__all__)


def _register_pandas(_: object) -> None:
    # It registers itself; where it is what imports pandas, only when it has gone on from there.
    importlib.import_module("wbframe.pandas")


# Quiet unless the program says what to do with `wbframe`'s log.
log_of().addHandler(logging.NullHandler())
_namespaces.register()
# At once if pandas is there already; else when somebody imports it.
wrapt.register_post_import_hook(_register_pandas, "pandas")
