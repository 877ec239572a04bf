"""A configuration for images and labels that come without one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from geoconvlora.errors import LabelError

DEFAULT_BASE = "vit_t-fields"
COLORS = (
    "#bdbdbd", "#7fbf3f", "#5d4037", "#1f78b4", "#e31a1c", "#ff7f00", "#6a3d9a", "#b15928",
    "#ffd92f", "#a6cee3", "#fb9a99", "#33a02c",
)  # fmt: skip


def data_section(images: Path, labels: Path, label_column: str | None) -> dict[str, Any]:
    """The ``data`` section for two paths.

    Args:
        images: A folder of tiles, or a scene.
        labels: A folder of label tiles, or a vector file.
        label_column: Column of the vector file with the classes.

    Raises:
        LabelError: A path is missing, or the two do not go together.
    """
    for path in (images, labels):
        if not path.exists():
            raise LabelError(f"{path}: there is no such file or folder")
    if images.is_dir() and labels.is_dir():
        if label_column is not None:
            raise LabelError("--label-column is for vector files; label tiles hold class ids")
        return {"kind": "tiles", "images": images, "labels": labels}
    if images.is_dir() or labels.is_dir():
        raise LabelError(
            f"{images} and {labels}: give two folders of tiles, or a scene and a vector file"
        )
    scene = {"image": images, "labels": labels, "label_column": label_column}
    return {"kind": "scenes", "scenes": [scene]}


def defaults_for(data: dict[str, Any]) -> dict[str, Any]:
    """Everything but ``data`` and ``out``, from what the data holds.

    Polygons without a class column are objects such as fields; otherwise the classes are what the
    column or the label tiles hold.

    Raises:
        LabelError: Labels cannot be read.
        SceneError: An image cannot be read.
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
    import pyogrio

    try:
        values = pyogrio.read_dataframe(labels, columns=[column], read_geometry=False)
    except (pyogrio.errors.DataSourceError, ValueError) as error:
        raise LabelError(f"{labels} cannot be read as a vector file ({error})") from None
    if column not in values:
        raise LabelError(f"{labels} has no column {column!r}")
    return sorted({str(value) for value in values[column]} - {"background"})


def _names_of_tiles(labels: Path) -> list[str]:
    from geoconvlora.training.config import IGNORE
    from geoconvlora.training.tile_pool import rasters_in, read_label

    values: set[int] = set()
    for path in rasters_in(labels):
        values.update(np.unique(read_label(path)).tolist())
    values.discard(IGNORE)
    if not values:
        raise LabelError(f"{labels} holds no label tile with a class id")
    return ["background", *(f"class {index}" for index in range(1, max(values | {1}) + 1))]


def _bands_of_scene(image: Path) -> list[dict[str, str]]:
    from geoconvlora.scenes import open_scene

    with open_scene(image) as scene:
        return _named(scene.band_names)


def _first_tile(images: Path) -> dict[str, Any]:
    """Bands and the network's tile size, as the first image has them."""
    from geoconvlora.training.tile_pool import describe_tile, rasters_in

    paths = rasters_in(images)
    if not paths:
        raise LabelError(f"{images} holds no image tile")
    names, side = describe_tile(paths[0])
    return {"bands": _named(names), "tile_size": min(256, max(32, math.ceil(side / 16) * 16))}


def _named(names: Sequence[str]) -> list[dict[str, str]]:
    return [{"name": name} for name in names]
