"""A GraphQL request as a value, the features in it that an old server may refuse, and what every document has."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wbframe.core.paths import name_of
from wbframe.errors import UsageError
from wbframe.text import is_utf8

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from wbframe.core.model import RunPath


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One GraphQL request.

    Attributes
    ----------
    document, variables
        As sent.
    asked
        What is asked for, in words, for messages.
    features
        The fields and arguments in it that an old server may refuse.
    """

    document: str
    variables: Mapping[str, Any]
    asked: str
    features: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        """Refuse what cannot be sent.

        Raises
        ------
        UsageError
            If a text holds half of a surrogate pair: a server would read another one, or nothing.
        """
        for value in self.variables.values():
            for text in value if isinstance(value, list | tuple) else [value]:
                if isinstance(text, str) and not is_utf8(text):
                    raise UsageError(
                        f"could not ask for {self.asked}: {text!r:.80} holds half of a surrogate pair"
                    )

    def body(self) -> dict[str, Any]:
        """Give what is sent; some servers want the name of the operation beside its document."""
        operation = _OPERATION.match(self.document)
        return {
            "operationName": operation and operation[1],
            "query": self.document,
            "variables": dict(self.variables),
        }


_OPERATION = re.compile(r"query (\w+)")

# Features: what the official SDK does not ask for, so that a server may not have it.
FIELDS = "project.fields"
PROJECTION = "config(keys:)"
KEYS = "runs.historyKeys"
RUN_KEYS = "run.historyKeys"
COUNT = "project.runCount"
EXPORTS = "run.parquetHistory"
LIVE = "parquetHistory.liveData"
BUCKETS = "run.bucketedHistory"
PAGES = "pages of more than 50"
ALIASES = "several runs a request"
# What servers say that do not have a field. Both quotes are in use, and other words too.
_REFUSALS = {
    BUCKETS: re.compile(r"""[Cc]annot query field ["']bucketedHistory["']"""),
    EXPORTS: re.compile(r"""[Cc]annot query field ["']parquetHistory["']"""),
    LIVE: re.compile(r"""[Cc]annot query field ["']liveData["']"""),
    # By its type: `historyKeys` of a run is a field that every server has.
    KEYS: re.compile(
        r"""[Cc]annot query field ["']historyKeys["'] on type ["']RunConnection["']"""
    ),
    FIELDS: re.compile(r"""[Cc]annot query field ["']fields["']"""),
    PROJECTION: re.compile(r"""[Uu]nknown argument ["']keys["']"""),
    COUNT: re.compile(r"""[Cc]annot query field ["']runCount["']"""),
}


def refused_features(features: Iterable[str], message: str) -> frozenset[str]:
    """Tell which features a server's message refuses by their names."""
    return frozenset(
        each for each in features if each in _REFUSALS and _REFUSALS[each].search(message)
    )


# ---------------------------------------------------------------- documents

# Variable -> its type in the document, and its value.
Variables = Mapping[str, tuple[str, Any]]


def of_project(
    operation: str,
    path: RunPath,
    selection: str,
    *,
    asked: str,
    variables: Variables | None = None,
    features: Iterable[str] = (),
) -> Request:
    """Ask for something of a project.

    Parameters
    ----------
    operation
        The name of the query.
    path
        Which project.
    selection
        What is selected of it.
    asked
        What that is, in words; the project is named behind it.
    variables
        Those of the selection.
    features
        As of a `Request`.
    """
    given = variables or {}
    declared = "".join(f", ${name}: {kind}" for name, (kind, _) in given.items())
    return Request(
        document=(
            f"query {operation}($project: String!, $entity: String!{declared})"
            f" {{ project(name: $project, entityName: $entity) {{ {selection} }} }}"
        ),
        variables={
            "project": path.project,
            "entity": path.entity,
            **{name: value for name, (_, value) in given.items()},
        },
        asked=f"{asked} of {name_of(path)}",
        features=frozenset(features),
    )


def by_run(
    operation: str,
    path: RunPath,
    run_ids: Sequence[str],
    select: Callable[[int], str],
    *,
    asked: str = "",
    variables: Variables | None = None,
    features: Iterable[str] = (),
) -> Request:
    """Ask for something of several runs of a project, by the aliases ``r0``, ``r1`` and so on.

    Parameters
    ----------
    operation, path, features
        As of `of_project`.
    run_ids
        The runs, in order; one may stand there several times.
    select
        Gives what is selected of the run at a place.
    asked
        What that is, in words, as ``"the history of "``.
    variables
        Those of the selections.
    """
    # Ids are variables, so that none needs escaping; and a run whose windows stand side by side needs one only.
    names: dict[str, str] = {}
    for run_id in run_ids:
        names.setdefault(run_id, f"r{len(names)}")
    # Fields of one name must have equal arguments, hence an alias each:
    # https://spec.graphql.org/October2021/#sec-Field-Selection-Merging
    selections = [
        f"r{i}: run(name: ${names[run_id]}) {{ {select(i)} }}" for i, run_id in enumerate(run_ids)
    ]
    return of_project(
        operation,
        path,
        " ".join(selections),
        asked=asked + (f"run {run_ids[0]!r}" if len(names) == 1 else f"{len(names)} runs"),
        variables={
            **{name: ("String!", run_id) for run_id, name in names.items()},
            **(variables or {}),
        },
        features=features,
    )
