"""Narrow gaps between objects go to the objects beside them, so that neighbours share an edge.

A pixel without object lies in a gap if no square of ``gap_px + 1`` pixels around it is free of
objects: the union of objects is closed by a square (Serra 1982). Gaps of at most ``gap_px`` columns
or rows vanish, and so do their crossings; bays and holes of one object that are as narrow do too.
Beyond the raster nothing is, so a strip along its edge is no gap.

Gaps are filled from the objects on their sides, one step to a neighbouring pixel at a time, so each
pixel goes to the object that is the fewest steps away, and objects stay connected.

**Why bands equal the raster.** Whether a pixel lies in a gap depends on rows at most ``gap_px``
away. Filling stops after as many steps as it takes to cross a square of half that size, and each
looks one row further. Ties go by place, never by number: a rename changes nothing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from geoconvlora.vector.compiled import compiled
from geoconvlora.vector.parts import NOTHING, Ids, renamed
from geoconvlora.vector.rows import RowBuffer

Weights = NDArray[np.float32]
Bytes = NDArray[np.uint8]


class GapCloser:
    """Rows of objects to rows whose gaps are closed; the same whatever the feeds' heights.

    Args:
        width: Columns of the raster.
        gap_px: Gaps of at most so many pixels are closed.

    Example:
        >>> closer = GapCloser(4, 1)
        >>> early = closer.feed(np.array([[3, NOTHING, 5, 5]]), None)
        >>> labels, weights = closer.finish()
        >>> labels.tolist(), weights.tolist()
        ([[3, 3, 5, 5]], [[1.0, nan, 1.0, 1.0]])
    """

    def __init__(self, width: int, gap_px: int) -> None:
        self._width, self._gap = width, gap_px
        self._steps = 2 * -(-gap_px // 2)
        self._halo = gap_px + self._steps
        self._buffer = RowBuffer()
        self._feed_nothing()

    def feed(self, labels: Ids, weights: Weights | None) -> tuple[Ids, Weights]:
        """Take rows; return those that are final, maybe none.

        Args:
            labels: ``(h, W)``; ``NOTHING`` where there is no object.
            weights: ``(h, W)`` of the pixels; None: 1 for all.

        Returns:
            Labels and weights ``(k, W)``; the weight of a pixel that was given away is NaN.
        """
        if weights is None:
            weights = np.ones(labels.shape, np.float32)
        self._buffer.push(labels, weights)
        final = self._buffer.rows - 2 * self._halo
        if final <= 0:
            return labels[:0], weights[:0]
        before, weights = self._buffer.peek(self._buffer.rows)
        closed = _closed(before, self._gap, self._steps)
        middle = slice(self._halo, self._halo + final)
        given = before[middle] != closed[middle]
        weights = np.where(given, np.float32(np.nan), weights[middle])
        self._buffer.drop(final)
        return closed[middle], weights

    def finish(self) -> tuple[Ids, Weights]:
        """Return the rows that were still waiting for those below."""
        return self._feed_nothing()

    def relabel(self, old: Ids, new: Ids) -> None:
        """Rename objects in the rows that are not final."""
        if len(old):
            labels, _ = self._buffer.peek(self._buffer.rows)
            labels[:] = renamed(labels, old, new)

    def _feed_nothing(self) -> tuple[Ids, Weights]:
        shape = (self._halo, self._width)
        return self.feed(np.full(shape, NOTHING), np.zeros(shape, np.float32))


def _closed(labels: Ids, gap_px: int, steps: int) -> Ids:
    height, width = labels.shape
    room = np.empty((height, width + gap_px), np.uint8)
    _find_room(labels, gap_px + 1, room)
    closed = labels.copy()
    _fill(closed, room, steps)
    return closed


@compiled("void(i8[:, ::1], i8, u1[:, ::1])")
def _find_room(labels: Ids, side: int, room: Bytes) -> None:
    """Mark pixels that lie in a square without object.

    Args:
        labels: ``(h, W)``.
        side: Of the square.
        room: ``(h, W + side - 1)``, filled with 0 where no such square is; the first rows and the
            last ``side - 1`` as if nothing were beyond them.
    """
    height, width = labels.shape
    # Largest square without object that ends at each pixel, on its right and below.
    for row in range(height):
        for column in range(width + side - 1):
            free = side
            if column < width and labels[row, column] != NOTHING:
                free = 0
            elif row > 0 and column > 0:
                free = min(room[row - 1, column], room[row, column - 1])
                free = min(side, min(free, room[row - 1, column - 1]) + 1)
            elif row > 0:
                free = min(side, room[row - 1, column] + 1)
            elif column > 0:
                free = min(side, room[row, column - 1] + 1)
            room[row, column] = free
    # Those that are large enough cover the pixels before them.
    for row in range(height - 1, -1, -1):
        for column in range(width + side - 2, -1, -1):
            cover = side if room[row, column] == side else 0
            if column + 1 < width + side - 1:
                cover = max(cover, room[row, column + 1] - 1)
            if row + 1 < height:
                cover = max(cover, room[row + 1, column] - 1)
                if column + 1 < width + side - 1:
                    cover = max(cover, room[row + 1, column + 1] - 1)
            room[row, column] = cover


@compiled("void(i8[:, ::1], u1[:, ::1], i8)")
def _fill(labels: Ids, room: Bytes, steps: int) -> None:
    """Give pixels of gaps, where there is no room, to the objects beside them, step by step."""
    height, width = labels.shape
    count = 0
    for row in range(height):
        for column in range(width):
            if labels[row, column] == NOTHING and room[row, column] == 0:
                count += 1
    gaps = np.empty((count, 2), np.int64)
    given = np.empty(count, np.int64)
    count = 0
    for row in range(height):
        for column in range(width):
            if labels[row, column] == NOTHING and room[row, column] == 0:
                gaps[count, 0], gaps[count, 1] = row, column
                count += 1
    for _ in range(steps):
        for place in range(count):
            row, column = gaps[place, 0], gaps[place, 1]
            given[place] = NOTHING
            if row > 0 and labels[row - 1, column] != NOTHING:
                given[place] = labels[row - 1, column]
            elif column > 0 and labels[row, column - 1] != NOTHING:
                given[place] = labels[row, column - 1]
            elif column + 1 < width and labels[row, column + 1] != NOTHING:
                given[place] = labels[row, column + 1]
            elif row + 1 < height and labels[row + 1, column] != NOTHING:
                given[place] = labels[row + 1, column]
        left = 0
        for place in range(count):
            row, column = gaps[place, 0], gaps[place, 1]
            if given[place] != NOTHING:
                labels[row, column] = given[place]
            else:
                gaps[left, 0], gaps[left, 1] = row, column
                left += 1
        count = left
