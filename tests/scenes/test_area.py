from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
from rasterio.transform import Affine

from geoconvlora.errors import ConfigError
from geoconvlora.scenes import Scene, Window, open_scene
from geoconvlora.scenes.area import Area, read_area
from geoconvlora.scenes.grid import PredictionGrid
from geoconvlora.weights.card import Resolution

LEFT, TOP, SIDE = 600_000, 5_600_000, 100
EARTH = (-180, -90, 180, 90)
POLAR = {"crs": "EPSG:3413", "transform": Affine(10_000, 0, -5e5, 0, -10_000, 5e5)}
FIJI = {"crs": "EPSG:32701", "transform": Affine(1000, 0, 150_000, 0, -1000, 8_100_000)}


@pytest.fixture
def write_area(tmp_path: Path):
    def write(*polygons: shapely.Polygon, crs: str = "EPSG:32631") -> Path:
        path = tmp_path / "area.gpkg"
        gpd.GeoSeries(list(polygons), crs=crs).to_file(path)
        return path

    return write


@pytest.fixture
def scene_at(write_raster):
    def scene(**place) -> Scene:
        return open_scene(write_raster(np.ones((1, SIDE, SIDE), np.uint8), **place))

    return scene


def mask_of(scene: Scene, **asked) -> np.ndarray:
    grid = PredictionGrid.for_scene(scene, Resolution())
    area = read_area(scene, grid, **{"aoi": None, "bounds": None, **asked})
    assert isinstance(area, Area)
    return area.mask(Window(0, 0, SIDE, SIDE))


def pixels(*corners: tuple[float, float]) -> shapely.Polygon:
    return shapely.Polygon([(LEFT + 10 * column, TOP - 10 * row) for row, column in corners])


def test_spike_without_width_is_no_area(scene_at, write_area) -> None:
    spiked = pixels((20, 20), (20, 40), (30, 40), (30, 90), (30, 40), (40, 40), (40, 20))
    expected = np.zeros((SIDE, SIDE), bool)
    expected[20:40, 20:40] = True
    np.testing.assert_array_equal(mask_of(scene_at(), aoi=write_area(spiked)), expected)


def test_side_that_a_file_and_a_box_share_is_no_area(scene_at, write_area) -> None:
    left = pixels((20, 20), (20, 40.25), (40, 40.25), (40, 20))
    box = (LEFT + 402.5, TOP - 400, LEFT + 600, TOP - 200)
    with pytest.raises(ConfigError, match="does not reach"):
        mask_of(scene_at(), aoi=write_area(left), bounds=box)


@pytest.mark.parametrize("place", [{}, POLAR, FIJI], ids=["utm", "pole", "antimeridian"])
@pytest.mark.parametrize("by_file", [True, False])
def test_earth_holds_every_scene(scene_at, write_area, place: dict, by_file: bool) -> None:
    asked = {"bounds": EARTH, "bounds_crs": "EPSG:4326"}
    if by_file:
        asked = {"aoi": write_area(shapely.box(*EARTH), crs="EPSG:4326")}
    assert mask_of(scene_at(**place), **asked).all()


def test_side_that_spans_the_earth_follows_its_parallel(scene_at, write_area) -> None:
    scene = scene_at()
    middle = gpd.GeoSeries([pixels((50, 0), (50, 100), (49, 50))], crs="EPSG:32631")
    latitude = middle.to_crs("EPSG:4326").total_bounds[1]
    found = mask_of(scene, aoi=write_area(shapely.box(-180, latitude, 180, 90), crs="EPSG:4326"))
    assert found[:49].all()
    assert not found[53:].any()


def test_earth_beyond_a_scene_does_not_reach_it(scene_at, write_area) -> None:
    south = write_area(shapely.box(-180, -90, 180, 0), crs="EPSG:4326")
    with pytest.raises(ConfigError, match="does not reach"):
        mask_of(scene_at(), aoi=south)


def test_area_near_a_scene_of_the_whole_earth_stays_as_it_is(scene_at, write_area) -> None:
    earth = scene_at(crs="EPSG:4326", transform=Affine(3.6, 0, -180, 0, -1.8, 90))
    found = mask_of(earth, aoi=write_area(shapely.box(200_000, 5e6, 800_000, 6e6)))
    rows, columns = np.nonzero(found)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (20, 24, 50, 51)


@pytest.mark.parametrize("left", [179.98, -180.02])
@pytest.mark.parametrize("crs", ["EPSG:32760", "EPSG:4258", "EPSG:3857", "EPSG:4326"])
@pytest.mark.parametrize(("west", "east"), [(30, 70), (10, 40), (60, 90)])
def test_area_at_the_180th_meridian_is_found_on_either_side(
    scene_at, write_area, left: float, crs: str, west: int, east: int
) -> None:
    """Columns before 50 are west of it, the others east."""
    scene = scene_at(crs="EPSG:4326", transform=Affine(0.0004, 0, left, 0, -0.0004, -16))
    degrees = [
        shapely.box(turn + max(west, low) * 0.0004, -16.03, turn + min(east, high) * 0.0004, -16.01)
        for low, high, turn in ((0, 50, 179.98), (50, 100, -180.02))
        if max(west, low) < min(east, high)
    ]
    area = write_area(*gpd.GeoSeries(degrees, crs="EPSG:4326").to_crs(crs), crs=crs)
    columns = np.flatnonzero(mask_of(scene, aoi=area)[50])
    np.testing.assert_array_equal(columns, np.arange(west, east))


@pytest.mark.parametrize("left", [179.98, -180.02])
def test_polygon_astride_the_180th_meridian_keeps_its_hole(
    scene_at, write_area, left: float
) -> None:
    scene = scene_at(crs="EPSG:4326", transform=Affine(0.0004, 0, left, 0, -0.0004, -16))
    west = gpd.GeoSeries([shapely.Point(179.988, -16.02)], crs="EPSG:4326").to_crs("EPSG:32760")
    x, y = west.x[0], west.y[0]
    # East of the meridian only.
    hole = shapely.box(x + 1500, y - 300, x + 2000, y + 300)
    frame = shapely.box(x, y - 1000, x + 2500, y + 1000) - hole
    found = mask_of(scene, aoi=write_area(frame, crs="EPSG:32760"))[50]
    edges = np.flatnonzero(np.diff(found.astype(int)))
    np.testing.assert_allclose(edges, np.array([0, 1500, 2000, 2500]) / 42.8 + 20, atol=1.5)


@pytest.mark.parametrize("left", [179.98, -180.02])
@pytest.mark.parametrize("turn", [-360, 0])
@pytest.mark.parametrize("crs", [None, "EPSG:4326", "EPSG:4258"])
def test_box_may_name_longitudes_on_either_side(scene_at, left: float, turn: int, crs) -> None:
    scene = scene_at(crs="EPSG:4326", transform=Affine(0.0004, 0, left, 0, -0.0004, -16))
    box = (180.004 + turn, -16.03, 180.012 + turn, -16.01)
    columns = np.flatnonzero(mask_of(scene, bounds=box, bounds_crs=crs)[50])
    np.testing.assert_array_equal(columns, np.arange(60, 80))
    beyond = (180.024 + turn, -16.03, 180.03 + turn, -16.01)
    with pytest.raises(ConfigError, match="does not reach"):
        mask_of(scene, bounds=beyond, bounds_crs=crs)


def test_box_around_the_earth_is_no_jump(scene_at) -> None:
    earth = scene_at(crs="EPSG:4326", transform=Affine(3.6, 0, -180, 0, -1.8, 90))
    box = (-20_037_508, -5e6, 20_037_508, 5e6)
    found = mask_of(earth, bounds=box, bounds_crs="EPSG:3857")
    assert found[50].all()
    assert not found[10].any()
