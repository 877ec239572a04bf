"""Columns of a table as short JSON: what all rows share once, texts by number, short numbers."""

from __future__ import annotations

import math
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

MAX_COLUMNS = 20
_MAX_TEXT = 200
_SIGNIFICANT_DIGITS = 7
#: Texts are numbered where each occurs at least so often.
_REPEATS = 2


def as_columns(table: pa.Table) -> list[dict[str, Any]]:
    """Return columns for the page.

    Args:
        table: Numbers, texts, dates; the first :data:`MAX_COLUMNS` columns are taken.

    Returns:
        A dict a column: ``name``, ``number`` (whether values are), and one of ``same`` (the value
        of all rows), ``values`` (a value a row), or ``texts`` with ``codes`` (a number a row, -1
        for none).

    Example:
        >>> as_columns(pa.table({"class": ["field", "field"], "id": [1, 2]}))[1]
        {'name': 'id', 'number': True, 'values': [1, 2]}
    """
    return [_column(name, table[name]) for name in table.column_names[:MAX_COLUMNS]]


def _column(name: str, column: pa.ChunkedArray) -> dict[str, Any]:
    number = pa.types.is_integer(column.type) or pa.types.is_floating(column.type)
    values: list[Any]
    if number:
        values = [_short(value) for value in column.to_pylist()]
    else:
        values = [None if value is None else _cut(str(value)) for value in column.to_pylist()]
    known = dict.fromkeys(values)
    head = {"name": name, "number": number}
    if len(known) == 1:
        return {**head, "same": values[0]}
    if number or len(known) * _REPEATS > len(values):
        return {**head, "values": values}
    texts = [text for text in known if text is not None]
    code_of = {text: code for code, text in enumerate(texts)}
    return {**head, "texts": texts, "codes": [code_of.get(value, -1) for value in values]}


def _short(value: float | None) -> float | int | None:
    """A number with as many digits as people read."""
    if value is None or not math.isfinite(value):
        return None
    if isinstance(value, int):
        return value
    rounded = float(f"{value:.{_SIGNIFICANT_DIGITS}g}")
    return int(rounded) if rounded.is_integer() else rounded


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_TEXT else text[: _MAX_TEXT - 1] + "…"


def class_names(table: pa.Table, column: str) -> list[str]:
    """Text of a column, empty where there is none; of all rows empty without the column."""
    if column not in table.column_names:
        return [""] * len(table)
    names: list[str] = pc.fill_null(pc.cast(table[column], pa.string()), "").to_pylist()
    return names
