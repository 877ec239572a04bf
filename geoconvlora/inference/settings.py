"""All that decides what is in the outputs, as words: a run is resumed only with the same."""

from __future__ import annotations

import hashlib
from importlib.metadata import version
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from geoconvlora import __version__
from geoconvlora.inference.outputs import OutputPlan
from geoconvlora.inference.rasters import FractionType
from geoconvlora.inference.task import MapTask
from geoconvlora.scenes.fingerprint import fingerprint
from geoconvlora.vector import PolygonOptions
from geoconvlora.weights import find_model, read_card, sha256_of_model

if TYPE_CHECKING:
    from geoconvlora.weights import Model


def settings_of(
    task: MapTask,
    model: str | Path | Model,
    plan: OutputPlan,
    polygons: PolygonOptions,
    probs_dtype: FractionType,
) -> dict[str, str]:
    """Return the settings of a run, by the words that a message about them uses.

    The device is missing: which one ``auto`` is, torch knows. Workers, progress and the height of
    bands change nothing.

    Raises:
        SceneError: A remote scene cannot be read.
    """
    task_settings = {
        "scene": fingerprint(task.scene),
        "bands": ",".join(map(str, task.scene.bands)),
        "nodata": str(task.scene.nodata),
        "grid": f"{task.grid.height} x {task.grid.width}",
        "tile size": str(task.tiling.tile),
        "overlap": str(task.tiling.overlap),
        "batch size": str(task.batch_size),
        "blend": task.blend,
        "test-time augmentation": task.tta,
        "area": "whole scene" if task.area is None else short_digest(task.area.polygon.wkb),
    }
    return {
        "geoconvlora": __version__,
        "torch": version("torch"),
        "model": model_digest(model),
        **task_settings,
        "outputs": ", ".join(path.name for path in plan.files),
        "probabilities": probs_dtype,
        "polygons": str(polygons),
    }


def model_digest(model: str | Path | Model) -> str:
    """Return what a model is known by: its name, its card's digest and its tensors'.

    Args:
        model: A name, a file, which says which base weights belong to it, or a loaded model.
    """
    if isinstance(model, (str, PathLike)):
        told = read_card(model)
        card = short_digest(told.model_dump_json().encode())
        return f"{told.name} {card} {sha256_of_model(find_model(model))[:16]}"
    from geoconvlora.weights.files import digest_of

    network = type(model.network)
    card = short_digest(model.card.model_dump_json().encode())
    tensors = digest_of({k: v.cpu() for k, v in model.network.state_dict().items()})[:16]
    return f"{model.card.name} {card} {network.__qualname__} {tensors}"


def model_sha256(model: str | Path | Model) -> str:
    """Return its file's sha256; empty for a loaded model, whose file may be gone."""
    return sha256_of_model(find_model(model)) if isinstance(model, (str, PathLike)) else ""


def short_digest(content: bytes) -> str:
    """Return enough of a sha256 to tell contents apart by."""
    return hashlib.sha256(content).hexdigest()[:16]
