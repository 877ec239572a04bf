"""How large a pixel is on the ground."""

from __future__ import annotations

import math
from functools import cache

from odc.geo.geobox import GeoBox
from pyproj import CRS, Geod, Transformer
from pyproj.crs import GeographicCRS
from pyproj.exceptions import ProjError

EARTH_M = (6.3e6, 6.4e6)
"""Between these the semi-major axis of every ellipsoid of the Earth lies."""


def radius_of_another_body(crs: CRS) -> float | None:
    """The semi-major axis in metres of a body that is not the Earth; None for the Earth.

    Example:
        >>> radius_of_another_body(CRS("+proj=eqc +R=1737400 +units=m +type=crs"))
        1737400.0
    """
    ellipsoid = crs.ellipsoid
    if ellipsoid is None or EARTH_M[0] <= ellipsoid.semi_major_metre <= EARTH_M[1]:
        return None
    return float(ellipsoid.semi_major_metre)


def ground_sampling_distance(geobox: GeoBox) -> float:
    """Return the side in metres of a square as large as the pixel at the grid's centre.

    The area is measured on the CRS's own ellipsoid, so it is right in degrees, in Web Mercator
    and on other planets. Where the centre has no place on the ellipsoid (a corner of a full-disc
    image) the CRS's own unit is taken.

    Example:
        >>> from affine import Affine
        >>> box = GeoBox((10, 10), Affine(10, 0, 500000, 0, -10, 5500000), "EPSG:32631")
        >>> round(ground_sampling_distance(box), 1)
        10.0
    """
    assert geobox.crs is not None
    crs = CRS.from_wkt(geobox.crs.to_wkt())
    a, b, left, d, e, top = tuple(geobox.affine)[:6]
    row, column = geobox.shape[0] / 2, geobox.shape[1] / 2
    x, y = a * column + b * row + left, d * column + e * row + top
    area_m2 = _ellipsoidal_area(crs, (x, x + a, x + b), (y, y + d, y + e))
    if math.isfinite(area_m2) and area_m2 > 0:
        return math.sqrt(area_m2)
    unit_m = crs.axis_info[0].unit_conversion_factor
    if crs.is_geographic:
        # The factor is radians a unit; an equator's worth of metres belongs to a radian.
        unit_m *= crs.ellipsoid.semi_major_metre if crs.ellipsoid else 6_378_137.0
    return math.sqrt(abs(float(geobox.affine.determinant))) * float(unit_m)


def pixel_sides(geobox: GeoBox) -> tuple[float, float]:
    """Return height and width in metres of the pixel at the grid's centre.

    Where the centre has no place on the ellipsoid both are the ground sampling distance.

    Example:
        >>> from affine import Affine
        >>> box = GeoBox((10, 10), Affine(0.001, 0, 9, 0, -0.001, 60), "EPSG:4326")
        >>> [round(side) for side in pixel_sides(box)]
        [111, 56]
    """
    assert geobox.crs is not None
    crs = CRS.from_wkt(geobox.crs.to_wkt())
    a, b, left, d, e, top = tuple(geobox.affine)[:6]
    row, column = geobox.shape[0] / 2, geobox.shape[1] / 2
    x, y = a * column + b * row + left, d * column + e * row + top
    try:
        to_geodetic, geod = _geodetic(crs)
        longitudes, latitudes = to_geodetic.transform((x, x + b, x + a), (y, y + e, y + d))
        _, _, sides = geod.inv(
            [longitudes[0]] * 2, [latitudes[0]] * 2, longitudes[1:], latitudes[1:]
        )
    except (ProjError, ValueError):
        sides = [math.nan, math.nan]
    if all(math.isfinite(side) and side > 0 for side in sides):
        return float(sides[0]), float(sides[1])
    gsd_m = ground_sampling_distance(geobox)
    return gsd_m, gsd_m


def _ellipsoidal_area(crs: CRS, x: tuple[float, ...], y: tuple[float, ...]) -> float:
    """Area of the parallelogram that three neighbouring corners span, from its two sides.

    Not the geodesic polygon's area: that is rounded to about a tenth of a square metre.
    """
    try:
        to_geodetic, geod = _geodetic(crs)
        longitudes, latitudes = to_geodetic.transform(x, y)
        if not all(map(math.isfinite, (*longitudes, *latitudes))):
            return math.nan
        (azimuth_a, azimuth_b), _, (side_a, side_b) = geod.inv(
            [longitudes[0]] * 2, [latitudes[0]] * 2, longitudes[1:], latitudes[1:]
        )
    except (ProjError, ValueError):
        return math.nan
    return float(side_a * side_b * abs(math.sin(math.radians(azimuth_a - azimuth_b))))


def in_degrees(crs: CRS) -> CRS | None:
    """Longitude and latitude in degrees on the datum of a CRS; None where it has no ellipsoid.

    A CRS may count angles in grads, as those of NTF (Paris) do.

    Example:
        >>> in_degrees(CRS(27572)).axis_info[0].unit_name
        'degree'
    """
    geodetic = crs.geodetic_crs
    if geodetic is None or crs.get_geod() is None:
        return None
    axes = geodetic.axis_info
    if all(axis.unit_name == "degree" for axis in axes[:2]):
        return geodetic
    return GeographicCRS(name=geodetic.name, datum=geodetic.datum)


def full_turn(crs: CRS) -> float:
    """360 degrees in the unit of a geographic CRS.

    Example:
        >>> full_turn(CRS(4326)), full_turn(CRS(4807))
        (360.0, 400.0)
    """
    return float(round(math.tau / crs.axis_info[0].unit_conversion_factor, 9))


@cache
def _geodetic(crs: CRS) -> tuple[Transformer, Geod]:
    geodetic = in_degrees(crs)
    geod = crs.get_geod()
    if geodetic is None or geod is None:
        raise ValueError("the CRS has no ellipsoid")
    return Transformer.from_crs(crs, geodetic, always_xy=True), geod
