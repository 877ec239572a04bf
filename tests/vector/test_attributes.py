"""What polygons say of themselves, beside slow plain versions."""

from __future__ import annotations

import json

import geopandas as gpd
import numpy as np
import pyproj
import pytest
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox
from rasterio.features import geometry_mask

from geoconvlora.scenes.date import date_of_tags
from geoconvlora.vector import PolygonOptions, polygonize

STEPS = PolygonOptions(simplify_px=0)
GRID = GeoBox((40, 30), Affine(10, 0, 500000, 0, -10, 5000000), "EPSG:32631")


def _classes(seed: int = 0, shape: tuple[int, int] = (40, 30)) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 3, (shape[0] // 2, shape[1] // 2))
    return np.kron(coarse, np.ones((2, 2))).astype(np.uint8)


def test_confidence_is_a_plain_zonal_statistic():
    values = _classes()
    chance = np.random.default_rng(1).random((3, 40, 30), np.float32)
    own = np.take_along_axis(chance, values[None].astype(int), axis=0)[0]
    polygons = polygonize(values, geobox=GRID, probs=chance, options=STEPS)
    assert len(polygons) > 50
    for row in polygons.itertuples():
        inside = ~geometry_mask([row.geometry], values.shape, GRID.affine)
        assert row.confidence == pytest.approx(own[inside].mean(), rel=1e-6)
        assert row.min_confidence == own[inside].min()
        assert row.valid_share == 1


def test_smallest_confidence_is_kept_over_many_blocks():
    grid = GeoBox((1600, 4), GRID.affine, GRID.crs)
    chance = np.full((1600, 4), 0.9, np.float32)
    chance[3, 2], chance[1590, 1] = 0.25, 0.5
    (one,) = polygonize(np.ones((1600, 4), np.uint8), geobox=grid, probs=chance).itertuples()
    assert one.min_confidence == 0.25


@pytest.mark.parametrize("height", [40, 1200])
def test_share_of_valid_pixels_tells_of_filled_holes(height):
    values = np.ones((height, 30), np.uint8)
    values[5:7, 5:7] = 0
    values[height // 2 - 10 : height // 2 + 10, 3] = 0
    grid = GeoBox(values.shape, GRID.affine, GRID.crs)
    filled = PolygonOptions(simplify_px=0, fill_holes_m2=1e5)
    (one,) = polygonize(values, geobox=grid, nodata=0, options=filled).itertuples()
    assert not one.geometry.interiors
    assert one.valid_share == pytest.approx(1 - 24 / values.size)


@pytest.mark.parametrize(
    ("epsg", "x", "y", "size"),
    [
        (32631, 500000, 5e6, 10),
        (32733, 250000, 6.2e6, 10),
        (4326, 12.5, 48.2, 1e-4),
        (3857, 1.4e6, 6.1e6, 10),
        (3031, -1.2e6, 4e5, 25),
        (3413, -2e4, 3e4, 250),
    ],
    ids=["utm", "southern", "geographic", "web mercator", "antarctic", "beside the pole"],
)
def test_area_and_perimeter_are_those_of_the_written_polygon_on_the_ellipsoid(epsg, x, y, size):
    grid = GeoBox((40, 30), Affine(size, 0, x, 0, -size, y), f"EPSG:{epsg}")
    polygons = polygonize(_classes(), geobox=grid)
    crs = pyproj.CRS(epsg)
    geographic = pyproj.Transformer.from_crs(crs, crs.geodetic_crs, always_xy=True)
    for row in polygons.itertuples():
        rings = [row.geometry.exterior, *row.geometry.interiors]
        on_earth = [geographic.transform(*ring.coords.xy) for ring in rings]
        outer, *holes = [crs.get_geod().polygon_area_perimeter(*ring) for ring in on_earth]
        area_m2 = abs(outer[0]) - sum(abs(hole[0]) for hole in holes)
        assert row.area_m2 == pytest.approx(area_m2, rel=5e-5)
        assert row.perimeter_m == pytest.approx(outer[1], rel=1e-6)


def test_date_and_model_come_from_the_files_tags(write_raster, tmp_path):
    tags = {
        "TIFFTAG_DATETIME": "2023:06:15 10:30:21",
        "GEOCONVLORA_MODEL": "lc",
        "GEOCONVLORA_MODEL_SHA256": "ab12",
    }
    path = write_raster(_classes(), tags=tags)
    polygons = polygonize(path)
    assert set(polygons["date"]) == {"2023-06-15T10:30:21"}
    assert set(polygons["model"]) == {"lc"}
    assert set(polygons["model_sha256"]) == {"ab12"}
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(ns="IMAGERY", ACQUISITIONDATETIME="2023-06-14 23:59:00+02:00")
    assert set(polygonize(path)["date"]) == {"2023-06-14T21:59:00Z"}


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("2023:06:15 10:30:21", "2023-06-15T10:30:21"),
        ("2023-06-15", "2023-06-15"),
        ("2023:06:15", "2023-06-15"),
        ("2023-06-15T10:30:21.024Z", "2023-06-15T10:30:21Z"),
        ("2023-06-15 / 2023-07-01T10:30:21", "2023-06-15/2023-07-01T10:30:21"),
        ("2023-06-15/", ""),
        ("2023/06/15", "2023-06-15"),
        ("last summer", ""),
        ("0000:00:00 00:00:00", ""),
    ],
)
def test_dates_are_read_as_files_spell_them(text, date):
    assert date_of_tags({"tifftag_datetime": text}) == date


def test_an_unreadable_date_gives_way_to_the_next():
    tags = {"ACQUISITION_DATE": "unknown", "TIFFTAG_DATETIME": "2020:01:02 03:04:05"}
    assert date_of_tags(tags) == "2020-01-02T03:04:05"


def test_ids_do_not_depend_on_the_format(write_raster, tmp_path):
    path = write_raster(_classes(), tags={"GEOCONVLORA_CLASSES": json.dumps([])})
    written = gpd.read_file(polygonize(path, tmp_path / "o.gpkg").path)
    assert written["id"].tolist() == polygonize(path)["id"].tolist()


def test_a_grid_of_a_crs_in_grads_has_areas_in_metres() -> None:
    grid = GeoBox((40, 40), Affine(10, 0, 600_000, 0, -10, 2_200_000), "EPSG:27572")
    polygons = polygonize(np.ones((40, 40), np.uint8), geobox=grid)
    assert polygons["area_m2"].tolist() == pytest.approx([160_000], rel=5e-3)
    assert polygons["perimeter_m"].tolist() == pytest.approx([1_600], rel=5e-3)
