from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import pyproj
import pytest
import shapely
from evaluate_inputs import CRS, ORIGIN, boxes, layer, write_map
from hypothesis import given, settings
from hypothesis import strategies as st

from geoconvlora.errors import ConfigError, LabelError, SceneError
from geoconvlora.evaluate.extents import Extent, read_extent


@pytest.fixture
def split(tmp_path: Path) -> Path:
    parts = boxes(
        (0, 0, 100, 100),
        (100, 0, 200, 100),
        (200, 0, 300, 100),
        part=["train", "test", "test"],
        scene=["a", "a", "b"],
    )
    path = tmp_path / "split.gpkg"
    # Another layer comes first in the file.
    parts.to_file(path, layer="other")
    parts.to_file(path, layer="split")
    return path


def test_part_of_a_split_is_its_polygons(split: Path) -> None:
    test = read_extent(split=split)
    assert shapely.area(test.area) == pytest.approx(20_000)
    assert test.description == f"part 'test' of {split}"
    assert shapely.area(read_extent(split=split, part="train").area) == pytest.approx(10_000)
    assert shapely.area(read_extent(split=split, scene="b").area) == pytest.approx(10_000)


def test_both_kinds_of_extent_hold_at_once(split: Path, tmp_path: Path) -> None:
    boxes((150, 0, 250, 50), crs=4326).to_file(tmp_path / "w.gpkg")
    both = read_extent(within=[tmp_path / "w.gpkg"], split=split)
    square = both.to_crs(layer(boxes((0, 0, 1, 1))).crs)
    assert shapely.area(square.area) == pytest.approx(5000, rel=1e-3)


def test_raster_stands_for_its_footprint(tmp_path: Path) -> None:
    east, north = ORIGIN
    scene = write_map(tmp_path / "s.tif", np.zeros((5, 8), np.uint8), corner=(east, north + 50))
    boxes((-10, 0, 40, 40)).to_file(tmp_path / "w.gpkg")
    both = read_extent(within=[tmp_path / "w.gpkg", scene])
    assert shapely.area(read_extent(within=[scene]).area) == 4000
    assert shapely.area(both.area) == 1600
    assert both.description == f"within {tmp_path / 'w.gpkg'} and within {scene}"


def test_no_extent_is_none() -> None:
    assert read_extent() is None


def test_what_holds_no_extent_is_refused(split: Path, tmp_path: Path) -> None:
    with pytest.raises(LabelError, match=r"nothing of part 'tset': it has test, train"):
        read_extent(split=split, part="tset")
    with pytest.raises(LabelError, match="nothing of scene 'c'"):
        read_extent(split=split, scene="c")
    with pytest.raises(ConfigError, match="give --split"):
        read_extent(scene="a")
    boxes((0, 0, 10, 10)).to_file(tmp_path / "plain.gpkg", layer="plain")
    with pytest.raises(LabelError, match="no layer 'split'"):
        read_extent(split=tmp_path / "plain.gpkg")
    with pytest.raises(SceneError, match="does not exist"):
        read_extent(within=[tmp_path / "none.gpkg"])
    boxes((900, 900, 910, 910)).to_file(tmp_path / "away.gpkg")
    with pytest.raises(LabelError, match="no ground in common"):
        read_extent(within=[tmp_path / "away.gpkg"], split=split)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_cut_equals_intersecting_one_by_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    corners = rng.integers(0, 12, (12, 2)).astype(float)
    frame = boxes(*np.hstack([corners, corners + rng.integers(1, 6, (12, 2))]))
    windows = boxes((0, 0, 8, 8), (8, 0, 10, 4), (9, 5, 11, 11), (12, 12, 15, 15))
    area = shapely.union_all(windows.geometry.to_numpy())
    cut, share = Extent(area, frame.crs, "within windows").cut(frame.geometry.to_numpy())
    for whole, piece, part in zip(frame.geometry, cut, share, strict=True):
        expected = whole.intersection(area)
        assert piece.area == pytest.approx(expected.area)
        assert part == pytest.approx(expected.area / whole.area)
        assert piece.is_empty or piece.geom_type in ("Polygon", "MultiPolygon")


def test_long_edges_are_moved_as_they_were_drawn() -> None:
    wide = gpd.GeoDataFrame(geometry=[shapely.box(0, 50, 3, 51)], crs=4326)
    moved = layer(wide).to_crs(layer(boxes((0, 0, 1, 1))).crs)
    inside = gpd.GeoSeries([shapely.Point(1.5, 50.001), shapely.Point(1.5, 49.999)], crs=4326)
    assert shapely.contains(moved.polygons[0], inside.to_crs(CRS).to_numpy()).tolist() == [1, 0]


def test_split_without_its_columns_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "split.gpkg"
    frame = boxes((0, 0, 10, 10))
    frame.to_file(path, layer="split")
    with pytest.raises(LabelError, match="no column 'part'"):
        read_extent(split=path)


@pytest.mark.parametrize(
    ("bounds", "crs"),
    [
        ((-180, -90, 180, 90), 4326),
        ((-80, 0, 80, 80), 4326),
        ((-2e7, -2e7, 2e7, 2e7), 3857),
    ],
)
def test_an_extent_far_larger_than_a_zone_holds_the_zone(bounds, crs) -> None:
    world = Extent(shapely.box(*bounds), pyproj.CRS(crs), "world")
    wanted = layer(boxes((0, 0, 100, 100)))
    for zone in (wanted.crs, pyproj.CRS(wanted.crs.to_wkt())):
        assert shapely.contains(world.to_crs(zone).area, wanted.polygons[0])


def test_an_extent_beside_the_180th_meridian_is_whole_in_the_zones_on_both_sides() -> None:
    parts = [shapely.box(179, -20, 180, -10), shapely.box(-180, -20, -179, -10)]
    extent = Extent(shapely.MultiPolygon(parts), pyproj.CRS(4326), "both sides")
    geod = pyproj.Geod(ellps="WGS84")
    expected = sum(abs(geod.geometry_area_perimeter(part)[0]) for part in parts)
    for zone in (32760, 32701):
        area = extent.to_crs(pyproj.CRS(zone)).area
        assert shapely.area(area) == pytest.approx(expected, rel=0.01)


def test_no_way_to_a_crs_is_told() -> None:
    mars = pyproj.CRS("+proj=longlat +a=3396190 +b=3376200 +type=crs")
    extent = Extent(shapely.box(0, 0, 1, 1), pyproj.CRS(4326), "within x.gpkg")
    with pytest.raises(LabelError, match=r"within x.gpkg is in WGS 84, from which no transform"):
        extent.to_crs(mars)
