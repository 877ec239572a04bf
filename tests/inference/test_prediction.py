from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
import torch
from torch import nn

from geoconvlora.errors import BandError, ConfigError, OutputError, SceneError
from geoconvlora.inference import predict
from geoconvlora.inference.rasters import MapRaster
from geoconvlora.vector import PolygonOptions
from geoconvlora.weights.card import InstanceRule, Resolution, Scaling

#: Probabilities are kept as whole numbers of 1/65535, and rounded once more where tiles overlap.
STEP = 1 / 65535


class Constant(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits = torch.tensor([0.3, 0.1, -0.2])[None, :, None, None]
        return logits.expand(images.shape[0], 3, *images.shape[2:])


class Broken(nn.Module):
    def __init__(self, error: type[BaseException]) -> None:
        super().__init__()
        self.error, self.calls = error, 0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        if self.calls == 3:
            raise self.error
        return images


def convolution() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 7, padding=3), nn.ReLU(), nn.Conv2d(8, 3, 7, padding=3))


def softmax(values: np.ndarray) -> np.ndarray:
    powers = np.exp(values.astype(np.float64))
    return powers / powers.sum(axis=0)


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as dataset:
        return dataset.read()


@pytest.mark.parametrize("shape", [(97, 131), (32, 32), (33, 31), (5, 131), (97, 3), (1, 1)])
@pytest.mark.parametrize("overlap", [0, None, 24])
def test_pointwise_network_leaves_no_seam(
    make_model, write_scene, patchwork, tmp_path, shape, overlap
) -> None:
    values = patchwork[:, : shape[0], : shape[1]]
    probs, classes = tmp_path / "p.tif", tmp_path / "c.tif"
    predict(write_scene(values), classes, model=make_model(), probs=probs, overlap=overlap)
    expected = softmax(values * 0.02)
    np.testing.assert_allclose(read(probs), expected, atol=STEP)
    clear = np.diff(np.sort(expected, axis=0)[1:], axis=0)[0] > 2 * STEP
    np.testing.assert_array_equal(read(classes)[0][clear], expected.argmax(axis=0)[clear])


def test_constant_network_gives_exactly_its_constant(
    make_model, write_scene, patchwork, tmp_path
) -> None:
    probs = tmp_path / "p.tif"
    predict(write_scene(patchwork), [], model=make_model(Constant()), probs=probs)
    for band in read(probs):
        assert np.unique(band).size == 1


@pytest.mark.parametrize("gsd_m", [None, 5, 3.3, 20])
def test_band_height_changes_no_byte(make_model, write_scene, patchwork, tmp_path, gsd_m) -> None:
    scene = write_scene(np.where(patchwork > 200, 0, patchwork), nodata=0)
    model = make_model(convolution(), resolution=Resolution(gsd_m=gsd_m))
    seen = set()
    for band_rows in (1, 13, 32, 1000):
        out, probs = tmp_path / "c.tif", tmp_path / "p.tif"
        predict(scene, out, model=model, probs=probs, band_rows=band_rows, overwrite=True)
        seen.add((out.read_bytes(), probs.read_bytes()))
    assert len(seen) == 1


def test_batch_size_only_rounds(make_model, write_scene, patchwork, tmp_path) -> None:
    scene, found = write_scene(patchwork), []
    for batch_size in (1, 4, 7):
        probs = tmp_path / f"{batch_size}.tif"
        predict(scene, [], model=make_model(convolution()), probs=probs, batch_size=batch_size)
        found.append(read(probs))
    np.testing.assert_allclose(found[1], found[0], atol=2 * STEP)
    np.testing.assert_allclose(found[2], found[0], atol=2 * STEP)


def test_batches_hold_tiles_of_one_row_and_only_those_with_valid_pixels(
    make_model, write_scene, patchwork, tmp_path
) -> None:
    values = patchwork[:, :64, :96].copy()
    values[:, :32, :64] = 0  # two of the first row's three tiles
    model = make_model()
    predict(write_scene(values, nodata=0), tmp_path / "c.tif", model=model, overlap=0, batch_size=2)
    assert [shape[0] for shape in model.network.seen] == [1, 2, 1]


def test_nodata_stays_nodata_and_does_not_move_the_rest(
    make_model, write_scene, patchwork, tmp_path
) -> None:
    hole = np.zeros(patchwork.shape[1:], bool)
    hole[10:60, 20:70] = True
    probs, out = tmp_path / "p.tif", tmp_path / "c.tif"
    scene = write_scene(np.where(hole, 0, patchwork), nodata=0)
    result = predict(scene, out, model=make_model(), probs=probs)
    found = read(probs)
    assert np.isnan(found[:, hole]).all()
    assert (read(out)[0][hole] == 255).all()
    np.testing.assert_allclose(found[:, ~hole], softmax(patchwork * 0.02)[:, ~hole], atol=STEP)
    assert result.valid_fraction == pytest.approx(1 - hole.mean())


def test_single_valid_pixel_is_mapped(make_model, write_scene, tmp_path) -> None:
    values = np.zeros((3, 50, 60), np.uint16)
    values[:, 44, 55] = [9, 30, 20]
    out = tmp_path / "c.tif"
    predict(
        write_scene(values, nodata=0),
        [out, tmp_path / "c.gpkg"],
        model=make_model(scaling=Scaling(kind="percentile")),
    )
    assert np.argwhere(read(out)[0] != 255).tolist() == [[44, 55]]
    assert len(gpd.read_file(tmp_path / "c.gpkg")) <= 1


def test_scene_without_valid_pixel_warns_and_writes_empty_outputs(
    make_model, write_scene, tmp_path
) -> None:
    scene = write_scene(np.zeros((3, 50, 60), np.uint8), nodata=0)
    with pytest.warns(UserWarning, match="no valid pixel"):
        result = predict(scene, [tmp_path / "c.tif", tmp_path / "c.gpkg"], model=make_model())
    assert (read(tmp_path / "c.tif") == 255).all()
    layer = gpd.read_file(tmp_path / "c.gpkg")
    assert len(layer) == result.polygons == 0
    assert {"class", "class_id", "area_m2", "confidence", "scene", "model"} <= set(layer.columns)
    assert layer.crs.to_epsg() == 32631


def test_polygons_of_patches_have_their_area(make_model, write_scene, tmp_path) -> None:
    values = np.full((3, 64, 64), 10, np.uint8)
    values[1, 8:24, 30:50] = 200
    out = tmp_path / "c.gpkg"
    result = predict(write_scene(values), out, model=make_model())
    layer = gpd.read_file(out)
    crop = layer[layer["class"] == "crop"]
    assert len(crop) == 1
    assert crop.area_m2.iloc[0] == pytest.approx(16 * 20 * 100, rel=0.02)
    assert result.polygons == len(layer)
    assert result.area_m2["crop"] == pytest.approx(crop.area_m2.sum())


def test_polygons_tell_when_their_scene_was_taken(make_model, write_scene, tmp_path) -> None:
    scene = write_scene(np.full((3, 64, 64), 10, np.uint8))
    with rasterio.open(scene, "r+") as dataset:
        dataset.update_tags(TIFFTAG_DATETIME="2023:06:15 10:30:21")
    predict(scene, tmp_path / "c.gpkg", model=make_model())
    assert set(gpd.read_file(tmp_path / "c.gpkg")["date"]) == {"2023-06-15T10:30:21"}


def test_instances_become_one_polygon_each(make_model, write_scene, tmp_path) -> None:
    values = np.full((3, 64, 64), 10, np.uint8)
    values[0] = 200
    for row, column in [(5, 5), (5, 35), (35, 20)]:
        values[:, row : row + 20, column : column + 20] = [[[10]], [[200]], [[10]]]
    rule = InstanceRule(interior=1, boundary=2)
    model = make_model(
        task="instances", instances=rule, scaling=Scaling(scale=0.05), resolution={"gsd_m": 5}
    )
    out = tmp_path / "fields.geojson"
    result = predict(write_scene(values), out, model=model)
    assert result.polygons == 3
    assert result.gsd_m == pytest.approx(5, rel=1e-3)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_interrupted_run_leaves_nothing(
    make_model, write_scene, patchwork, tmp_path, error
) -> None:
    scene = write_scene(patchwork)
    with pytest.raises(error):
        predict(
            scene,
            [tmp_path / "c.tif", tmp_path / "c.gpkg"],
            model=make_model(Broken(error)),
            probs=tmp_path / "p.tif",
        )
    assert [path.name for path in tmp_path.iterdir()] == ["scene.tif"]


def test_truncated_scene_leaves_nothing(make_model, write_scene, patchwork, tmp_path) -> None:
    scene = write_scene(patchwork)
    with scene.open("r+b") as file:
        file.truncate(scene.stat().st_size // 2)
    with pytest.raises(SceneError, match="truncated or damaged"):
        predict(scene, [tmp_path / "c.tif", tmp_path / "c.gpkg"], model=make_model())
    assert [path.name for path in tmp_path.iterdir()] == ["scene.tif"]


def test_dry_run_reports_and_writes_nothing(make_model, write_scene, patchwork, tmp_path) -> None:
    model = make_model()
    result = predict(write_scene(patchwork), tmp_path / "c.gpkg", model=model, dry_run=True)
    assert (result.tiles, result.bands, result.dry_run) == (4 * 6, (1, 2, 3), True)
    assert result.outputs == (tmp_path / "c.gpkg",)
    assert model.network.seen == []
    assert [path.name for path in tmp_path.iterdir()] == ["scene.tif"]


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"bands": [1, 2]}, BandError, "the model wants 3"),
        ({"tile_size": 50}, ConfigError, "multiple of 16"),
        ({"overlap": 32}, ConfigError, "overlap 32"),
        ({"batch_size": 0}, ConfigError, "batch size"),
        ({"base": "base.pth"}, ConfigError, "leave base out"),
        ({"device": "tpu9"}, ConfigError, "device 'tpu9'"),
        ({"device": "cuda:99"}, ConfigError, "not on this machine"),
        ({"out": "map.xyz"}, OutputError, "suffix"),
    ],
)
def test_arguments_that_cannot_work_are_refused(
    make_model, write_scene, patchwork, tmp_path, arguments, error, says
) -> None:
    scene = write_scene(patchwork)
    out = tmp_path / arguments.pop("out", "c.gpkg")
    with pytest.raises(error, match=says):
        predict(scene, out, model=make_model(), **arguments)
    assert [path.name for path in tmp_path.iterdir()] == ["scene.tif"]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32", "float64"])
@pytest.mark.parametrize("layout", [{"tiled": True, "blockxsize": 64, "blockysize": 64}, {}])
def test_stored_type_and_layout_make_no_difference(
    make_model, write_scene, patchwork, tmp_path, dtype, layout
) -> None:
    plain, other = tmp_path / "plain.tif", tmp_path / "other.tif"
    predict(write_scene(patchwork), plain, model=make_model())
    predict(write_scene(patchwork.astype(dtype), **layout), other, model=make_model())
    assert plain.read_bytes() == other.read_bytes()


@pytest.mark.parametrize("simplify_px", [0, 1])
def test_polygons_of_a_coarser_grid_end_where_the_scene_ends(
    make_model, write_scene, patchwork, tmp_path, simplify_px
) -> None:
    scene = write_scene(patchwork)
    model = make_model(resolution=Resolution(gsd_m=40))
    options = PolygonOptions(simplify_px=simplify_px)
    predict(scene, tmp_path / "c.gpkg", model=model, polygons=options)
    polygons = gpd.read_file(tmp_path / "c.gpkg")
    with rasterio.open(scene) as dataset:
        left, bottom, right, top = dataset.bounds
    assert tuple(polygons.total_bounds) == (left, bottom, right, top)
    assert polygons.area.sum() == pytest.approx((right - left) * (top - bottom), rel=1e-9)
    assert shapely.coverage_is_valid(polygons.geometry.to_numpy())
    assert polygons.is_valid.all()


def test_rows_of_a_much_coarser_grid_are_written_few_at_a_time(
    make_model, write_scene, patchwork, tmp_path, monkeypatch
) -> None:
    """Each becomes many rows of the scene, which would all be in memory."""
    heights, feed = [], MapRaster.feed
    monkeypatch.setattr(
        MapRaster, "feed", lambda self, rows: (heights.append(len(rows.valid)), feed(self, rows))[1]
    )
    model = make_model(resolution=Resolution(gsd_m=200))
    predict(write_scene(patchwork), tmp_path / "c.tif", model=model)
    assert sum(heights) == patchwork.shape[1]
    assert max(heights) <= model.card.tile_size
