"""Every public name is documented and listed, and every example runs."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import re
import warnings
from collections import defaultdict

import pytest

import wbframe
from tests.test_imports import MODULES, ROOT
from tests.test_signatures import (
    BUCKETS,
    BUCKETS_OF_FRAME,
    HISTORIES,
    PLACES,
    READERS,
    ROWS_OF_FRAME,
    RUNS,
    RUNS_OF_FRAME,
    parameters,
    reader,
)

NAMES = [name for name in MODULES if not name.endswith("__main__")]
LISTING = [name for name in NAMES if "\n__all__ = " in MODULES[name].read_text("utf-8")]


def is_overload(node):
    return any(ast.unparse(each).endswith("overload") for each in node.decorator_list)


def public(node):
    """Give the public functions and classes of a module or class."""
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    for each in node.body:
        if isinstance(each, kinds) and not each.name.startswith("_") and not is_overload(each):
            yield each
            if isinstance(each, ast.ClassDef):
                yield from public(each)


@pytest.mark.parametrize("name", MODULES)
def test_every_public_name_has_a_docstring(name):
    tree = ast.parse(MODULES[name].read_text("utf-8"))
    assert not tree.body or ast.get_docstring(tree) or name == "wbframe._version"
    bare = [each.name for each in public(tree) if not ast.get_docstring(each)]
    assert not bare


@pytest.mark.parametrize("name", LISTING)
def test_all_lists_names_that_exist_once(name):
    module = importlib.import_module(name)
    assert len(set(module.__all__)) == len(module.__all__)
    missing = [each for each in module.__all__ if not hasattr(module, each)]
    assert not missing


def test_the_package_offers_what_it_lists():
    assert dir(wbframe) == sorted(wbframe.__all__)
    for name in wbframe.__all__:
        found = getattr(wbframe, name)
        assert name == "__version__" or name.startswith("last_report") or inspect.getdoc(found)
    with pytest.raises(AttributeError, match="Did you mean 'Client'"):
        wbframe.Cleint  # noqa: B018


# ---------------------------------------------------------------- sections

_ENTRY = re.compile(r"^(\S.*)\n((?:(?:    .*)?\n)*)", re.MULTILINE)


def section(text, title):
    """Give the entries of a section by name, each with its text on one line; None where there is no such section."""
    parts = re.split(r"^(\w[\w ]*)\n-{3,}\n", f"{text}\n", flags=re.MULTILINE)
    if title not in parts[1::2]:
        return None
    entries = _ENTRY.findall(parts[parts.index(title) + 1])
    return {
        name.lstrip("*"): " ".join(told.split())
        for head, told in entries
        for name in head.split(" : ")[0].split(", ")
    }


def takes(function):
    """Give the names of what a function in the source takes."""
    found = function.args
    named = [*found.posonlyargs, *found.args, found.vararg, *found.kwonlyargs, found.kwarg]
    return [each.arg for each in named if each is not None and each.arg not in {"self", "cls"}]


def documented(tree):
    """Give the functions of a module, and the classes that are made by an `__init__`, with their docstrings."""
    for node in ast.walk(tree):
        made = node
        if isinstance(node, ast.ClassDef):
            own = [each for each in node.body if isinstance(each, ast.FunctionDef)]
            made = next((each for each in own if each.name == "__init__"), None)
        if isinstance(made, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, takes(made), ast.get_docstring(node) or ""


@pytest.mark.parametrize("name", MODULES)
def test_a_section_names_what_the_function_takes_and_nothing_else(name):
    for function, wanted, text in documented(ast.parse(MODULES[name].read_text("utf-8"))):
        told = section(text, "Parameters")
        assert told is None or sorted(told) == sorted(wanted), function
        assert told is None or all(told.values()), function


OFFERED = {
    f"{place}.{name}": getattr(module, name)
    for place, module in {"wbframe": wbframe, "server": wbframe.server, **PLACES}.items()
    for name in getattr(module, "__all__", vars(module))
    if not name.startswith("_") and inspect.isfunction(getattr(module, name))
}


@pytest.mark.parametrize("name", OFFERED)
def test_what_is_offered_says_what_it_takes_and_gives_and_raises(name):
    text = inspect.getdoc(OFFERED[name])
    assert list(section(text, "Parameters") or {}) == list(parameters(OFFERED[name]))
    assert section(text, "Returns") or section(text, "Yields") or name.startswith("server.")
    raised = section(text, "Raises")
    assert raised or name not in READERS
    for each in raised or ():
        assert issubclass(getattr(wbframe.errors, each), wbframe.errors.WbframeError)


# What is said of these is another thing for runs, histories and buckets, or where a frame says which runs.
OF_A_KIND = {
    "path", "keys", "x_axis", "min_step", "max_step", "infer_schema_runs", "on_new_key",
}  # fmt: skip


def test_what_is_said_of_a_parameter_is_the_same_everywhere():
    kinds = {
        "runs": RUNS, "histories": HISTORIES, "buckets": BUCKETS, "runs of a frame": RUNS_OF_FRAME,
        "histories of a frame": ROWS_OF_FRAME, "buckets of a frame": BUCKETS_OF_FRAME,
    }  # fmt: skip
    said = defaultdict(lambda: defaultdict(list))
    for name, (given, _) in READERS.items():
        (kind,) = (each for each, listed in kinds.items() if listed is given)
        # A frame that names the runs changes nothing but the path.
        of = f" of {kind.removesuffix(' of a frame')}"
        for each, told in section(inspect.getdoc(reader(name)), "Parameters").items():
            which = (f" of {kind}" if each == "path" else of) if each in OF_A_KIND else ""
            said[f"`{each}`{which}"][told].append(name)
    assert len(said) > 30
    for of, texts in said.items():
        assert len(texts) == 1, f"{of} is told in different words: {dict(texts)}"


def test_docstrings_stand_in_the_source_as_they_are_read():
    places = ("polars", "pandas", "arrow", "buckets", "namespaces")
    in_source = {
        text
        for name, path in MODULES.items()
        if name.split(".")[1:2] and name.split(".")[1] in places
        for _, _, text in documented(ast.parse(path.read_text("utf-8")))
    }
    for name in READERS:
        assert inspect.getdoc(reader(name)) in in_source, name


@pytest.mark.parametrize("name", NAMES)
def test_examples_run(name, monkeypatch):
    monkeypatch.delenv("WANDB_APP_URL")
    module = importlib.import_module(name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = doctest.testmod(module, optionflags=doctest.ELLIPSIS)
    assert result.failed == 0


def test_there_are_examples():
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = [
        test
        for name in NAMES
        for test in finder.find(importlib.import_module(name))
        if test.examples
    ]
    assert len(found) > 30


def test_the_package_is_typed():
    assert (ROOT / "py.typed").is_file()
