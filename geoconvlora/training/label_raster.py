"""Labels of one scene that are a raster of class ids, on any grid and in any CRS."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from geoconvlora.errors import LabelError
from geoconvlora.scenes import Window, open_scene
from geoconvlora.training.burn import PixelPolygons
from geoconvlora.training.data_config import IGNORE, SceneLabels
from geoconvlora.training.label_values import class_ids
from geoconvlora.training.reproject import crs_of
from geoconvlora.weights.card import ClassInfo

_LATTICE_PX = 16
"""Pixels are placed exactly on this lattice of the grid, and bilinearly between."""
_PROBES = 33
_READ_PIXELS = 2**24
_STEPS = 2.0**20
_FAR = 2.0**40


class RasterLabels:
    """A pixel of the prediction grid has the class of the label pixel that its centre lies in.

    Args:
        source: Names the raster, and how its values become classes.
        geobox: The prediction grid.
        classes: That the values may mean.
        extent: Where labels are complete; None: wherever the raster has data.

    Raises:
        LabelError: The raster is not one band.
        SceneError: It cannot be opened.
    """

    def __init__(
        self,
        source: SceneLabels,
        geobox: GeoBox,
        classes: Sequence[ClassInfo],
        *,
        extent: PixelPolygons | None,
    ) -> None:
        self._raster = open_scene(source.labels)
        if len(self._raster.bands) != 1:
            raise LabelError(
                f"{source.labels} has {len(self._raster.bands)} bands: labels are one band of "
                "class ids"
            )
        self._source = source
        self._grid = geobox
        self._classes = classes
        self._extent = extent
        self._transformer = None
        own, theirs = crs_of(geobox), crs_of(self._raster.geobox)
        if not own.equals(theirs, ignore_axis_order=True):
            self._transformer = Transformer.from_crs(own, theirs, always_xy=True)
        height, width = geobox.shape
        spread = np.linspace(0, height - 1, _PROBES), np.linspace(0, width - 1, _PROBES)
        probes = np.meshgrid(*(np.round(s).astype(np.int64) for s in spread), indexing="ij")
        self.on_scene = bool(self._inside(*self._exactly(*probes)).any())

    def burn(self, window: Window) -> NDArray[np.uint8]:
        """The (h, w) class ids of a window; 255 where the raster has no data."""
        rows, columns = self._places(window)
        mask = self._classes_at(rows, columns)
        if self._extent is not None:
            mask = np.where(self._extent.covers(window), mask, np.uint8(IGNORE))
        return mask

    def labelled_area(self, window: Window) -> float:
        """Pixels of a window that have a class."""
        return float(np.count_nonzero(self.burn(window) != IGNORE))

    def _classes_at(self, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Class ids at the raster's pixels, of which few are read at a time."""
        mask = np.full(rows.shape, IGNORE, dtype=np.uint8)
        inside = self._inside(rows, columns)
        if not inside.any():
            return mask
        top, left = int(rows[inside].min()), int(columns[inside].min())
        height = int(rows[inside].max()) + 1 - top
        width = int(columns[inside].max()) + 1 - left
        if height * width > _READ_PIXELS and rows.size > 1:
            axis = int(rows.shape[1] > rows.shape[0])
            halves = [np.array_split(places, 2, axis=axis) for places in (rows, columns)]
            parts = [self._classes_at(*half) for half in zip(*halves, strict=True)]
            return np.concatenate(parts, axis=axis)
        read = self._raster.read(Window(top, left, height, width))
        values, places = np.unique(read.values[0][read.valid], return_inverse=True)
        ids = np.full(read.valid.shape, IGNORE, dtype=np.uint8)
        if len(values):
            texts = [f"{value:.0f}" if value % 1 == 0 else f"{value:g}" for value in values]
            ids[read.valid] = class_ids(texts, self._source, self._classes)[places]
        mask[inside] = ids[rows[inside] - top, columns[inside] - left]
        return mask

    def _inside(self, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.bool_]:
        height, width = self._raster.height, self._raster.width
        inside: NDArray[np.bool_] = (
            (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        )
        return inside

    def _places(self, window: Window) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows and columns (h, w) of the label pixels that a window's centres lie in."""
        rows = np.arange(window.row, window.row + window.height)
        columns = np.arange(window.column, window.column + window.width)
        if self._transformer is None:
            return self._exactly(*np.meshgrid(rows, columns, indexing="ij"))
        nodes = [
            np.arange(one[0] // _LATTICE_PX, one[-1] // _LATTICE_PX + 2) for one in (rows, columns)
        ]
        placed = self._positions(*np.meshgrid(*(n * _LATTICE_PX for n in nodes), indexing="ij"))
        at_rows = [_between(layer, rows, nodes[0]) for layer in placed]
        return _floor(*(_between(layer.T, columns, nodes[1]).T for layer in at_rows))

    def _exactly(
        self, rows: NDArray[np.int64], columns: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        return _floor(*self._positions(rows, columns))

    def _positions(
        self, rows: NDArray[np.int64], columns: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Where the centres of the grid's pixels lie, in rows and columns of the raster."""
        x, y = _applied(self._grid.affine, columns + 0.5, rows + 0.5)
        if self._transformer is not None:
            x, y = self._transformer.transform(x, y)
        x, y = _applied(~self._raster.geobox.affine, x, y)
        return y, x


def _applied(
    affine: Affine, x: NDArray[np.floating], y: NDArray[np.floating]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return affine.a * x + affine.b * y + affine.c, affine.d * x + affine.e * y + affine.f


def _between(
    layer: NDArray[np.float64], positions: NDArray[np.int64], nodes: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Linear interpolation along the first axis, the same to the last bit in every window."""
    low, rest = np.divmod(positions - nodes[0] * _LATTICE_PX, _LATTICE_PX)
    weight = (rest / _LATTICE_PX)[:, None]
    mixed: NDArray[np.float64] = layer[low] * (1 - weight) + layer[low + 1] * weight
    return mixed


def _floor(
    rows: NDArray[np.float64], columns: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Whole pixels; what is meant to lie on a pixel's edge is not left to rounding."""
    with np.errstate(invalid="ignore"):
        floors = [np.floor(np.round(one * _STEPS) / _STEPS) for one in (rows, columns)]
    there = np.isfinite(floors[0]) & np.isfinite(floors[1])
    there &= (np.abs(floors[0]) < _FAR) & (np.abs(floors[1]) < _FAR)
    rows_there, columns_there = (np.where(there, one, -1).astype(np.int64) for one in floors)
    return rows_there, columns_there
