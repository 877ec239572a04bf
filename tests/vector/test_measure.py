from __future__ import annotations

import numpy as np
import pyproj
import pytest
import shapely
from affine import Affine

from geoconvlora.vector.measure import Ruler
from geoconvlora.vector.scale import placed

SHAPE = shapely.Polygon(
    [(0, 0), (50, 0), (55, 20), (30, 50), (0, 50)], [[(10, 10), (10, 20), (20, 20)]]
)
PLACES = {
    "utm": (32631, 500000, 5e6, 10),
    "southern utm": (32733, 300000, 6.5e6, 10),
    "geographic": (4326, 5, 52, 1e-4),
    "geographic, across the antimeridian": (4326, 179.9999, -52, 1e-4),
    "web mercator": (3857, 1e6, 7e6, 10),
    "antarctic": (3031, 1e6, 5e5, 10),
    "us feet": (2263, 980000, 200000, 30),
    "equal earth": (8857, 1e6, 5e6, 10),
    "british, other ellipsoid": (27700, 4e5, 3e5, 10),
    "large, web mercator": (3857, 1e6, 7e6, 2000),
    "large, laea": (3035, 4e6, 3e6, 2000),
}


def _reference(crs: pyproj.CRS, polygon: shapely.Polygon) -> tuple[float, float]:
    geographic = pyproj.Transformer.from_crs(crs, crs.geodetic_crs, always_xy=True)
    placed = shapely.transform(
        polygon, lambda xy: np.stack(geographic.transform(xy[:, 0], xy[:, 1]), axis=1)
    )
    area_m2, perimeter_m = crs.get_geod().geometry_area_perimeter(placed)
    return abs(area_m2), perimeter_m


@pytest.mark.parametrize("place", PLACES)
def test_area_and_perimeter_agree_with_geographiclib(place):
    epsg, x, y, size = PLACES[place]
    polygon = shapely.transform(SHAPE, lambda xy: xy * size + [x, y])
    crs = pyproj.CRS(epsg)
    area_m2, perimeter_m = Ruler(crs).measure(np.array([polygon]))
    expected_area_m2, expected_perimeter_m = _reference(crs, polygon)
    assert area_m2[0] == pytest.approx(expected_area_m2, rel=1e-4)
    assert perimeter_m[0] == pytest.approx(expected_perimeter_m, rel=1e-6)


@pytest.mark.parametrize("epsg", [3031, 3413])
def test_a_polygon_around_the_pole_has_its_own_area(epsg):
    crs = pyproj.CRS(epsg)
    ring = shapely.Point(0, 0).buffer(500_000, quad_segs=64)
    area_m2, _ = Ruler(crs).measure(np.array([ring]))
    assert area_m2[0] == pytest.approx(_reference(crs, ring)[0], rel=1e-4)


@pytest.mark.parametrize(
    ("epsg", "edge", "share"), [(4326, (180, 90), 1), (3857, (20037508.34, 20037508.34), 0.9963)]
)
def test_box_around_the_world_has_the_worlds_area(epsg, edge, share):
    crs = pyproj.CRS(epsg)
    box = shapely.box(-edge[0], -edge[1], *edge)
    hole = shapely.box(-edge[0] / 18, 0, 0, edge[1] / 9)
    whole, holed, alone = Ruler(crs).measure(np.array([box, box - hole, hole]))[0]
    world = 510_065_621_724_089
    assert whole == pytest.approx(world * share, rel=1e-3)
    assert holed == pytest.approx(whole - alone, rel=1e-4)


def test_many_polygons_are_measured_as_each_alone():
    ruler = Ruler(pyproj.CRS(32631))
    polygons = np.array(
        [shapely.transform(SHAPE, lambda xy, i=i: xy * i + [5e5, 5e6]) for i in range(1, 9)]
    )
    together = ruler.measure(polygons)
    alone = [ruler.measure(polygons[i : i + 1]) for i in range(8)]
    np.testing.assert_array_equal(together[0], [a[0] for a, _ in alone])
    np.testing.assert_array_equal(together[1], [p[0] for _, p in alone])


def test_an_engineering_crs_is_measured_in_the_plane():
    crs = pyproj.CRS('LOCAL_CS["site",UNIT["foot",0.3048],AXIS["x",EAST],AXIS["y",NORTH]]')
    area_m2, perimeter_m = Ruler(crs).measure(np.array([shapely.box(0, 0, 10, 10)]))
    assert area_m2[0] == pytest.approx(100 * 0.3048**2)
    assert perimeter_m[0] == pytest.approx(40 * 0.3048)


def test_another_body_is_measured_on_its_own_ellipsoid():
    moon = pyproj.CRS("+proj=eqc +a=1737400 +b=1737400 +units=m +no_defs")
    area_m2, _ = Ruler(moon).measure(np.array([shapely.box(0, 0, 1000, 1000)]))
    assert area_m2[0] == pytest.approx(1e6, rel=1e-4)


@pytest.mark.parametrize("affine", [(1, 0, -1), (0.8, 0.6, -0.8)], ids=["north-up", "rotated"])
@pytest.mark.parametrize("place", [*PLACES, "around the pole"])
def test_polygons_in_pixels_agree_with_geographiclib(place, affine):
    epsg, x, y, size = PLACES.get(place, (3031, -900, 1500, 10))
    across, skewed, down = affine
    grid = Affine(size * across, size * skewed, x, size * skewed, size * down, y)
    crs = pyproj.CRS(epsg)
    pixels = np.array(
        [
            shapely.transform(SHAPE, lambda xy, i=i: xy * (0.3 + i % 3) + [i * 40, i * 17 % 160])
            for i in range(12)
        ]
    )
    _, xy, (rings, parts) = shapely.to_ragged_array(pixels)
    area_m2, perimeter_m = Ruler(crs, grid).measure_pixels(xy, rings, parts)
    for i, polygon in enumerate(pixels):
        on_map = shapely.transform(
            polygon, lambda xy: np.stack(placed(grid, xy[:, 0], xy[:, 1]), axis=1)
        )
        expected_area_m2, expected_perimeter_m = _reference(crs, on_map)
        assert area_m2[i] == pytest.approx(expected_area_m2, rel=5e-5)
        assert perimeter_m[i] == pytest.approx(expected_perimeter_m, rel=1e-6)


def test_measures_in_pixels_do_not_depend_on_the_company():
    grid = Affine(10, 0, 300000, 0, -10, 6500000)
    ruler = Ruler(pyproj.CRS(32733), grid)
    moved = [shapely.transform(SHAPE, lambda xy, i=i: xy + i * 333.0) for i in range(9)]
    _, xy, (rings, parts) = shapely.to_ragged_array(np.array(moved))
    together = ruler.measure_pixels(xy, rings, parts)
    for i, polygon in enumerate(moved):
        _, xy, (rings, parts) = shapely.to_ragged_array(np.array([polygon]))
        alone = ruler.measure_pixels(xy, rings, parts)
        assert (together[0][i], together[1][i]) == (alone[0][0], alone[1][0])


def test_no_polygons_measure_nothing():
    area_m2, perimeter_m = Ruler(pyproj.CRS(4326)).measure(np.empty(0, object))
    assert len(area_m2) == len(perimeter_m) == 0


def test_area_of_half_a_pixel_is_as_exact_as_that_of_a_field() -> None:
    corners = np.array([[221595, 5097715], [221600, 5097715], [221600, 5097720]])
    one = shapely.Polygon(corners)
    # The map's scale hardly differs over a few metres, so areas go with the square of the size.
    many = shapely.affinity.scale(one, 64, 64, origin=(221600, 5097715))
    ruler = Ruler(pyproj.CRS(32636))
    small, large = ruler.areas(np.array([one, many]))
    assert small * 64**2 == pytest.approx(large, rel=1e-5)


@pytest.mark.parametrize("epsg", [27572, 4807])
def test_a_crs_that_counts_in_grads_is_measured_in_metres(epsg) -> None:
    crs = pyproj.CRS(epsg)
    square = shapely.box(600_000, 2_199_600, 600_400, 2_200_000)
    to_crs = pyproj.Transformer.from_crs(27572, crs, always_xy=True)
    placed = shapely.transform(square, lambda xy: np.stack(to_crs.transform(*xy.T), axis=1))
    area_m2, perimeter_m = Ruler(crs).measure(np.array([placed]))
    assert area_m2[0] == pytest.approx(160_000, rel=5e-3)
    assert perimeter_m[0] == pytest.approx(1_600, rel=5e-3)


def test_wide_edges_of_a_geographic_crs_follow_parallels() -> None:
    ruler = Ruler(pyproj.CRS(4326))
    box = shapely.box(-20, 10, 40, 40)
    west, south = np.meshgrid(np.arange(-20, 40), np.arange(10, 40))
    cells = shapely.box(west.ravel(), south.ravel(), west.ravel() + 1, south.ravel() + 1)
    along_parallels = shapely.segmentize(box, 0.02)
    area_m2, perimeter_m = ruler.measure(np.array([box]))
    assert area_m2[0] == pytest.approx(ruler.areas(cells).sum(), rel=1e-9)
    expected_area_m2, expected_perimeter_m = _reference(ruler.crs, along_parallels)
    assert area_m2[0] == pytest.approx(expected_area_m2, rel=1e-5)
    assert perimeter_m[0] == pytest.approx(expected_perimeter_m, rel=1e-6)
