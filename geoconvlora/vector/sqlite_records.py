"""Rows as SQLite keeps them: a type for each value, then the values (sqlite.org/fileformat2)."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from geoconvlora.vector.compiled import part_of_loops
from geoconvlora.vector.copying import put_bytes

_Numbers = NDArray[np.int64]

_NULL, _FLOAT, _ZERO, _BLOB, _TEXT = 0, 7, 8, 12, 13
_MOST_BYTES_OF_A_VALUE = 1_000_000_000
"""SQLite reads nothing longer (SQLITE_MAX_LENGTH)."""
#: Of a number and its type, or of a text's type alone.
_MOST_BYTES_A_VALUE = 9
_MOST_BYTES_BEFORE = 2
#: From here on an integer takes the next larger type.
_INTEGER_LIMITS = np.array([2**7, 2**15, 2**23, 2**31, 2**47], np.int64)


@dataclass(frozen=True)
class Records:
    """``n`` rows of ``c`` columns.

    Attributes:
        types: ``(c, n)`` SQLite's serial types.
        words: ``(c, n)`` the integer, the float's 64 bits, or where text or bytes begin in
            ``texts``.
        texts: Bytes of all texts and blobs.
    """

    types: _Numbers
    words: _Numbers
    texts: NDArray[np.uint8]

    @staticmethod
    def of(columns: Sequence[pa.Array | None], count: int) -> Records:
        """Encode columns.

        Args:
            columns: Integers, floats, texts or bytes; None for the column that is the row's key,
                which SQLite keeps elsewhere.
            count: Rows.

        Raises:
            TypeError: A column is of another type.
            sqlite3.DataError: A value is too long for SQLite.
        """
        types = np.empty((len(columns), count), np.int64)
        words = np.empty((len(columns), count), np.int64)
        texts: list[NDArray[np.uint8]] = []
        end = 0
        for column, values in enumerate(columns):
            if values is None or values.null_count == count:
                types[column] = _NULL
            elif pa.types.is_integer(values.type) and values.type != pa.uint64():
                types[column], words[column] = _integers(values)
            elif pa.types.is_floating(values.type):
                types[column], words[column] = _floats(values)
            else:
                types[column], starts, text = _texts(values)
                words[column] = starts + end
                texts.append(text)
                end += len(text)
        return Records(types, words, np.concatenate([np.empty(0, np.uint8), *texts]))

    def most_bytes(self) -> int:
        """No fewer than all rows take together."""
        return (
            len(self.texts)
            + _MOST_BYTES_A_VALUE * self.types.size
            + _MOST_BYTES_BEFORE * len(self.types.T)
        )


def _integers(values: pa.Array) -> tuple[_Numbers, _Numbers]:
    known = values.fill_null(0) if values.null_count else values
    words = known.to_numpy(zero_copy_only=False).astype(np.int64)
    types = 1 + np.searchsorted(_INTEGER_LIMITS, words ^ (words >> 63), side="right")
    types = np.where((words == 0) | (words == 1), _ZERO + words, types)
    return _with_nulls(types, values), words


def _floats(values: pa.Array) -> tuple[_Numbers, _Numbers]:
    # Arrow's null becomes not a number, and SQLite keeps that as its null.
    floats = values.to_numpy(zero_copy_only=False).astype(np.float64)
    return np.where(np.isnan(floats), _NULL, _FLOAT), floats.view(np.int64)


def _texts(values: pa.Array) -> tuple[_Numbers, _Numbers, NDArray[np.uint8]]:
    """Types, where each begins, and bytes."""
    if pa.types.is_string(values.type):
        kind = _TEXT
    elif pa.types.is_binary(values.type):
        kind = _BLOB
    else:
        raise TypeError(f"columns of {values.type} are not written to SQLite")
    _, bounds, text = values.buffers()
    bounds = np.frombuffer(bounds, np.int32)[values.offset : values.offset + len(values) + 1]
    offsets = bounds.astype(np.int64)
    # Somewhat less, for the columns beside it.
    if len(values) and np.diff(offsets).max() > _MOST_BYTES_OF_A_VALUE - 2**20:
        raise sqlite3.DataError("a polygon takes more than the gigabyte that SQLite can keep")
    written = np.frombuffer(text or b"", np.uint8)[offsets[0] : offsets[-1]]
    types = kind + 2 * np.diff(offsets)
    return _with_nulls(types, values), offsets[:-1] - offsets[0], written


def _with_nulls(types: _Numbers, values: pa.Array) -> _Numbers:
    if values.null_count:
        types[values.is_null().to_numpy(zero_copy_only=False)] = _NULL
    return types


@part_of_loops("i8(i8)")
def varint_bytes(number):  # type: ignore[no-untyped-def]
    """Bytes of a number in SQLite's varying length, below 2**56."""
    count = 1
    while number >= 128:
        number >>= 7
        count += 1
    return count


@part_of_loops("i8(u1[::1], i8, i8)")
def put_varint(to, at, number):  # type: ignore[no-untyped-def]
    """Write a number in varying length; return the place behind it."""
    if number < 128:
        to[at] = number
        return at + 1
    end = at + varint_bytes(number)
    for place in range(end - 1, at - 1, -1):
        to[place] = (number & 127) | (128 if place < end - 1 else 0)
        number >>= 7
    return end


@part_of_loops("void(u1[::1], i8)")
def put_number(to, number):  # type: ignore[no-untyped-def]
    """Write the lowest bytes of a number, as many as there is room for, the highest first."""
    for place in range(len(to)):
        to[len(to) - 1 - place] = number & 255
        number >>= 8


@part_of_loops("i8(i8)")
def value_bytes(kind):  # type: ignore[no-untyped-def]
    """Bytes of a value of a serial type (fileformat2, 2.1)."""
    if kind >= _BLOB:
        return (kind - _BLOB) // 2
    if kind >= _ZERO:
        return 0
    return kind if kind < 5 else (6 if kind == 5 else 8)


@part_of_loops("UniTuple(i8, 2)(i8[:, ::1], i8)")
def record_bytes(types, row):  # type: ignore[no-untyped-def]
    """Bytes of a row, and of these the ones before its values."""
    head, size = 1, 0
    for column in range(len(types)):
        kind = types[column, row]
        head += varint_bytes(kind)
        size += value_bytes(kind)
    if head > 127:
        head += 1
    return head + size, head


@part_of_loops("void(i8[:, ::1], i8[:, ::1], u1[::1], i8, i8, u1[::1])")
def put_record(types, words, texts, row, head, to):  # type: ignore[no-untyped-def]
    """Write a row as SQLite keeps it: the types of its values, and these."""
    at, value = put_varint(to, 0, head), head
    for column in range(len(types)):
        kind, word = types[column, row], words[column, row]
        at = put_varint(to, at, kind)
        size = value_bytes(kind)
        if kind >= _BLOB:
            put_bytes(to[value : value + size], texts[word : word + size])
        else:
            put_number(to[value : value + size], word)
        value += size
