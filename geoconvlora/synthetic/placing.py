"""Where on the Earth a synthetic scene lies, and how large its fields are there."""

from __future__ import annotations

import math

import numpy as np
from affine import Affine
from geopandas import GeoSeries
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import CRS, Geod, Transformer
from pyproj.exceptions import CRSError, ProjError

from geoconvlora.errors import ConfigError


def place(height: int, width: int, gsd_m: float, crs: str) -> GeoBox:
    """Grid of square pixels around the middle of a projected CRS's area of use.

    Args:
        height: Rows.
        width: Columns.
        gsd_m: Size of a pixel in metres of the projection, whatever unit it counts in.
        crs: Anything that PROJ understands, for instance ``EPSG:32631``.

    Raises:
        ConfigError: The CRS is unknown, not projected, or has no place to put a scene.
    """
    try:
        projected = CRS.from_user_input(crs)
    except CRSError as error:
        raise ConfigError(f"crs {crs!r} is unknown: give one such as EPSG:32631") from error
    if not projected.is_projected:
        raise ConfigError(
            f"crs {crs} ({projected.name}) is not projected: give one in metres or feet, such as "
            "EPSG:32631"
        )
    unit_m = projected.axis_info[0].unit_conversion_factor
    pixel = gsd_m / unit_m
    x, y = _middle(projected)
    if not (math.isfinite(x) and math.isfinite(y)):
        raise ConfigError(
            f"crs {crs} ({projected.name}) has no middle to put a scene: give another"
        )
    left = round((x - width / 2 * pixel) / pixel) * pixel
    top = round((y + height / 2 * pixel) / pixel) * pixel
    return GeoBox((height, width), Affine(pixel, 0, left, 0, -pixel, top), projected.to_wkt())


def finer(geobox: GeoBox, factor: int) -> GeoBox:
    """The same place on a grid ``factor`` times finer."""
    height, width = geobox.shape
    pixel, left, top = geobox.affine.a / factor, geobox.affine.c, geobox.affine.f
    grid = Affine(pixel, 0, left, 0, -pixel, top)
    return GeoBox((height * factor, width * factor), grid, geobox.crs)


def _middle(projected: CRS) -> tuple[float, float]:
    """Coordinates of the middle of the area of use, or of the projection's origin."""
    area = projected.area_of_use
    if area is not None:
        east = area.east + 360 if area.east < area.west else area.east
        longitude, latitude = (area.west + east) / 2, (area.south + area.north) / 2
    else:
        operation = projected.coordinate_operation
        origin = {p.name: p.value for p in operation.params} if operation else {}
        longitude = next((float(v) for n, v in origin.items() if n.startswith("Longitude of")), 0.0)
        latitude = next((float(v) for n, v in origin.items() if n.startswith("Latitude of")), 0.0)
    longitude = (longitude + 180) % 360 - 180
    try:
        to_map = Transformer.from_crs("EPSG:4326", projected, always_xy=True)
        x, y = to_map.transform(longitude, min(max(latitude, -89.0), 89.0))
    except ProjError:
        return math.nan, math.nan
    return float(x), float(y)


def geodesic_area_m2(outlines: GeoSeries) -> NDArray[np.float64]:
    """Area on the ellipsoid of each polygon, in square metres."""
    geodesic = Geod(ellps="WGS84")
    areas = [geodesic.geometry_area_perimeter(g)[0] for g in outlines.to_crs(4326)]
    return np.abs(np.array(areas, dtype=np.float64))
