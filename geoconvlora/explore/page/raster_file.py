"""Rasters as a page sees them: what kind of map they are, and few enough of their pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.enums import ColorInterp, Resampling
from rasterio.io import DatasetReader
from rasterio.vrt import WarpedVRT
from rasterio.warp import transform_bounds

from geoconvlora.errors import BandError, SceneError
from geoconvlora.explore.meridian import turn_of
from geoconvlora.explore.page.grid import Bounds, Plane, usable
from geoconvlora.explore.page.merging import Mask, read_merged
from geoconvlora.scenes.class_names import CLASSES_TAG
from geoconvlora.scenes.environment import raster_environment
from geoconvlora.scenes.opening import RASTER_FAULTS, georeference, open_dataset, reason
from geoconvlora.scenes.scene import read_bands

_LOOK_PX = 512
_MOST_CLASSES = 64
"""Different values up to which one band of integers is taken for classes."""
_SUM_ERROR = 0.02
_EDGE_POINTS = 21


class Kind(StrEnum):
    """What a raster's pixels are."""

    scene = "scene"
    classes = "classes"
    probabilities = "probabilities"


@dataclass(frozen=True)
class Excerpt:
    """A whole raster in few pixels.

    Attributes:
        values: ``(C, h, w)`` as stored, or means of these.
        valid: ``(h, w)``, where all of them are data.
        bounds: Of the pixels, in the plane that was asked for.
    """

    values: NDArray[Any]
    valid: Mask
    bounds: Bounds


@dataclass(frozen=True)
class RasterFile:
    """An open raster.

    Attributes:
        path: As the user named it.
        dataset: Open.
        geobox: Its grid.
        kind: What its pixels are.
    """

    path: str
    dataset: DatasetReader
    geobox: GeoBox
    kind: Kind

    @property
    def name(self) -> str:
        """Of the file."""
        return Path(self.path).name

    @property
    def crs(self) -> pyproj.CRS:
        """Of its grid."""
        assert self.geobox.crs is not None
        return pyproj.CRS.from_wkt(self.geobox.crs.to_wkt())

    def bounds(self, plane: Plane) -> Bounds:
        """Return its bounds on a page.

        Raises:
            SceneError: It has no place there.
        """
        return _moved(self._bounds_in(plane.crs), plane)

    def pixel_in(self, crs: pyproj.CRS) -> float:
        """Return about the side of a pixel, in units of y of a CRS."""
        _, bottom, _, top = self._bounds_in(crs)
        return float((top - bottom) / self.geobox.shape[0])

    def read(self, bands: Sequence[int], plane: Plane, side: int, *, merge: bool) -> Excerpt:
        """Read the whole raster in few pixels, from overviews where there are any.

        Where it is in the page's CRS and north is up, pixels are merged or left out, not moved.

        Args:
            bands: 1-based.
            plane: In which the pixels are to lie.
            side: Pixels of the longer side at most.
            merge: Whether pixels become the mean of several, or one of them.

        Raises:
            SceneError: The file is truncated or damaged.
        """
        try:
            with raster_environment():
                if not self._lies_in(plane.crs):
                    seen = self._warped(bands, plane.crs, side, merge=merge)
                elif merge:
                    seen = self._merged(bands, side)
                else:
                    seen = _excerpt(self.dataset, bands, side, self._bounds_in(plane.crs))
        except RASTER_FAULTS as fault:
            raise SceneError(
                f"{self.path} cannot be read: it is truncated or damaged ({reason(fault)})"
            ) from fault
        return replace(seen, bounds=_moved(seen.bounds, plane))

    def _bounds_in(self, crs: pyproj.CRS) -> Bounds:
        """Where GDAL finds it; past the 180th meridian, on either side of the Earth."""
        box = self.geobox.extent.boundingbox
        own = box.left, box.bottom, box.right, box.top
        if self.crs.equals(crs, ignore_axis_order=True):
            return own
        try:
            with raster_environment():
                found = transform_bounds(self.crs.to_wkt(), crs.to_wkt(), *own, _EDGE_POINTS)
        except RASTER_FAULTS as fault:
            raise SceneError(
                f"{self.path} has no place in {crs.name}, the CRS of the page: no transformation "
                f"leads there from its own ({self.crs.name}), as none does from one planet to "
                "another. Show it on its own, or assign the CRS that it was made in"
            ) from fault
        if not usable(found):
            raise SceneError(f"{self.path} has no place in {crs.name}, the CRS of the page")
        left, bottom, right, top = found
        turn = turn_of(crs)
        if turn is not None and right < left:
            right += turn
        return left, bottom, right, top

    def unscaled(self, bands: Sequence[int], stored: NDArray[Any]) -> NDArray[np.float32]:
        """Return stored values ``(C, ...)`` of bands with the file's scales and offsets applied."""
        chosen = np.array(bands) - 1
        scales, offsets = (
            np.array(each, np.float32)[chosen].reshape(-1, *[1] * (stored.ndim - 1))
            for each in (self.dataset.scales, self.dataset.offsets)
        )
        values: NDArray[np.float32] = stored.astype(np.float32) * scales + offsets
        return values

    def _merged(self, bands: Sequence[int], side: int) -> Excerpt:
        factor = -(-max(self.geobox.shape) // side)
        values, valid = read_merged(self.dataset, bands, factor)
        affine, (height, width) = self.geobox.affine, valid.shape
        right = affine.c + affine.a * width * factor
        bottom = affine.f + affine.e * height * factor
        return Excerpt(values, valid, (affine.c, bottom, right, affine.f))

    def _warped(self, bands: Sequence[int], crs: pyproj.CRS, side: int, *, merge: bool) -> Excerpt:
        left, bottom, right, top = self._bounds_in(crs)
        density = math.hypot(*self.geobox.shape) / math.hypot(right - left, top - bottom)
        height, width = _fitted((top - bottom) * density, (right - left) * density, side)
        across, down = (right - left) / width, (top - bottom) / height
        with WarpedVRT(
            self.dataset,
            crs=crs.to_wkt(),
            transform=Affine(across, 0, left, 0, -down, top),
            height=height,
            width=width,
            resampling=Resampling.average if merge else Resampling.nearest,
            add_alpha=ColorInterp.alpha not in self.dataset.colorinterp,
        ) as warped:
            return _excerpt(warped, bands, side, (left, bottom, right, top))

    def _lies_in(self, crs: pyproj.CRS) -> bool:
        affine = self.geobox.affine
        north_up = affine.b == 0 and affine.d == 0 and affine.a > 0 and affine.e < 0
        return bool(north_up and self.crs.equals(crs, ignore_axis_order=True))


def open_raster(path: str, stack: ExitStack) -> RasterFile:
    """Open a raster and see what kind of map it is.

    A tag or a colour table says that it holds classes; otherwise one band of integers with at most
    64 values does. Bands of floats from 0 to 1 that add up to 1, or a single one, are
    probabilities. Everything else is a scene.

    Args:
        path: As GDAL knows it.
        stack: Closes it.

    Raises:
        SceneError: It is missing, damaged or has no place.
        BandError: It has no band but alpha.
    """
    dataset = open_dataset(path)
    stack.callback(dataset.close)
    if not data_bands(dataset):
        raise BandError(f"{path} has no band but alpha: there is nothing to show")
    geobox = georeference(dataset, path)
    opened = RasterFile(path, dataset, geobox, Kind.scene)
    return RasterFile(path, dataset, geobox, _kind(opened))


def data_bands(dataset: DatasetReader) -> list[int]:
    """1-based bands that are not alpha."""
    colors = zip(dataset.indexes, dataset.colorinterp, strict=True)
    return [band for band, color in colors if color != ColorInterp.alpha]


def _kind(opened: RasterFile) -> Kind:
    dataset = opened.dataset
    bands = data_bands(dataset)
    fractions = dataset.dtypes[0].startswith("float") or dataset.scales[0] != 1
    if CLASSES_TAG in dataset.tags():
        return Kind.probabilities if fractions else Kind.classes
    if len(bands) == 1 and dataset.colorinterp[0] == ColorInterp.palette:
        return Kind.classes
    if fractions:
        return Kind.probabilities if _adds_up(opened, bands) else Kind.scene
    if len(bands) > 1:
        return Kind.scene
    seen = opened.read(bands, Plane(opened.crs), _LOOK_PX, merge=False)
    found = np.unique(seen.values[0][seen.valid])
    return Kind.classes if 0 < len(found) <= _MOST_CLASSES and found[0] >= 0 else Kind.scene


def _adds_up(opened: RasterFile, bands: Sequence[int]) -> bool:
    seen = opened.read(bands, Plane(opened.crs), _LOOK_PX, merge=False)
    fractions = opened.unscaled(bands, seen.values[:, seen.valid])
    if not fractions.size or fractions.min() < 0 or fractions.max() > 1:
        return False
    return len(bands) == 1 or bool(np.abs(fractions.sum(axis=0) - 1).max() < _SUM_ERROR)


def _moved(bounds: Bounds, plane: Plane) -> Bounds:
    """Bounds on the side of the Earth that the page is of."""
    left, bottom, right, top = bounds
    shift = plane.shift(bounds)
    return left + shift, bottom, right + shift, top


def _excerpt(dataset: DatasetReader, bands: Sequence[int], side: int, bounds: Bounds) -> Excerpt:
    """Every n-th pixel."""
    shape = _fitted(dataset.height, dataset.width, side)
    stored = np.ma.stack(list(read_bands(dataset, bands, shape=shape, masked=True)))
    values: NDArray[Any] = stored.data
    valid: Mask = np.logical_and.reduce(~np.ma.getmaskarray(stored), axis=0)
    if values.dtype.kind == "f":
        valid &= np.isfinite(values).all(axis=0)
    return Excerpt(values, valid, bounds)


def _fitted(height: float, width: float, side: int) -> tuple[int, int]:
    """A shape with the same proportions whose longer side is at most ``side``."""
    shrink = min(1.0, side / max(height, width))
    return max(1, round(height * shrink)), max(1, round(width * shrink))
