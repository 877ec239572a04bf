from __future__ import annotations

import warnings
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
from training_files import write_polygons, write_raster

from geoconvlora.errors import ConfigError, LabelError
from geoconvlora.scenes import PredictionGrid, Window, open_scene
from geoconvlora.training.config_file import load_config
from geoconvlora.training.data_options import data_section, merged_data
from geoconvlora.training.defaults import defaults_for
from geoconvlora.training.labels import open_labels

BOXES = [shapely.box(500_000 + x, 5_599_900, 500_050 + x, 5_599_950) for x in (0, 100, 200)]


def names_of_tiles(folder: Path, *values: int) -> list[str]:
    for name in ("images", "labels"):
        (folder / name).mkdir()
    write_raster(folder / "images" / "0.tif", np.ones((3, 32, 32), np.uint8))
    label = np.resize(np.array(values, np.uint8), (1, 32, 32))
    write_raster(folder / "labels" / "0.tif", label)
    data = data_section([folder / "images"], folder / "labels", None)
    return [c["name"] for c in defaults_for(data)["classes"]]


def defaults_of_column(folder: Path, values: list) -> dict:
    write_raster(folder / "scene.tif", np.ones((3, 40, 40), np.uint8))
    write_polygons(folder / "labels.gpkg", BOXES, kind=values)
    data = data_section([folder / "scene.tif"], folder / "labels.gpkg", "kind")
    return {**defaults_for(data), "data": data}


def names_of_column(folder: Path, values: list) -> list[str]:
    return [c["name"] for c in defaults_of_column(folder, values)["classes"]]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ((7,), "the id 7 and no other, but the model gets background and class 1 to 7"),
        ((0,), "the id 0 and no other"),
        ((0, 1, 3), "the ids 0, 1, 3 and no other, but the model gets background and class 1 to 3"),
    ],
)
def test_made_up_classes_that_no_label_holds_are_warned_of(
    tmp_path: Path, values: tuple[int, ...], said: str
) -> None:
    with pytest.warns(UserWarning, match=said) as caught:
        names_of_tiles(tmp_path, *values)
    assert "CONFIG.yaml" in str(caught[0].message)


@pytest.mark.parametrize("values", [(0, 1), (1, 2, 255), (0, 1, 2)])
def test_ids_without_gaps_need_no_warning(tmp_path: Path, values: tuple[int, ...]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert names_of_tiles(tmp_path, *values)[:2] == ["background", "class 1"]


@pytest.mark.parametrize(
    ("values", "names"),
    [
        (["wood", "lake", "background"], ["background", "lake", "wood"]),
        ([10, 9, 0], ["background", "9", "10"]),
        ([3.0, 2.0, 2.0], ["background", "2", "3"]),
    ],
)
def test_a_columns_values_name_the_classes(tmp_path: Path, values: list, names: list[str]) -> None:
    assert names_of_column(tmp_path, values) == names


def test_a_column_of_geoparquet_names_the_classes(tmp_path: Path) -> None:
    write_raster(tmp_path / "scene.tif", np.ones((3, 40, 40), np.uint8))
    labels = tmp_path / "labels.parquet"
    frame = gpd.GeoDataFrame({"kind": ["wood", "lake", "lake"]}, geometry=BOXES, crs="EPSG:32631")
    frame.to_parquet(labels)
    data = data_section([tmp_path / "scene.tif"], labels, "kind")
    assert [c["name"] for c in defaults_for(data)["classes"]] == ["background", "lake", "wood"]
    for absent in ("none", "geometry"):
        with pytest.raises(LabelError, match=f"no column '{absent}'"):
            defaults_for(data_section([tmp_path / "scene.tif"], labels, absent))


@pytest.mark.parametrize("kind", [int, float])
def test_numbers_are_names_even_where_they_could_be_ids(tmp_path: Path, kind: type) -> None:
    defaults = defaults_of_column(tmp_path, [kind(3), kind(2), kind(0)])
    config = load_config(None, {**defaults, "out": tmp_path / "m.safetensors"})
    with open_scene(tmp_path / "scene.tif") as scene:
        grid = PredictionGrid.for_scene(scene, config.resolution).geobox
    (source,) = config.data.scenes
    mask = open_labels(config, config.data, source, grid, gsd_m=10).burn(Window(0, 0, 40, 40))
    assert [mask[7, x] for x in (2, 12, 22)] == [2, 1, 0]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([1.0, None, 2.0], "1 of 3 features have no value in the column 'kind'"),
        (["wood", None, " "], "2 of 3 features have no value"),
        ([0.5, 1.0, 2.0], "holds 0.5: classes are names or whole numbers"),
    ],
)
def test_a_column_that_names_no_classes_is_refused(tmp_path: Path, values: list, said: str) -> None:
    with pytest.raises(LabelError, match=said):
        names_of_column(tmp_path, values)


@pytest.mark.parametrize(
    ("values", "names"),
    [([0, 1, 2], ["background", "class 1", "class 2"]), ([1, 255], ["background", "class 1"])],
)
def test_a_class_raster_of_a_scene_names_classes_by_number(
    tmp_path: Path, values: list[int], names: list[str]
) -> None:
    write_raster(tmp_path / "scene.tif", np.ones((3, 40, 40), np.uint8))
    label = np.resize(np.array(values, np.uint8), (1, 40, 40))
    write_raster(tmp_path / "labels.tif", label, nodata=255)
    data = data_section([tmp_path / "scene.tif"], tmp_path / "labels.tif", None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert [c["name"] for c in defaults_for(data)["classes"]] == names


def test_raster_that_holds_no_classes_is_refused(tmp_path: Path) -> None:
    write_raster(tmp_path / "scene.tif", np.full((1, 40, 40), 0.5, np.float32))
    data = data_section([tmp_path / "scene.tif"], tmp_path / "scene.tif", None)
    with pytest.raises(LabelError, match="whole numbers from 0 to 254"):
        defaults_for(data)


def test_options_replace_what_they_name_and_keep_the_rest(tmp_path: Path) -> None:
    for name in ("a.tif", "b.tif"):
        write_raster(tmp_path / name, np.ones((3, 40, 40), np.uint8))
    write_polygons(tmp_path / "new.gpkg", BOXES, kind=["x", "y", "z"])
    section = {
        "kind": "scenes",
        "sampling": "balanced",
        "scenes": [
            {"image": "old.tif", "labels": tmp_path / "new.gpkg", "class_map": {"x": "field"}}
        ],
    }
    images = [tmp_path / "a.tif", tmp_path / "b.tif"]
    merged = merged_data(section, images, None, "kind")
    assert merged["sampling"] == "balanced"
    assert [scene["image"] for scene in merged["scenes"]] == images
    assert {scene["label_column"] for scene in merged["scenes"]} == {"kind"}
    assert merged["scenes"][1]["class_map"] == {"x": "field"}
    relabelled = merged_data(section, [], tmp_path / "other.gpkg", None)
    assert relabelled["scenes"][0]["labels"] == tmp_path / "other.gpkg"
    assert relabelled["scenes"][0]["image"] == "old.tif"
    assert len(merged_data(None, [tmp_path], tmp_path / "new.gpkg", None)["scenes"]) == 2


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ("tiles", "data is 'tiles': the section has keys"),
        (["tiles"], "the section has keys"),
        ({"kind": "tiles", "images": "x"}, "--images and --labels go together"),
        ({"kind": "scenes", "scenes": [{"image": "x", "labels": 3}]}, "go together"),
    ],
)
def test_section_that_images_cannot_complete_is_refused(
    tmp_path: Path, section: object, said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        merged_data(section, [tmp_path], None, None)
