"""The scene as a stream of tile rows, and the map as a stream of row bands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geoconvlora.inference.tiles import Tiling
from geoconvlora.scenes import Normaliser, PredictionGrid, Scene, Window, read_grid
from geoconvlora.scenes.grid import block_sum


@dataclass(frozen=True)
class TileRow:
    """Input of one row of tiles over the grid's whole width, at least a tile wide and high.

    Attributes:
        row: Its first row on the prediction grid.
        values: ``(C, tile, W)`` normalised.
        valid: ``(tile, W)``.
    """

    row: int
    values: NDArray[np.float32]
    valid: NDArray[np.bool_]


@dataclass(frozen=True)
class MapRows:
    """Final rows of the map.

    Attributes:
        row: The first one, on the grid that the map is on.
        probabilities: ``(K, h, W)``; 0 where invalid.
        valid: ``(h, W)``.
    """

    row: int
    probabilities: NDArray[np.float32]
    valid: NDArray[np.bool_]


def read_tile_rows(
    scene: Scene, grid: PredictionGrid, tiling: Tiling, normaliser: Normaliser
) -> Iterator[TileRow]:
    """Yield the scene's tile rows; each scene row is read once, the next tile row ahead of time.

    A scene smaller than a tile is mirrored to its size, so that the network sees no edge there;
    the mirrored part is invalid.

    Raises:
        SceneError: The file cannot be read somewhere.
    """
    height = min(tiling.tile, grid.height)

    def read(index: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        start = tiling.rows.start(index)
        seen = tiling.rows.start(index - 1) + height if index else start
        window = Window(seen, 0, start + height - seen, grid.width)
        return read_grid(scene, grid, window, normaliser)

    values = np.empty((len(scene.bands), 0, grid.width), dtype=np.float32)
    valid = np.empty((0, grid.width), dtype=np.bool_)
    padding = (0, tiling.tile - height), (0, max(0, tiling.tile - grid.width))
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="read") as ahead:
        reading = ahead.submit(read, 0)
        for index in range(len(tiling.rows)):
            new_values, new_valid = reading.result()
            if index + 1 < len(tiling.rows):
                reading = ahead.submit(read, index + 1)
            again = valid.shape[0] - (height - new_valid.shape[0])  # rows before were final
            values = np.concatenate([values[:, again:], new_values], axis=1)
            valid = np.concatenate([valid[again:], new_valid], axis=0)
            yield TileRow(
                tiling.rows.start(index),
                np.pad(values, ((0, 0), *padding), mode="symmetric"),
                np.pad(valid, padding),
            )


def regroup(bands: Iterable[MapRows], rows: int) -> Iterator[MapRows]:
    """Yield the same rows in bands of exactly ``rows`` (the last one maybe fewer)."""
    waiting: list[MapRows] = []
    for band in bands:
        waiting.append(band)
        while sum(part.valid.shape[0] for part in waiting) >= rows:
            joined = _joined(waiting)
            yield _cut(joined, 0, rows)
            rest = _cut(joined, rows, joined.valid.shape[0])
            waiting = [rest] if rest.valid.shape[0] else []
    if waiting:
        yield _joined(waiting)


def on_scene_grid(rows: MapRows, grid: PredictionGrid, scene: Scene) -> MapRows:
    """Bring rows of the prediction grid to the scene's own.

    Finer pixels are averaged, coarser ones repeated; a pixel that is invalid in the scene is
    invalid in its map.

    Args:
        rows: Begin and end at a scene row's border (multiples of ``grid.zoom_in``).
        grid: Where they are.
        scene: Read again for validity where the grid is coarser.
    """
    if grid.zoom_in > 1:
        factor = grid.zoom_in
        means = block_sum(rows.probabilities, factor) / factor**2
        # Finer pixels share their scene pixel's validity.
        valid = rows.valid[::factor, ::factor]
        return MapRows(rows.row // factor, means.astype(np.float32) * valid, valid)
    if grid.zoom_out > 1:
        factor = grid.zoom_out
        row = rows.row * factor
        height = min(rows.valid.shape[0] * factor, scene.height - row)
        repeated = rows.probabilities.repeat(factor, axis=1).repeat(factor, axis=2)
        valid = rows.valid.repeat(factor, axis=0).repeat(factor, axis=1)
        valid = valid[:height, : scene.width]
        valid = valid & scene.read(Window(row, 0, height, scene.width)).valid
        return MapRows(row, repeated[:, :height, : scene.width] * valid, valid)
    return rows


def _joined(parts: list[MapRows]) -> MapRows:
    if len(parts) == 1:
        return parts[0]
    return MapRows(
        parts[0].row,
        np.concatenate([part.probabilities for part in parts], axis=1),
        np.concatenate([part.valid for part in parts], axis=0),
    )


def _cut(rows: MapRows, start: int, stop: int) -> MapRows:
    return MapRows(rows.row + start, rows.probabilities[:, start:stop], rows.valid[start:stop])
