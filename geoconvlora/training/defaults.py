"""A configuration for images and labels that come without one."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from geoconvlora.errors import LabelError
from geoconvlora.naming import PARQUET_SUFFIXES
from geoconvlora.training.rasters import is_raster, rasters_in

if TYPE_CHECKING:
    from pandas import Series

DEFAULT_BASE = "vit_t-fields"
_MAX_CLASSES = 254
COLORS = (
    "#bdbdbd", "#7fbf3f", "#5d4037", "#1f78b4", "#e31a1c", "#ff7f00", "#6a3d9a", "#b15928",
    "#ffd92f", "#a6cee3", "#fb9a99", "#33a02c",
)  # fmt: skip


def defaults_for(data: dict[str, Any]) -> dict[str, Any]:
    """Everything but ``data`` and ``out``, from what the data holds.

    Polygons without a class column are objects such as fields; otherwise the classes are what the
    column or the label tiles hold.

    Raises:
        LabelError: Labels cannot be read, or a column is not one of classes.
        SceneError: An image cannot be read.

    Warns:
        UserWarning: Label tiles hold one id only, or ids with gaps.
    """
    common = {
        "name": "model",
        "model": {
            "base": DEFAULT_BASE,
            "method": "conv-lora",
            "decoder": {"head": "direct", "stem": True},
        },
        "scaling": {"kind": "percentile"},
    }
    if data["kind"] == "tiles":
        names = _names_of_tiles(data["labels"])
        return {**common, **_first_tile(data["images"]), "classes": _classes(names)}
    scene = data["scenes"][0]
    bands = _bands_of_scene(scene["image"])
    if is_raster(scene["labels"]):
        names = _names_of_raster(scene["labels"])
        return {**common, "bands": bands, "classes": _classes(names)}
    if scene["label_column"] is None:
        names = ["background", "field", "boundary"]
        rule = {"interior": 1, "boundary": 2}
        return {
            **common,
            "task": "instances",
            "instances": rule,
            "bands": bands,
            "classes": _classes(names),
        }
    names = ["background", *_names_of_column(scene["labels"], scene["label_column"])]
    return {**common, "bands": bands, "classes": _classes(names)}


def _classes(names: Sequence[str]) -> list[dict[str, Any]]:
    return [
        {"id": index, "name": name, "color": COLORS[index % len(COLORS)]}
        for index, name in enumerate(names)
    ]


def _names_of_column(labels: Path, column: str) -> list[str]:
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    found = _column_of(labels, column)
    empty = found.isna() | (found.astype(str).str.strip() == "")
    if empty.any():
        raise LabelError(
            f"{labels}: {empty.sum()} of {len(found)} features have no value in the column "
            f"{column!r}: fill it, or leave them out"
        )
    numbers = is_numeric_dtype(found) and not is_bool_dtype(found)
    names = _whole_numbers(found, labels) if numbers else sorted({str(value) for value in found})
    # Numbers are ids as in label tiles, where 0 is the background.
    names = [name for name in names if name not in ("background", "0" if numbers else "background")]
    if len(names) > _MAX_CLASSES:
        raise LabelError(
            f"{labels}: the column {column!r} holds {len(names)} different values, more than a "
            f"model's {_MAX_CLASSES} classes: is it the one with the classes?"
        )
    return names


def _column_of(labels: Path, column: str) -> Series:
    import geopandas as gpd
    import pyogrio

    try:
        if labels.suffix.lower() in PARQUET_SUFFIXES:  # Not every GDAL reads it.
            frame = gpd.read_parquet(labels)
            values = frame.drop(columns=frame.geometry.name)
        else:
            values = pyogrio.read_dataframe(labels, columns=[column], read_geometry=False)
    except (pyogrio.errors.DataSourceError, ValueError, OSError) as error:
        raise LabelError(f"{labels} cannot be read as a vector file ({error})") from None
    if column not in values:
        raise LabelError(f"{labels} has no column {column!r}")
    return values[column]


def _whole_numbers(found: Series, labels: Path) -> list[str]:
    """Numbers in order as text; a column that had gaps stores 3 as 3.0."""
    broken = found[found % 1 != 0]
    if len(broken):
        raise LabelError(
            f"{labels}: the column {found.name!r} holds {broken.iloc[0]:g}: classes are names or "
            "whole numbers"
        )
    return [f"{number:.0f}" for number in sorted(set(found))]


def _names_of_tiles(labels: Path) -> list[str]:
    from geoconvlora.training.data_config import IGNORE
    from geoconvlora.training.tile_pair import read_label

    values: set[int] = set()
    for path in rasters_in(labels):
        values.update(np.unique(read_label(path)).tolist())
    values.discard(IGNORE)
    if not values:
        raise LabelError(f"{labels} holds no label tile with a class id")
    return _names_of_ids(values, f"{labels}: the label tiles hold", "label_values")


def _names_of_raster(labels: Path) -> list[str]:
    from geoconvlora.scenes import open_scene
    from geoconvlora.scenes.sampling import row_windows

    values: set[float] = set()
    with open_scene(labels) as raster:
        for window in row_windows(raster):
            read = raster.read(window)
            values.update(np.unique(read.values[0][read.valid]).tolist())
            if len(values) > _MAX_CLASSES:
                break
    if len(values) > _MAX_CLASSES or any(v % 1 or v < 0 or v > _MAX_CLASSES for v in values):
        raise LabelError(
            f"{labels} holds more than class ids, which are whole numbers from 0 to "
            f"{_MAX_CLASSES}: is it the raster with the labels?"
        )
    if not values:
        raise LabelError(f"{labels} holds no pixel with a class id")
    return _names_of_ids({int(v) for v in values}, f"{labels} holds", "class_map")


def _names_of_ids(values: set[int], what: str, way_to_map: str) -> list[str]:
    """Background and a class for each id up to the highest."""
    highest = max(values | {1})
    if len(values) == 1 or not values.issuperset(range(1, highest + 1)):
        found = ", ".join(str(value) for value in sorted(values))
        made_up = "1" if highest == 1 else f"1 to {highest}"
        warnings.warn(
            f"{what} the {'ids' if len(values) > 1 else 'id'} {found} and "
            f"no other, but the model gets background and class {made_up}: if that is not meant, "
            f"name the classes in a CONFIG.yaml, and map values to them with {way_to_map}",
            UserWarning,
            stacklevel=2,
        )
    return ["background", *(f"class {index}" for index in range(1, highest + 1))]


def _bands_of_scene(image: Path) -> list[dict[str, str]]:
    from geoconvlora.scenes import open_scene

    with open_scene(image) as scene:
        return _named(scene.band_names)


def _first_tile(images: Path) -> dict[str, Any]:
    """Bands and the network's tile size, as the first image has them."""
    from geoconvlora.training.tile_pair import describe_tile

    paths = rasters_in(images)
    if not paths:
        raise LabelError(f"{images} holds no image tile")
    names, side = describe_tile(paths[0])
    return {"bands": _named(names), "tile_size": min(256, max(32, math.ceil(side / 16) * 16))}


def _named(names: Sequence[str]) -> list[dict[str, str]]:
    return [{"name": name} for name in names]
