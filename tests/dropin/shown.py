"""Run the same calls on wbframe and on an official SDK, and show what they give as JSON.

This file is also sent to the SDK's environment as it is, so it imports nothing but what that has.
"""

import contextlib
import io
import json
import math
import warnings

# Attributes that every kind of run has, in the SDK's words.
ATTRIBUTES = (
    "id", "name", "entity", "project", "state", "config", "rawconfig", "summary_metrics", "system_metrics",
    "tags", "group", "job_type", "sweep_name", "url", "path", "created_at", "heartbeat_at", "notes",
    "description", "commit", "read_only", "history_line_count", "history_keys", "lastHistoryStep",
    "storage_id", "metadata", "display_name", "displayName", "summaryMetrics",
)  # fmt: skip


def plain(value, *, frame=None):
    """Turn a result into JSON that compares as the values do: NaN is named, 1 and 1.0 differ."""
    kind = type(value).__name__
    if kind == "DataFrame":
        return _frame(value)
    if kind == "Run":
        return {"run": value.id}
    if kind == "Sweep":
        return {"sweep": [value.id, value.state, value.config, value.best_loss, value.url]}
    if kind == "User":
        return {"user": [value.username, value.name]}
    if kind in {"HTTPSummary", "SummarySubDict", "Summary"}:
        return {"summary": {key: plain(value[key]) for key in value.keys()}}  # noqa: SIM118
    if hasattr(value, "item") and not isinstance(value, dict):
        value = value.item()
    if isinstance(value, dict):
        return {str(key): plain(each, frame=frame) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each, frame=frame) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        # pandas does not tell missing from NaN
        return None if frame == "pandas" and math.isnan(value) else {"float": str(value)}
    return value


def _frame(frame):
    """Show a frame; pandas' several dtypes for text are one."""
    if type(frame).__module__.startswith("polars"):
        dtypes = [str(each) for each in frame.dtypes]
        return {"polars": list(frame.columns), "dtypes": dtypes, "rows": plain(frame.to_dicts())}
    dtypes = [each.kind if each.kind in "ifbu" else "O" for each in frame.dtypes]
    rows = [
        dict(zip(frame.columns, row, strict=True))
        for row in frame.itertuples(index=False, name=None)
    ]
    return {
        "pandas": list(frame.columns),
        "dtypes": dtypes,
        "index": list(frame.index) == list(range(len(frame))),
        "rows": plain(rows, frame="pandas"),
    }


def attempt(code, names):
    """Run one call: ``{"value": ...}``, or ``{"error": [names of its classes], "message": ...}``."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            scope = dict(names)
            *lines, last = code.strip().splitlines()
            exec("\n".join(lines), scope)
            value = plain(eval(last.strip(), scope))
    except StopIteration:
        return {"error": ["StopIteration"], "message": ""}
    except Exception as error:  # noqa: BLE001
        return {"error": [each.__name__ for each in type(error).__mro__], "message": str(error)}
    return json.loads(json.dumps({"value": value}))


def attempts(calls, names):
    """Run several calls, each by itself."""
    return {name: attempt(code, names) for name, code in calls.items()}


def main(args):
    """Run the calls on the SDK that is installed here."""
    import wandb
    from wandb.apis.public import Runs

    api = wandb.Api()
    found = {}
    for project, calls in args["calls"].items():
        client = getattr(api, "_service_api", None) or api.client
        names = {"api": api, "Runs": Runs, "client": client, "P": project, "ATTRIBUTES": ATTRIBUTES}
        found[project] = attempts(calls, names)
        api.flush()
    return found
