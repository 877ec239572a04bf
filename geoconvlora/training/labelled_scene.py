"""A scene with its labels on the network's grid, and with the part that its ground is of."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geoconvlora.errors import BandError, ConfigError, LabelError
from geoconvlora.scenes import (
    Normaliser,
    PredictionGrid,
    Scene,
    Window,
    fit_normaliser,
    open_series,
    read_grid,
)
from geoconvlora.training.config import TrainConfig
from geoconvlora.training.data_config import IGNORE, SceneLabels, ScenesConfig
from geoconvlora.training.labels import Labels, open_labels
from geoconvlora.training.samples import Sample
from geoconvlora.training.split import Part, SceneSplit
from geoconvlora.training.windows import pieces_of
from geoconvlora.weights.card import Band

_ALIKE = 2**0.5
"""Pixel sizes within this ratio are one resolution: whole factors cannot bring them nearer."""


@dataclass(frozen=True)
class LabelledScene:
    """One scene with its labels and its way to scaled values."""

    name: str
    """File name without suffix, made unique."""
    source: SceneLabels
    scene: Scene
    grid: PredictionGrid
    gsd_m: float
    """Pixel size of the grid."""
    scaler: Normaliser
    labels: Labels

    def class_pixels(self, window: Window, classes: int) -> NDArray[np.int64]:
        """Labelled pixels of a window, (K,) by class, whether the scene has data there or not."""
        counts = np.zeros(IGNORE + 1, dtype=np.int64)
        for piece in pieces_of(window):
            counts += np.bincount(self.labels.burn(piece).ravel(), minlength=IGNORE + 1)
        return counts[:classes]


@dataclass(frozen=True)
class PartedScene:
    """A labelled scene whose ground is split into parts."""

    labelled: LabelledScene
    split: SceneSplit

    def mask(self, part: Part, window: Window) -> NDArray[np.uint8]:
        """Labels of a window, 255 outside the part."""
        seen = self.split.pixels(part, window)
        return np.where(seen, self.labelled.labels.burn(window), np.uint8(IGNORE))

    def sample(self, part: Part, window: Window) -> Sample:
        """The window's sample; what is outside the part is as invalid as nodata."""
        seen, here = self.split.pixels(part, window), self.labelled
        image, valid = read_grid(here.scene, here.grid, window, here.scaler)
        mask = np.where(seen & valid, here.labels.burn(window), np.uint8(IGNORE))
        return Sample(image, mask, valid & seen)


def open_labelled_scenes(config: TrainConfig, data: ScenesConfig) -> list[LabelledScene]:
    """Open scenes and labels.

    Raises:
        SceneError: A scene cannot be read.
        BandError: A scene's bands do not fit.
        LabelError: Labels cannot be used.
        ConfigError: The scenes' resolutions differ and the configuration does not name one.
    """
    scenes = [_open_scene(config, source, data) for source in data.scenes]
    _check_resolutions(config, scenes)
    names = _unique([source.images[0].stem for source in data.scenes])
    labelled = [
        _labelled(config, data, source, scene, name)
        for source, scene, name in zip(data.scenes, scenes, names, strict=True)
    ]
    _check_places(labelled)
    return labelled


def _open_scene(config: TrainConfig, source: SceneLabels, data: ScenesConfig) -> Scene:
    wanted = [band.name for band in config.bands]
    try:
        return open_series(source.images, wanted=wanted, bands=source.bands, nodata=source.nodata)
    except BandError as error:
        mend = str(error).replace("with --bands", "with 'bands' of this scene")
        if len(data.scenes) == 1:
            raise BandError(mend) from None
        place = data.scenes.index(source) + 1
        raise BandError(
            f"scene {place} of {len(data.scenes)} does not have the bands that all scenes must "
            f"have ({', '.join(wanted)}): {mend}"
        ) from None


def _check_resolutions(config: TrainConfig, scenes: list[Scene]) -> None:
    finest, coarsest = (pick(scenes, key=lambda s: s.gsd_m) for pick in (min, max))
    if config.resolution.gsd_m is None and coarsest.gsd_m > _ALIKE * finest.gsd_m:
        raise ConfigError(
            f"{finest.path} has pixels of {finest.gsd_m:.3g} m and {coarsest.path} of "
            f"{coarsest.gsd_m:.3g} m: set resolution.gsd_m to the pixel size that the network "
            "shall see"
        )


def _check_places(scenes: list[LabelledScene]) -> None:
    """Refuse a file none of whose labels lies on any scene that it is said to label."""
    by_file: dict[Path, list[LabelledScene]] = {}
    for scene in scenes:
        by_file.setdefault(scene.source.labels, []).append(scene)
    for file, labelled in by_file.items():
        bare = [scene for scene in labelled if not scene.labels.on_scene]
        if len(bare) == len(labelled):
            extent = bare[0].source.extent
            within = f" within {extent}" if extent else ""
            raise LabelError(
                f"{file}: none of its labels lies on {bare[0].source.name}{within}: are both of "
                "the same place, and is the CRS of each right?"
            )
        complete = [scene for scene in bare if scene.source.extent is None]
        if complete:
            warnings.warn(
                f"{file}: none of its labels lies on {len(complete)} of its {len(labelled)} scenes "
                f"(such as {complete[0].source.name}): all of them counts as background",
                UserWarning,
                stacklevel=3,
            )


def _labelled(
    config: TrainConfig, data: ScenesConfig, source: SceneLabels, scene: Scene, name: str
) -> LabelledScene:
    plain = [Band(name=band.name, mean=0, std=1) for band in config.bands]
    grid = PredictionGrid.for_scene(scene, config.resolution)
    gsd_m = scene.gsd_m * grid.zoom_out / grid.zoom_in
    return LabelledScene(
        name=name,
        source=source,
        scene=scene,
        grid=grid,
        gsd_m=gsd_m,
        scaler=fit_normaliser(source.scaling or config.scaling, plain, scene),
        labels=open_labels(config, data, source, grid.geobox, gsd_m=gsd_m),
    )


def _unique(names: list[str]) -> list[str]:
    """Names, of which repeated ones get a number."""
    found: list[str] = []
    for name in names:
        number, unique = 1, name
        while unique in found:
            number += 1
            unique = f"{name}-{number}"
        found.append(unique)
    return found
