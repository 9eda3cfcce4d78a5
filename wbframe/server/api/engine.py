"""One GraphQL request in, one answer out; no socket."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import graphql
import msgspec

from wbframe.server.api.limits import (
    MOST_CHARACTERS,
    MOST_TOKENS,
    Effort,
    TooMuchError,
    check_document,
    check_text,
)
from wbframe.server.api.resolve import RESOLVERS, Context, ForbiddenError
from wbframe.server.api.schema import NESTED_ROWS, Features, sdl
from wbframe.server.files.links import Links
from wbframe.server.projects.cache import Kept
from wbframe.server.projects.wire import JSONTextError, decode, encode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wbframe.server.api.catalog import Catalog
    from wbframe.server.differing import Differing

__all__ = ["Answer", "Engine", "Question"]

# The name of an operation, as far as it can be told without parsing.
_NAMED = re.compile(r"\b(?:query|mutation|subscription)\s+([_A-Za-z]\w*)", re.ASCII)
_DOCUMENTS_KEPT = 256
_CHARACTERS_KEPT = 1 << 20


@dataclass(frozen=True, slots=True)
class Question:
    """What a request asks."""

    document: str
    variables: dict[str, Any]
    operation: str
    """The name of the operation; empty for one without a name."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP status and a JSON body."""

    status: int
    body: bytes


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A parsed document, or why it is refused."""

    document: graphql.DocumentNode | None
    operation: str
    errors: tuple[Any, ...]
    status: int = 400


class Engine:
    """Answers GraphQL requests from a catalog of projects.

    Parameters
    ----------
    catalog
        What is served.
    features
        Which fields the schema has, and how some of them behave.
    differing
        In what else the answers differ.

    Attributes
    ----------
    links : Links
        The addresses of exported files that were given out.

    Examples
    --------
    >>> from wbframe.server.api.catalog import Catalog
    >>> engine = Engine(Catalog(()))
    >>> engine.answer(engine.read(b'{"query": "{ viewer { entity } }"}')).body
    b'{"data":{"viewer":{"entity":"wbframe"}}}'
    """

    def __init__(
        self,
        catalog: Catalog,
        features: Features | None = None,
        differing: Differing | None = None,
    ) -> None:
        self.catalog = catalog
        self.differing = differing
        self.features = features or Features()
        self.links = Links(gets=self.features.url_gets, shuffled=self.features.shuffled_urls)
        self._schema = _schema(self.features, differing)
        self._prepared: Kept[_Prepared] = Kept(_DOCUMENTS_KEPT, weight=_CHARACTERS_KEPT)

    def read(self, body: bytes, *, prepare: bool = True) -> Question | None:
        """Read a request body; None when it is no GraphQL request in JSON.

        Parameters
        ----------
        body
            As it came.
        prepare
            Whether its document is parsed; not for those who may not ask.
        """
        try:
            read = decode(body)
        except JSONTextError:
            return None
        document = read.get("query") if isinstance(read, dict) else None
        if not isinstance(document, str):
            return None
        variables = read.get("variables")
        variables = {} if variables is None else variables
        if not isinstance(variables, dict):
            return None
        if prepare:
            return Question(document, variables, self._prepare(document).operation)
        named = _NAMED.search(document)
        return Question(document, variables, named[1] if named else "")

    def answer(self, question: Question | None) -> Answer:
        """Answer what `read` gave.

        Returns
        -------
        Answer
            Status 200 with ``data`` (beside ``errors``, if some field failed), 400 for a request
            or a document that cannot be used, 403 for a project that may not be read, 413 for what
            costs too much.
        """
        if question is None:
            return _refusal(400, ["the body is no GraphQL request in JSON"])
        prepared = self._prepare(question.document)
        if prepared.document is None or prepared.errors:
            return _refusal(prepared.status, [error.formatted for error in prepared.errors])
        result = graphql.execute_sync(
            self._schema,
            prepared.document,
            context_value=Context(self.catalog, self.features, self.links, Effort()),
            variable_values=question.variables,
        )
        errors = result.errors or []
        if any(isinstance(error.original_error, ForbiddenError) for error in errors):
            return _refusal(403, [error.formatted for error in errors])
        costly = [each for each in errors if isinstance(each.original_error, TooMuchError)]
        if costly:
            return _refusal(413, [costly[0].formatted])
        if result.data is None and not any(error.path for error in errors):
            return _refusal(400, [error.formatted for error in errors])
        answer: dict[str, Any] = {"data": result.data}
        if errors:
            answer = {"errors": [error.formatted for error in errors], **answer}
        return Answer(200, _encoded(answer))

    def document(self, question: Question | None) -> graphql.DocumentNode | None:
        """Give the parsed document of a question; None where it cannot be parsed."""
        return None if question is None else self._prepare(question.document).document

    def _prepare(self, text: str) -> _Prepared:
        """Parse and validate a document; kept for the next request."""
        if len(text) > MOST_CHARACTERS:  # not kept
            return self._prepare_afresh(text)
        return self._prepared.get(text, lambda: self._prepare_afresh(text), weight=len(text))

    def _prepare_afresh(self, text: str) -> _Prepared:
        """Parse and validate a document."""
        try:
            check_text(text)
            document = graphql.parse(text, no_location=False, max_tokens=MOST_TOKENS)
            check_document(document)
        except graphql.GraphQLSyntaxError as error:
            return _Prepared(None, "", (error,))
        except TooMuchError as error:
            return _Prepared(None, "", (graphql.GraphQLError(str(error)),), 413)
        operations = [
            each
            for each in document.definitions
            if isinstance(each, graphql.OperationDefinitionNode)
        ]
        name = operations[0].name if operations else None
        errors = list(graphql.validate(self._schema, document))
        if not errors and not self.features.nested_histories:
            errors = list(_nested_rows(document))
        return _Prepared(document, name.value if name else "", tuple(errors))


def _refusal(status: int, errors: list[Any]) -> Answer:
    """Answer with errors alone."""
    listed = [{"message": error} if isinstance(error, str) else error for error in errors]
    return Answer(status, encode({"errors": listed}))


def _encoded(answer: Any) -> bytes:
    """Encode an answer, parts of which are encoded."""
    try:
        return msgspec.json.encode(answer)
    except UnicodeEncodeError:
        return msgspec.json.encode(_escaped(answer))


def _escaped(value: Any) -> Any:
    """Encode what holds texts that are no UTF-8, by itself."""
    if isinstance(value, str) and not value.isascii():
        return msgspec.Raw(encode(value))
    if isinstance(value, dict):
        parts = [
            encode(key) + b":" + msgspec.json.encode(_escaped(each)) for key, each in value.items()
        ]
        return msgspec.Raw(b"{%b}" % b",".join(parts))
    return [_escaped(each) for each in value] if isinstance(value, (list, tuple)) else value


@lru_cache(maxsize=16)
def _schema(features: Features, differing: Differing | None) -> graphql.GraphQLSchema:
    """Build the schema of some features and tie the resolvers to it."""
    text = sdl(features)
    schema = graphql.build_schema(text if differing is None else differing.schema(text))
    for type_name, resolvers in RESOLVERS.items():
        fields = schema.type_map[type_name].fields  # type: ignore[attr-defined]
        for name, resolver in resolvers.items():
            if name in fields:
                fields[name].resolve = resolver
    for name in () if differing is None else differing.fields:
        type_name, _, field_name = name.partition(".")
        field = schema.type_map[type_name].fields.get(field_name)  # type: ignore[attr-defined]
        if field is not None:
            plain = field.resolve or graphql.default_field_resolver
            field.resolve = differing.resolver(name, plain)  # type: ignore[union-attr]
    return schema


def _nested_rows(document: graphql.DocumentNode) -> Iterator[graphql.GraphQLError]:
    """Find rows that are asked for inside a list of runs."""
    fragments = {
        each.name.value: each
        for each in document.definitions
        if isinstance(each, graphql.FragmentDefinitionNode)
    }

    def walk(node: Any, *, listed: bool) -> Iterator[graphql.GraphQLError]:
        for each in node.selection_set.selections if node.selection_set else ():
            if isinstance(each, graphql.FragmentSpreadNode):
                yield from walk(fragments[each.name.value], listed=listed)
            elif isinstance(each, graphql.InlineFragmentNode):
                yield from walk(each, listed=listed)
            elif listed and each.name.value in NESTED_ROWS:
                message = f"Cannot query field '{each.name.value}' on type 'Run' inside 'runs'."
                yield graphql.GraphQLError(message, each)
            else:
                yield from walk(each, listed=listed or each.name.value == "runs")

    for operation in document.definitions:
        if isinstance(operation, graphql.OperationDefinitionNode):
            yield from walk(operation, listed=False)
