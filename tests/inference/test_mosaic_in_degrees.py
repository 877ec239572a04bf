"""Targets in degrees, where 181 and -179 are one place, and which end at the poles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from map_files import read, write_map
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from geoconvlora.inference import mosaic
from geoconvlora.inference.target import Target
from geoconvlora.inference.target_area import part_needed
from geoconvlora.inference.target_choice import choose_target

STEP = 0.001


def stripes(width: int) -> np.ndarray:
    return np.tile((np.arange(width) // 5 % 3).astype(np.uint8), (1, 30, 1))


def in_degrees(path: Path, left: float, values: np.ndarray, step: float = STEP) -> Path:
    place = Affine(step, 0, left, 0, -step, -16)
    return write_map(path, values, crs="EPSG:4326", transform=place)


def test_maps_on_both_sides_of_the_180th_meridian_lie_side_by_side(tmp_path) -> None:
    west = in_degrees(tmp_path / "w.tif", 179.96, stripes(40))
    east = in_degrees(tmp_path / "e.tif", -180, stripes(40)[:, :, ::-1])
    expected = np.concatenate([stripes(40), stripes(40)[:, :, ::-1]], axis=2)
    for maps, left in (([west, east], 179.96), ([east, west], -180.04)):
        mosaic(maps, tmp_path / "c.tif", overwrite=True)
        with rasterio.open(tmp_path / "c.tif") as found:
            assert found.bounds == pytest.approx((left, -16.03, left + 0.08, -16))
        np.testing.assert_array_equal(read(tmp_path / "c.tif"), expected)


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:4258"])
def test_order_of_maps_on_both_sides_changes_no_byte_where_the_grid_is_given(tmp_path, crs) -> None:
    west = in_degrees(tmp_path / "w.tif", 179.96, stripes(40))
    east = in_degrees(tmp_path / "e.tif", -180, stripes(40)[:, :, ::-1])
    seen = set()
    for maps in ([west, east], [east, west]):
        mosaic(maps, tmp_path / "c.tif", dst_crs=crs, res=STEP, overwrite=True)
        seen.add((tmp_path / "c.tif").read_bytes())
    assert len(seen) == 1
    assert read(tmp_path / "c.tif").shape == (1, 30, 80)
    assert (read(tmp_path / "c.tif") != 255).all()


def test_first_map_is_not_resampled_where_a_turn_is_no_whole_number_of_pixels(tmp_path) -> None:
    step = 0.0007
    west = in_degrees(tmp_path / "w.tif", 179.972, stripes(40), step)
    east = in_degrees(tmp_path / "e.tif", -180, stripes(40), step)
    for maps in ([west, east], [east, west]):
        mosaic(maps, tmp_path / "c.tif", overwrite=True, merge="first")
        found = read(tmp_path / "c.tif")
        assert found.shape[2] in (80, 81)
        first = found[:, -30:, :40] if maps[0] == west else found[:, -30:, -40:]
        np.testing.assert_array_equal(first, stripes(40))


@pytest.mark.parametrize("utm", ["EPSG:32760", "EPSG:32701"])
def test_no_ground_is_twice_in_a_target_past_the_180th_meridian(tmp_path, utm) -> None:
    past = in_degrees(tmp_path / "d.tif", 179.8, np.ones((1, 60, 60), np.uint8), 0.01)
    x, y = Transformer.from_crs(4326, utm, always_xy=True).transform(180.3, -16.3)
    place = Affine(1000, 0, x - 30_000, 0, -1000, y + 30_000)
    metric = write_map(
        tmp_path / "m.tif", np.full((1, 60, 60), 2, np.uint8), crs=utm, transform=place
    )
    mosaic([past, metric], tmp_path / "c.tif", merge="last")
    with rasterio.open(tmp_path / "c.tif") as found:
        values, left = found.read(1), found.bounds.left
        assert found.width < 90
    assert left == pytest.approx(179.8)
    longitudes = left + 0.01 * np.flatnonzero((values == 2).any(axis=0))
    assert longitudes.min() == pytest.approx(180.02, abs=0.02)
    assert longitudes.max() == pytest.approx(180.58, abs=0.02)


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [((160, -20, 220, 20), [1, 2, 0, 1, 2, 0]), ((-200, -20, -160, 20), [1, 2, 0, 1])],
)
def test_map_of_the_earth_is_found_on_both_sides(tmp_path, bounds, expected) -> None:
    values = np.tile((np.arange(36) % 3).astype(np.uint8), (1, 18, 1))
    place = Affine(10, 0, -180, 0, -10, 90)
    earth = write_map(tmp_path / "e.tif", values, crs="EPSG:4326", transform=place)
    mosaic([earth], tmp_path / "c.tif", bounds=bounds)
    assert read(tmp_path / "c.tif")[0, 2].tolist() == expected


def test_target_around_the_earth_holds_no_ground_twice(tmp_path) -> None:
    earth = GeoBox((180, 360), Affine(1, 0, -180, 0, -1, 90), "EPSG:4326")
    astride = GeoBox((10, 20), Affine(1, 0, 170, 0, -1, 0), "EPSG:4326")
    for grids in ([earth, astride], [astride, earth]):
        assert choose_target(grids).geobox.boundingbox[::2] == (-180, 180)


@pytest.mark.parametrize("left", [-180, 0, -180.5])
def test_one_map_around_the_earth_stays_as_it_is(tmp_path, left) -> None:
    values = np.tile((np.arange(361) % 7 % 3).astype(np.uint8), (1, 30, 1))
    path = in_degrees(tmp_path / "a.tif", left, values, 1.0 / 3)
    mosaic([path], tmp_path / "c.tif")
    np.testing.assert_array_equal(read(tmp_path / "c.tif"), values)
    path = write_map(
        tmp_path / "e.tif", values, crs="EPSG:4326", transform=Affine(1, 0, left, 0, -1, 15)
    )
    mosaic([path], tmp_path / "c.tif", overwrite=True)
    np.testing.assert_array_equal(read(tmp_path / "c.tif"), values)


def test_part_of_a_scene_across_the_180th_meridian_is_needed() -> None:
    x, y = Transformer.from_crs(4326, 32760, always_xy=True).transform(180.5, -16.5)
    place = GeoBox((10, 10), Affine(100, 0, x, 0, -100, y), "EPSG:32760")
    scene = GeoBox((1000, 1000), Affine(STEP, 0, 180, 0, -STEP, -16), "EPSG:4326")
    part = part_needed(scene, Target.of(place), 0)
    assert part is not None
    assert part.row <= 500 <= part.row + part.height
    assert part.column <= 500 <= part.column + part.width


@pytest.mark.parametrize("res", [1.0, 0.1, 0.05])
def test_map_of_a_pole_is_found_in_blocks_that_reach_beyond_it(tmp_path, res) -> None:
    place = Affine(4000, 0, -200_000, 0, -4000, 200_000)
    polar = write_map(
        tmp_path / "p.tif", np.ones((1, 100, 100), np.uint8), crs="EPSG:3413", transform=place
    )
    mosaic([polar], tmp_path / "c.tif", dst_crs="EPSG:4326", res=res)
    with rasterio.open(tmp_path / "c.tif") as found:
        values, top = found.read(1), found.bounds.top
    # The side of the square is nowhere nearer than 1.7 degrees.
    rows = top - res * (np.arange(len(values)) + 0.5) > 88.4
    assert rows.any()
    assert (values[rows] == 1).all()
