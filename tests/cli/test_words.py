"""Messages name the command's own options and the environment, not arguments of Python."""

from __future__ import annotations

import ast
import inspect
import re
import shlex

import click
import polars as pl
import pytest

import wbframe
from tests.test_imports import MODULES, folder
from wbframe.cli import commands
from wbframe.cli.options import override
from wbframe.cli.words import as_options, options
from wbframe.core.arguments import check_scan_options, history_scan, runs_scan
from wbframe.errors import one_of


def _parameters(*functions):
    return {name for each in functions for name in inspect.signature(each).parameters}


ARGUMENTS = _parameters(
    runs_scan, history_scan, check_scan_options, wbframe.Client, wbframe.RetryPolicy,
    wbframe.polars.read_runs, wbframe.polars.read_histories, wbframe.polars.scan_histories,
    wbframe.buckets.read_buckets, wbframe.pandas.read_histories, wbframe.arrow.histories_reader,
)  # fmt: skip
# What the command never passes, so that no message is about it.
NOT_PASSED = {
    "api_key",
    "client", "clock", "transport", "proxies", "project", "tries", "first_wait", "longest_wait", "dtype_backend",
    "batch_size", "infer_schema_runs", "on_new_key",
}  # fmt: skip
# Rooms of which the command reads nothing.
ELSEWHERE = {"server", "dropin", "cli"}
NAMED = re.compile(
    r"(?<![\w'\".-])(`?)({})(?:=(?!=)|`)".format("|".join(sorted(ARGUMENTS, key=len, reverse=True)))
)


def _text(node):
    """Give the text of a message as it may come out; None for what is none."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        parts = []
        for each in node.values:
            quoted = isinstance(each, ast.FormattedValue) and each.conversion == ord("r")
            parts.append(
                each.value if isinstance(each, ast.Constant) else "'a b'" if quoted else "x"
            )
        return "".join(parts)
    return None


def _messages():
    """Give the texts in the package that name an argument, docstrings aside."""
    for name, path in MODULES.items():
        if folder(name) in ELSEWHERE or name == "wbframe.docs":
            continue
        tree = ast.parse(path.read_text("utf-8"))
        told = {
            node.body[0].value
            for node in ast.walk(tree)
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
            and node.body and isinstance(node.body[0], ast.Expr)
        }  # fmt: skip
        inner = {
            each
            for node in ast.walk(tree)
            if isinstance(node, ast.JoinedStr)
            for each in node.values
        }
        for node in ast.walk(tree):
            text = None if node in told or node in inner else _text(node)
            # Of the attribute docstrings below a name, too, none is a message.
            if text and NAMED.search(text) and "\n" not in text and "`transport`" not in text:
                yield f"{name}:{node.lineno}", text


MESSAGES = dict(_messages())


def _options(group):
    for each in group.commands.values():
        yield from _options(each) if isinstance(each, click.Group) else ()
        yield from (option for param in each.params for option in param.opts)


def test_there_are_messages_that_name_arguments():
    assert len(MESSAGES) > 40


@pytest.mark.parametrize("where", MESSAGES)
def test_a_message_names_options_that_exist_and_no_argument(where):
    said = as_options(MESSAGES[where])
    left = {found[2] for found in NAMED.finditer(said)}
    assert left <= NOT_PASSED, said
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", said))
    assert named <= set(_options(commands.command)), said
    assert len(said.split()) > 1


OVERRIDES = {where: text for where, text in MESSAGES.items() if "schema_overrides={" in text}


@pytest.mark.parametrize("where", OVERRIDES)
def test_an_override_that_a_message_advises_is_one_that_the_option_takes(where):
    advised = re.findall(
        r"--override ('[^']+'|\S+)", as_options(OVERRIDES[where].replace("pl.x", "pl.Int64"))
    )
    assert advised
    for each in advised:
        column, dtype = override(shlex.split(each)[0])
        assert column == "a b"
        assert dtype in {pl.Int64, pl.Float64, pl.String, pl.Boolean}


@pytest.mark.parametrize("name", sorted(ARGUMENTS - NOT_PASSED - {"api_key", "verify"}))
def test_a_message_that_is_made_for_any_argument_names_the_option(name):
    said = as_options(str(one_of(name, "x", ["y"])))
    assert said.startswith((f"{options()[name]} must be one of",))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("set samples=None.", "set --samples all."),
        ("set samples=None, or wait", "set --samples all, or wait"),
        ("with on_error='skip'; then", "with --on-error skip; then"),
        ("set `on_incomplete='warn'`", "set --on-incomplete warn"),
        ("`match='all'` asks for all `keys`; name the keys", "--match all asks for all --keys; name the keys"),
        ("write keys=['a b', 'c,d']", "write --keys 'a b,c\\,d'"),
        ("by schema_overrides={\"it's\": pl.Int64, 'b}': pl.List(pl.Float64)}!", "by --override 'it'\"'\"'s=Int64' --override 'b}=List(Float64)'!"),
        ("filters={'a': {'$gt': 1}} does", "--filters \"{'a': {'\"'$gt'\"': 1}}\" does"),
        ("progress=True needs tqdm", "--progress needs tqdm"),
        ("longer with `retry=wbframe.RetryPolicy(...)`", "longer with --retry-seconds"),
        ("limit=5", "--limit 5"),
        ("`limit` must be 3; got 'limit=4'", "--limit must be 3; got 'limit=4'"),
        ("`my.keys=1` and `x` and x_samples=3", "`my.keys=1` and `x` and x_samples=3"),
        ("no key: pass `api_key=`, set WANDB_API_KEY", "no key: set WANDB_API_KEY"),
        ("filters=", "--filters"),
        ("nothing of it", "nothing of it"),
    ],
)  # fmt: skip
def test_arguments_are_spelled_as_options(text, said):
    if text.startswith("filters={"):
        name, value, _ = shlex.split(as_options(text))
        assert (name, value) == ("--filters", text.split("=", 1)[1].removesuffix(" does"))
    else:
        assert as_options(text) == said
