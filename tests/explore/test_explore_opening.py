from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
import xarray as xr
from affine import Affine

import geoconvlora
from geoconvlora import explore
from geoconvlora.errors import BandError, ConfigError, LabelError, SceneError
from geoconvlora.explore.colours import classes_rgba
from geoconvlora.scenes.class_names import CLASSES_TAG
from geoconvlora.vector.styles import PALETTE


def test_room_imports_neither_torch_nor_bokeh() -> None:
    code = (
        "import sys; from geoconvlora import explore\n"
        "before = set(sys.modules); [getattr(explore, name) for name in explore.__all__]\n"
        "print([name for name in ('torch', 'torchgeo', 'bokeh') if name in sys.modules])\n"
        "print('xarray' in before, 'matplotlib' in before)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "False False"]


@pytest.mark.parametrize("name", explore.__all__)
def test_public_name_is_what_it_says(name: str) -> None:
    assert getattr(explore, name).__name__ == name
    assert name in dir(explore)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        explore.nonsense  # noqa: B018


def test_scene_has_values_names_validity_and_place(scene_file: Path) -> None:
    dataset = explore.open_scene(scene_file)
    with rasterio.open(scene_file) as file:
        stored = file.read().astype(np.float32)
        transform = file.transform
    stored[:, :5, :5] = np.nan
    np.testing.assert_array_equal(dataset.scene.values, stored)
    assert dataset.band.values.tolist() == ["red", "green", "blue", "nir"]
    assert dataset.odc.geobox.affine == transform
    assert dataset.odc.geobox.crs.epsg == 32631
    assert dataset.attrs["gsd_m"] == pytest.approx(10, rel=1e-3)


@pytest.mark.parametrize("dask", [True, False])
def test_scene_is_read_only_where_it_is_asked_for(
    scene_file: Path, monkeypatch: pytest.MonkeyPatch, dask: bool
) -> None:
    from geoconvlora.explore import lazy
    from geoconvlora.scenes import Scene, Window

    read: list[Window] = []
    original = Scene.read_stored

    def noted(self: Scene, window: Window) -> Any:
        read.append(window)
        return original(self, window)

    monkeypatch.setattr(Scene, "read_stored", noted)
    monkeypatch.setattr(lazy, "CHUNK_PX", 16)
    if not dask:
        monkeypatch.setattr(lazy, "find_spec", lambda name: None)
    dataset = explore.open_scene(scene_file)
    assert not read
    assert (dataset.scene.chunks is not None) == dask
    part = dataset.scene.sel(band="blue")[20:30, 50:55]
    with rasterio.open(scene_file) as file:
        np.testing.assert_array_equal(part.values, file.read(3)[20:30, 50:55])
    assert sum(window.height * window.width for window in read) <= 2 * 16 * 16


@pytest.mark.parametrize(
    "key",
    [
        np.s_[1],
        np.s_[:, 7],
        np.s_[2, 3, 4],
        np.s_[:, 5:30:7, 59:2:-3],
        np.s_[:, 10:10],
        np.s_[[3, 0], :, 1:4],
    ],
    ids=str,
)
def test_lazy_indexing_equals_that_of_an_array(
    scene_file: Path, monkeypatch: pytest.MonkeyPatch, key: Any
) -> None:
    from geoconvlora.explore import lazy

    monkeypatch.setattr(lazy, "find_spec", lambda name: None)
    whole = explore.open_scene(scene_file).scene.values
    part = explore.open_scene(scene_file).scene[key]
    np.testing.assert_array_equal(part.values, whole[key])


def test_lazy_scene_can_go_to_another_process(scene_file: Path) -> None:
    dataset = explore.open_scene(scene_file)
    copy = pickle.loads(pickle.dumps(dataset))
    np.testing.assert_array_equal(copy.scene.values, dataset.scene.values)


def test_reduced_scene_averages_valid_pixels_alone(write_raster: Any) -> None:
    values = np.full((32, 32), 100, np.uint16)
    values[::2] = 0
    path = write_raster("striped.tif", values, nodata=0)
    reduced = explore.open_scene(path, max_side=8)
    assert reduced.scene.shape == (1, 8, 8)
    np.testing.assert_allclose(reduced.scene.values, 100)
    whole = explore.open_scene(path).odc.geobox.extent
    assert reduced.odc.geobox.extent.boundingbox == whole.boundingbox


def test_reduced_reading_takes_overviews(write_raster: Any) -> None:
    path = write_raster("scene.tif", np.full((64, 64), 7, np.uint8), overviews=True)
    with rasterio.open(path, overview_level=1, mode="r+") as overview:
        overview.write(np.full((16, 16), 99, np.uint8), 1)
    assert (explore.open_scene(path, max_side=16).scene.values == 99).all()
    assert (explore.open_scene(path).scene.values == 7).all()


@pytest.mark.parametrize("kind", ["mask", "alpha"])
def test_masks_and_alpha_are_respected_reduced_or_not(write_raster: Any, kind: str) -> None:
    values = np.full((3, 32, 32), 50, np.uint8)
    valid = np.ones((32, 32), bool)
    valid[:16] = False
    if kind == "alpha":
        stack = np.concatenate([values, np.where(valid, 255, 0)[None].astype(np.uint8)])
        path = write_raster("rgba.tif", stack, photometric="rgb", alpha="yes")
    else:
        path = write_raster("rgb.tif", values, photometric="rgb")
        with rasterio.open(path, "r+") as file:
            file.write_mask(valid)
    for max_side in (None, 8):
        scene = explore.open_scene(path, max_side=max_side).scene
        assert scene.sizes["band"] == 3
        seen = np.isfinite(scene.values)
        half = scene.sizes["y"] // 2
        assert not seen[:, :half].any()
        assert seen[:, half:].all()


def test_classes_have_names_colours_and_no_class_outside(class_file: Path) -> None:
    classes = explore.open_classes(class_file).classes
    assert classes.dtype == np.uint8
    assert classes.attrs["flag_meanings"] == "background field tall_forest"
    assert (classes.values[:5, :5] == classes.attrs["_FillValue"]).all()
    legend = explore.Legend.of_attributes(classes.attrs, "classes")
    assert legend.name(2) == "tall forest"
    assert legend.color(1) == "#7fbf3f"


def test_class_255_is_a_class_where_the_file_has_no_nodata(write_raster: Any) -> None:
    path = write_raster("classes.tif", np.full((4, 4), 255, np.uint8))
    classes = explore.open_classes(path).classes
    assert (classes.values == 255).all()
    assert classes.attrs["_FillValue"] == 65535


def test_reduced_classes_are_the_most_frequent(write_raster: Any) -> None:
    ids = np.zeros((16, 16), np.uint8)
    ids[::4, ::4] = 2
    path = write_raster("classes.tif", ids, nodata=255)
    assert (explore.open_classes(path, max_side=4).classes.values == 0).all()


def test_opened_classes_become_polygons_with_their_names(class_file: Path) -> None:
    opened = explore.open_classes(class_file).classes
    polygons = geoconvlora.polygonize(opened)
    assert sorted(polygons["class"]) == ["field", "tall forest"]
    assert polygons.crs.to_epsg() == 32631


def test_probabilities_are_scaled_and_named(write_raster: Any) -> None:
    stored = np.stack([np.full((8, 8), 50, np.uint8), np.full((8, 8), 200, np.uint8)])
    stored[:, 0, 0] = 255
    path = write_raster("p.tif", stored, nodata=255, bands=("background", "field"))
    with rasterio.open(path, "r+") as file:
        file.scales = (0.004, 0.004)
    chances = explore.open_probabilities(path).probabilities.sel({"class": "field"})
    assert float(chances[4, 4]) == pytest.approx(0.8)
    assert np.isnan(chances[0, 0])


def test_images_are_refused_as_classes(scene_file: Path, write_raster: Any) -> None:
    with pytest.raises(BandError, match="4 bands of uint16: classes are one band"):
        explore.open_classes(scene_file)
    negative = write_raster("negative.tif", np.full((4, 4), -3, np.int16))
    with pytest.raises(BandError, match="holds -3, which is no class id"):
        explore.open_classes(negative).load()


def test_sizes_below_one_are_refused(scene_file: Path) -> None:
    with pytest.raises(ConfigError, match="max_side 0 is less than 1"):
        explore.open_scene(scene_file, max_side=0)


def test_dataset_without_the_array_says_what_it_has(scene_file: Path) -> None:
    with pytest.raises(SceneError, match=r"no 'classes' but scene: open it with explore\."):
        explore.class_statistics(explore.open_scene(scene_file))


def test_array_without_place_is_refused() -> None:
    lost = xr.Dataset({"classes": (("y", "x"), np.zeros((3, 3), np.uint8))})
    with pytest.raises(SceneError, match="no regular coordinates or no CRS"):
        explore.class_statistics(lost)


def test_polygons_keep_their_columns(tmp_path: Path) -> None:
    frame = gpd.GeoDataFrame({"crop": ["rye"]}, geometry=[shapely.box(0, 0, 1, 1)], crs=32631)
    frame.to_file(tmp_path / "p.gpkg")
    assert explore.open_polygons(tmp_path / "p.gpkg").crop.tolist() == ["rye"]
    with pytest.raises(LabelError, match="does not exist"):
        explore.open_polygons(tmp_path / "q.gpkg")


def test_rotated_grids_keep_their_place(write_raster: Any) -> None:
    rotated = Affine.translation(500_000, 5_000_000) @ Affine.rotation(30) @ Affine.scale(10, -10)
    path = write_raster("rotated.tif", np.ones((8, 9), np.uint8), transform=rotated)
    for max_side in (None, 3):
        geobox = explore.open_scene(path, max_side=max_side).scene.odc.geobox
        corner = geobox.affine @ (geobox.shape[1], geobox.shape[0])
        assert corner == pytest.approx(rotated @ (9, 8))


def test_ids_that_no_array_of_classes_holds_are_left_out(write_raster: Any) -> None:
    path = write_raster("c.tif", np.ones((4, 4), np.uint8))
    entries = [{"id": i, "name": f"crop {i}", "color": "red"} for i in (-1, 1, 70_000)]
    with rasterio.open(path, "r+") as file:
        file.update_tags(**{CLASSES_TAG: json.dumps(entries)})
    classes = explore.open_classes(path).classes
    assert classes.attrs["flag_values"].tolist() == [1]
    assert classes.attrs["flag_colors"] == PALETTE[1]
    assert explore.class_statistics(path).pixels.to_dict() == {"crop 1": 16}


def test_a_colour_table_without_names_is_kept(write_raster: Any) -> None:
    path = write_raster("c.tif", np.full((4, 4), 3, np.uint8))
    with rasterio.open(path, "r+") as file:
        file.write_colormap(1, {3: (1, 2, 3, 255)})
    classes = explore.open_classes(path).classes
    assert classes.attrs["flag_values"].tolist() == []
    legend = explore.Legend.of_attributes(classes.attrs, "c.tif")
    assert legend.with_ids([3]).by_name == {"class_3": "#010203"}
    assert classes_rgba(classes)[0, 0].tolist() == [1, 2, 3, 255]


def test_bands_of_different_types_are_shown_in_few_pixels(tmp_path) -> None:
    bands = ""
    for number, kind in enumerate(("uint8", "uint16", "float32"), start=1):
        values = np.full((40, 50), 10 * number, kind)
        with rasterio.open(
            tmp_path / f"{number}.tif", "w", driver="GTiff", height=40, width=50, count=1,
            dtype=kind, crs="EPSG:32631", transform=Affine(10, 0, 6e5, 0, -10, 5e6),
        ) as band:  # fmt: skip
            band.write(values, 1)
        name = {"uint8": "Byte", "uint16": "UInt16", "float32": "Float32"}[kind]
        bands += (
            f'<VRTRasterBand dataType="{name}" band="{number}"><SimpleSource>'
            f'<SourceFilename relativeToVRT="1">{number}.tif</SourceFilename>'
            "<SourceBand>1</SourceBand></SimpleSource></VRTRasterBand>"
        )
    (tmp_path / "mixed.vrt").write_text(
        '<VRTDataset rasterXSize="50" rasterYSize="40"><SRS>EPSG:32631</SRS>'
        f"<GeoTransform>600000, 10, 0, 5000000, 0, -10</GeoTransform>{bands}</VRTDataset>",
        encoding="utf-8",
    )
    shown = explore.open_scene(tmp_path / "mixed.vrt", max_side=10)
    assert shown.scene.mean(("y", "x")).values.tolist() == [10, 20, 30]


def test_bytes_whose_nodata_is_a_small_number_have_no_class_there(write_raster: Any) -> None:
    path = write_raster("c.tif", np.array([[1, 0], [2, 1]], np.uint8), nodata=0)
    classes = explore.open_classes(path).classes
    assert classes.values.tolist() == [[1, classes.attrs["_FillValue"]], [2, 1]]
    assert explore.class_statistics(path).pixels.to_dict() == {"class_1": 2, "class_2": 1}
