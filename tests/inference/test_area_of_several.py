"""A part of several scenes' map is that part of the whole one."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from networks import convolution
from rasterio.transform import Affine

from geoconvlora.errors import ConfigError
from geoconvlora.inference import predict
from geoconvlora.inference.several import Joining
from geoconvlora.vector import PolygonOptions
from geoconvlora.weights.card import Resolution

#: Three scenes in two zones, the last one far from the others.
SCENES = {
    "west": ("EPSG:32631", 711_000, 5_320_000, "2023:05:01 10:00:00"),
    "east": ("EPSG:32632", 265_100, 5_320_900, "2023-07-01"),
    "far": ("EPSG:32631", 703_000, 5_320_000, ""),
}


@pytest.fixture
def scenes(write_scene, patchwork) -> list[Path]:
    found = []
    for turn, (name, (crs, x, y, date)) in enumerate(SCENES.items()):
        values = np.where(patchwork > 245, 0, np.roll(patchwork, turn * 31, axis=1))
        values = np.tile(values, (1, 2, 2))
        found.append(
            write_scene(
                values.astype(np.uint8),
                name=f"{name}.tif",
                crs=crs,
                transform=Affine(10, 0, x, 0, -10, y),
                nodata=0,
            )
        )
        with rasterio.open(found[-1], "r+") as dataset:
            dataset.update_tags(ACQUISITIONDATETIME=date)
    return found


def window_of(whole: Path, part: Path) -> tuple[np.ndarray, np.ndarray]:
    with rasterio.open(whole) as dataset, rasterio.open(part) as other:
        return dataset.read(window=dataset.window(*other.bounds)), other.read()


@pytest.mark.parametrize(("gsd_m", "merge"), [(None, "blend"), (5, "max"), (20, "blend")])
def test_bounds_give_the_bytes_of_the_whole_map(make_model, scenes, tmp_path, gsd_m, merge) -> None:
    model = make_model(convolution(), resolution=Resolution(gsd_m=gsd_m))
    options = {
        "model": model,
        "joining": Joining(dst_crs="EPSG:3035", res=12, merge=merge, fade_px=20),
        "polygons": PolygonOptions(simplify_px=0),
    }
    whole, part = tmp_path / "whole", tmp_path / "part"
    whole.mkdir(), part.mkdir()
    for folder in (whole, part):
        box = {}
        if folder == part:
            with rasterio.open(whole / "c.tif") as dataset:
                _, _, right, top = dataset.bounds
            # Where west and east overlap, and beyond.
            box["bounds"] = (right - 4000, top - 2640, right - 1840, top - 1800)
        out = [folder / "c.tif", folder / "c.gpkg"]
        predict(scenes, out, probs=folder / "p.tif", **options, **box)
    for name in ("c.tif", "p.tif"):
        expected, found = window_of(whole / name, part / name)
        assert min(found.shape[1:]) >= 35
        # Pixels, or those of the model's grid, whose centres lie outside are left out.
        inner = np.s_[:, 2:-2, 2:-2]
        np.testing.assert_array_equal(found[inner], expected[inner])
        assert np.unique(found).size > 2
    everything, some = gpd.read_file(whole / "c.gpkg"), gpd.read_file(part / "c.gpkg")
    edge = shapely.box(*box["bounds"]).buffer(-40)
    inner = some[some.within(edge)]
    same = everything[everything.geometry.isin(inner.geometry)]
    assert len(inner) > 20
    columns = ["class", "scene", "date"]
    by_place = [
        each.assign(wkb=each.to_wkb()["geometry"]).sort_values("wkb")[columns].to_numpy().tolist()
        for each in (inner, same)
    ]
    assert by_place[0] == by_place[1]


def test_only_scenes_that_an_area_needs_are_mapped(make_model, scenes, tmp_path) -> None:
    model = make_model()
    triangle = shapely.Polygon([(703_200, 5_319_900), (704_000, 5_319_900), (703_200, 5_318_900)])
    area = tmp_path / "area.gpkg"
    gpd.GeoSeries([triangle], crs="EPSG:32631").to_crs("EPSG:4326").to_file(area)
    predict(scenes, tmp_path / "whole.tif", model=model)
    calls = len(model.network.seen)
    predict(scenes, tmp_path / "part.tif", model=model, aoi=area)
    assert len(model.network.seen) - calls <= calls / 3
    expected, found = window_of(tmp_path / "whole.tif", tmp_path / "part.tif")
    inside = rasterio.features.geometry_mask(
        [triangle], found.shape[1:], rasterio.open(tmp_path / "part.tif").transform, invert=True
    )
    np.testing.assert_array_equal(found, np.where(inside, expected, 255))


def test_area_between_scenes_or_beside_them_is_refused(make_model, scenes, tmp_path) -> None:
    for bounds, words in (
        ((707_500, 5_318_500, 708_500, 5_319_500), "lies between the scenes"),
        ((0, 0, 1, 1), "the box 0,0,1,1 does not reach the scenes"),
    ):
        with pytest.raises(ConfigError, match=words):
            predict(scenes, tmp_path / "c.tif", model=make_model(), bounds=bounds)
    assert not list(tmp_path.glob("*c.tif*"))


def test_polygon_tells_the_dates_of_its_scenes(make_model, scenes, tmp_path) -> None:
    predict(scenes, tmp_path / "c.gpkg", probs=tmp_path / "p.tif", model=make_model())
    found = (
        gpd.read_file(tmp_path / "c.gpkg").fillna({"date": ""}).groupby("scene")["date"].unique()
    )
    west, east = "2023-05-01T10:00:00", "2023-07-01"
    assert {scene: set(dates) for scene, dates in found.items()} == {
        "west": {west},
        "east": {east},
        "east,west": {f"{west}/{east}"},
        "far": {""},
    }
