"""The map as a stream of rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geoconvlora.scenes import PredictionGrid, Scene, Window
from geoconvlora.scenes.grid import block_sum


@dataclass(frozen=True)
class MapRows:
    """Final rows of the map.

    Attributes:
        row: The first one, on the grid that the map is on.
        probabilities: ``(K, h, W)``; 0 where invalid.
        valid: ``(h, W)``.
        spread: ``(h, W)`` how far the predictions behind a pixel differ, 0 where invalid; None
            where nobody asked. See :class:`geoconvlora.inference.rasters.SpreadRaster`.
    """

    row: int
    probabilities: NDArray[np.float32]
    valid: NDArray[np.bool_]
    spread: NDArray[np.float32] | None = None


def on_scene_grid(
    rows: MapRows, grid: PredictionGrid, scene: Scene, window: Window | None = None
) -> MapRows:
    """Bring rows of the prediction grid to the scene's own.

    Finer pixels are averaged, coarser ones repeated; a pixel that is invalid in the scene is
    invalid in its map.

    Args:
        rows: Begin and end at a scene row's border (multiples of ``grid.zoom_in``).
        grid: Where they are.
        scene: Read again for validity where the grid is coarser.
        window: The scene's pixels that ``grid`` covers; None: all.
    """
    if grid.zoom_in > 1:
        factor = grid.zoom_in
        # Finer pixels share their scene pixel's validity.
        valid = rows.valid[::factor, ::factor]

        def mean(layers: NDArray[np.float32]) -> NDArray[np.float32]:
            return (block_sum(layers, factor) / factor**2).astype(np.float32) * valid

        spread = None if rows.spread is None else mean(rows.spread[None])[0]
        return MapRows(rows.row // factor, mean(rows.probabilities), valid, spread)
    if grid.zoom_out > 1:
        factor = grid.zoom_out
        own = window or Window(0, 0, scene.height, scene.width)
        row = rows.row * factor
        height = min(rows.valid.shape[0] * factor, own.height - row)

        def repeated(layers: NDArray) -> NDArray:
            wide = layers.repeat(factor, axis=-2).repeat(factor, axis=-1)
            return wide[..., :height, : own.width]

        valid = scene.read(Window(own.row + row, own.column, height, own.width)).valid
        valid = valid & repeated(rows.valid)
        spread = None if rows.spread is None else repeated(rows.spread) * valid
        return MapRows(row, repeated(rows.probabilities) * valid, valid, spread)
    return rows
