"""Splits of every kind, and what the run's folder says of them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from rasterio.features import rasterize
from training_files import FIELD_CLASSES, warp, write_polygons, write_raster

from geoconvlora.errors import ConfigError, LabelError
from geoconvlora.scenes import Window
from geoconvlora.training.config_file import load_config
from geoconvlora.training.sources import Sources, open_sources
from geoconvlora.training.split_file import save_split

SIDE = 320
PARTS = ("train", "val", "test")
Build = Callable[..., dict[str, Any]]


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    """Three scenes side by side, full of small fields."""
    rng = np.random.default_rng(0)
    for place in range(3):
        values = rng.integers(1, 255, (1, SIDE, SIDE)).astype(np.uint8)
        write_raster(tmp_path / f"{place}.tif", values, left=500_000 + 3200 * place)
    fields = [
        shapely.box(x, y, x + 150, y + 150)
        for x in range(500_000, 509_600, 200)
        for y in range(5_596_800, 5_600_000, 200)
    ]
    write_polygons(tmp_path / "fields.gpkg", fields)
    return tmp_path


def sources(folder: Path, *names: str, **changes: object) -> Sources:
    scenes = [{"image": folder / f"{n}.tif", "labels": folder / "fields.gpkg"} for n in names]
    config = load_config(
        None,
        {
            "model": {"size": "vit_t", "method": "full"},
            "classes": FIELD_CLASSES[:2],
            "bands": [{"name": "red"}],
            "tile_size": 64,
            "data": {"kind": "scenes", "scenes": scenes},
            "out": folder / "model.safetensors",
            **changes,
        },
    )
    opened = open_sources(config)
    save_split(opened.split, config, folder)
    return opened


def seen(opened: Sources, place: int, part: str) -> np.ndarray:
    return opened.split.scenes[place].split.pixels(part, Window(0, 0, SIDE, SIDE))


def test_saved_polygons_are_the_ground_of_the_parts(scenes: Path) -> None:
    opened = sources(scenes, "0", "1")
    path = scenes / "split.gpkg"
    assert [name for name, _ in pyogrio.list_layers(path)] == ["split"]
    frame = gpd.read_file(path, layer="split")
    assert set(frame.columns) == {"part", "scene", "geometry"}
    assert frame.crs == "EPSG:32631"
    for place, name in enumerate(("0", "1")):
        with rasterio.open(scenes / f"{name}.tif") as raster:
            transform = raster.transform
        for part in PARTS:
            mine = frame[(frame["part"] == part) & (frame["scene"] == name)]
            burnt = rasterize(mine.geometry, out_shape=(SIDE, SIDE), transform=transform)
            assert np.array_equal(burnt.astype(bool), seen(opened, place, part))
    assert (scenes / "split.png").read_bytes().startswith(b"\x89PNG")
    numbers = json.loads((scenes / "split.json").read_text())
    assert [s["scene"] for s in numbers["scenes"]] == ["0", "1"]
    assert sum(numbers["class_pixels"]["val"].values()) == sum(
        seen(opened, place, "val").sum() for place in (0, 1)
    )


def test_same_split_is_the_same_file(scenes: Path) -> None:
    sources(scenes, "0")
    first = [(scenes / name).read_bytes() for name in ("split.gpkg", "split.json", "split.png")]
    sources(scenes, "0")
    assert first == [
        (scenes / name).read_bytes() for name in ("split.gpkg", "split.json", "split.png")
    ]
    assert not list(scenes.glob(".part*"))


def test_split_of_one_run_is_that_of_another_by_its_file(scenes: Path) -> None:
    first = sources(scenes, "0", "1")
    (scenes / "split.gpkg").rename(scenes / "first.gpkg")
    split = {"kind": "polygons", "polygons": scenes / "first.gpkg"}
    second = sources(scenes, "0", "1", split=split)
    for place in (0, 1):
        for part in PARTS:
            assert np.array_equal(seen(first, place, part), seen(second, place, part))
    assert second.bands[0].mean == pytest.approx(first.bands[0].mean, rel=1e-12)


def test_parts_of_a_polygon_file_hold_in_any_crs_and_by_layer(scenes: Path) -> None:
    left, right = shapely.box(499_000, 5_590_000, 501_000, 5_610_000), None
    right = shapely.box(501_500, 5_590_000, 510_000, 5_610_000)
    frame = gpd.GeoDataFrame(
        {"what": ["Training", "val"]}, geometry=[left, right], crs="EPSG:32631"
    ).to_crs("EPSG:3035")
    frame.to_file(scenes / "parts.gpkg")
    column = {"kind": "polygons", "polygons": scenes / "parts.gpkg", "part_column": "what"}
    by_column = sources(scenes, "0", split=column)
    for index, name in enumerate(("train", "val")):
        frame.iloc[[index]].to_file(scenes / "layers.gpkg", layer=name)
    layers = {"kind": "polygons", "polygons": scenes / "layers.gpkg"}
    by_layer = sources(scenes, "0", split=layers)
    for opened in (by_column, by_layer):
        assert seen(opened, 0, "train").sum() == pytest.approx(100 * SIDE, abs=SIDE)
        assert seen(opened, 0, "val").sum() == pytest.approx(170 * SIDE, abs=SIDE)
    frame["what"] = ["train", "later"]
    frame.to_file(scenes / "parts.gpkg")
    with pytest.raises(LabelError, match=r"column 'what' holds 'later'"):
        sources(scenes, "0", split=column)


def test_whole_scenes_are_parts(scenes: Path) -> None:
    split = {"kind": "scenes", "val_scenes": ["2"], "test_scenes": ["1"]}
    opened = sources(scenes, "0", "1", "2", split=split)
    assert seen(opened, 1, "test").all()
    assert seen(opened, 2, "val").sum() == SIDE * (SIDE - 32)  # beside the test scene
    assert seen(opened, 0, "train").sum() == SIDE * (SIDE - 32)
    assert not seen(opened, 2, "train").any()
    chance = sources(scenes, "0", "1", "2", split={"kind": "scenes"})
    parts = {part for place in range(3) for part in PARTS if seen(chance, place, part).any()}
    assert {"train", "val"} <= parts
    with pytest.raises(ConfigError, match=r"the scene nine, which is not there: .* 0, 1"):
        sources(scenes, "0", "1", split={"kind": "scenes", "val_scenes": ["nine"]})
    with pytest.raises(LabelError, match="all scenes show one place"):
        sources(scenes, "0", split={"kind": "scenes"})


def test_random_split_warns_that_its_scores_lie(scenes: Path) -> None:
    with pytest.warns(UserWarning, match="scores are too good; take blocks"):
        opened = sources(scenes, "0", split={"kind": "random"})
    parts = [seen(opened, 0, part) for part in PARTS]
    assert np.sum(parts, axis=0).min() == 1


def test_split_is_on_the_ground_in_every_scenes_crs(scenes: Path) -> None:
    warp(scenes / "0.tif", scenes / "far.tif", "EPSG:32630", 10)
    opened = sources(scenes, "0", "far")
    frame = gpd.read_file(scenes / "split.gpkg")
    here, there = (frame[frame["scene"] == name] for name in ("0", "far"))
    for part, others in (("train", ("val", "test")), ("val", ("test",))):
        for one, other in ((here, there), (there, here)):
            mine = shapely.union_all(one.geometry[one["part"] == part])
            held_out = shapely.union_all(other.geometry[other["part"].isin(others)])
            assert shapely.area(shapely.intersection(mine, held_out)) < 100 * 10
    assert len(opened.split.scenes) == 2


def test_buffer_that_leaves_nothing_is_refused(scenes: Path) -> None:
    with pytest.raises(LabelError, match="training part is labelled"):
        sources(scenes, "0", split={"buffer_m": 10_000})


def test_tiles_are_split_by_blocks_of_ground(tiles: Path, tiles_config: Build) -> None:
    split = {"fraction": 0.25, "test_fraction": 0, "block_size_m": 1280, "buffer_m": 0}
    config = load_config(None, tiles_config("model", split=split))
    record = open_sources(config).split
    val = sorted(int(path.stem) for path in record.tiles["val"])
    assert val in ([0, 1], [2, 3], [4, 5], [6, 7])
    save_split(record, config, tiles)
    numbers = json.loads((tiles / "split.json").read_text())
    assert len(numbers["tiles"]["train"]) == 6
    assert not (tiles / "split.gpkg").exists()
    apart = {**split, "buffer_m": 100}
    kept = open_sources(load_config(None, tiles_config("model", split=apart))).split.tiles["train"]
    assert not {val[0] - 1, val[1] + 1} & {int(path.stem) for path in kept}


def test_tiles_without_a_place_are_split_at_random_with_a_warning(
    tiles: Path, tiles_config: Build
) -> None:
    for index in range(8):
        for folder in ("images", "labels"):
            path = tiles / folder / f"{index}.tif"
            with rasterio.open(path) as raster:
                values = raster.read()
            write_raster(path, values, crs=None)
    with pytest.warns(UserWarning, match="no place on Earth.* scores may be too good"):
        opened = open_sources(load_config(None, tiles_config("model")))
    assert [len(opened.split.tiles[part]) for part in PARTS] == [6, 2, 0]
