"""A GraphQL request as a value, the features in it that an old server may refuse, and what every document has."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

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


# Feature -> what a server that does not have it says. Both quotes are in use.
FIELDS = "project.fields"
PROJECTION = "config(keys:)"
KEYS = "runs.historyKeys"
EXPORTS = "run.parquetHistory"
LIVE = "parquetHistory.liveData"
BUCKETS = "run.bucketedHistory"
_REFUSALS = {
    BUCKETS: re.compile(r"""[Cc]annot query field ["']bucketedHistory["']"""),
    EXPORTS: re.compile(r"""[Cc]annot query field ["']parquetHistory["']"""),
    LIVE: re.compile(r"""[Cc]annot query field ["']liveData["']"""),
    KEYS: re.compile(
        r"""[Cc]annot query field ["']historyKeys["'] on type ["']RunConnection["']"""
    ),
    FIELDS: re.compile(r"""[Cc]annot query field ["']fields["']"""),
    PROJECTION: re.compile(r"""[Uu]nknown argument ["']keys["']"""),
}


def refused_features(request: Request, message: str) -> frozenset[str]:
    """Tell which of the request's features the server's message refuses."""
    return frozenset(each for each in request.features if _REFUSALS[each].search(message))


# ---------------------------------------------------------------- names


def project_variables(path: RunPath) -> dict[str, Any]:
    """Give the two variables that every document has."""
    return {"project": path.project, "entity": path.entity}
