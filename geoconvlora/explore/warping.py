"""Arrays on other grids, nearest neighbour."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyproj
import xarray as xr
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.warp import reproject

from geoconvlora.explore.meridian import turn_of, turns_to
from geoconvlora.explore.rows import geobox_of
from geoconvlora.scenes.environment import raster_environment

_WARP_ERROR_PX = 0.001
"""Of warping's approximate transformer; rasterio takes no 0."""
_MARGIN_PX = 3
_LATTICE = 33


def values_on(array: xr.DataArray, geobox: GeoBox) -> NDArray[Any]:
    """Values ``(..., h, w)`` on a grid; of a lazy array only what lies there is read.

    What the array does not cover is its ``_FillValue``, or NaN without one.
    """
    own = geobox_of(array)
    nothing = array.attrs.get("_FillValue", np.nan)
    warped = np.full((*array.shape[:-2], *geobox.shape), nothing, array.dtype)
    for place in _places(own, geobox):
        rows, columns = _window(place, geobox)
        if rows.start >= rows.stop or columns.start >= columns.stop:
            continue
        with raster_environment():
            reproject(
                np.ascontiguousarray(array[..., rows, columns].values),
                warped,
                src_transform=place[rows, columns].affine,
                src_crs=_crs(own),
                src_nodata=nothing,
                dst_transform=geobox.affine,
                dst_crs=_crs(geobox),
                dst_nodata=nothing,
                resampling=Resampling.nearest,
                tolerance=_WARP_ERROR_PX,
                init_dest_nodata=False,
            )
    return warped


def upright_geobox(geobox: GeoBox, crs: Any) -> GeoBox:
    """A grid in a CRS, north up, that covers another grid with as many pixels."""
    height, width = geobox.shape
    x, y = _lattice(geobox, crs)
    placed = np.isfinite(x) & np.isfinite(y)
    left, right = float(x[placed].min()), float(x[placed].max())
    bottom, top = float(y[placed].min()), float(y[placed].max())
    across, down = (right - left) / width, (top - bottom) / height
    return GeoBox((height, width), Affine(across, 0, left, 0, -down, top), crs)


def _lattice(geobox: GeoBox, crs: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Places spread over a grid, its borders included, in a CRS."""
    assert geobox.crs is not None
    across, down = np.meshgrid(*(np.linspace(0, size, _LATTICE) for size in geobox.shape[::-1]))
    a, b, left, d, e, top = tuple(geobox.affine)[:6]
    x, y = a * across + b * down + left, d * across + e * down + top
    if geobox.crs == crs:
        return x, y
    to = pyproj.Transformer.from_crs(geobox.crs.to_wkt(), crs.to_wkt(), always_xy=True)
    x, y = to.transform(x, y)
    return x, y


def _places(own: GeoBox, wanted: GeoBox) -> list[GeoBox]:
    """A grid, and where another one in degrees lies on it a turn further west or east.

    GDAL takes longitudes a turn apart for one place, but not those of one CRS.
    """
    turn = _turn(own)
    if turn is None or own.crs != wanted.crs:
        return [own]
    box, other = own.boundingbox, wanted.boundingbox
    there = [
        shift
        for shift in (-turn, turn)
        if box.left + shift < other.right and box.right + shift > other.left
    ]
    moved = [Affine.translation(shift, 0) @ own.affine for shift in there]
    return [own, *(GeoBox(own.shape, affine, own.crs) for affine in moved)]


def _window(own: GeoBox, wanted: GeoBox) -> tuple[slice, slice]:
    """Rows and columns of a grid that another one can want."""
    x, y = _lattice(wanted, own.crs)
    turn = _turn(own)
    if turn is not None and own.crs != wanted.crs:
        # Longitudes jump at the 180th meridian, which the grid may go past.
        box = own.boundingbox
        placed = np.isfinite(x)
        x = np.where(placed, x, np.nan)
        x = x + turns_to(x, (box.left + box.right) / 2, turn)
        if x.max(where=placed, initial=-np.inf) - x.min(where=placed, initial=np.inf) > turn / 2:
            # They jump half around the Earth from the grid: it may be wanted at both its ends.
            x, y = np.stack([0 * x + box.left, 0 * x + box.right]), np.stack([y, y])
    a, b, left, d, e, top = tuple(~own.affine)[:6]
    column, row = a * x + b * y + left, d * x + e * y + top
    placed = np.isfinite(column) & np.isfinite(row)
    spans = []
    for places, size in ((row, own.shape[0]), (column, own.shape[1])):
        inside = places[placed]
        low = np.floor(inside.min(initial=size)) - _MARGIN_PX
        high = np.ceil(inside.max(initial=0)) + _MARGIN_PX
        spans.append(slice(int(np.clip(low, 0, size)), int(np.clip(high, 0, size))))
    return spans[0], spans[1]


def _turn(geobox: GeoBox) -> float | None:
    assert geobox.crs is not None
    return turn_of(pyproj.CRS(geobox.crs.to_wkt()))


def _crs(geobox: GeoBox) -> CRS:
    assert geobox.crs is not None
    return CRS.from_wkt(geobox.crs.to_wkt())
