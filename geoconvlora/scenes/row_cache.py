"""Rows of a scene kept in memory, from which tiles are cut."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from geoconvlora.scenes.pixels import Pixels, StoredPixels, Window

#: Pixels read at a time.
_READ_PIXELS = 2**21
#: Files stored in blocks higher than this are read as if they had no blocks.
_MAX_BLOCK_ROWS = 1024


class RowSource(Protocol):
    """What a :class:`RowCache` reads: a scene, or a coarser view of one."""

    @property
    def height(self) -> int:
        """Rows."""

    @property
    def width(self) -> int:
        """Columns."""

    @property
    def bands(self) -> tuple[int, ...]:
        """Bands read."""

    @property
    def block_rows(self) -> int:
        """Rows that are read together for the price of one."""

    def read_stored(self, window: Window) -> StoredPixels:
        """Return the pixels of a window inside the source."""


class RowCache:
    """A moving band of rows, read once and in whole blocks, in the file's own type.

    Windows cut from it hold exactly what the same windows of the source hold.

    Example:
        >>> cache = RowCache(scene)  # doctest: +SKIP
        >>> cache.hold(0, 256)  # doctest: +SKIP
        >>> cache.read(Window(0, 128, 256, 256)).values.shape  # doctest: +SKIP
        (3, 256, 256)
    """

    def __init__(self, source: RowSource, first_column: int = 0, width: int | None = None) -> None:
        """Start empty.

        Args:
            source: What is read.
            first_column: First column that is kept.
            width: Columns that are kept; None: all from there on.
        """
        self.height, self.width, self.bands = source.height, source.width, source.bands
        self._source = source
        self._left = max(0, first_column)
        right = self.width if width is None else min(self.width, first_column + width)
        self._columns = right - self._left
        self._values: NDArray[Any] = np.empty((len(self.bands), 0, self._columns), np.float32)
        self._valid = np.empty((0, self._columns), np.bool_)
        self._top = self._rows = 0

    def hold(self, top: int, bottom: int) -> None:
        """Have the rows from ``top`` to ``bottom`` in memory, and none before them.

        Args:
            top: First row; never less than in the call before, and maybe outside the source.
            bottom: The row after the last.

        Raises:
            SceneError: The file cannot be read there.
        """
        top, bottom = max(0, top), min(bottom, self.height)
        end = self._top + self._rows
        if top >= end:
            self._top, self._rows, end = top, 0, top
        else:
            self._shift(top - self._top)
        if bottom <= end:
            return
        wanted = bottom - top
        block = self._source.block_rows if self._source.block_rows <= _MAX_BLOCK_ROWS else 1
        bottom = min(self.height, -(-bottom // block) * block)
        step = max(block, _READ_PIXELS // self._columns)
        for row in range(end, bottom, step):
            rows = min(step, bottom - row)
            stored = self._source.read_stored(Window(row, self._left, rows, self._columns))
            # Blocks may reach beyond what is asked for, by less than one.
            self._append(stored, room=max(bottom - self._top, wanted + block - 1))

    def read(self, window: Window) -> Pixels:
        """Return a window's pixels; what lies outside the source is invalid.

        Args:
            window: Its rows and columns inside the source are held.
        """
        inside = window.clipped(self.height, self.width)
        if inside.empty:
            return Pixels.nowhere(len(self.bands), window)
        rows = slice(inside.row - self._top, inside.row - self._top + inside.height)
        columns = slice(inside.column - self._left, inside.column - self._left + inside.width)
        stored = StoredPixels(self._values[:, rows, columns], self._valid[rows, columns])
        return stored.as_floats().within(inside, window)

    def _shift(self, rows: int) -> None:
        if rows == 0:
            return
        kept = self._rows - rows
        self._values[:, :kept] = self._values[:, rows : self._rows]
        self._valid[:kept] = self._valid[rows : self._rows]
        self._top += rows
        self._rows = kept

    def _append(self, stored: StoredPixels, *, room: int) -> None:
        new = stored.valid.shape[0]
        if room > self._valid.shape[0] or stored.values.dtype != self._values.dtype:
            values = np.empty((len(self.bands), room, self._columns), stored.values.dtype)
            valid = np.empty((room, self._columns), np.bool_)
            values[:, : self._rows] = self._values[:, : self._rows]
            valid[: self._rows] = self._valid[: self._rows]
            self._values, self._valid = values, valid
        place = slice(self._rows, self._rows + new)
        self._values[:, place], self._valid[place] = stored.values, stored.valid
        self._rows += new
