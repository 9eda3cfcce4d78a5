"""Folders with odd files, links and JSON, and text with lone surrogates: served right, or one clear error."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import requests

import wbframe
from wbframe.errors import UsageError
from wbframe.server import Exports, History, Project, RunRecord, load_project, serve
from wbframe.server.projects.wire import DEEPEST, cells, decode, encode
from wbframe.text import legible

ABOUT = {"entity": "wbframe", "name": "p"}
needs_links = pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")


def written(folder, *, about=ABOUT, runs=(), **files):
    """Write a project; files are texts or bytes by their path, `__` for a slash."""
    folder.mkdir(exist_ok=True)
    given = {"project.json": about, "runs.json": list(runs)}
    for name, value in given.items():
        text = value if isinstance(value, (str, bytes)) else json.dumps(value)
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    for name in ("history", "events"):
        (folder / name).mkdir(exist_ok=True)
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/')}.json"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


def wrong(folder):
    """Load what cannot be loaded, and give the message: one line, that does nothing to a terminal."""
    with pytest.raises(UsageError) as told:
        load_project(folder)
    text = str(told.value)
    assert text.isprintable()
    assert len(text) < 1000
    assert told.value.__cause__ is None
    return text


def loaded(folder):
    """Load what may be loaded or not: the project, or None and the message."""
    try:
        return load_project(folder), ""
    except UsageError as error:
        return None, str(error)


# ---------------------------------------------------------------- JSON

NO_JSON = {
    "nothing": b"", "blanks": b"  \n", "cut": b'[{"name": "a"', "behind it": b"[] x", "a comment": b"// x\n[]",
    "UTF-16": "[]".encode("utf-16"), "UTF-32": "[]".encode("utf-32"), "Latin": b'[{"name": "\xe9"}]',
    "raw surrogates": b'[{"name": "\xed\xa0\x80"}]', "NUL": b"\x00", "binary": bytes(range(256)),
    "deep lists": b"[" * 100_000, "deep objects": b'[{"name": "a", "config": ' + b'{"a":' * 20_000 + b"1" + b"}" * 20_001 + b"]",
    "a little too deep": json.dumps([{"name": "a", "config": json.loads("[" * 101 + "]" * 101)}]).encode(),
    "beyond doubles": b'[{"name": "a", "config": {"x": 1e9999}}]', "below them": b'[{"name": "a", "config": {"x": -1e9999}}]',
    "many digits": b'[{"name": "a", "config": {"x": ' + b"9" * 100_000 + b"}}]",
    "a key twice": b'[{"name": "a", "name": "b"}]', "a key twice inside": b'[{"name": "a", "config": {"x": {"y": 1, "y": 2}}}]',
    "control characters": b'[{"name": "a\x1b[2J"}]', "half an escape": b'[{"name": "\\ud8"}]',
}  # fmt: skip


@pytest.mark.parametrize("text", NO_JSON.values(), ids=NO_JSON)
def test_json_that_cannot_be_served(tmp_path, text):
    folder = written(tmp_path / "p", runs=[])
    (folder / "runs.json").write_bytes(text)
    assert str(folder / "runs.json") in wrong(folder)
    written(folder, runs=[{"name": "a"}], history__a=text)
    assert str(folder / "history" / "a.json") in wrong(folder)


@pytest.mark.parametrize("value", [None, True, 3, "x", [], {}, [[]], [None], [3], ["x"], {"a": 1}])
def test_each_file_has_its_shape(tmp_path, value):
    text = json.dumps(value)
    if not isinstance(value, dict) or "a" in value or not value:
        folder = written(tmp_path / "about", about=text)
        assert "project.json" in wrong(folder)
    if value != []:
        folder = written(tmp_path / "runs")
        (folder / "runs.json").write_text(text)
        assert "runs.json" in wrong(folder)
        if value != [{}]:
            folder = written(tmp_path / "rows", runs=[{"name": "a"}], events__a=text)
            assert "a.json" in wrong(folder)


VALUES = [3, 1.5, "9", True, [], [3], ["x", None], {}, {"keys": 3}, {"keys": {"a": 3}}, {"keys": {"a": {"typeCounts": [3]}}}, None]  # fmt: skip
RUN = [
    "displayName",
    "state",
    "config",
    "wandbConfig",
    "summaryMetrics",
    "systemMetrics",
    "historyKeys",
    "historyLineCount",
    "createdAt",
    "heartbeatAt",
    "updatedAt",
    "tags",
    "group",
    "jobType",
    "sweepName",
    "commit",
    "description",
    "notes",
    "host",
    "user",
    "runInfo",
    "computeSeconds",
    "exitcode",
    "readOnly",
]
ALL_OF_A_RUN = (
    'query Q { project(name: "p") { createdAt sweeps { edges { node { name displayName state method description config'
    ' bestLoss runCountExpected createdAt updatedAt } } } runs(order: "%s") { historyKeys edges { node { name displayName'
    " state config wandbConfig summaryMetrics systemMetrics historyKeys historyLineCount createdAt heartbeatAt updatedAt"
    " tags group jobType sweepName commit description notes host user { name username email } runInfo { os gpuCount args }"
    ' computeSeconds exitcode readOnly historyTail eventsTail history events parquetHistory(liveKeys: ["x"])'
    " { parquetUrls } } } } fields { edges { node { path type } } } } }"
)  # fmt: skip


@pytest.mark.parametrize("name", RUN)
def test_what_stands_under_a_name_is_served_or_told(tmp_path, name):
    from .asking import answer, engine_of

    served = 0
    for value in VALUES:
        folder = written(tmp_path / "p", runs=[{"name": "a", name: value}, {"name": "b"}])
        project, told = loaded(folder)
        if project is None:
            assert f"runs.json, run 0, has {value!r}" in told
            assert name in told
            continue
        served += 1
        for order in ("-createdAt", "+heartbeatAt", f"+{name}", "-config.a", "+summary_metrics.x"):
            status, body = answer(engine_of(project), ALL_OF_A_RUN % order)
            assert (status, body.get("errors")) == (200, None)
    assert served or name == "createdAt"


@pytest.mark.parametrize("name", ["displayName", "state", "method", "config", "bestLoss", "runCountExpected", "createdAt", "updatedAt"])  # fmt: skip
def test_what_stands_under_a_name_of_a_sweep_is_served_or_told(tmp_path, name):
    from .asking import answer, engine_of

    for value in VALUES:
        about = {**ABOUT, "sweeps": [{"name": "s", name: value}]}
        folder = written(tmp_path / "p", about=about, runs=[{"name": "a", "sweepName": "s"}])
        project, told = loaded(folder)
        if project is None:
            assert f"project.json, sweep 0, has {value!r}" in told
            continue
        status, body = answer(engine_of(project), ALL_OF_A_RUN % "+name")
        assert (status, body.get("errors")) == (200, None)


def test_what_is_odd_and_right_is_served(tmp_path):
    deep = json.loads("[" * (DEEPEST - 3) + "]" * (DEEPEST - 3))
    config = '{"nan": NaN, "inf": -Infinity, "huge": 1%s, "tiny": 1e-999, "deep": %s, "zero": -0.0, "": "", "a.b": 1, "a": {"b": 2}}'
    rows = '[{"x": 1%s}, {"_step": 5.0, "x": NaN, "": 1, "_type": 3}, {}]'
    runs = '[{"name": "a", "config": %s}]' % (config % ("0" * 400, json.dumps(deep)))
    folder = written(tmp_path / "p", history__a=rows % ("0" * 400))
    (folder / "runs.json").write_bytes(b"\xef\xbb\xbf" + runs.encode())
    project = load_project(folder)
    (run,) = project.runs
    assert run.config["huge"] == 10**400
    assert run.history.steps == [0, 5, 6]
    with serve(project, exports=Exports.all()) as server:
        document = {"query": ALL_OF_A_RUN % "+name"}
        answer = requests.post(
            f"{server.url}/graphql", json=document, auth=("api", server.api_key), timeout=60
        )
        assert answer.json().get("errors") is None
        (node,) = (each["node"] for each in answer.json()["data"]["project"]["runs"]["edges"])
        assert json.loads(node["config"])["huge"]["value"] == 10**400
        (url,) = node["parquetHistory"]["parquetUrls"]
        table = pq.read_table(pa.BufferReader(requests.get(url, timeout=60).content))
        assert table.num_rows == 3


@pytest.mark.parametrize(
    "step", ["1.5", '"1"', "NaN", "Infinity", "1e300", "9" * 30, "true", "[]", "{}"]
)
def test_a_step_is_a_whole_number(tmp_path, step):
    folder = written(
        tmp_path / "p", runs=[{"name": "a"}], history__a=f'[{{"x": 1}}, {{"_step": {step}}}]'
    )
    told = wrong(folder)
    assert "a.json: row 1 has the `_step`" in told
    with pytest.raises(UsageError, match="row 0 has the `_step`"):
        History([{"_step": json.loads(step)}])


# ---------------------------------------------------------------- names

NAMES = ["", ".", "..", "a/b", "/etc/passwd", "../a", "a\\b", "a\nb", "a\x00b", "a\x1b[2J", "a\u202eb", "\ud800", "a" * 201, "é" * 101, 3, None, ["a"]]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_names_that_cannot_be_are_told(tmp_path, name):
    runs = written(tmp_path / "runs", runs=[{"name": "ok"}, {"name": name}])
    assert "runs.json, run 1, is without a usable 'name'" in wrong(runs)
    about = written(tmp_path / "about", about={**ABOUT, "name": name})
    assert "project.json needs 'name'" in wrong(about)
    entity = written(tmp_path / "entity", about={**ABOUT, "entity": name})
    assert "project.json needs 'entity'" in wrong(entity)
    sweep = written(tmp_path / "sweep", about={**ABOUT, "sweeps": [{"name": "s"}, {"name": name}]})
    assert "project.json, sweep 1, is without a usable 'name'" in wrong(sweep)


@pytest.mark.parametrize("sweeps", [None, {}, "s", [3], [None], [{}]])
def test_sweeps_are_a_list_of_objects(tmp_path, sweeps):
    assert "project.json" in wrong(written(tmp_path / "p", about={**ABOUT, "sweeps": sweeps}))


@pytest.mark.parametrize("name", ["a b", "*", "[a]*", "a?b", "%2e%2e", "..a", "é", "a=b", "~", "-rf", "a'\"", "🙂", "a#b", "CON", "a" * 200])  # fmt: skip
def test_odd_names_are_served(tmp_path, name):
    folder = written(tmp_path / "p", runs=[{"name": name}, {"name": "other"}])
    pl.DataFrame({"_step": [0, 1], "x": [1.0, 2.0]}).write_parquet(folder / "history" / "h.parquet")
    (folder / "history" / "h.parquet").rename(folder / "history" / f"{name}.parquet")
    pl.DataFrame({"_step": [7], "x": [7.0]}).write_parquet(folder / "history" / "a.parquet")
    with (
        serve(load_project(folder), exports=Exports.all()) as server,
        wbframe.Client(server.url, server.api_key) as client,
    ):
        for samples in (500, None):
            rows = wbframe.polars.read_histories("wbframe/p", samples=samples, client=client)
            assert rows.select("run_id", "x").rows() == [(name, 1.0), (name, 2.0)]
        for each in server.storage_requests:
            assert each.status in {200, 206}


def test_names_that_only_some_systems_tell_apart(tmp_path):
    folder = written(tmp_path / "p", runs=[{"name": "A"}, {"name": "a"}], history__a='[{"x": 1}]')
    assert [len(each.history) for each in load_project(folder).runs] == [0, 1]


def test_two_of_a_name_are_told_with_the_folder(tmp_path):
    assert str(tmp_path) in wrong(written(tmp_path / "p", runs=[{"name": "a"}, {"name": "a"}]))


@needs_links
@pytest.mark.parametrize("name", [b"a\nb", b"a\x1b[2J", b"\xff\xfe", "a\u202e".encode(), b"a\rb"])
def test_a_folder_with_an_odd_name_is_told_in_one_line(tmp_path, name):
    folder = tmp_path / os.fsdecode(name)
    folder.mkdir()
    assert "no file" in wrong(folder)
    with pytest.raises(UsageError) as told:
        serve(os.fspath(folder))
    assert str(told.value).isprintable()
    with pytest.raises(UsageError) as told:
        serve(os.fspath(folder) + "x")
    assert str(told.value).isprintable()
    written(folder, runs=[{"name": "a"}])
    assert load_project(folder).path == "wbframe/p"


def test_what_is_no_folder_is_told():
    for asked in ("/no\0where", "", "\ud800", b"demo", 3, ["demo", None]):
        with pytest.raises(UsageError) as told:
            serve(asked)
        assert str(told.value).isprintable()


# ---------------------------------------------------------------- files


@needs_links
def test_links(tmp_path):
    outside = tmp_path / "secret.json"
    outside.write_text('[{"x": "secret"}]')
    folder = written(tmp_path / "p", runs=[{"name": "a"}])
    link = folder / "history" / "a.json"
    for to, says in (
        (outside, "link out of the folder"), ("../../secret.json", "link out of the folder"),
        ("/dev/zero", "link out of the folder"), ("/proc/self/environ", "link out of the folder"),
        ("nothing.json", "a link to nothing"), ("a.json", "a circle of links"), ("..", "is no file"),
    ):  # fmt: skip
        link.symlink_to(to)
        told = wrong(folder)
        assert says in told or (says == "a circle of links" and "links" in told)
        assert str(link) in told
        assert "secret" not in told.replace("secret.json", "")
        link.unlink()
    inside = folder / "rows.json"
    inside.write_text('[{"x": 1}]')
    link.symlink_to(inside)
    assert len(load_project(folder).run("a").history) == 1


@needs_links
def test_folders_of_rows_that_are_links(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a.json").write_text('[{"x": "secret"}]')
    folder = written(tmp_path / "p", runs=[{"name": "a"}])
    (folder / "history").rmdir()
    (folder / "history").symlink_to(outside)
    assert "link out of the folder" in wrong(folder)
    (tmp_path / "link").symlink_to(written(tmp_path / "q", runs=[{"name": "a"}]))
    assert load_project(tmp_path / "link").path == "wbframe/p"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
@pytest.mark.parametrize("name", ["project.json", "runs.json", "history/a.json", "history/a.parquet", "events/a.json", "history"])  # fmt: skip
def test_what_is_no_file_is_not_waited_for(tmp_path, name):
    folder = written(tmp_path / "p", runs=[{"name": "a"}])
    path = folder / name
    if path.is_dir():
        path.rmdir()
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    program = f"import wbframe.server; wbframe.server.load_project({str(folder)!r})"
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.stderr.splitlines()[-1].startswith("wbframe.errors.UsageError: ")
    path.unlink()
    with socket.socket(socket.AF_UNIX) as bound:
        try:
            bound.bind(str(path))
        except OSError:  # a path that is too long for sockets
            return
        assert str(path) in wrong(folder)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read all")
def test_what_may_not_be_read_is_told(tmp_path):
    folder = written(tmp_path / "p", runs=[{"name": "a"}], history__a="[]")
    (folder / "history" / "a.json").chmod(0)
    assert "cannot be read: Permission denied" in wrong(folder)


def test_a_file_is_only_so_large(tmp_path):
    folder = written(tmp_path / "p", runs=[{"name": "a"}])
    with (folder / "history" / "a.json").open("wb") as file:
        file.truncate(2 << 30)
    assert "2,147,483,648 bytes" in wrong(folder)


def test_parquet_that_expands_is_told(tmp_path):
    folder = written(tmp_path / "p", runs=[{"name": "a"}])
    path = folder / "history" / "a.parquet"
    one = pa.table(
        {"x": pa.DictionaryArray.from_arrays(pa.array([0] * 1_000_000, pa.int8()), ["y"])}
    )
    with pq.ParquetWriter(path, one.schema) as writer:
        for _ in range(120):
            writer.write_table(one)
    assert path.stat().st_size < 1 << 20
    assert "120,000,000 rows" in wrong(folder)


@pytest.mark.parametrize("cut", [1, 4, 8, 40, -1, -8, -60])
def test_broken_parquet_is_told(tmp_path, cut):
    folder = written(tmp_path / "p", runs=[{"name": "a"}])
    path = folder / "history" / "a.parquet"
    pl.DataFrame({"_step": range(100), "x": ["text"] * 100}).write_parquet(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:cut])
    assert "a.parquet is no parquet file" in wrong(folder)
    path.write_bytes(b"")
    assert "a.parquet is no parquet file" in wrong(folder)


def test_the_command_tells_it_in_one_line(tmp_path):
    folder = written(tmp_path / "p", runs=[{"name": "a"}], history__a="[" * 100_000)
    ended = subprocess.run(
        [sys.executable, "-m", "wbframe", "serve", "--project", str(folder)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert ended.returncode != 0
    assert ended.stdout == ""
    assert ended.stderr.count("\n") == 1
    assert "a.json" in ended.stderr
    assert "Traceback" not in ended.stderr


# ---------------------------------------------------------------- addresses of files


@pytest.mark.parametrize(
    "path",
    [
        "/", "//", "/..", "/../../etc/passwd", "/..%2f..%2fetc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/%252e%252e/etc",
        "/exports/../exports", "//etc/passwd", "/%00", "/a%00b", "/%ff%fe", "/%ed%a0%80", "/" + "a" * 7000, "/%", "/%zz", "/\\..\\..",
    ],
)  # fmt: skip
def test_addresses_that_were_not_given_out_are_refused(server, path):
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", server.storage_port, timeout=60)
    for query in ("", "?sig=", "?sig=%00", "?sig=" + "0" * 64):
        connection.putrequest("GET", path + query, skip_host=True)
        connection.putheader("Host", "127.0.0.1")
        connection.endheaders()
        answer = connection.getresponse()
        body = answer.read()
        assert answer.status in {400, 403, 404}
        assert b"root:" not in body
        assert b"Traceback" not in body
    connection.close()


# ---------------------------------------------------------------- lone surrogates

LONE = "a\ud800b\udfff"


@pytest.fixture(params=["memory", "folder"])
def odd_text(request, tmp_path):
    """A project with text that UTF-8 cannot spell, wherever text may stand."""
    config = {LONE: LONE, "deep": {LONE: [LONE]}, "é": "é", "nan": float("nan")}
    rows = [{"x": 1.0, LONE: LONE}, {"x": float("nan"), "é": "é"}, {"x": 2.0, "o": {LONE: [LONE]}}]
    texts = {"group": LONE, "notes": LONE, "description": LONE, "state": "finished"}
    if request.param == "memory":
        run = RunRecord(
            name="a", display_name=LONE, config=config, history=History(rows), tags=(LONE,), **texts
        )
        return Project(entity="wbframe", name="p", runs=(run,), description=LONE)
    run = {"name": "a", "displayName": LONE, "config": config, "tags": [LONE], **texts}
    about = {**ABOUT, "description": LONE}
    return load_project(
        written(tmp_path / "p", about=about, runs=[run], history__a=json.dumps(rows))
    )


def test_lone_surrogates_are_served(odd_text):
    with serve(odd_text, exports=Exports.all()) as server:

        def ask(document, **variables):
            answer = requests.post(
                f"{server.url}/graphql",
                data=json.dumps({"query": document, "variables": variables}),
                auth=("api", server.api_key),
                timeout=60,
            )
            answer.content.decode("utf-8")
            read = json.loads(answer.content)
            assert (answer.status_code, read.get("errors")) == (200, None)
            return read["data"]["project"]

        found = ask(ALL_OF_A_RUN % "+name")
        (node,) = (each["node"] for each in found["runs"]["edges"])
        assert node["displayName"] == node["group"] == node["notes"] == LONE
        assert node["tags"] == [LONE]
        config = json.loads(node["config"])
        assert config[LONE]["value"] == LONE
        assert config["deep"]["value"] == {LONE: [LONE]}
        assert config["é"]["value"] == "é"
        assert json.loads(node["history"][0])[LONE] == LONE
        assert LONE in node["historyKeys"]["keys"]
        assert LONE in found["runs"]["historyKeys"]["keys"]
        assert f"config.{LONE}.value" in [each["node"]["path"] for each in found["fields"]["edges"]]
        picked = ask(
            'query Q($s: [JSONString!]!, $l: [String!]!) { project(name: "p") { run(name: "a") { sampledHistory(specs: $s)'
            " config(keys: $l) parquetHistory(liveKeys: $l) { parquetUrls liveData } } } }",
            s=[json.dumps({"keys": ["_step", LONE]})],
            l=[LONE, "x"],
        )["run"]  # fmt: skip
        assert picked["sampledHistory"] == [[{"_step": 0, LONE: LONE}]]
        (url,) = picked["parquetHistory"]["parquetUrls"]
        table = pq.read_table(pa.BufferReader(requests.get(url, timeout=60).content))
        assert table.num_rows == 3
        assert "a\ufffdb\ufffd" in table.column_names
        for filters, count in (
            ({"displayName": LONE}, 1), ({"displayName": {"$regex": "^a.b.$"}}, 1), ({"displayName": "\ud800"}, 0),
            ({f"config.{LONE}.value": {"$in": [LONE]}}, 1), ({"group": {"$contains": "\ud800"}}, 1),
        ):  # fmt: skip
            document = 'query Q($f: JSONString) { project(name: "p") { runCount(filters: $f) } }'
            assert ask(document, f=json.dumps(filters)) == {"runCount": count}


def test_a_name_with_a_lone_surrogate_has_its_files():
    run = RunRecord(name=LONE, history=History([{"x": 1.0}]))
    with serve(Project(entity="wbframe", name="p", runs=(run,)), exports=Exports.all()) as server:
        document = 'query Q($n: String!) { project(name: "p") { run(name: $n) { id parquetHistory(liveKeys: []) { parquetUrls } } } }'  # fmt: skip
        body = json.dumps({"query": document, "variables": {"n": LONE}})
        answer = requests.post(
            f"{server.url}/graphql", data=body, auth=("api", server.api_key), timeout=60
        )
        (url,) = answer.json()["data"]["project"]["run"]["parquetHistory"]["parquetUrls"]
        assert url.isascii()
        assert requests.get(url, timeout=60).status_code == 200


def test_errors_that_quote_lone_surrogates_are_answers(server):
    for document in ('{ nothing(a: "\ud800") }', "{ \ud800 }", '{ project(name: "ragged") { runs(after: "\ud800") { totalCount } } }'):  # fmt: skip
        answer = requests.post(
            f"{server.url}/graphql",
            data=json.dumps({"query": document}),
            auth=("api", server.api_key),
            timeout=60,
        )
        assert answer.status_code in {200, 400}
        assert answer.json()["errors"]


def test_the_wire_spells_any_text():
    assert encode({LONE: [LONE, "é"]}) == b'{"a\\ud800b\\udfff":["a\\ud800b\\udfff","\\u00e9"]}'
    assert decode(encode({LONE: float("nan")}, bare=True))[LONE] != 0
    row = encode({LONE: LONE, "x": float("inf"), "y": 2**70}, bare=True)
    assert {key: bytes(each) for key, each in cells(row).items()} == {
        LONE: b'"a\\ud800b\\udfff"', "x": b"Infinity", "y": str(2**70).encode(),
    }  # fmt: skip
    assert legible("é\x1b\ud800\u202e\n") == "é\\x1b\\ud800\\u202e\\n"
