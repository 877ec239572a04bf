from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pyproj
import pytest
import rasterio
import shapely
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox
from rasterio.features import geometry_mask

import geoconvlora
from geoconvlora import explore
from geoconvlora.errors import ConfigError, LabelError, SceneError
from geoconvlora.explore import rows
from geoconvlora.explore.axes import metres_per_unit
from geoconvlora.explore.pixel_areas import PixelAreas
from geoconvlora.scenes.class_names import CLASSES_TAG
from geoconvlora.vector.measure import Ruler

GRIDS = {
    "utm": ("EPSG:32631", Affine(10, 0, 300_000, 0, -10, 5_000_000)),
    "degrees": ("EPSG:4326", Affine(0.001, 0, 9, 0, -0.001, 60)),
    "web mercator": ("EPSG:3857", Affine(100, 0, 1_000_000, 0, -100, 8_000_000)),
    "feet": ("EPSG:2263", Affine(30, 0, 980_000, 0, -30, 200_000)),
    "coarse degrees": ("EPSG:4326", Affine(0.1, 0, 9, 0, -0.1, 60)),
    "rotated": ("EPSG:32631", Affine(8, 6, 300_000, 6, -8, 5_000_000)),
}


@pytest.mark.parametrize("name", GRIDS)
def test_pixels_together_are_as_large_as_their_outline(name: str) -> None:
    crs, affine = GRIDS[name]
    geobox = GeoBox((90, 130), affine, crs)
    outline = shapely.segmentize(shapely.box(0, 0, 130, 90), 1)
    placed = shapely.transform(outline, lambda xy: np.stack(affine @ (xy[:, 0], xy[:, 1]), axis=1))
    whole = Ruler(pyproj.CRS(crs)).areas(np.array([placed]))[0]
    areas = PixelAreas(geobox)
    assert areas.of_rows(0, 90).sum() == pytest.approx(whole, rel=1e-6)
    np.testing.assert_array_equal(
        np.concatenate([areas.of_rows(0, 37), areas.of_rows(37, 90)]), areas.of_rows(0, 90)
    )


def test_areas_of_classes_are_those_of_their_polygons(class_file: Path) -> None:
    table = explore.class_statistics(class_file)
    polygons = geoconvlora.polygonize(
        class_file, options=geoconvlora.vector.PolygonOptions(simplify_px=0)
    )
    by_class = polygons.groupby("class").area_m2.sum()
    for name in ("field", "tall forest"):
        assert table.area_m2[name] == pytest.approx(by_class[name], rel=1e-5)
    assert table.pixels.tolist() == [775, 1400, 200]
    assert table.share.sum() == pytest.approx(1)


def test_confidence_is_the_mean_probability_of_the_chosen_class(
    class_file: Path, write_raster: Any
) -> None:
    with rasterio.open(class_file) as file:
        ids = file.read(1)
    chances = np.full((3, 40, 60), 0.1, np.float32)
    for class_id, certain in ((0, 0.7), (1, 0.8), (2, 0.9)):
        chances[class_id][ids == class_id] = certain
    path = write_raster("p.tif", chances, names={0: "background", 1: "field", 2: "tall forest"})
    table = explore.class_statistics(class_file, path)
    assert table.confidence.tolist() == pytest.approx([0.7, 0.8, 0.9])
    other = write_raster("q.tif", chances[:, :20], names={0: "a", 1: "b", 2: "c"})
    with pytest.raises(SceneError, match="not on the grid"):
        explore.class_statistics(class_file, other)


def test_classes_without_a_name_are_counted_too(write_raster: Any) -> None:
    path = write_raster("c.tif", np.array([[3, 3], [7, 3]], np.uint8))
    assert explore.class_statistics(path).pixels.to_dict() == {"class_3": 3, "class_7": 1}


@pytest.fixture
def polygons() -> gpd.GeoDataFrame:
    """Apart, overlapping, with a hole, too small for a pixel's centre, and outside."""
    shapes = [
        shapely.box(500_020, 4_999_750, 500_137, 4_999_960),
        shapely.box(500_100, 4_999_700, 500_300, 4_999_900),
        shapely.Point(500_400, 4_999_800)
        .buffer(90)
        .difference(shapely.Point(500_400, 4_999_800).buffer(40)),
        shapely.box(500_016, 4_999_981, 500_019, 4_999_984),
        shapely.box(600_000, 4_000_000, 600_100, 4_000_100),
    ]
    return gpd.GeoDataFrame({"name": list("abcde")}, geometry=shapes, crs=32631).set_index("name")


@pytest.mark.parametrize("strip_px", [2**22, 60 * 4 * 7])
def test_polygon_statistics_equal_one_polygon_after_the_other(
    scene_file: Path,
    polygons: gpd.GeoDataFrame,
    monkeypatch: pytest.MonkeyPatch,
    strip_px: int,
) -> None:
    monkeypatch.setattr(rows, "_STRIP_PX", strip_px)
    scene = explore.open_scene(scene_file).load()
    table = explore.polygon_statistics(polygons, scene, ("mean", "std", "min", "max"))
    assert table.index.tolist() == list("abcde")
    affine = scene.odc.geobox.affine
    for name, polygon in polygons.geometry.items():
        inside = geometry_mask([polygon], (40, 60), affine, invert=True)
        inside &= np.isfinite(scene.scene.values).all(axis=0)
        assert table.pixels[name] == inside.sum()
        for band in ("red", "nir"):
            values = scene.scene.sel(band=band).values[inside].astype(float)
            expected = [np.nan] * 4
            if values.size:
                expected = [values.mean(), values.std(), values.min(), values.max()]
            got = table.loc[name, [f"{band}_{s}" for s in ("mean", "std", "min", "max")]]
            np.testing.assert_allclose(got.astype(float), expected, rtol=1e-9)
    assert table.pixels.tolist()[3:] == [0, 0]


def test_spread_of_large_values_is_kept(write_raster: Any) -> None:
    values = np.float32(1e7) + np.tile(np.float32([0, 2]), (8, 4))
    path = write_raster("high.tif", values, bands=("height",))
    box = gpd.GeoDataFrame(
        geometry=[shapely.box(500_000, 4_999_920, 500_080, 5_000_000)], crs=32631
    )
    table = explore.polygon_statistics(box, path)
    assert table["height_std"].tolist() == pytest.approx([1.0])


def test_polygons_of_another_crs_are_reprojected(
    scene_file: Path, polygons: gpd.GeoDataFrame
) -> None:
    there = explore.polygon_statistics(polygons, scene_file)
    back = explore.polygon_statistics(polygons.to_crs(3857), scene_file)
    assert (there.pixels - back.pixels).abs().max() <= 2


def test_polygon_classes_are_areas_by_class(class_file: Path) -> None:
    shapes = [
        shapely.box(500_100, 4_999_800, 500_300, 4_999_900),
        shapely.box(500_500, 4_999_600, 500_600, 4_999_680),
        shapely.box(500_000, 4_999_960, 500_040, 5_000_000),
    ]
    parcels = gpd.GeoDataFrame(geometry=shapes, crs=32631, index=[7, 8, 9])
    table = explore.polygon_classes(parcels, class_file)
    assert table.background[7] == pytest.approx(10_000, rel=2e-3)
    assert table.field[7] == pytest.approx(10_000, rel=2e-3)
    assert table["tall forest"][8] == pytest.approx(8_000, rel=2e-3)
    assert table.majority[8] == "tall forest"
    assert table.majority[9] is None


def test_probabilities_of_a_dataset_are_summed_up(write_raster: Any) -> None:
    chances = np.stack([np.full((8, 8), 0.25), np.full((8, 8), 0.75)]).astype(np.float32)
    path = write_raster("p.tif", chances, bands=("background", "field"))
    box = gpd.GeoDataFrame(
        geometry=[shapely.box(500_000, 4_999_920, 500_080, 5_000_000)], crs=32631
    )
    table = explore.polygon_statistics(box, explore.open_probabilities(path), ["mean"])
    assert table["field_mean"].tolist() == [0.75]


def test_odd_arguments_are_refused(scene_file: Path, polygons: gpd.GeoDataFrame) -> None:
    with pytest.raises(ConfigError, match="'median' is no statistic: choose of mean, std"):
        explore.polygon_statistics(polygons, scene_file, ("median",))  # type: ignore[arg-type]
    with pytest.raises(LabelError, match="no CRS"):
        explore.polygon_statistics(polygons.set_crs(None, allow_override=True), scene_file)


def test_no_polygons_give_an_empty_table(scene_file: Path, class_file: Path) -> None:
    none = gpd.GeoDataFrame(geometry=[], crs=32631)
    assert len(explore.polygon_statistics(none, scene_file)) == 0
    assert len(explore.polygon_classes(none, class_file)) == 0


def test_a_prediction_in_memory_has_statistics(class_file: Path) -> None:
    classes = explore.open_classes(class_file).load()
    as_predicted = xr.Dataset({"classes": classes.classes})
    assert explore.class_statistics(as_predicted).equals(explore.class_statistics(class_file))


def test_coarse_pixels_and_their_polygon_have_one_area() -> None:
    grid = GeoBox((75, 80), Affine(1, 0, -20, 0, -1, 38), "EPSG:4326")
    (area_m2,) = geoconvlora.polygonize(np.ones((75, 80), np.uint8), geobox=grid).area_m2
    assert PixelAreas(grid).of_rows(0, 75).sum() == pytest.approx(area_m2, rel=1e-6)


@pytest.mark.parametrize("epsg", [27572, 4807])
def test_pixels_of_a_crs_in_grads_are_measured_in_metres(epsg: int) -> None:
    side, corner = (10, (600_000, 2_200_000)) if epsg == 27572 else (1e-4, (0.0, 52.0))
    grid = GeoBox((40, 40), Affine(side, 0, corner[0], 0, -side, corner[1]), f"EPSG:{epsg}")
    across_m, up_m = metres_per_unit(pyproj.CRS(epsg), *corner)
    expected_m2 = across_m * up_m * side**2
    if epsg == 27572:
        assert expected_m2 == pytest.approx(100, rel=5e-3)
    else:
        # A grad is 100 km of a meridian, as the metre was once defined.
        assert up_m == pytest.approx(100_000, rel=2e-3)
    np.testing.assert_allclose(PixelAreas(grid).of_rows(0, 40), expected_m2, rtol=5e-3)


def test_statistics_do_not_depend_on_a_polygon_without_data(scene_file: Path) -> None:
    boxes = [
        shapely.box(500_000, 4_999_960, 500_040, 5_000_000),
        shapely.box(500_020, 4_999_800, 500_200, 4_999_980),
    ]
    # They overlap, so that the first is burnt alone.
    frame = gpd.GeoDataFrame(geometry=boxes, crs=32631)
    table = explore.polygon_statistics(frame, scene_file)
    alone = explore.polygon_statistics(frame[1:], scene_file)
    assert table.pixels.tolist() == [0, 18 * 18 - 3 * 3]
    assert table.loc[1].tolist() == pytest.approx(alone.loc[1].tolist())
    assert table.loc[1].notna().all()


def test_ids_of_one_name_are_one_class(write_raster: Any) -> None:
    ids = np.ones((8, 8), np.uint8)
    ids[:, 4:] = 2
    tag = [{"id": 1, "name": "wood"}, {"id": 2, "name": "wood"}]
    path = write_raster("c.tif", ids)
    with rasterio.open(path, "r+") as file:
        file.update_tags(**{CLASSES_TAG: json.dumps(tag)})
    box = gpd.GeoDataFrame(
        geometry=[shapely.box(500_000, 4_999_920, 500_080, 5_000_000)], crs=32631
    )
    table = explore.polygon_classes(box, path)
    assert table.columns.tolist() == ["wood", "majority"]
    assert table.wood[0] == pytest.approx(6_400, rel=2e-3)


@pytest.fixture
def across(write_raster: Any) -> Path:
    """Fields west of 180 degrees, forest east of it, to a degree and a half beyond."""
    ids = np.ones((100, 200), np.uint8)
    ids[:, 50:] = 2
    place = {"crs": "EPSG:4326", "transform": Affine(0.01, 0, 179.5, 0, -0.01, -16)}
    return write_raster("across.tif", ids, names={1: "field", 2: "tall forest"}, **place)


def test_polygons_of_any_crs_meet_a_map_past_the_180th_meridian(across: Path) -> None:
    to_utm = pyproj.Transformer.from_crs(4326, 32760, always_xy=True)
    x, y = to_utm.transform(180, -16.5)
    frame = gpd.GeoDataFrame(
        geometry=[
            shapely.box(x - 20_000, y - 20_000, x + 20_000, y + 20_000),
            shapely.box(x + 5_000, y - 20_000, x + 20_000, y + 20_000),
            shapely.box(x - 20_000, y - 20_000, x - 5_000, y + 20_000),
        ],
        crs=32760,
    )
    table = explore.polygon_classes(frame, across)
    expected = [[8e8, 8e8], [0, 6e8], [6e8, 0]]
    assert table[["field", "tall forest"]].to_numpy() == pytest.approx(np.array(expected), rel=0.02)
    assert explore.polygon_statistics(frame, across).pixels.min() > 450


@pytest.mark.parametrize(
    ("box", "crs", "pixels"),
    [
        ((-179, -60, 179, 60), 4326, 42_960),
        ((-181, -91, 181, 91), 4326, 64_800),
        ((-170, -60, 60, 60), 4326, 27_600),
        ((-18.9e6, -6e6, 18.9e6, 6e6), 3857, 31_960),
    ],
)
def test_polygons_wider_than_half_the_earth_are_read_as_they_are(
    write_raster: Any, box: tuple[float, ...], crs: int, pixels: int
) -> None:
    place = {"crs": "EPSG:4326", "transform": Affine(1, 0, -180, 0, -1, 90)}
    path = write_raster("world.tif", np.ones((180, 360), np.uint8), **place)
    wide = gpd.GeoDataFrame(geometry=[shapely.box(*box)], crs=crs)
    assert explore.polygon_statistics(wide, path).pixels.tolist() == [pixels]


def test_polygons_cut_at_the_180th_meridian_meet_the_map_that_they_are_of(across: Path) -> None:
    halves = [shapely.box(179.5, -17, 180, -16), shapely.box(-180, -17, -178.5, -16)]
    polygons = gpd.GeoDataFrame(geometry=[shapely.MultiPolygon(halves), *halves], crs=4326)
    table = explore.polygon_classes(polygons, across)
    whole = explore.class_statistics(across).area_m2
    assert table["field"].tolist() == pytest.approx([whole["field"], whole["field"], 0])
    assert table["tall forest"].tolist() == pytest.approx(
        [whole["tall forest"], 0, whole["tall forest"]]
    )


def test_polygons_past_the_180th_meridian_meet_both_ends_of_a_map_of_the_world(
    write_raster: Any,
) -> None:
    world = np.arange(36 * 18).reshape(18, 36).astype(np.uint16)
    place = {"crs": "EPSG:4326", "transform": Affine(10, 0, -180, 0, -10, 90)}
    path = write_raster("world.tif", world, **place)
    polygons = gpd.GeoDataFrame(
        geometry=[shapely.box(170, 0, 190, 10), shapely.box(-180, 0, 180, 10)], crs=4326
    )
    table = explore.polygon_statistics(polygons, path, ("min", "max"))
    assert table.pixels.tolist() == [2, 36]
    assert table.iloc[0, 1:].tolist() == [world[8, 0], world[8, 35]]
