"""The calls that are made on wbframe and on the official SDKs, and in what their results may differ."""

from __future__ import annotations

from dataclasses import dataclass, field

V18, V19, V31 = "wandb==0.18.0", "wandb==0.19.8", "wandb==0.31.0"
ALL = (V18, V19, V31)


@dataclass(frozen=True)
class Call:
    """One call, in the words of both.

    Attributes
    ----------
    code
        Statements, the last line an expression; `P` is the project, `client` what the SDK calls so.
    projects
        Where it is made.
    differs
        Release -> the row of the table of `wbframe.dropin.runs` that tells of the difference, and what it is:
        ``"raises"`` (they do, we give a value), ``"refuses"`` (we do, they give one), ``"error"`` (both
        raise, other classes),
        ``"rows"`` (the same rows in another order), ``"value"`` (other values).
    """

    code: str
    projects: tuple[str, ...] = ("ragged", "demo", "empty")
    differs: dict[str, tuple[str, str]] = field(default_factory=dict)


def all_(row: str, kind: str) -> dict[str, tuple[str, str]]:
    return dict.fromkeys(ALL, (row, kind))


RAGGED = ("ragged",)
SOME = ("ragged", "demo")
NEW = 'r = Runs(client, "wbframe", P, order="+created_at", per_page=4)\n'
NEWEST_LAST = "[run.id for run in r]"
ERRORS = "Errors of ``histories``, ``history``"
SORTED = {V18: ("pandas and polars, row order", "rows")}

PAGING = {
    "as made": Call(
        NEW
        + "[r.index, r.objects, r.last_response, r.more, r.cursor, r.per_page, r.entity, r.project, r.filters, r.order]"
    ),
    "variables as made": Call(NEW + "r.variables"),
    "variables after a page": Call(NEW + "next(r)\nr.variables", SOME),
    "after a page": Call(NEW + "next(r)\n[r.index, len(r.objects), r.more, r.cursor]", SOME),
    "last response": Call(
        NEW + "next(r)\n[r.last_response['project'][name] for name in ('runCount', 'readOnly')]",
        SOME,
    ),
    "length": Call(
        NEW + "before = r.length\nlen(r)\n[before, r.length, len(r.objects)]",
        differs={V31: ("`length`", "raises")},
    ),
    "len": Call(NEW + "[len(r), len(r.objects), r.index]"),
    "repr": Call(NEW + "repr(r)"),
    "ids": Call(NEW + NEWEST_LAST),
    "twice": Call(NEW + "[[run.id for run in r], r.index, [run.id for run in r]]"),
    "restart": Call(
        NEW + "a = [next(r).id, next(r).id]\nb = [run.id for run in r]\n[a, b, r.index]", SOME
    ),
    "nested": Call(NEW + "[[a.id, b.id] for a in r for b in r]", SOME),
    "next": Call(NEW + "r.next().id", SOME),
    "past the end": Call(NEW + "list(r)\nnext(r)"),
    "first": Call(NEW + "[r[0].id, len(r.objects)]", SOME),
    "sixth": Call(NEW + "[r[5].id, len(r.objects)]", SOME),
    "the same object": Call(NEW + "r[1] is r[1] and r[1] is list(r)[1]", SOME),
    "first of none": Call(NEW + "r[0].id", ("empty",)),
    "beyond": Call(NEW + "r[1000]"),
    "last before loading": Call(
        NEW + "r[-1].id", SOME, differs=all_("``runs[:]``, ``runs[5:]``,", "raises")
    ),
    "last of none": Call(NEW + "r[-1]", ("empty",)),
    "last of some": Call(
        NEW + "r[0]\nr[-1].id", SOME, differs=all_("``runs[:]``, ``runs[5:]``,", "value")
    ),
    "last after loading": Call(NEW + "list(r)\n[r[-1].id, r[-2].id]", SOME),
    "slice": Call(NEW + "[run.id for run in r[2:6]]"),
    "slice with step": Call(NEW + "[run.id for run in r[1:9:3]]"),
    "whole slice": Call(
        NEW + "[run.id for run in r[:]]", differs=all_("``runs[:]``, ``runs[5:]``,", "raises")
    ),
    "open slice": Call(
        NEW + "[run.id for run in r[5:]]", differs=all_("``runs[:]``, ``runs[5:]``,", "raises")
    ),
    "slice to the last but one": Call(
        NEW + "[run.id for run in r[:-1]]",
        SOME,
        differs=all_("``runs[:]``, ``runs[5:]``,", "value"),
    ),
    "cursor of no run": Call(
        NEW + "len(r)\nr.cursor",
        ("empty",),
        differs=dict.fromkeys((V18, V19), ("`cursor` of an empty page", "raises")),
    ),
    "no order": Call(
        'r = Runs(client, "wbframe", P, per_page=4)\n[r.order, r.variables["order"], [run.id for run in r]]',
        differs={V31: ("`order=None`", "value")},
    ),
    "newest first": Call('r = Runs(client, "wbframe", P, None, "-created_at")\n' + NEWEST_LAST),
    "filters": Call(
        'r = Runs(client, "wbframe", P, {"state": {"$in": ["crashed", "failed"]}}, "+created_at")\n[len(r), r.filters, r.variables["filters"], [run.id for run in r]]'
    ),
    "per_page": Call(
        'r = Runs(client, "wbframe", P, {}, "+created_at", 7)\n[r.per_page, r[0].id, len(r.objects)]',
        SOME,
    ),
    "no per_page": Call(
        'Runs(client, "wbframe", P, per_page=None).per_page',
        differs={V31: ("`per_page=None`", "value")},
    ),
    "convert again": Call(
        NEW + "next(r)\nmore = r.convert_objects()\n[[run.id for run in more], len(r.objects)]",
        SOME,
    ),
    "convert nothing": Call(NEW + "r.convert_objects()"),
    "update_variables": Call(
        NEW + "next(r)\nr.per_page = 2\nr.update_variables()\nr.variables", SOME
    ),
    "no project": Call('Runs(client, "wbframe", "nope")[0]', ("empty",)),
    "length of no project": Call('len(Runs(client, "wbframe", "nope"))', ("empty",)),
    "iterate over no project": Call('list(Runs(client, "wbframe", "nope"))', ("empty",)),
    "no project, again": Call(
        'r = Runs(client, "wbframe", "nope")\ntry: len(r)\nexcept ValueError: pass\nlen(r)',
        ("empty",),
        differs={
            V18: ('After "Could not find project"', "error"),
            V19: ('After "Could not find project"', "error"),
            V31: ('After "Could not find project"', "value"),
        },
    ),
}

RUN_ATTRIBUTES = {
    name: Call(NEW + f"[run.{name} for run in r]")
    for name in (
        "id", "name", "entity", "project", "state", "config", "rawconfig", "summary_metrics", "system_metrics",
        "tags", "group", "job_type", "sweep_name", "created_at", "heartbeat_at", "notes", "path", "url",
        "description", "commit", "read_only", "history_line_count", "history_keys", "lastHistoryStep",
        "storage_id", "metadata", "display_name", "displayName", "sweepName", "user", "summary", "username",
    )
}  # fmt: skip
RUN_ATTRIBUTES["history_keys"] = Call(
    NEW + "[run.history_keys for run in r]", SOME, differs={V31: ("`lazy`", "raises")}
)

RUN = {
    "sweeps": Call(NEW + "[run.sweep for run in r]"),
    "names of sweeps": Call(NEW + "[run.sweep and run.sweep.name for run in r]", RAGGED, differs={V31: ("`name` of a sweep", "value")}),
    "no sweeps": Call(
        'r = Runs(client, "wbframe", P, order="+created_at", include_sweeps=False)\n[run.sweep for run in r]',
        RAGGED,
        differs=dict.fromkeys((V18, V19), ("`include_sweeps`", "value")),
    ),
    "repr of a run": Call(NEW + "[repr(run) for run in r]"),
    "unknown attribute": Call(NEW + "r[0].no_such_thing", SOME),
    "has not": Call(NEW + "[hasattr(run, 'no_such_thing') for run in r]"),
    "summary get": Call(NEW + "[[run.summary.get('train/loss'), run.summary.get('none', 3), 'train/loss' in run.summary] for run in r]"),
    "summary keys": Call(NEW + "[sorted(run.summary.keys()) for run in r]"),
    "summary missing": Call(NEW + "r[0].summary['no such key']", SOME),
    "summary nested": Call(NEW + "[run.summary['best']['accuracy'] for run in r if 'best' in run.summary]", ("demo",)),
    "summary raw": Call(NEW + "[run.summary._json_dict for run in r]"),
    "config by key": Call(NEW + "[run.config.get('lr') for run in r]"),
    "json_config": Call(NEW + "[sorted(__import__('json').loads(run.json_config)) for run in r]", SOME, differs={V18: ("`json_config`", "value")}),
    "one run": Call('run = api.run("wbframe/" + P + "/cadence1")\n[run.id, run.config, run.state, run.sweep]', RAGGED),
    "one run, other paths": Call('[api.run(path).id for path in ("wbframe/ragged/runs/cadence1", "wbframe/ragged:cadence1", "ragged/cadence1", "/wbframe/ragged/cadence1/")]', RAGGED),
    "no run": Call('api.run("wbframe/ragged/nope")', RAGGED, differs=all_(ERRORS, "error")),
    "a path without a project": Call('api.run("cadence1")', RAGGED, differs=all_('``api.run("id")`` without a project', "error")),
    "blanks in addresses": Call("type(r := Runs(client, 'an entity', 'a project')).__name__\nrun = type(api.run('wbframe/ragged/cadence1'))(client, 'an entity', 'a project', 'an id', {'state': 'finished'})\n[run.path, run.url]", RAGGED, differs=dict.fromkeys((V18, V19), ("Blanks in `path` and `url`", "value"))),
    "to_html": Call('run = api.run("wbframe/ragged/cadence1")\n[run.to_html(), run.to_html(200), run.display()]', RAGGED),
    "from_path": Call('api.from_path("wbframe/ragged/cadence1") is api.from_path("wbframe/ragged/cadence1")', RAGGED),
    "config that is a number": Call("type(api.run('wbframe/ragged/cadence1'))(client, 'e', 'p', 'r', {'config': 1})", RAGGED, differs={**dict.fromkeys((V18, V19), ("Config that is no object", "error")), V31: ("Config that is no object", "error")}),
    "api.runs": Call('[run.id for run in api.runs("wbframe/" + P)]'),
    "api.runs, default entity": Call("[run.id for run in api.runs(P)]"),
    "api.runs, filtered": Call('[run.id for run in api.runs("wbframe/" + P, {"config.lr.value": {"$gt": 0.05}}, "-created_at", 3)]'),
    "api.runs is kept": Call('api.runs("wbframe/" + P) is api.runs("wbframe/" + P)', SOME),
    "default entity": Call("api.default_entity", RAGGED),
}  # fmt: skip

PAIR = 'r = Runs(client, "wbframe", P, {"name": {"$in": %s}}, "+created_at", 2)\n'
NAN = '``"NaN"`` among numbers'
SCAN = "``scan_history`` values"
# Without the runs whose frames differ, which have calls of their own.
FINITE = 'r = Runs(client, "wbframe", P, {"name": {"$nin": ["nonfinite", "summary", "huge", "zwdxvdkz"]}}, "+created_at", 4)\n'
PER_RUN = "[[run.id, {call}] for run in r]"
ROWS = {
    "history": Call(NEW + PER_RUN.format(call="run.history(pandas=False)")),
    "history, few": Call(NEW + PER_RUN.format(call="run.history(samples=7, pandas=False)")),
    "history, positional": Call(NEW + PER_RUN.format(call="run.history(9, ['train/loss'], '_runtime', False, 'default')"), SOME),
    "history, keys": Call(NEW + PER_RUN.format(call="run.history(keys=['train/loss', 'eval/loss'], pandas=False)")),
    "history, no keys": Call(NEW + PER_RUN.format(call="run.history(keys=[], pandas=False)")),
    "history, x_axis": Call(NEW + PER_RUN.format(call="run.history(keys=['train/loss'], x_axis='_timestamp', pandas=False)")),
    "history, system": Call(NEW + PER_RUN.format(call="run.history(stream='system', pandas=False)")),
    "history, pandas": Call(FINITE + "[run.history(keys=['train/loss']) for run in r]"),
    "history, pandas, all": Call(FINITE + "[run.history() for run in r]"),
    "history, pandas, NaN as text": Call(PAIR % ["nonfinite"] + "r[0].history(keys=['train/loss'])", RAGGED, differs=all_(NAN, "value")),
    "history, text keys": Call(NEW + "[run.history(keys='train/loss') for run in r]"),
    "history, number keys": Call(NEW + "[run.history(keys=[1]) for run in r]"),
    "history, system with keys": Call(NEW + "[run.history(keys=['a'], stream='system') for run in r]"),
    "scan": Call(NEW + PER_RUN.format(call="list(run.scan_history())"), SOME, differs={V31: (SCAN, "value")}),
    "scan, window": Call(NEW + PER_RUN.format(call="list(run.scan_history(min_step=5, max_step=30))"), SOME, differs={V31: (SCAN, "value")}),
    "scan, steps": Call(NEW + PER_RUN.format(call="[row['_step'] for row in run.scan_history(page_size=10**4)]"), ("demo", "empty")),
    "scan, steps in two rows": Call(PAIR % ["twice"] + "len(list(r[0].scan_history()))", RAGGED, differs={V31: (SCAN, "value")}),
    "scan, keys": Call(NEW + PER_RUN.format(call="list(run.scan_history(keys=['_step', 'train/loss'], page_size=5000))"), ("demo",), differs={V31: (SCAN, "value")}),
    "scan, keys, page bounds": Call(PAIR % ["resumed"] + "[row['_step'] for row in r[0].scan_history(keys=['_step', 'train/loss'], page_size=5000)]", RAGGED, differs={**dict.fromkeys((V18, V19), ("``scan_history``", "value")), V31: (SCAN, "value")}),
    "scan, twice": Call(NEW + "s = r[0].scan_history()\n[len(list(s)), len(list(s))]", SOME),
    "scan, text keys": Call(NEW + "r[0].scan_history(keys='train/loss')", SOME, differs={**dict.fromkeys((V18, V19), ("``scan_history`` with wrong `keys`", "refuses")), V31: (ERRORS, "error")}),
    "scan, keys of each row": Call(NEW + "[sorted(row) for run in r for row in list(run.scan_history(keys=['train/loss']))[:1]]", SOME, differs=dict.fromkeys((V18, V19), ("`_step` in rows of ``scan_history``", "value"))),
    "scan, of numpy": Call("import numpy as np\n" + NEW + "[row['_step'] for row in r[0].scan_history(page_size=np.int64(50), min_step=np.int64(2), max_step=np.int32(6))]", SOME),
    "beta scan": Call(NEW + "[row['_step'] for row in r[0].beta_scan_history(min_step=2, max_step=6, use_cache=False)]", SOME, differs=dict.fromkeys((V18, V19), ("``beta_scan_history``", "raises"))),
}  # fmt: skip

HISTORIES = {
    "default": Call(NEW + "r.histories()"),
    "default, few": Call(NEW + "r.histories(5)"),
    "default, keys": Call(NEW + "r.histories(keys=['train/loss', 'eval/loss'])"),
    "default, positional": Call(NEW + "r.histories(500, ['train/loss'], '_timestamp', 'default', 'default')"),
    "default, no keys": Call(NEW + "r.histories(keys=[])"),
    "default, unknown key": Call(NEW + "r.histories(keys=['no such key'])"),
    "default, system": Call(NEW + "r.histories(stream='system')"),
    "then the runs": Call(NEW + "r.histories(2)\n[r.index, len(r.objects), [run.id for run in r]]"),
    "after some runs": Call(NEW + "next(r)\nlen(r.histories(2))"),
    "pandas": Call(FINITE + "r.histories(format='pandas')", differs=SORTED),
    "pandas, keys": Call(FINITE + "r.histories(keys=['train/loss'], format='pandas')", differs=SORTED),
    "pandas, system": Call(NEW + "r.histories(stream='system', format='pandas')", differs=SORTED),
    "pandas, nothing": Call(NEW + "r.histories(keys=['no such key'], format='pandas')"),
    "pandas, NaN as text": Call(PAIR % ["nonfinite"] + "r.histories(keys=['train/loss'], format='pandas')", RAGGED, differs=all_(NAN, "value")),
    "pandas, long integers with gaps": Call(PAIR % ["huge", "twice"] + "r.histories(format='pandas')[['big']]", RAGGED, differs=all_("Integers that float64 cannot hold", "value")),
    "polars, one run": Call(PAIR % ["cadence1"] + "r.histories(keys=['train/loss', 'lr'], format='polars')", RAGGED),
    "polars, whole rows": Call(PAIR % ["objects"] + "r.histories(format='polars').select('_step', 'gradients/w1', 'list', 'nested.b', 'packed', 'run_id', 'table')", RAGGED, differs=all_("polars, text among numbers", "raises")),
    "polars, objects": Call(PAIR % ["objects"] + "r.histories(keys=['gradients/w1', 'packed'], format='polars')", RAGGED),
    "polars, same columns": Call(PAIR % ["cadence1", "resumed"] + "r.histories(keys=['train/loss', 'eval/loss'], format='polars')", RAGGED),
    "polars, same columns, sorted by 0.18": Call(PAIR % ["twice", "cadence1"] + "r.histories(keys=['train/loss'], format='polars')", RAGGED),
    "polars, whole demo with keys": Call(NEW + "r.histories(keys=['train/loss'], format='polars')", ("demo", "empty"), differs=SORTED),
    "polars, other columns": Call(PAIR % ["cadence1", "whole"] + "r.histories(format='polars')", RAGGED, differs=all_("polars, runs with different columns", "raises")),
    "polars, int beside float": Call(PAIR % ["cadence1", "whole"] + "r.histories(keys=['train/loss'], format='polars')", RAGGED, differs=all_("polars, int in one run", "raises")),
    "polars, late key": Call(PAIR % ["cadence1"] + "r.histories(format='polars').columns", RAGGED, differs=all_("polars, key first seen after row 100", "value")),
    "polars, int, then fraction": Call(PAIR % ["drifting"] + "r.histories(keys=['drift'], format='polars')['drift'].to_list()[118:124]", RAGGED, differs=all_("polars, int for 100 rows", "value")),
    "polars, NaN as text": Call(PAIR % ["nonfinite"] + "r.histories(keys=['train/loss'], format='polars')", RAGGED, differs=all_(NAN, "value")),
    "polars, nothing": Call(NEW + "r.histories(keys=['no such key'], format='polars')"),
    "polars, no runs": Call(NEW + "r.histories(format='polars')", ("empty",)),
    "wrong format": Call(NEW + "r.histories(format='arrow')", differs=all_(ERRORS, "error")),
    "text keys": Call(NEW + "r.histories(keys='train/loss')"),
    "text keys, pandas": Call(NEW + "r.histories(keys='train/loss', format='pandas')"),
    "number keys, polars": Call(NEW + "r.histories(keys=[1], format='polars')"),
    "system with keys": Call(NEW + "r.histories(keys=['train/loss'], stream='system')"),
    "no project": Call('Runs(client, "wbframe", "nope").histories()', ("empty",), differs=all_(ERRORS, "error")),
}  # fmt: skip

ODD = {
    "ids of odd runs": Call('[run.id for run in Runs(client, "wbframe", P, order="+created_at")]', ("odd",), differs={V18: ("Config that is no object", "raises"), V19: ("Config that is no object", "raises"), V31: ("``run.user`` of a run without", "raises")}),
    "user of nobody": Call('Runs(client, "wbframe", P, {"name": "nobody"})[0].user', ("odd",), differs={V18: ("``run.user`` of a run without", "raises"), V19: ("``run.user`` of a run without", "raises"), V31: ("``run.user`` of a run without", "raises")}),
    "config of listed": Call('Runs(client, "wbframe", P, {"name": "listed"})[0].config', ("odd",), differs={V18: ("Config that is no object", "raises"), V19: ("Config that is no object", "raises")}),
}  # fmt: skip

GROUPS = {"paging": PAGING, "attributes": RUN_ATTRIBUTES, "run": RUN, "rows": ROWS, "histories": HISTORIES, "odd": ODD}  # fmt: skip
CALLS: dict[str, Call] = {
    f"{group}: {name}": call for group, calls in GROUPS.items() for name, call in calls.items()
}
