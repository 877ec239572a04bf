"""Arrays whose pixels are read from a file when they are asked for, with or without dask."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray.backends import BackendArray
from xarray.core import indexing

from geoconvlora.scenes import Scene, Window
from geoconvlora.scenes.pixels import StoredPixels

Stored = Callable[[StoredPixels], NDArray[Any]]
"""From a window's pixels to values ``(bands, h, w)``; must be picklable."""

CHUNK_PX = 1024


class SceneArray(BackendArray):
    """All bands of a scene, ``(bands, H, W)``.

    Args:
        scene: Where pixels come from; opens its file again in other processes.
        values: What becomes of them.
        dtype: Of the values.
    """

    def __init__(self, scene: Scene, values: Stored, dtype: str) -> None:
        self.shape = (len(scene.bands), scene.height, scene.width)
        self.dtype = np.dtype(dtype)
        self._scene, self._values = scene, values

    def __getitem__(self, key: indexing.ExplicitIndexer) -> NDArray[Any]:
        """Read what is asked for, and the rows and columns between."""
        found: NDArray[Any] = indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.BASIC, self._read
        )
        return found

    def _read(self, key: tuple[int | slice, ...]) -> NDArray[Any]:
        bands, rows, columns = key
        row, height, every_row = _span(rows, self.shape[1])
        column, width, every_column = _span(columns, self.shape[2])
        if height and width:
            pixels = self._scene.read_stored(Window(row, column, height, width))
            whole = self._values(pixels)
        else:
            whole = np.empty((self.shape[0], height, width), self.dtype)
        return whole[:, :, every_column][:, every_row][bands]


def lazily(scene: Scene, values: Stored, dtype: str, layers: str) -> xr.Variable:
    """A variable ``(layers, y, x)``: in chunks where dask is installed."""
    lazy = indexing.LazilyIndexedArray(SceneArray(scene, values, dtype))
    variable = xr.Variable((layers, "y", "x"), lazy)
    if find_spec("dask") is None:
        return variable
    return variable.chunk({layers: -1, "y": CHUNK_PX, "x": CHUNK_PX})


def _span(key: int | slice, size: int) -> tuple[int, int, int | slice]:
    """First pixel, number of pixels, and what of them is wanted."""
    if not isinstance(key, slice):
        return int(key), 1, 0
    start, stop, step = key.indices(size)
    return start, max(0, stop - start), slice(None, None, step)
