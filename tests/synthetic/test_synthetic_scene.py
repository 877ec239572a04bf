from __future__ import annotations

import time
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from pyproj import CRS, Geod
from rasterio.enums import ColorInterp
from rasterio.features import rasterize

from geoconvlora.errors import ConfigError, OutputError
from geoconvlora.synthetic import SampleFiles, landscape, write_sample


def test_scene_is_tiled_with_named_and_coloured_bands(files: SampleFiles) -> None:
    with rasterio.open(files.scene) as scene:
        assert scene.shape == (190, 333)
        assert scene.dtypes == ("uint16",) * 4
        assert scene.descriptions == ("red", "green", "blue", "nir")
        assert scene.colorinterp[:3] == (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
        assert scene.colorinterp[3] is not ColorInterp.alpha
        assert scene.profile["tiled"]
        assert scene.compression.name == "deflate"
        assert scene.res == (10.0, 10.0)


def test_mask_covers_the_scene_twice_as_fine(files: SampleFiles) -> None:
    with rasterio.open(files.scene) as scene, rasterio.open(files.mask) as mask:
        assert mask.bounds == scene.bounds
        assert mask.crs == scene.crs
        assert mask.shape == (380, 666)
        assert set(np.unique(mask.read(1))) == {0, 1, 2}


def test_files_hold_the_landscape_of_the_seed(files: SampleFiles) -> None:
    expected = landscape(5, 190, 333)
    with rasterio.open(files.scene) as scene, rasterio.open(files.mask) as mask:
        np.testing.assert_allclose(scene.read() / 10_000, expected.image, atol=2e-3)
        np.testing.assert_array_equal(mask.read(1), expected.label)


def test_outlines_match_the_mask_to_a_pixel(files: SampleFiles) -> None:
    outlines = gpd.read_file(files.fields, layer="fields")
    with rasterio.open(files.mask) as mask:
        label = mask.read(1)
        drawn = rasterize(outlines.geometry, label.shape, transform=mask.transform)
    extent = label > 0
    near = np.zeros_like(extent)
    for step in (-2, -1, 1, 2):
        near |= np.roll(extent, step, 0) != extent
        near |= np.roll(extent, step, 1) != extent
    differs = (drawn > 0) != extent
    assert not differs[~near].any()
    assert differs.mean() < 0.02


def test_outlines_are_valid_and_share_their_edges(files: SampleFiles) -> None:
    outlines = gpd.read_file(files.fields, layer="fields")
    assert len(outlines) == files.field_count > 20
    assert outlines.id.tolist() == list(range(1, len(outlines) + 1))
    assert (outlines.geom_type == "Polygon").all()
    assert outlines.is_valid.all()
    assert shapely.coverage_is_valid(outlines.geometry.to_numpy())


def test_areas_are_geodesic(files: SampleFiles) -> None:
    outlines = gpd.read_file(files.fields, layer="fields")
    geod = Geod(ellps="WGS84")
    expected = [abs(geod.geometry_area_perimeter(g)[0]) for g in outlines.to_crs(4326).geometry]
    np.testing.assert_allclose(outlines.area_m2, expected, rtol=1e-6)


@pytest.mark.parametrize(
    "crs",
    ["EPSG:32633", "EPSG:32760", "EPSG:3857", "EPSG:2263", "EPSG:3413", "EPSG:3031", "EPSG:2193",
     "EPSG:2056", "EPSG:3832", "+proj=laea +lat_0=10 +lon_0=20 +datum=WGS84"],
)  # fmt: skip
def test_scene_lies_in_any_projected_crs(tmp_path: Path, crs: str) -> None:
    files = write_sample(tmp_path, size=64, crs=crs)
    expected = CRS.from_user_input(crs)
    with rasterio.open(files.scene) as scene:
        assert CRS.from_user_input(scene.crs).equals(expected, ignore_axis_order=True)
        metres = expected.axis_info[0].unit_conversion_factor
        assert scene.res[0] * metres == pytest.approx(10.0)
        middle = gpd.GeoSeries([shapely.box(*scene.bounds).centroid], crs=scene.crs).to_crs(4326)[0]
    if expected.area_of_use is not None:
        assert expected.area_of_use.south <= middle.y <= expected.area_of_use.north
    outlines = gpd.read_file(files.fields)
    assert outlines.crs.equals(expected, ignore_axis_order=True)
    with rasterio.open(files.scene) as scene:
        assert shapely.box(*scene.bounds).buffer(1e-6).contains(outlines.union_all())


def test_uint8_with_three_bands(tmp_path: Path) -> None:
    files = write_sample(tmp_path, size=64, dtype="uint8", bands=3)
    with rasterio.open(files.scene) as scene:
        assert scene.dtypes == ("uint8",) * 3
        values = scene.read()
    assert values.min() >= 1
    assert values.std() > 5


def test_no_memory_of_part_files_is_left(tmp_path: Path) -> None:
    write_sample(tmp_path / "demo", size=16)
    assert sorted(p.name for p in (tmp_path / "demo").iterdir()) == [
        "fields.gpkg", "mask.tif", "scene.tif",
    ]  # fmt: skip


def test_a_scene_without_fields_has_an_empty_layer(tmp_path: Path) -> None:
    files = write_sample(tmp_path, size=1, gsd_m=0.1)
    outlines = gpd.read_file(files.fields, layer="fields")
    assert len(outlines) == files.field_count
    assert {"id", "area_m2"} <= set(outlines.columns)


def test_existing_files_are_kept_unless_offered(tmp_path: Path) -> None:
    write_sample(tmp_path, size=16)
    before = (tmp_path / "scene.tif").read_bytes()
    with pytest.raises(OutputError, match="--overwrite"):
        write_sample(tmp_path, size=16, seed=9)
    assert (tmp_path / "scene.tif").read_bytes() == before
    write_sample(tmp_path, size=16, seed=9, overwrite=True)
    assert (tmp_path / "scene.tif").read_bytes() != before


def test_same_arguments_write_the_same_scene(tmp_path: Path) -> None:
    first = write_sample(tmp_path / "a", size=64, seed=2)
    time.sleep(0.01)  # GeoPackages would tell milliseconds
    second = write_sample(tmp_path / "b", size=64, seed=2)
    assert first.scene.read_bytes() == second.scene.read_bytes()
    assert first.mask.read_bytes() == second.mask.read_bytes()
    assert first.fields.read_bytes() == second.fields.read_bytes()


def test_missing_parent_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="does not exist"):
        write_sample(tmp_path / "a" / "b", size=16)
    assert not (tmp_path / "a").exists()


def test_folder_with_too_long_a_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="choose a shorter one"):
        write_sample(tmp_path / ("a" * 256), size=16)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"crs": "EPSG:4326"}, "not projected"),
        ({"crs": "EPSG:99999"}, "unknown"),
        ({"size": 0}, "at least 1"),
        ({"gsd_m": 0.0}, "gsd"),
        ({"bands": 5}, "bands is 5"),
        ({"dtype": "float64"}, "dtype"),
        ({"seed": -1}, "seed"),
    ],
)
def test_values_that_cannot_work_are_refused_before_anything_is_written(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        write_sample(tmp_path / "demo", **{"size": 16, **changes})  # type: ignore[arg-type]
    assert not (tmp_path / "demo").exists()
