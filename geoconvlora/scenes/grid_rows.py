"""Rows of a prediction grid, kept in memory while tiles are cut from them."""

from __future__ import annotations

from geoconvlora.scenes.grid import PredictionGrid, coarser, finer
from geoconvlora.scenes.pixels import Pixels, StoredPixels, Window
from geoconvlora.scenes.row_cache import RowCache
from geoconvlora.scenes.scene import Scene


class GridRows:
    """A moving band of a grid's rows; each row of the scene is read once.

    Windows hold exactly what :func:`geoconvlora.scenes.read_grid` gives, before normalisation.
    Memory is that of the band in the scene's own pixels and type; a grid coarser than the scene is
    kept as float32 means.

    Example:
        >>> rows = GridRows(scene, grid, first_column=0, width=512)  # doctest: +SKIP
        >>> rows.hold(0, 256)  # doctest: +SKIP
        >>> rows.read(Window(0, 128, 256, 256)).valid.shape  # doctest: +SKIP
        (256, 256)
    """

    def __init__(
        self, scene: Scene, grid: PredictionGrid, *, first_column: int, width: int
    ) -> None:
        """Start empty.

        Args:
            scene: What is read.
            grid: The grid of all rows and columns here.
            first_column: First column that is kept.
            width: Columns that are kept.
        """
        self._zoom_in = grid.zoom_in
        if grid.zoom_in == 1:
            source = scene if grid.zoom_out == 1 else _CoarserScene(scene, grid)
            self._cache = RowCache(source, first_column, width)
            return
        first, beyond = self._touched(first_column, first_column + width)
        self._cache = RowCache(scene, first, beyond - first)

    def hold(self, top: int, bottom: int) -> None:
        """Have the rows from ``top`` to ``bottom`` in memory, and none before them.

        Raises:
            SceneError: The file cannot be read there.
        """
        if self._zoom_in == 1:
            self._cache.hold(top, bottom)
        else:
            self._cache.hold(*self._touched(top, bottom))

    def read(self, window: Window) -> Pixels:
        """Return a window that is held."""
        if self._zoom_in == 1:
            return self._cache.read(window)
        return finer(self._cache, self._zoom_in, window)

    def _touched(self, start: int, stop: int) -> tuple[int, int]:
        """Scene pixels between which those of the grid lie, along one axis."""
        return start // self._zoom_in - 1, (stop - 1) // self._zoom_in + 2


class _CoarserScene:
    """A scene as a coarser grid sees it."""

    block_rows = 1

    def __init__(self, scene: Scene, grid: PredictionGrid) -> None:
        self.height, self.width, self.bands = grid.height, grid.width, scene.bands
        self._scene, self._factor = scene, grid.zoom_out

    def read_stored(self, window: Window) -> StoredPixels:
        pixels = coarser(self._scene, self._factor, window)
        return StoredPixels(pixels.values, pixels.valid)
