from __future__ import annotations

import pytest
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from rasterio.transform import Affine

from geoconvlora.scenes.ground import ground_sampling_distance


def from_origin(left: float, top: float, width: float, height: float) -> Affine:
    return Affine(width, 0, left, 0, -height, top)


def gsd(crs: str, transform: Affine, shape: tuple[int, int] = (10, 10)) -> float:
    return ground_sampling_distance(GeoBox(shape, transform, CRS(crs)))


def test_utm_pixel_is_its_size_but_for_the_scale_factor() -> None:
    # The scale factor on the central meridian is 0.9996.
    assert gsd("EPSG:32631", from_origin(500_000, 5e6, 10, 10)) == pytest.approx(
        10 / 0.9996, rel=1e-6
    )


def test_web_mercator_pixel_shrinks_with_latitude() -> None:
    # 60 degrees north: the scale is about 1 / cos 60.
    assert gsd("EPSG:3857", from_origin(0, 8_399_738, 10, 10)) == pytest.approx(5, rel=0.01)


def test_degrees_become_metres() -> None:
    # WGS 84: 110.574 km a degree of latitude, 111.320 km of longitude at the equator.
    at_equator = gsd("EPSG:4326", from_origin(0, 0.0005, 1e-4, 1e-4))
    assert at_equator == pytest.approx((11.0574 * 11.1320) ** 0.5, rel=1e-4)


def test_small_pixel_is_exact() -> None:
    assert gsd("EPSG:32631", from_origin(500_000, 5e6, 0.02, 0.02)) == pytest.approx(
        0.02 / 0.9996, rel=1e-4
    )


def test_feet_become_metres() -> None:
    # California zone 3 in US survey feet.
    assert gsd("EPSG:2227", from_origin(6e6, 2.1e6, 1, 1)) == pytest.approx(0.3048, rel=1e-3)


def test_moon_has_its_own_radius() -> None:
    degree = gsd("IAU_2015:30100", from_origin(0, 5, 1, 1))
    assert degree == pytest.approx(1_737_400 * 3.14159265 / 180, rel=1e-3)


def test_off_the_earth_falls_back_to_the_unit_of_the_crs() -> None:
    disc = "+proj=geos +h=35785831 +lon_0=0 +sweep=y +ellps=GRS80"
    assert gsd(disc, from_origin(-9e6, 9e6, 3000, 3000)) == pytest.approx(3000)
