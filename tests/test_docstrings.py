"""Every public name is documented and listed, and every example runs."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import re
import warnings

import pytest

import wbframe
from tests.test_imports import MODULES, ROOT

# These train the demo, and need packages that nobody else does.
TRAINING = "wbframe.server.projects.demo"
NAMES = [
    name for name in MODULES if not name.startswith(TRAINING) and not name.endswith("__main__")
]
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


@pytest.mark.parametrize("name", ["polars", "pandas", "arrow"])
def test_docstrings_of_the_faces_are_filled_and_name_every_parameter(name):
    module = getattr(wbframe, name)
    for each in module.__all__:
        function = getattr(module, each)
        text = inspect.getdoc(function)
        assert "{" not in re.sub(r"\{[\"'$]|``\{|: \{", "", text), each
        if each.startswith(("read", "scan")) or each.endswith("reader"):
            sections = text[text.index("Parameters\n---") :]
            for parameter in inspect.signature(function).parameters:
                assert re.search(rf"^(.*, )?{parameter}(,.*)?( : .*)?$", sections, re.MULTILINE), (
                    each,
                    parameter,
                )
            assert "Returns\n---" in text
            assert "Raises\n---" in text


@pytest.mark.parametrize("name", NAMES)
def test_examples_run(name):
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
