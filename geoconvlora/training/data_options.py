"""The ``data`` section that images and labels named on the command line make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from geoconvlora.errors import ConfigError, LabelError
from geoconvlora.training.rasters import is_raster, rasters_in

Section = dict[str, Any]


def data_section(images: Sequence[Path], labels: Path, label_column: str | None) -> Section:
    """The ``data`` section for paths.

    Args:
        images: A folder of tiles; or scenes, also as a folder of them.
        labels: A folder of label tiles; or a vector file or a raster that labels all scenes.
        label_column: Column of the vector file with the classes.

    Raises:
        LabelError: A path is missing, or the two do not go together.
    """
    for path in (*images, labels):
        if not path.exists():
            raise LabelError(f"{path}: there is no such file or folder")
    if labels.is_dir():
        if len(images) > 1 or not images[0].is_dir():
            raise LabelError(
                f"{images[0]} and {labels}: give two folders of tiles, or scenes and a file that "
                "labels them"
            )
        if label_column is not None:
            raise LabelError("--label-column is for vector files; label tiles hold class ids")
        return {"kind": "tiles", "images": images[0], "labels": labels}
    if label_column is not None and is_raster(labels):
        raise LabelError(f"--label-column is for vector files; {labels} holds class ids")
    scenes = [scene for path in images for scene in _scenes_at(path)]
    return {
        "kind": "scenes",
        "scenes": [{"image": s, "labels": labels, "label_column": label_column} for s in scenes],
    }


def merged_data(
    data: object,
    images: Sequence[Path],
    labels: Path | None,
    label_column: str | None,
) -> Section:
    """A configuration's ``data`` section, of which options replace what they name.

    Scenes that are named anew keep what the section says of all scenes, and the labels and other
    settings of its first scene; sampling, boundary width and the like stay as they are.

    Raises:
        LabelError: A path is missing, or images and labels do not go together.
        ConfigError: The section is none, or has nothing that the options could complete.
    """
    data = {} if data is None else data
    if not isinstance(data, Mapping):
        raise ConfigError(
            f"data is {data!r}: the section has keys such as kind, images and labels; mend it, or "
            "leave it out"
        )
    first = _first_scene(data)
    if data.get("kind") == "tiles" and images:
        labels = labels or _labels_of(data)
    elif first is not None and images:
        labels = labels or _labels_of(first)
    if images and labels is not None:
        made = data_section(images, labels, label_column)
        if made["kind"] != data.get("kind"):
            return made
        if made["kind"] == "tiles":
            return {**data, **made}
        named = [{k: v for k, v in scene.items() if v is not None} for scene in made["scenes"]]
        return {**data, "scenes": [{**(first or {}), **scene} for scene in named]}
    if first is None or images:
        raise ConfigError(
            "--images and --labels go together, and --label-column with them, unless a "
            "configuration's data completes them"
        )
    changes = {"labels": labels, "label_column": label_column}
    changes = {key: value for key, value in changes.items() if value is not None}
    return {**data, "scenes": [{**scene, **changes} for scene in data["scenes"]]}


def _first_scene(data: Mapping[str, Any]) -> Mapping[str, Any] | None:
    scenes = data.get("scenes")
    if data.get("kind") != "scenes" or not isinstance(scenes, list) or not scenes:
        return None
    if not all(isinstance(scene, dict) for scene in scenes):
        return None
    return scenes[0] if "labels" in scenes[0] else None


def _labels_of(section: Mapping[str, Any]) -> Path | None:
    labels = section.get("labels")
    return Path(labels) if isinstance(labels, str | Path) else None


def _scenes_at(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = rasters_in(path)
    if not found:
        raise LabelError(f"{path} holds no raster: give scenes, or a folder of them")
    return found
