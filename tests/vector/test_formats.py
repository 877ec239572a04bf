"""What the files hold beside the polygons, as other programs read it."""

from __future__ import annotations

import json

import geopandas as gpd
import numpy as np
import pyarrow.parquet as pq
import pyogrio
import pytest
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox

from geoconvlora.vector import fiboa, polygonize
from geoconvlora.vector.schema import to_table

GRID = GeoBox((8, 6), Affine(10, 0, 500000, 0, -10, 5000000), "EPSG:32631")
VALUES = np.repeat([[1, 2, 2, 3, 3, 3]], 8, axis=0).astype(np.uint8)
TAGS = {"TIFFTAG_DATETIME": "2023:06:15 10:30:21", "GEOCONVLORA_MODEL": "fields"}


def _read(path):
    return gpd.read_parquet(path) if path.suffix == ".parquet" else gpd.read_file(path)


def _metadata(path) -> dict[str, str]:
    if path.suffix == ".parquet":
        return {k.decode(): v.decode() for k, v in pq.read_metadata(path).metadata.items()}
    if path.suffix == ".geojson":
        return json.loads(json.loads(path.read_text())["description"])
    found = pyogrio.read_info(path)["layer_metadata"]
    return found if path.suffix == ".gpkg" else json.loads(found["DESCRIPTION"])


@pytest.mark.parametrize("suffix", [".gpkg", ".fgb", ".parquet", ".geojson"])
def test_every_format_says_where_its_polygons_come_from(write_raster, tmp_path, suffix):
    path = polygonize(write_raster(VALUES, tags=TAGS), tmp_path / f"o{suffix}").path
    said = _metadata(path)
    assert {name: said[name] for name in ("task", "scene", "date", "model")} == {
        "task": "classes",
        "scene": "map",
        "date": "2023-06-15T10:30:21",
        "model": "fields",
    }


@pytest.mark.parametrize("suffix", [".gpkg", ".fgb", ".parquet", ".geojson"])
def test_unknown_values_are_null_and_not_lost(tmp_path, suffix):
    polygons = _read(polygonize(VALUES, tmp_path / f"o{suffix}", geobox=GRID).path)
    assert list(polygons.columns) == list(polygonize(VALUES, geobox=GRID).columns)
    for name in ("confidence", "min_confidence", "date", "model_sha256"):
        assert polygons[name].isna().all()
    assert (polygons["valid_share"] == 1).all()


def test_a_geoparquet_has_bounds_to_skip_by(tmp_path):
    path = polygonize(VALUES, tmp_path / "o.parquet", geobox=GRID).path
    geo = json.loads(_metadata(path)["geo"])
    column = geo["columns"]["geometry"]
    assert geo["version"] == "1.1.0"
    assert column["geometry_types"] == ["Polygon"]
    assert column["bbox"] == [500000, 4999920, 500060, 5000000]
    assert column["covering"]["bbox"]["xmin"] == ["bbox", "xmin"]
    everything = gpd.read_parquet(path)
    assert shapely.is_ccw(shapely.get_exterior_ring(everything.geometry.array)).all()
    east = gpd.read_parquet(path, bbox=(500035, 4999900, 500100, 5000000))
    assert east["class"].tolist() == ["class_3"]


def test_geojson_is_cut_at_the_antimeridian(tmp_path):
    grid = GeoBox((8, 6), Affine(0.5, 0, 178.5, 0, -0.5, 10), "EPSG:4326")
    path = polygonize(np.ones((8, 6), np.uint8), tmp_path / "o.geojson", geobox=grid).path
    (feature,) = json.loads(path.read_text())["features"]
    west, east = (shapely.Polygon(*part).bounds for part in feature["geometry"]["coordinates"])
    assert sorted([west, east]) == [(-180, 6, -178.5, 10), (178.5, 6, 180, 10)]


def test_field_boundaries_have_the_names_and_units_of_fiboa(write_raster, tmp_path):
    raster = write_raster(VALUES, tags=TAGS)
    ours = polygonize(raster)
    path = polygonize(raster, tmp_path / "o.parquet", fiboa=True).path
    polygons = gpd.read_parquet(path)
    assert polygons["id"].tolist() == ["1", "2", "3"]
    np.testing.assert_allclose(polygons["area"], ours["area_m2"] / 1e4, rtol=1e-6)
    np.testing.assert_allclose(polygons["perimeter"], ours["perimeter_m"], rtol=1e-6)
    moments = polygons["determination_datetime"]
    assert set(moments.dt.strftime("%Y-%m-%dT%H:%M:%S%z")) == {"2023-06-15T10:30:21+0000"}
    assert set(polygons["determination_method"]) == {"auto-imagery"}
    assert set(polygons["determination_details"]) == {"geoconvlora, model fields"}
    header = json.loads(_metadata(path)["fiboa"])
    assert header == {"fiboa_version": "0.2.0", "fiboa_extensions": [], "id": "classes"}


@pytest.mark.parametrize(
    ("date", "moment"),
    [
        ("2023-06-15", "2023-06-15 00:00:00+00:00"),
        ("2023-06-15T10:30:21Z", "2023-06-15 10:30:21+00:00"),
        (None, None),
    ],
)
def test_dates_become_moments_in_utc(date, moment):
    polygons = polygonize(np.ones((8, 6), np.uint8), geobox=GRID)
    polygons["date"] = [date]
    found = fiboa.as_fiboa(to_table(polygons))["determination_datetime"].to_pylist()
    assert [None if one is None else str(one) for one in found] == [moment]


@pytest.mark.parametrize("suffix", [".gpkg", ".fgb", ".geojson"])
def test_fiboa_columns_are_written_in_every_format(tmp_path, suffix):
    path = polygonize(VALUES, tmp_path / f"o{suffix}", geobox=GRID, fiboa=True).path
    names = [name for name in fiboa.SCHEMA.names if name != "bbox"]
    assert list(_read(path).columns) == names
