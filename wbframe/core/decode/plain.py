"""Columns of Arrow, whatever their types -> plain ones, or JSON in binary.

Numbers, booleans, text, and lists of these are plain: polars holds them as they are. Anything else is spelled
as the JSON that it stands for, so that it never reaches polars, which panics at some types. Text that is not
UTF-8 and bytes that are no JSON are an error that names the key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.types as pat

from wbframe.core.decode.arrow import NULL, equal, json_cells
from wbframe.core.decode.cells import MisfitError
from wbframe.core.decode.json import told
from wbframe.core.decode.taken import told_of
from wbframe.errors import SchemaMismatchError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["misfit", "one_column", "plain_column"]


def plain_column(name: str, column: pa.ChunkedArray, *, where: str) -> pa.ChunkedArray:
    """Give a column of a file as a plain one, or as JSON in binary.

    Parameters
    ----------
    name
        The key.
    column
        Its values, of any type.
    where
        The file, for messages.

    Raises
    ------
    SchemaMismatchError
        If values have no spelling in JSON, or are not what their type says.

    Examples
    --------
    >>> from datetime import date
    >>> days = pa.chunked_array([pa.array([date(2026, 1, 31), None])])
    >>> plain_column("day", days, where="").to_pylist()
    [b'"2026-01-31"', None]
    """
    try:
        column = _without_dictionary(_wide(column))
        if is_plain(column.type):
            if _holds_text(column.type):
                # Files promise UTF-8, and nothing that reads them holds them to it.
                column.validate(full=True)
            return column
        cells = [cell for chunk in column.chunks for cell in json_cells(chunk)]
    except MisfitError as error:
        raise misfit(name, str(error), where) from None
    except UnicodeDecodeError as error:
        raise misfit(name, f"text that is not UTF-8 ({error.reason})", where) from error
    except (ValueError, ArithmeticError, pa.ArrowException) as error:
        raise misfit(name, f"values that cannot be read ({told_of(error)})", where) from error
    return _binary(cells)


def one_column(name: str, columns: Sequence[pa.ChunkedArray], *, where: str) -> pa.ChunkedArray:
    """Make one plain column of all those that a file has for a key; usually there is one.

    Raises
    ------
    SchemaMismatchError
        As `plain_column`, and if two of them hold different values in one row.

    Examples
    --------
    >>> parts = [pa.chunked_array([pa.array(each)]) for each in ([1, None], [None, 2.5])]
    >>> one_column("x", parts, where="").to_pylist()
    [b'1', b'2.5']
    """
    first, *others = (plain_column(name, each, where=where) for each in columns)
    if not others:
        return first
    found = _of_chunks(first)
    for other in others:
        for row, cell in enumerate(_of_chunks(other)):
            if found[row] != NULL != cell and not equal(found[row], cell):
                raise misfit(name, f"two values in row {row}, in two columns of one name", where)
            if cell != NULL:
                found[row] = cell
    return _binary(found)


def misfit(name: str, holds: str, where: str) -> SchemaMismatchError:
    """Make the error of a key for which a file holds what cannot be told."""
    error = SchemaMismatchError(
        told(where, f"key {name!r} holds {holds}; name the `keys` to read without it")
    )
    error.key = name
    return error


def is_plain(kind: pa.DataType) -> bool:
    """Tell whether polars, and Python, hold the values of a type as they are."""
    if pat.is_list(kind) or pat.is_large_list(kind):
        return not pat.is_null(kind.value_type) and is_plain(kind.value_type)
    return any(
        is_kind(kind)
        for is_kind in (pat.is_integer, pat.is_float64, pat.is_boolean, pat.is_null, _is_text)
    )


def _is_text(kind: pa.DataType) -> bool:
    """Tell whether polars takes a type's values for text as they are."""
    return bool(pat.is_string(kind) or pat.is_large_string(kind))


def _wide(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Give short floats as Float64, which has each of them: spelled as they are, they would be other numbers."""
    short = pat.is_float16(column.type) or pat.is_float32(column.type)
    return column.cast(pa.float64()) if short else column


def _without_dictionary(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Look up what stands in dictionaries, if it is plain."""
    if pat.is_dictionary(column.type) and is_plain(column.type.value_type):
        return column.cast(column.type.value_type)
    return column


def _holds_text(kind: pa.DataType) -> bool:
    """Tell whether text is somewhere in a plain column."""
    if pat.is_list(kind) or pat.is_large_list(kind):
        return _holds_text(kind.value_type)
    return _is_text(kind)


def _binary(cells: Iterable[bytes]) -> pa.ChunkedArray:
    """Make a column of cells."""
    values = [None if cell == NULL else cell for cell in cells]
    return pa.chunked_array([pa.array(values, pa.large_binary())])


def _of_chunks(column: pa.ChunkedArray) -> list[bytes]:
    return [cell for chunk in column.chunks for cell in json_cells(chunk)]
