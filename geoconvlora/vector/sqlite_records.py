"""Rows as SQLite keeps them: a type for each value, then the values (sqlite.org/fileformat2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

_Numbers = NDArray[np.int64]

_NULL, _FLOAT, _ZERO, _BLOB, _TEXT = 0, 7, 8, 12, 13
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
        """
        types = np.empty((len(columns), count), np.int64)
        words = np.empty((len(columns), count), np.int64)
        texts: list[NDArray[np.uint8]] = []
        end = 0
        for column, values in enumerate(columns):
            if values is None or values.null_count == count:
                types[column] = _NULL
            elif pa.types.is_integer(values.type):
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
    written = np.frombuffer(text or b"", np.uint8)[offsets[0] : offsets[-1]]
    types = kind + 2 * np.diff(offsets)
    return _with_nulls(types, values), offsets[:-1] - offsets[0], written


def _with_nulls(types: _Numbers, values: pa.Array) -> _Numbers:
    if values.null_count:
        types[values.is_null().to_numpy(zero_copy_only=False)] = _NULL
    return types
