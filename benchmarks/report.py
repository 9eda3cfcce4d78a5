"""What was measured, as a table, as JSON and as a chart."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.measuring import Row

_PACKAGES = ("polars", "pandas", "pyarrow", "msgspec", "gql", "requests", "isal", "aiohttp")


def machine() -> dict[str, Any]:
    """Describe where this runs, and how busy it is besides."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
        model = next((line.split(":")[1].strip() for line in lines if "model name" in line), model)
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "packages": {name: version(name) for name in _PACKAGES if find_spec(name) is not None},
        "load": [round(each, 1) for each in os.getloadavg()],
    }


def _size(count: int | None) -> str:
    """Spell bytes."""
    return "" if count is None else f"{count / 1e6:.1f} MB"


def table(rows: Sequence[Row]) -> str:
    """Give a table in Markdown, which also reads well as it is."""
    head = [
        "case",
        "reader",
        "seconds",
        "CPU",
        "ratio",
        "rows",
        "requests",
        "sent",
        "peak",
        "frame",
        "",
    ]
    cells = [head]
    for row in rows:
        extra = {k: v for k, v in row.extra.items() if k not in {"what", "size"}}
        said = [f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in extra.items()]
        cells.append(
            [
                f"{row.scenario}: {row.case}",
                row.reader,
                f"{row.seconds:.3f}",
                "" if row.cpu_seconds is None else f"{row.cpu_seconds:.3f}",
                "" if row.ratio is None else f"{row.ratio:.2f}",
                f"{row.rows:,}" if row.rows else "",
                "" if row.requests is None else f"{row.requests:,}",
                _size(row.bytes),
                _size(row.peak_bytes),
                _size(row.frame_bytes),
                ", ".join(said),
            ]
        )
    widths = [max(len(each[i]) for each in cells) for i in range(len(head))]
    lines = [" | ".join(c.ljust(w) for c, w in zip(each, widths, strict=True)) for each in cells]
    lines.insert(1, "-|-".join("-" * width for width in widths))
    return "\n".join(f"| {line} |" if i != 1 else f"|-{line}-|" for i, line in enumerate(lines))


def write_json(rows: Sequence[Row], path: Path) -> None:
    """Write everything, the machine beside it."""
    content = {"machine": machine(), "rows": [asdict(row) for row in rows]}
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def write_chart(rows: Sequence[Row], path: Path) -> None:
    """Draw the seconds of every reader, one panel a case, on a logarithmic axis; PNG or SVG by the ending."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    cases = list(dict.fromkeys((row.scenario, row.case) for row in rows))
    columns = min(len(cases), 3)
    lines = -(-len(cases) // columns)
    figure, axes = plt.subplots(
        lines,
        columns,
        figsize=(5 * columns, 2.2 * lines),
        squeeze=False,
        sharex=True,
        layout="constrained",
    )
    for axis, key in zip(axes.flat, cases, strict=False):
        here = [row for row in rows if (row.scenario, row.case) == key][::-1]
        colors = ["tab:orange" if row.reader.startswith("wbframe") else "tab:gray" for row in here]
        bars = axis.barh([row.reader for row in here], [row.seconds for row in here], color=colors)
        axis.bar_label(bars, [f"{row.seconds:.2f} s" for row in here], padding=2, fontsize=8)
        axis.set_xscale("log")
        axis.set_xlim(0.01, 10 * max(row.seconds for row in rows))
        axis.tick_params(labelbottom=True)
        axis.set_title(f"{key[0]}: {key[1]}", fontsize=9)
        axis.tick_params(labelsize=8)
    for axis in axes.flat[len(cases) :]:
        axis.set_visible(False)
    figure.savefig(path)
    plt.close(figure)
