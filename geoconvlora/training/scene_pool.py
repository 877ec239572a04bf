"""Training samples from scenes and their labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from geoconvlora.scenes import Window
from geoconvlora.training.cells import Block, Cells
from geoconvlora.training.config import TrainConfig
from geoconvlora.training.data_config import IGNORE, ScenesConfig
from geoconvlora.training.labelled_scene import PartedScene, open_labelled_scenes
from geoconvlora.training.labels import BACKGROUND
from geoconvlora.training.rasters import is_raster
from geoconvlora.training.samples import Pool, Sample
from geoconvlora.training.scene_split import split_scenes
from geoconvlora.training.split import PARTS, Part
from geoconvlora.training.split_record import SplitRecord
from geoconvlora.training.survey import Survey, Surveyed, count_classes
from geoconvlora.training.windows import pieces_of, tiles_of, window_around

_SAMPLES_PER_EPOCH = 1000
_CELLS_A_TILE = 2
"""Along a side: windows are drawn around cells, whose labels are counted once."""


class RandomWindows:
    """Random windows of the training part, in proportion to its labelled pixels.

    Args:
        cells: Of the training part.
        tile_px: Side of a window.
        length: Samples in an epoch.
        seed: Of the choice.
        balanced: Choose a class first, each as often as the others, and then a place where it is.
        empty_windows: Share that is kept of the windows with nothing but background.
    """

    def __init__(
        self,
        cells: Cells,
        tile_px: int,
        length: int,
        seed: int,
        *,
        balanced: bool,
        empty_windows: float,
    ) -> None:
        self._cells = cells
        counts = cells.class_pixels().astype(np.float64)
        weights = counts.T if balanced else counts.sum(axis=1)[None]
        present = weights[weights.any(axis=1)]
        self._shares = np.cumsum(present / present.sum(axis=1, keepdims=True), axis=1)
        foreground = counts[:, 1:].sum(axis=1)
        self._foreground = np.cumsum(foreground / max(1, foreground.sum()))
        self._tile_px = tile_px
        self._length = length
        self._seed = seed
        self._empty_windows = empty_windows

    def __len__(self) -> int:
        return self._length

    def draw(self, key: int) -> Sample:
        """The window that the key's own random numbers choose."""
        rng = np.random.default_rng((self._seed, key))
        sample = self._around(self._shares[int(rng.integers(len(self._shares)))], rng)
        if rng.random() >= self._empty_windows and _is_empty(sample) and self._foreground[-1]:
            sample = self._around(self._foreground, rng)
        return sample

    def _around(self, shares: NDArray[np.float64], rng: np.random.Generator) -> Sample:
        place = int(np.searchsorted(shares, rng.random() * shares[-1], side="right"))
        block, cell = self._cells.at(min(place, len(self._cells) - 1))
        window = window_around(cell, block.window, self._tile_px, rng)
        return block.scene.sample("train", window)


class GridWindows:
    """Windows in rows and columns, each once a round, in an order of its own each round.

    Args:
        windows: Of the training part.
        length: Samples in an epoch; None: all windows.
        seed: Of the orders.
    """

    def __init__(
        self, windows: Sequence[tuple[PartedScene, Window]], length: int | None, seed: int
    ) -> None:
        self._windows = windows
        self._length = length or len(windows)
        self._seed = seed

    def __len__(self) -> int:
        return self._length

    def draw(self, key: int) -> Sample:
        """The window that the key's round has at its place."""
        turn, place = divmod(key, len(self._windows))
        order = np.random.default_rng((self._seed, turn)).permutation(len(self._windows))
        scene, window = self._windows[int(order[place])]
        return scene.sample("train", window)


class TiledWindows:
    """Windows that tile the blocks of a held-out part.

    Args:
        scenes: All scenes.
        part: Validation or test.
        tile_px: Side of a window.
        limit: Windows at most, spread evenly; None: all.
    """

    def __init__(
        self, scenes: Sequence[PartedScene], part: Part, tile_px: int, limit: int | None = None
    ) -> None:
        windows = list(_tiles(scenes, part, tile_px))
        if limit is not None and limit < len(windows):
            windows = [windows[len(windows) * i // limit] for i in range(limit)]
        self._windows = windows
        self._part = part

    def __len__(self) -> int:
        return len(self._windows)

    def draw(self, key: int) -> Sample:
        """The window at this place."""
        scene, window = self._windows[key]
        return scene.sample(self._part, window)


class ScenePools(NamedTuple):
    """All parts of a set of scenes."""

    train: Surveyed
    val: Surveyed
    test: Pool
    split: SplitRecord


def open_scene_pools(config: TrainConfig, data: ScenesConfig) -> ScenePools:
    """Open scenes and labels, split their ground, and survey it: every pixel is read once.

    Raises:
        SceneError: A scene cannot be read.
        BandError: A scene's bands do not fit.
        LabelError: Labels cannot be used, or are too few for a split.
        ConfigError: The resolutions differ and none is asked for, or a scene that the split names
            is not there.
    """
    scenes = split_scenes(config, open_labelled_scenes(config, data))
    cells, train = _surveyed(config, scenes, "train")
    _, val = _surveyed(config, scenes, "val")
    _, test = _surveyed(config, scenes, "test")
    counts = {"train": train, "val": val, "test": test}
    record = SplitRecord(
        scenes=tuple(scenes),
        class_pixels={part: tuple(counts[part].class_pixels.tolist()) for part in PARTS},
    )
    tile_px, limit = config.tile_size, data.val_samples
    return ScenePools(
        Surveyed(_train_pool(config, data, scenes, cells), train),
        Surveyed(TiledWindows(scenes, "val", tile_px, limit), val),
        TiledWindows(scenes, "test", tile_px),
        record,
    )


def _train_pool(
    config: TrainConfig, data: ScenesConfig, scenes: Sequence[PartedScene], cells: Cells
) -> Pool:
    if len(cells) == 0:
        return GridWindows([], None, config.seed)
    if data.sampling != "grid":
        return RandomWindows(
            cells,
            config.tile_size,
            data.samples_per_epoch or _SAMPLES_PER_EPOCH,
            config.seed,
            balanced=data.sampling == "balanced",
            empty_windows=data.empty_windows,
        )
    windows = list(_tiles(scenes, "train", config.tile_size, data.overlap))
    rng = np.random.default_rng(config.seed)
    kept = [
        (scene, window)
        for (scene, window), number in zip(windows, rng.random(len(windows)), strict=True)
        if number < data.empty_windows or not _is_background(scene.mask("train", window))
    ]
    return GridWindows(kept or windows, data.samples_per_epoch, config.seed)


def _surveyed(
    config: TrainConfig, scenes: Sequence[PartedScene], part: Part
) -> tuple[Cells, Survey]:
    """The cells of a part with labels, and the survey of all its pixels."""
    classes = len(config.classes)
    cells = Cells(classes)

    def samples() -> Iterator[Sample]:
        for scene in scenes:
            for block in scene.split.blocks[part]:
                cells.add_block(Block(scene, block))
                for piece in pieces_of(block):
                    sample = scene.sample(part, piece)
                    for cell in pieces_of(piece, config.tile_size // _CELLS_A_TILE):
                        counts = count_classes(sample.cut(cell.slices_within(piece)), classes)
                        if counts.any():
                            cells.add(cell, counts)
                    yield sample

    survey = Survey.of(samples(), len(config.bands), classes)
    if any(not is_raster(scene.labelled.source.labels) for scene in scenes):
        survey = replace(survey, may_lack=frozenset({BACKGROUND}))
    return cells, survey


def _tiles(
    scenes: Sequence[PartedScene], part: Part, tile_px: int, overlap: int = 0
) -> Iterator[tuple[PartedScene, Window]]:
    """Windows that tile the blocks of a part and hold labels."""
    for scene in scenes:
        for block in scene.split.blocks[part]:
            for window in tiles_of(block, tile_px, overlap):
                if (scene.mask(part, window) != IGNORE).any():
                    yield scene, window


def _is_background(mask: NDArray[np.uint8]) -> bool:
    return not ((mask != BACKGROUND) & (mask != IGNORE)).any()


def _is_empty(sample: Sample) -> bool:
    return _is_background(sample.mask[sample.valid])
