"""A local W&B-compatible server: for the demo, for the tests, and for other people's tests.

>>> from wbframe.server import serve
>>> with serve("ragged") as server:
...     server.url.startswith("http://127.0.0.1:")
True

It speaks as much of the GraphQL API as it takes to read runs and histories, with `wbframe` and with
the official SDK, from projects in memory; exported files are on a port of their own.
"""

from __future__ import annotations

from wbframe.server.api.schema import Features
from wbframe.server.differing import DIFFERENCES, Difference
from wbframe.server.faults import LoggedRequest, StorageRequest
from wbframe.server.projects.exports import Export, ExportFile, Exports, FileFormat
from wbframe.server.projects.folder import load_project
from wbframe.server.projects.growing import growing
from wbframe.server.projects.ragged import odd, ragged
from wbframe.server.projects.rows import History
from wbframe.server.projects.store import Project, RunRecord, Sweep
from wbframe.server.projects.synthetic import synthetic
from wbframe.server.serving import API_KEY, BUILT_IN, built_in, serve, serve_forever

__all__ = [
    "API_KEY",
    "BUILT_IN",
    "DIFFERENCES",
    "Difference",
    "Export",
    "ExportFile",
    "Exports",
    "Features",
    "FileFormat",
    "History",
    "LoggedRequest",
    "Project",
    "RunRecord",
    "StorageRequest",
    "Sweep",
    "built_in",
    "growing",
    "load_project",
    "odd",
    "ragged",
    "serve",
    "serve_forever",
    "synthetic",
]
