"""Training samples from scenes and vector files of labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from geoconvlora.errors import LabelError
from geoconvlora.scenes import (
    Normaliser,
    PredictionGrid,
    Scene,
    Window,
    fit_normaliser,
    open_scene,
    read_grid,
)
from geoconvlora.training.config import IGNORE, SceneLabels, ScenesConfig, TrainConfig
from geoconvlora.training.labels import LabelMap, open_labels
from geoconvlora.training.samples import Sample
from geoconvlora.training.split import SceneSplit, split_scene, tiles_of
from geoconvlora.weights.card import Band

_TRIES = 8
_MIN_LABELLED = 0.2
"""Share of a training window that should be labelled; failing that, the best try is taken."""


@dataclass(frozen=True)
class LabelledScene:
    """One scene with its labels, its split and its way to scaled values."""

    scene: Scene
    grid: PredictionGrid
    scaler: Normaliser
    labels: LabelMap
    split: SceneSplit

    def train_mask(self, window: Window) -> NDArray[np.uint8]:
        """Labels of a window, 255 outside the training part."""
        return self._mask(window, self.split.train_pixels(window))

    def val_mask(self, window: Window) -> NDArray[np.uint8]:
        """Labels of a window, 255 outside the validation part."""
        return self._mask(window, self.split.val_pixels(window))

    def sample(self, window: Window, mask: NDArray[np.uint8], part: NDArray[np.bool_]) -> Sample:
        """The window's sample; what is outside the part is as invalid as nodata."""
        image, valid = read_grid(self.scene, self.grid, window, self.scaler)
        return Sample(image, mask, valid & part)

    def _mask(self, window: Window, part: NDArray[np.bool_]) -> NDArray[np.uint8]:
        return np.where(part, self.labels.burn(window), np.uint8(IGNORE))


class _Candidate(NamedTuple):
    scene: LabelledScene
    window: Window
    mask: NDArray[np.uint8]
    labelled: float


class SceneTrainPool:
    """Random windows of the scenes' training blocks, in proportion to their labelled area."""

    def __init__(
        self, scenes: Sequence[LabelledScene], tile_px: int, length: int, seed: int
    ) -> None:
        self._scenes = scenes
        self._blocks = [(scene, block) for scene in scenes for block in scene.split.train]
        areas = np.array([scene.labels.labelled_area(block) for scene, block in self._blocks])
        self._shares = areas / areas.sum()
        self._tile_px = tile_px
        self._length = length
        self._seed = seed

    def __len__(self) -> int:
        return self._length

    def draw(self, key: int) -> Sample:
        """A window of a random block, well labelled where that is found soon."""
        rng = np.random.default_rng((self._seed, key))
        best = self._candidate(rng)
        for _ in range(_TRIES - 1):
            if best.labelled >= _MIN_LABELLED:
                break
            best = max(best, self._candidate(rng), key=lambda candidate: candidate.labelled)
        part = best.scene.split.train_pixels(best.window)
        return best.scene.sample(best.window, best.mask, part)

    def _candidate(self, rng: np.random.Generator) -> _Candidate:
        scene, block = self._blocks[int(rng.choice(len(self._blocks), p=self._shares))]
        window = _window_in(block, self._tile_px, rng)
        mask = scene.train_mask(window)
        return _Candidate(scene, window, mask, float(np.mean(mask != IGNORE)))


class SceneValPool:
    """Windows that tile the scenes' validation blocks."""

    def __init__(
        self, scenes: Sequence[LabelledScene], tile_px: int, limit: int | None = None
    ) -> None:
        windows = [
            (scene, window)
            for scene in scenes
            for block in scene.split.val
            for window in tiles_of(block, tile_px)
            if (scene.val_mask(window) != IGNORE).any()
        ]
        if limit is not None and limit < len(windows):
            windows = [windows[len(windows) * i // limit] for i in range(limit)]
        self._windows = windows

    def __len__(self) -> int:
        return len(self._windows)

    def draw(self, key: int) -> Sample:
        """The window at this place."""
        scene, window = self._windows[key]
        return scene.sample(window, scene.val_mask(window), scene.split.val_pixels(window))


def open_scene_pools(
    config: TrainConfig, data: ScenesConfig
) -> tuple[SceneTrainPool, SceneValPool]:
    """Open scenes and labels, and split each scene into blocks.

    Raises:
        SceneError: A scene cannot be read.
        BandError: A scene's bands do not fit.
        LabelError: Labels cannot be used, or are too few for a split.
    """
    scenes = [_open(config, data, source) for source in data.scenes]
    train = SceneTrainPool(scenes, config.tile_size, data.samples_per_epoch, config.seed)
    return train, SceneValPool(scenes, config.tile_size, data.val_samples)


def _open(config: TrainConfig, data: ScenesConfig, source: SceneLabels) -> LabelledScene:
    plain = [Band(name=band.name, mean=0, std=1) for band in config.bands]
    scene = open_scene(
        source.image,
        wanted=[band.name for band in plain],
        bands=source.bands,
        nodata=source.nodata,
    )
    grid = PredictionGrid.for_scene(scene, config.resolution)
    gsd_m = scene.gsd_m * grid.zoom_out / grid.zoom_in
    labels = open_labels(
        config, source, grid.geobox, gsd_m=gsd_m, boundary_width_m=data.boundary_width_m
    )
    block_m = config.split.block_size_m
    split = split_scene(
        grid.height,
        grid.width,
        labelled_area=labels.labelled_area,
        fraction=config.split.fraction,
        tile_px=config.tile_size,
        block_px=None if block_m is None else max(1, round(block_m / gsd_m)),
        buffer_px=round(config.split.buffer_m / gsd_m),
        seed=config.split.seed,
    )
    if split is None:
        raise LabelError(
            f"{source.labels}: the labelled ground of {source.image} fills a single block, which "
            "cannot be split into training and validation: label more, or lower split.block_size_m"
        )
    return LabelledScene(scene, grid, fit_normaliser(config.scaling, plain, scene), labels, split)


def _window_in(block: Window, tile_px: int, rng: np.random.Generator) -> Window:
    """A tile within a block; where the block is smaller, one that holds it."""
    starts = []
    for start, size in ((block.row, block.height), (block.column, block.width)):
        low, high = sorted((start, start + size - tile_px))
        starts.append(int(rng.integers(low, high + 1)))
    return Window(starts[0], starts[1], tile_px, tile_px)
