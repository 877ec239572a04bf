"""The split of a run, written into its folder: polygons for GIS and `evaluate`, numbers, a map."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import shapely

from geoconvlora.errors import ConfigError
from geoconvlora.scenes.environment import vector_environment
from geoconvlora.training.burn import to_ground
from geoconvlora.training.config import TrainConfig
from geoconvlora.training.labelled_scene import PartedScene
from geoconvlora.training.split import PARTS
from geoconvlora.training.split_map import split_png
from geoconvlora.training.split_record import SplitRecord

LAYER = "split"
POLYGONS, NUMBERS, MAP = "split.gpkg", "split.json", "split.png"
_SEGMENT_PX = 64
"""A straight edge of one scene's grid is a curve in another scene's CRS."""


def save_split(record: SplitRecord, config: TrainConfig, folder: Path) -> None:
    """Write ``split.json``, and for scenes ``split.gpkg`` and ``split.png``.

    ``split.gpkg`` has one layer ``split`` in the first scene's CRS, with the columns ``part``
    (``train``, ``val`` or ``test``) and ``scene`` (file name without suffix). A polygon is ground
    that its part may see, so what lies in a buffer is in none.

    Args:
        record: What is of which part.
        config: Of the run.
        folder: The run's folder.
    """
    numbers = json.dumps(_numbers(record, config), indent=1, ensure_ascii=False) + "\n"
    _whole(folder / NUMBERS, lambda part: part.write_text(numbers, encoding="utf-8"))
    for name in (POLYGONS, MAP):
        (folder / name).unlink(missing_ok=True)
    if not record.scenes:
        return
    frame = split_frame(record)
    with vector_environment():
        _whole(
            folder / POLYGONS,
            lambda part: pyogrio.write_dataframe(frame, part, layer=LAYER, driver="GPKG"),
        )
    _whole(folder / MAP, lambda part: part.write_bytes(split_png(record.scenes)))


def check_split(record: SplitRecord, config: TrainConfig, folder: Path) -> None:
    """Refuse data that changed since a run began: its end would have another split.

    Args:
        record: What is of which part now.
        config: Of the run.
        folder: The run's folder; one without ``split.json`` is as good as unchanged.

    Raises:
        ConfigError: Tiles, scenes, their blocks or their labelled pixels are others.
    """
    file = folder / NUMBERS
    if not file.is_file():
        return
    try:
        before = json.loads(file.read_text(encoding="utf-8"))
        change = next(_changes(before, _numbers(record, config)), None)
    except (ValueError, LookupError, TypeError, AttributeError):
        raise ConfigError(f"{file} is damaged: start anew with --overwrite") from None
    if change is not None:
        raise ConfigError(
            f"the data changed since the run in {folder} began: {change}; put it back as it "
            "was, or start anew with --overwrite"
        )


def _changes(before: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    """What differs, in words; areas are not looked at, whose last digits depend on the machine."""
    for part in PARTS:
        old, new = (set(numbers["tiles"][part]) for numbers in (before, now))
        if odd := sorted(old ^ new):
            moved = "was" if odd[0] in old else "was not"
            yield (
                f"{len(old)} tiles were of the part {part!r}, now {len(new)} are, and "
                f"{odd[0]} {moved} among them"
            )
    old_scenes, new_scenes = (
        [(scene["scene"], scene["images"], scene["blocks"]) for scene in numbers["scenes"]]
        for numbers in (before, now)
    )
    if len(old_scenes) != len(new_scenes):
        yield f"{len(old_scenes)} scenes were split, now {len(new_scenes)} are"
    for old_scene, new_scene in zip(old_scenes, new_scenes, strict=False):
        if old_scene != new_scene:
            yield f"the scene {new_scene[0]} is split into other blocks"
    for part, counts in now["class_pixels"].items():
        for name, count in counts.items():
            if before["class_pixels"][part][name] != count:
                yield (
                    f"the part {part!r} had {before['class_pixels'][part][name]} pixels of "
                    f"{name}, and has {count}"
                )


def split_frame(record: SplitRecord) -> gpd.GeoDataFrame:
    """The polygons of all scenes and parts, in the first scene's CRS."""
    frames = [_scene_frame(scene) for scene in record.scenes]
    crs = frames[0].crs
    return gpd.GeoDataFrame(pd.concat([frame.to_crs(crs) for frame in frames], ignore_index=True))


def _scene_frame(scene: PartedScene) -> gpd.GeoDataFrame:
    grid = scene.labelled.grid.geobox
    outlines = {part: scene.split.outlines(part) for part in PARTS}
    polygons = np.concatenate([outlines[part] for part in PARTS])
    dense = shapely.segmentize(polygons, _SEGMENT_PX)
    return gpd.GeoDataFrame(
        {
            "part": [part for part in PARTS for _ in outlines[part]],
            "scene": scene.labelled.name,
        },
        geometry=to_ground(dense, grid),
        crs=str(grid.crs),
    )


def _numbers(record: SplitRecord, config: TrainConfig) -> dict[str, Any]:
    names = [one.name for one in config.classes]
    return {
        "split": config.split.model_dump(mode="json"),
        "class_pixels": {
            part: dict(zip(names, counts, strict=True))
            for part, counts in record.class_pixels.items()
        },
        "scenes": [_scene_numbers(scene) for scene in record.scenes],
        "tiles": {part: [str(tile) for tile in record.tiles[part]] for part in PARTS},
    }


def _scene_numbers(scene: PartedScene) -> dict[str, Any]:
    gsd_m, split = scene.labelled.gsd_m, scene.split
    return {
        "scene": scene.labelled.name,
        "images": [str(image) for image in scene.labelled.source.images],
        "gsd_m": gsd_m,
        "buffer_m": split.buffer_px * gsd_m,
        "blocks": {part: len(split.blocks[part]) for part in PARTS},
        "area_m2": {
            part: float(shapely.area(split.outlines(part)).sum()) * gsd_m**2 for part in PARTS
        },
    }


def _whole(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file beside its name and rename it."""
    part = path.with_name(f".part.{path.name}")
    part.unlink(missing_ok=True)
    try:
        write(part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
