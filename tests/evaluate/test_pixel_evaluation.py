from __future__ import annotations

import json
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pyproj
import pytest
import rasterio
import shapely
from evaluate_inputs import CRS, ORIGIN, boxes, layer, write_map
from rasterio.warp import Resampling, reproject

from geoconvlora.errors import BandError, ConfigError, LabelError, SceneError
from geoconvlora.evaluate import boundary_counts, boundary_f1, pixel_evaluation
from geoconvlora.evaluate.extents import Extent, read_extent
from geoconvlora.evaluate.pixel_evaluation import Tolerance, compare_pixels
from geoconvlora.evaluate.polygons import read_layer
from geoconvlora.evaluate.report import PixelEvaluation

NAMES = json.dumps(
    [
        {"id": 0, "name": "background", "color": "#000000"},
        {"id": 1, "name": "crop", "color": "#00ff00"},
        {"id": 2, "name": "edge", "color": "#ff0000"},
    ]
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def evaluated(prediction: Path, labels, **options) -> PixelEvaluation:
    labels = str(labels) if isinstance(labels, Path) else labels
    return compare_pixels(str(prediction), labels, **options).evaluation


def blobs(seed: int, shape: tuple[int, int], classes: int = 3) -> np.ndarray:
    """Patches of classes, so that there are outlines to find."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, classes, (-(-shape[0] // 4), -(-shape[1] // 4)), dtype=np.uint8)
    return np.kron(coarse, np.ones((4, 4), np.uint8))[: shape[0], : shape[1]]


@pytest.mark.parametrize("strip", [1, 37, 40 * 64])
def test_strips_change_nothing(folder: Path, monkeypatch, strip: int) -> None:
    found, truth = blobs(0, (90, 40)), blobs(1, (90, 40))
    found = np.where(blobs(2, (90, 40)) > 0, truth, found)
    truth[50:53, 10:30] = 255
    paths = write_map(folder / "p.tif", found), write_map(folder / "l.tif", truth)
    whole = evaluated(*paths, tolerance=Tolerance(3.0))
    monkeypatch.setattr(pixel_evaluation, "_STRIP_PIXELS", strip)
    assert evaluated(*paths, tolerance=Tolerance(3.0)) == whole
    counts = boundary_counts(found, truth, 3, tolerance_px=3.0)
    ours = [c.boundary_f1.value for c in whole.classes]
    assert ours == pytest.approx(boundary_f1(counts).tolist())


def test_intervals_come_from_blocks_and_need_several(folder: Path) -> None:
    truth = blobs(1, (200, 150))
    found = np.where(blobs(2, (200, 150)) > 0, truth, blobs(0, (200, 150)))
    paths = write_map(folder / "p.tif", found), write_map(folder / "l.tif", truth)
    report = evaluated(*paths)
    assert report.blocks.count >= 20
    iou = report.mean.iou
    assert iou.low < iou.value < iou.high
    one = evaluated(*paths, block_m=10_000)
    assert (one.blocks.count, one.mean.iou.low) == (1, None)
    assert one.mean.iou.value == pytest.approx(iou.value)
    assert any("no intervals" in note for note in one.notes)


def test_probabilities_become_the_class_that_is_most_probable(folder: Path) -> None:
    rng = np.random.default_rng(0)
    chances = rng.dirichlet(np.ones(3), (20, 30)).transpose(2, 0, 1).astype(np.float32)
    labels = write_map(folder / "l.tif", chances.argmax(axis=0).astype(np.uint8))
    chances[:, :5, :5] = np.nan
    report = evaluated(
        write_map(folder / "p.tif", chances, nodata=np.nan, tags={"GEOCONVLORA_CLASSES": NAMES}),
        labels,
    )
    assert (report.pixels, report.unpredicted_pixels) == (575, 25)
    assert report.accuracy.value == 1
    assert [c.name for c in report.classes] == ["background", "crop", "edge"]


def test_one_band_of_probabilities_is_that_of_class_one(folder: Path) -> None:
    chances = np.array([[0.1, 0.5], [0.9, 0.2]], np.float32)
    labels = write_map(folder / "l.tif", np.array([[0, 1], [1, 0]], np.uint8))
    assert evaluated(write_map(folder / "p.tif", chances), labels).accuracy.value == 1


@pytest.mark.parametrize(("crs", "pixel"), [(f"EPSG:{CRS}", 4.0), ("EPSG:4326", 0.00004)])
def test_labels_on_another_grid_are_warped_to_the_nearest(folder: Path, crs: str, pixel: float):
    prediction = write_map(folder / "p.tif", blobs(0, (40, 50)))
    corner = (ORIGIN[0] - 50, ORIGIN[1] - 30)
    if crs == "EPSG:4326":
        x, y = rasterio.warp.transform(f"EPSG:{CRS}", crs, [corner[0]], [corner[1]])
        corner = (x[0], y[0])
    labels = write_map(folder / "l.tif", blobs(1, (70, 80)), pixel=pixel, corner=corner, crs=crs)
    expected = np.full((40, 50), 255, np.uint8)
    with rasterio.open(prediction) as grid, rasterio.open(labels) as source:
        reproject(
            source.read(1),
            expected,
            src_transform=source.transform,
            src_crs=source.crs,
            dst_transform=grid.transform,
            dst_crs=grid.crs,
            dst_nodata=255,
            resampling=Resampling.nearest,
            tolerance=0,
        )
        found = grid.read(1)
    report = evaluated(prediction, labels)
    counted = expected != 255
    assert 0 < report.pixels == counted.sum() < 2000
    assert report.accuracy.value == pytest.approx((found == expected)[counted].mean())
    assert any("warped" in note for note in report.notes)


def test_masks_and_ignored_values_of_labels_do_not_count(folder: Path) -> None:
    truth = np.array([[0, 1, 255, 1], [0, 1, 7, 1]], np.uint8)
    labels = write_map(folder / "l.tif", truth, nodata=7)
    with rasterio.open(labels, "r+") as dataset:
        dataset.write_colormap(1, {0: (0, 0, 0, 255)})
    report = evaluated(write_map(folder / "p.tif", np.minimum(truth, 1)), labels)
    assert report.pixels == 6
    assert any("value 255" in note for note in report.notes)
    kept = evaluated(write_map(folder / "q.tif", np.minimum(truth, 1)), labels, ignored=[])
    assert kept.pixels == 7


def test_masks_of_labels_outlast_warping(folder: Path) -> None:
    prediction = write_map(folder / "p.tif", np.ones((30, 30), np.uint8))
    corner = (ORIGIN[0] + 3, ORIGIN[1] - 3)
    masked = write_map(folder / "m.tif", np.ones((20, 20), np.uint8), corner=corner)
    seen = np.full((20, 20), 255, np.uint8)
    seen[:10] = 0
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(masked, "r+") as dataset:
        dataset.write_mask(seen)
    assert evaluated(prediction, masked).pixels == 200
    values = np.ones((20, 20), np.uint8)
    values[:8] = 0
    empty = write_map(folder / "n.tif", values, corner=corner, nodata=0)
    assert evaluated(prediction, empty).pixels == 240


def test_binary_labels_of_0_and_255_are_not_misread(folder: Path) -> None:
    mask = np.array([[0, 255], [255, 0]], np.uint8)
    paths = write_map(folder / "p.tif", mask // 255), write_map(folder / "l.tif", mask)
    with pytest.raises(LabelError, match="--ignore none"):
        evaluated(*paths)
    assert evaluated(*paths, ignored=[], class_map={"255": "1"}).accuracy.value == 1


def test_classes_are_mapped_and_merged(folder: Path) -> None:
    found = np.array([[0, 1, 2, 1]], np.uint8)
    prediction = write_map(folder / "p.tif", found, tags={"GEOCONVLORA_CLASSES": NAMES})
    labels = write_map(folder / "l.tif", np.array([[10, 20, 20, 10]], np.uint8))
    with pytest.raises(LabelError, match="no class in common"):
        evaluated(prediction, labels)
    mapping = {"10": "background", "20": "1"}
    assert evaluated(prediction, labels, class_map=mapping).confusion == (
        (1, 1, 0),
        (0, 1, 1),
        (0, 0, 0),
    )
    merged = evaluated(prediction, labels, class_map=mapping, merge={"edge": "crop"})
    assert merged.confusion == ((1, 1), (0, 2))
    with pytest.raises(ConfigError, match=r"'water' is no class: give one of background \(0\)"):
        evaluated(prediction, labels, class_map={"10": "water"})


def polygons_and_map(folder: Path) -> tuple[gpd.GeoDataFrame, Path, np.ndarray]:
    """Two squares of 5 x 5 pixels, the second of class 2, on a map of 20 x 30."""
    truth = np.zeros((20, 30), np.uint8)
    truth[2:7, 3:8], truth[10:15, 20:25] = 1, 2
    squares = boxes((30, -70, 80, -20), (200, -150, 250, -100), kind=["crop", "edge"])
    prediction = write_map(folder / "p.tif", truth, tags={"GEOCONVLORA_CLASSES": NAMES})
    return squares, prediction, truth


@pytest.mark.parametrize("crs", [CRS, 4326])
def test_polygons_are_burnt_on_the_grid_of_the_map(folder: Path, crs: int) -> None:
    squares, prediction, truth = polygons_and_map(folder)
    report = evaluated(prediction, layer(squares.to_crs(crs), "labels", "kind"))
    assert report.accuracy.value == 1
    assert [c.true_pixels for c in report.classes] == [truth.size - 50, 25, 25]
    plain = evaluated(prediction, layer(squares.to_crs(crs)), merge={"edge": "crop"})
    assert plain.confusion == ((550, 0), (0, 50))


def test_polygon_class_that_the_map_lacks_is_refused(folder: Path) -> None:
    squares, prediction, _ = polygons_and_map(folder)
    wood = pd.concat([squares, squares.assign(kind="wood")])
    with pytest.raises(LabelError, match="holds 'wood', which the prediction does not have"):
        evaluated(prediction, layer(wood, "labels", "kind"))


def test_only_pixels_inside_the_extent_count(folder: Path) -> None:
    squares, prediction, _ = polygons_and_map(folder)
    window = boxes((0, -100, 100, 0), crs=4326)
    extent = Extent(window.geometry.iloc[0], layer(window).crs, "within window")
    report = evaluated(prediction, layer(squares[:1]), extent=extent)
    assert report.confusion == ((75, 0), (0, 25))
    assert (report.extent, report.crs) == ("within window", f"EPSG:{CRS}")


def test_tolerance_in_metres_follows_the_pixels(folder: Path) -> None:
    truth = np.zeros((30, 30), np.uint8)
    truth[:, 10:] = 1
    paths = (
        write_map(folder / "p.tif", np.roll(truth, 3, axis=1)),
        write_map(folder / "l.tif", truth),
    )
    far = [evaluated(*paths, tolerance=Tolerance(d, "m")) for d in (20.0, 31.0)]
    assert far[0].mean.boundary_f1.value < far[1].mean.boundary_f1.value
    assert far[1].boundary_tolerance == "31 m"
    with pytest.raises(ConfigError, match="between 0 and 200 pixels"):
        evaluated(*paths, tolerance=Tolerance(1e6))


def test_what_cannot_be_compared_is_refused(folder: Path) -> None:
    prediction = write_map(folder / "p.tif", blobs(0, (20, 20)))
    away = write_map(folder / "a.tif", blobs(1, (20, 20)), corner=(700_000, 5_000_000))
    with pytest.raises(LabelError, match="no pixel is labelled"):
        evaluated(prediction, away)
    with pytest.raises(LabelError, match="do not overlap"):
        evaluated(prediction, layer(boxes((9000, 9000, 9010, 9010))))
    with pytest.raises(LabelError, match="nothing to compare with"):
        evaluated(prediction, layer(boxes()))
    with pytest.raises(SceneError, match="no CRS"):
        evaluated(prediction, write_map(folder / "n.tif", blobs(1, (20, 20)), crs=None))
    rgb = write_map(folder / "rgb.tif", np.zeros((3, 20, 20), np.uint8))
    with pytest.raises(BandError, match="3 bands"):
        evaluated(rgb, prediction)
    with pytest.raises(BandError, match="labels are one band"):
        evaluated(prediction, rgb)
    heights = write_map(folder / "h.tif", np.full((20, 20), 312.5, np.float32))
    with pytest.raises(BandError, match=r"values from 312.5"):
        evaluated(heights, prediction)
    with pytest.raises(LabelError, match=r"312.5: labels are class ids"):
        evaluated(prediction, heights)
    numbered = write_map(folder / "o.tif", np.arange(400, dtype=np.int32).reshape(20, 20) + 99_000)
    with pytest.raises(LabelError, match="no class id"):
        evaluated(prediction, numbered)
    with pytest.raises(ConfigError, match="too few pixels"):
        evaluated(prediction, prediction, block_m=20)


def test_nothing_is_labelled_beyond_the_edge_of_labels(folder: Path) -> None:
    prediction = write_map(folder / "p.tif", np.ones((20, 20), np.uint8))
    labels = write_map(folder / "l.tif", np.ones((5, 5), np.uint8))
    assert evaluated(prediction, labels).pixels == 25


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_smaller_polygon_lies_on_top(folder: Path, order: list[int]) -> None:
    _, prediction, truth = polygons_and_map(folder)
    overlapping = boxes((30, -70, 80, -20), (0, -200, 300, 0), kind=["crop", "edge"])
    report = evaluated(prediction, layer(overlapping.iloc[order], "labels", "kind"))
    assert [c.true_pixels for c in report.classes] == [0, 25, truth.size - 25]


def test_ground_past_the_180th_meridian_is_compared(tmp_path: Path) -> None:
    values = np.ones((100, 100), np.uint8)
    degrees = {"crs": "EPSG:4326", "pixel": 0.01}
    scene = write_map(tmp_path / "s.tif", values, corner=(179.5, 18.5), **degrees)
    utm = shapely.box(815_000, 1_995_000, 835_000, 2_005_000)
    gpd.GeoDataFrame(geometry=[utm], crs=32660).to_file(tmp_path / "utm.gpkg")
    lon, lat = np.meshgrid(179.505 + 0.01 * np.arange(100), 18.495 - 0.01 * np.arange(100))
    x, y = pyproj.Transformer.from_crs(4326, 32660, always_xy=True).transform(lon, lat)
    inside = int(shapely.contains_xy(utm, x, y).sum())
    assert inside > 100
    found = evaluated(scene, scene, extent=read_extent(within=[tmp_path / "utm.gpkg"]))
    assert found.pixels == inside
    torn = [shapely.box(179.5, 17, 180, 18.9), shapely.box(-180, 17, -179.2, 18.9)]
    gpd.GeoDataFrame(geometry=torn, crs=4326).to_file(tmp_path / "torn.gpkg")
    against = evaluated(scene, read_layer(tmp_path / "torn.gpkg"))
    assert against.accuracy.value == 1
