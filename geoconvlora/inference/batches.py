"""Tiles of a scene, cut, normalised and put together for the network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geoconvlora.inference.task import MapTask
from geoconvlora.scenes import Window
from geoconvlora.scenes.grid_rows import GridRows


@dataclass(frozen=True)
class Batch:
    """Tiles of one row that the network sees together; without tiles, the end of their row.

    Attributes:
        row: Index of the row of tiles.
        columns: ``(B,)`` indices of the tiles' columns.
        values: ``(B, C, tile, tile)`` normalised.
        valid: ``(B, h, w)``; less than a tile where the scene is.
    """

    row: int
    columns: tuple[int, ...]
    values: NDArray[np.float32]
    valid: NDArray[np.bool_]

    @classmethod
    def end(cls, row: int) -> Batch:
        """Return the sign that a row of tiles is over."""
        return cls(row, (), np.empty((0, 0, 0, 0), np.float32), np.empty((0, 0, 0), np.bool_))


def read_batches(task: MapTask, rows: Iterable[int]) -> Iterator[Batch]:
    """Yield the batches of rows of tiles, and an end after each row.

    Groups of tiles without a valid pixel in the area asked for are left out. A scene smaller than a
    tile is mirrored to its size, so that the network sees no edge there.

    Args:
        task: What is mapped.
        rows: Indices of rows of tiles, ascending.

    Raises:
        SceneError: The file cannot be read somewhere.
    """
    tiling, grid = task.tiling, task.grid
    height, width = min(tiling.tile, grid.height), min(tiling.tile, grid.width)
    left = tiling.columns.start(task.groups[0].start)
    right = tiling.columns.start(task.groups[-1].stop - 1) + width
    held = GridRows(task.scene, grid, first_column=left, width=right - left)
    for row in rows:
        top = tiling.rows.start(row)
        held.hold(top, top + height)
        for group in task.groups:
            batch = _batch(task, held, row, group, (height, width))
            if batch is not None:
                yield batch
        yield Batch.end(row)


def _batch(
    task: MapTask, held: GridRows, row: int, group: range, shape: tuple[int, int]
) -> Batch | None:
    tiling, tile = task.tiling, task.tiling.tile
    top = tiling.rows.start(row)
    windows = {i: Window(top, tiling.columns.start(i), *shape) for i in group}
    pixels = {}
    for i, window in windows.items():
        seen = held.read(window)
        if seen.valid.any():
            pixels[i] = seen
    area = task.area
    if not any(
        area is None or (seen.valid & area.mask(windows[i])).any() for i, seen in pixels.items()
    ):
        return None
    values = np.empty((len(pixels), len(task.scene.bands), tile, tile), np.float32)
    padding = (0, 0), (0, tile - shape[0]), (0, tile - shape[1])
    for place, seen in zip(values, pixels.values(), strict=True):
        normalised = task.normaliser(seen)
        place[...] = (
            normalised if shape == (tile, tile) else np.pad(normalised, padding, mode="symmetric")
        )
    valid = np.stack([seen.valid for seen in pixels.values()])
    return Batch(row, tuple(pixels), values, valid)
