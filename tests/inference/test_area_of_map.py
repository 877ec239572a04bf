from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from networks import convolution

from geoconvlora.errors import ConfigError
from geoconvlora.inference import predict
from geoconvlora.vector import PolygonOptions
from geoconvlora.weights.card import Resolution

LEFT, TOP = 600_000, 5_600_000


def outputs(folder: Path, name: str) -> dict[str, object]:
    return {
        "out": [folder / f"{name}.tif"],
        "probs": folder / f"{name}_p.tif",
        "uncertainty": folder / f"{name}_u.tif",
    }


def read(path: Path, like: Path | None = None) -> np.ndarray:
    """A raster, or the part of it that another one covers."""
    with rasterio.open(path) as dataset:
        if like is None:
            return dataset.read()
        with rasterio.open(like) as other:
            return dataset.read(window=dataset.window(*other.bounds))


@pytest.mark.parametrize("gsd_m", [None, 5, 3.3, 20])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_inside_a_box_all_is_as_in_the_whole_map(
    make_model, write_scene, patchwork, tmp_path, gsd_m, batch_size
) -> None:
    scene = write_scene(np.where(patchwork > 240, 0, patchwork), nodata=0)
    model = make_model(convolution(), resolution=Resolution(gsd_m=gsd_m))
    options = {"model": model, "batch_size": batch_size}
    predict(scene, **outputs(tmp_path, "whole"), **options)
    box = (LEFT + 334, TOP - 741, LEFT + 898, TOP - 412)
    predict(scene, **outputs(tmp_path, "part"), **options, bounds=box)
    for suffix in ("", "_p", "_u"):
        part, whole = tmp_path / f"part{suffix}.tif", tmp_path / f"whole{suffix}.tif"
        found, expected = read(part), read(whole, like=part)
        assert found.shape[1] in (33, 34, 36)
        nothing = 255 if suffix == "" else np.nan
        inside = ~np.isnan(found).all(axis=0) if suffix else (found != nothing).any(axis=0)
        assert inside.mean() > 0.5
        np.testing.assert_array_equal(found[:, inside], expected[:, inside])
        if gsd_m != 20:
            # Pixels whose centres lie in the box: no more, and no fewer than are valid.
            rows, columns = slice(0, 33), slice(0, 57)
            np.testing.assert_array_equal(found[:, rows, columns], expected[:, rows, columns])


def test_area_of_interest_is_pixels_with_their_centres_in_its_polygons(
    make_model, write_scene, patchwork, tmp_path
) -> None:
    triangle = shapely.Polygon(
        [(LEFT + 200, TOP - 200), (LEFT + 800, TOP - 300), (LEFT + 400, TOP - 900)]
    )
    gpd.GeoSeries([triangle], crs="EPSG:32631").to_crs("EPSG:4326").to_file(tmp_path / "aoi.gpkg")
    scene, model = write_scene(patchwork), make_model()
    predict(scene, tmp_path / "whole.tif", model=model)
    result = predict(scene, tmp_path / "part.tif", model=model, aoi=tmp_path / "aoi.gpkg")
    with rasterio.open(tmp_path / "part.tif") as dataset:
        found, transform = dataset.read(1), dataset.transform
    rows, columns = np.indices(found.shape)
    x, y = transform.c + 10 * (columns + 0.5), transform.f - 10 * (rows + 0.5)
    inside = shapely.contains_xy(triangle, x, y)
    np.testing.assert_array_equal(found != 255, inside)
    whole = read(tmp_path / "whole.tif", like=tmp_path / "part.tif")[0]
    np.testing.assert_array_equal(found[inside], whole[inside])
    assert result.valid_fraction == pytest.approx(inside.mean())


def test_polygons_inside_an_area_are_the_whole_maps(make_model, write_scene, tmp_path) -> None:
    """In a scene of several blocks of rows, whose lines leave their mark on outlines."""
    values = np.full((3, 1300, 96), 10, np.uint8)
    for row in range(10, 1290, 40):
        values[1, row : row + 30, 20:60] = 200
    values[1, 500:530, 55:70] = 200
    scene, model = write_scene(values), make_model()
    options = {"model": model, "polygons": PolygonOptions(classes=("crop",))}
    predict(scene, tmp_path / "whole.gpkg", **options)
    box = (LEFT, TOP - 10_000, LEFT + 960, TOP - 4_500)
    predict(scene, tmp_path / "part.gpkg", **options, bounds=box)
    whole, part = gpd.read_file(tmp_path / "whole.gpkg"), gpd.read_file(tmp_path / "part.gpkg")
    inside = shapely.box(*box).buffer(-20)
    expected, found = whole[whole.within(inside)], part[part.within(inside)]
    assert len(found) == len(expected) > 10
    assert set(found.geometry.to_wkb()) == set(expected.geometry.to_wkb())


def test_tiles_outside_are_not_mapped(make_model, write_scene, patchwork, tmp_path) -> None:
    model = make_model()
    box = (LEFT + 10, TOP - 100, LEFT + 100, TOP - 10)
    predict(write_scene(patchwork), tmp_path / "c.tif", model=model, bounds=box, batch_size=1)
    assert len(model.network.seen) == 1


def test_bounds_may_be_in_degrees(make_model, write_scene, patchwork, tmp_path) -> None:
    scene = write_scene(patchwork)
    box = gpd.GeoSeries([shapely.box(LEFT, TOP - 500, LEFT + 500, TOP)], crs=32631).to_crs(4326)
    bounds = tuple(box.total_bounds)
    predict(scene, tmp_path / "c.tif", model=make_model(), bounds=bounds, bounds_crs="EPSG:4326")
    assert read(tmp_path / "c.tif").shape[1:] == pytest.approx((51, 51), abs=2)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"bounds": (5, 50, 6, 51)}, "does not reach .*scene.tif, which lies at 600000,"),
        ({"bounds": (5, 50, 6)}, "four numbers"),
        ({"bounds": (6, 50, 5, 51)}, "are empty"),
        ({"bounds": (5, 50, 6, 51), "bounds_crs": "EPSG:0"}, "bounds CRS 'EPSG:0' is unknown"),
        ({"bounds_crs": "EPSG:4326"}, "without bounds"),
        ({"aoi": "none.gpkg"}, "none.gpkg does not exist"),
        ({"aoi": "scene.tif"}, "scene.tif cannot be read as a vector file"),
        ({"aoi": "points.gpkg"}, "points.gpkg holds no polygon"),
        ({"aoi": "table.csv"}, "table.csv has no CRS or no geometry"),
    ],
)
def test_areas_that_cannot_be_are_refused(
    make_model, write_scene, patchwork, tmp_path, monkeypatch, arguments, says
) -> None:
    scene = write_scene(patchwork)
    monkeypatch.chdir(tmp_path)
    gpd.GeoSeries([shapely.Point(0, 0)], crs="EPSG:4326").to_file("points.gpkg")
    Path("table.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ConfigError, match=says):
        predict(scene, "c.tif", model=make_model(), **arguments)
    assert not Path("c.tif").exists()
