"""Strips on disk to the map's rows."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geoconvlora.inference.blending import Piece, join, support
from geoconvlora.inference.rows import MapRows
from geoconvlora.inference.strips import StripReader, from_steps
from geoconvlora.inference.task import MapTask
from geoconvlora.scenes import Window

#: Where a band's height is not given it has about so many pixels, which fit a processor's cache...
_BAND_PIXELS = 2**18
#: ...but no fewer rows than these, as each costs its share of work.
_BAND_ROWS = 16


def map_rows(
    task: MapTask,
    finished: Iterable[int],
    path_of: Callable[[int], Path],
    *,
    band_rows: int | None = None,
) -> Generator[MapRows, None, None]:
    """Yield the map's rows in order, on ``task.map_grid``, as soon as their strips are there.

    Args:
        task: What is mapped.
        finished: Indices of rows of tiles whose strips are on disk, ascending.
        path_of: Name of a row's strip.
        band_rows: Rows yielded at a time, made whole scene pixels where the grid is finer; changes
            speed and memory, never the result. None: chosen.

    Raises:
        OutputError: A strip is gone or damaged.
    """
    axis, window = task.tiling.rows, task.window
    rows = band_rows or min(task.tiling.tile, max(_BAND_ROWS, _BAND_PIXELS // window.width))
    # A finer grid's rows are whole scene pixels; each of a coarser one becomes many of the scene.
    rows = max(1, rows // task.grid.zoom_out)
    rows = -(-rows // task.grid.zoom_in) * task.grid.zoom_in
    arriving = iter(finished)
    strips: dict[int, StripReader] = {}
    try:
        for first in range(window.row, window.row + window.height, rows):
            stop = min(first + rows, window.row + window.height)
            needed = axis.touching(first, stop)
            for index in [i for i in strips if i < needed.start]:
                strips.pop(index).close()
            while needed[-1] not in strips:
                index = next(arriving)
                if index in needed:
                    strips[index] = StripReader(path_of(index))
            yield _band(task, {i: strips[i] for i in needed}, first, stop)
        for _ in arriving:
            pass
    finally:
        for strip in strips.values():
            strip.close()


def _band(task: MapTask, strips: dict[int, StripReader], first: int, stop: int) -> MapRows:
    axis, window = task.tiling.rows, task.window
    columns = slice(window.column, window.column + window.width)
    valid = np.zeros((stop - first, window.width), np.bool_)
    pieces = []
    for index, strip in strips.items():
        counts = support(axis, index, task.blend)
        top = axis.start(index)
        low = max(first, top + counts.first)
        high = min(stop, top + counts.first + len(counts.weights))
        if low >= high:
            continue
        steps, seen = strip.read(slice(low - top, high - top), columns)
        valid[low - first : high - first] |= seen
        values = from_steps(steps)
        weights = counts.weights[low - top - counts.first : high - top - counts.first]
        variance = np.square(values[-1]) if task.spread else None
        pieces.append(Piece(low, values[: task.classes], variance, weights))
    mean, variance = _stacked(task, join(pieces, first, stop, axis="rows"), first, stop)
    if task.area is not None:
        valid &= task.area.mask(Window(first, window.column, stop - first, window.width))
    if not valid.all():
        mean = mean * valid
    if variance is None:
        return MapRows(first - window.row, mean, valid)
    return MapRows(first - window.row, mean, valid, np.sqrt(variance) * valid)


def _stacked(
    task: MapTask, pieces: list[Piece], first: int, stop: int
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """Pieces one below the other as ``(K, h, W)`` and ``(h, W)``; 0 where there is none."""
    if len(pieces) == 1 and (pieces[0].start, pieces[0].stop) == (first, stop):
        return pieces[0].mean, pieces[0].variance
    shape = (stop - first, task.window.width)
    mean = np.zeros((task.classes, *shape), np.float32)
    variance = np.zeros(shape, np.float32) if task.spread else None
    for piece in pieces:
        place = slice(piece.start - first, piece.stop - first)
        mean[:, place] = piece.mean
        if variance is not None:
            variance[place] = piece.variance
    return mean, variance
