"""Labels in memory: NumPy arrays, and DataArrays, lazy ones too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from geoconvlora.errors import SceneError
from geoconvlora.scenes.date import date_of_tags
from geoconvlora.vector.labels import Chance, Labels, as_labels, finite
from geoconvlora.vector.parts import Ids

if TYPE_CHECKING:
    import xarray as xr


class _Rows:
    """Rows of an array; those of a lazy one's chunk are kept, as each asking computes all of it.

    Args:
        values: Gives a NumPy array for slices.
        axis: That of the rows.
    """

    def __init__(self, values: Any, axis: int) -> None:
        self._values, self._axis = values, axis
        chunks = getattr(values, "chunks", None)
        # dask lists the lengths of all chunks, zarr gives the one length.
        length: int | tuple[int, ...] = chunks[axis] if chunks else 1
        self.together = max(1, length if isinstance(length, int) else length[0])
        self._first = 0
        self._kept = np.empty((0,) * len(values.shape))

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Rows from ``start`` to ``stop``, not to be changed."""
        if self.together == 1:
            return self._cut(self._values, start, stop)
        if start < self._first or stop > self._first + self._kept.shape[self._axis]:
            self._first = start - start % self.together
            last = -(-stop // self.together) * self.together
            self._kept = self._cut(self._values, self._first, last)
        return self._cut(self._kept, start - self._first, stop - self._first)

    def _cut(self, values: Any, start: int, stop: int) -> NDArray[Any]:
        place = [slice(None)] * len(values.shape)
        place[self._axis] = slice(start, stop)
        return np.asarray(values[tuple(place)])


class ArrayLabels(Labels):
    """Labels in memory, or in whatever gives a NumPy array for a slice of rows.

    Args:
        values: ``(H, W)`` of integers, or of floats that are whole numbers or NaN.
        geobox: Its grid.
        nodata: Value that means 'no data'; None: all are labels, but NaN.
        probs: ``(H, W)`` or ``(bands, H, W)``.
        tags: As a class raster's dataset tags.
        name: Name of the scene.

    Raises:
        SceneError: The shapes do not fit, or the values are no labels.
    """

    def __init__(
        self,
        values: Any,
        geobox: GeoBox,
        *,
        nodata: float | None = None,
        probs: Any = None,
        tags: Mapping[str, object] | None = None,
        name: str = "array",
    ) -> None:
        self.where, self.geobox = name, geobox
        if tuple(values.shape) != tuple(geobox.shape):
            raise SceneError(
                f"{name} has shape {tuple(values.shape)} and its grid {tuple(geobox.shape)}: "
                "give one band of labels with the GeoBox of its pixels"
            )
        kind = np.dtype(values.dtype).kind
        if kind not in "iuf":
            raise SceneError(f"{name} holds {values.dtype}: polygonize wants integers")
        if probs is not None:
            if tuple(probs.shape[-2:]) != tuple(geobox.shape) or len(probs.shape) not in (2, 3):
                raise SceneError(
                    f"probabilities of shape {tuple(probs.shape)} are not on the grid of {name}, "
                    f"{tuple(geobox.shape)}"
                )
            self.has_chance = True
        self._values, self._nodata = _Rows(values, 0), nodata
        self._probs = None if probs is None else _Rows(probs, -2)
        self.strip_rows = self._values.together
        self._describe(tags or {}, name, date_of_tags(tags or {}))

    def rows(self, start: int, stop: int) -> Ids:
        """As :meth:`Labels.rows`."""
        values = self._values.read(start, stop)
        valid = np.ones(values.shape, bool)
        if self._nodata is not None and not np.isnan(self._nodata):
            valid = values != self._nodata
        if values.dtype.kind == "f":
            valid &= ~np.isnan(values)
            if (values[valid] % 1 != 0).any() or (np.abs(values[valid]) > 2**53).any():
                raise SceneError(
                    f"{self.where} holds fractions: polygonize wants whole numbers "
                    "(class or object ids)"
                )
            values = np.where(valid, values, 0)
        return as_labels(values, valid, self.where)

    def chance(self, start: int, stop: int) -> Chance:
        """As :meth:`Labels.chance`."""
        assert self._probs is not None, "asked only where there are probabilities"
        values = self._probs.read(start, stop)
        return finite(values[None] if values.ndim == 2 else values)


def labels_of_data_array(
    raster: xr.DataArray, geobox: GeoBox | None, nodata: float | None, probs: Any
) -> ArrayLabels:
    """Labels of a DataArray, with its own grid and nodata value unless others are given.

    Raises:
        SceneError: It does not know its place, or holds no labels.
    """
    import odc.geo.xr  # noqa: F401

    name = str(raster.name or "array")
    if raster.ndim == 3 and raster.shape[0] == 1:
        raster = raster[0]
    place = geobox or raster.odc.geobox
    if not isinstance(place, GeoBox) or place.crs is None:
        raise SceneError(
            f"{name} does not know its place: write it with raster.rio.write_crs, or give a geobox"
        )
    own = (
        raster.attrs.get("nodata"),
        raster.attrs.get("_FillValue"),
        raster.encoding.get("_FillValue"),
    )
    known = [float(value) for value in (nodata, *own) if value is not None]
    return ArrayLabels(
        raster.variable,
        place,
        nodata=known[0] if known else None,
        probs=None if probs is None else getattr(probs, "variable", probs),
        tags=raster.attrs,
        name=name,
    )
