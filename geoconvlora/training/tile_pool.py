"""Training samples from folders of image tiles and label tiles."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from geoconvlora.errors import LabelError, SceneError
from geoconvlora.scenes import Window
from geoconvlora.training.config import TrainConfig
from geoconvlora.training.data_config import IGNORE, TilesConfig
from geoconvlora.training.rasters import rasters_in
from geoconvlora.training.samples import Pool, Sample
from geoconvlora.training.split import PARTS, Part
from geoconvlora.training.split_record import SplitRecord
from geoconvlora.training.survey import Survey, Surveyed
from geoconvlora.training.tile_pair import TilePair, checked_pair
from geoconvlora.training.tile_split import split_tiles
from geoconvlora.training.windows import tiles_of
from geoconvlora.weights.card import Scaling


class TileTrainPool:
    """Every tile once a round, in an order of its own each round, cropped at random."""

    def __init__(
        self,
        pairs: Sequence[TilePair],
        scaling: Scaling,
        tile_px: int,
        seed: int,
        samples_per_epoch: int | None = None,
    ) -> None:
        self._pairs = pairs
        self._scaling = scaling
        self._tile_px = tile_px
        self._seed = seed
        self._length = samples_per_epoch or len(pairs)

    def __len__(self) -> int:
        return self._length

    def draw(self, key: int) -> Sample:
        """A crop of the tile that the key's round has at its place."""
        turn, place = divmod(key, len(self._pairs))
        order = np.random.default_rng((self._seed, turn)).permutation(len(self._pairs))
        pair = self._pairs[int(order[place])]
        rng = np.random.default_rng((self._seed, turn, place))
        row, column = (
            int(rng.integers(0, max(0, size - self._tile_px) + 1))
            for size in (pair.height, pair.width)
        )
        return pair.read(Window(row, column, self._tile_px, self._tile_px), self._scaling)


class TileValPool:
    """Crops that cover every tile."""

    def __init__(self, pairs: Sequence[TilePair], scaling: Scaling, tile_px: int) -> None:
        self._scaling = scaling
        self._crops = [(pair, crop) for pair in pairs for crop in tiles_of(pair.whole, tile_px)]

    def __len__(self) -> int:
        return len(self._crops)

    def draw(self, key: int) -> Sample:
        """The crop at this place."""
        pair, crop = self._crops[key]
        return pair.read(crop, self._scaling)


class TilePools(NamedTuple):
    """All parts of a set of tiles."""

    train: Surveyed
    val: Surveyed
    test: Pool
    split: SplitRecord


def open_tile_pools(config: TrainConfig, data: TilesConfig) -> TilePools:
    """Pair and check all tiles, split and survey them.

    Raises:
        LabelError: An image has no label or two, a pair's grids differ, a label holds an unknown
            class, or there is no tile of a name.
        SceneError: An image cannot be read, or two have one stem.
        BandError: An image's bands do not fit.
        ConfigError: The split is one of scenes.
    """
    parts = _parts(config, data)
    surveys = {
        part: Survey.of(
            (pair.read(pair.whole, config.scaling) for pair in parts[part]),
            len(config.bands),
            len(config.classes),
        )
        for part in PARTS
    }
    record = SplitRecord(
        tiles={part: tuple(pair.image for pair in parts[part]) for part in PARTS},
        class_pixels={part: tuple(surveys[part].class_pixels.tolist()) for part in PARTS},
    )
    train = TileTrainPool(
        parts["train"], config.scaling, config.tile_size, config.seed, data.samples_per_epoch
    )
    val, test = (TileValPool(parts[part], config.scaling, config.tile_size) for part in PARTS[1:])
    return TilePools(Surveyed(train, surveys["train"]), Surveyed(val, surveys["val"]), test, record)


def _parts(config: TrainConfig, data: TilesConfig) -> Mapping[Part, Sequence[TilePair]]:
    train_names, val_names = data.train_tiles, data.val_tiles
    if data.val_images is not None and data.val_labels is not None:
        train = find_pairs(config, data, data.images, data.labels, train_names)
        val = find_pairs(config, data, data.val_images, data.val_labels, val_names)
    elif train_names is not None and val_names is not None:
        train = find_pairs(config, data, data.images, data.labels, train_names)
        val = find_pairs(config, data, data.images, data.labels, val_names)
    else:
        pairs = find_pairs(config, data, data.images, data.labels)
        counts = np.array([pair.class_pixels for pair in pairs])
        places = [pair.geobox for pair in pairs]
        parts = split_tiles(config.split, places, counts, str(data.images))
        return {part: [pairs[i] for i in parts[part]] for part in PARTS}
    return {"train": train, "val": val, "test": []}


def find_pairs(
    config: TrainConfig,
    data: TilesConfig,
    images: Path,
    labels: Path,
    names: Collection[str] | None = None,
) -> list[TilePair]:
    """Pair the tiles of two folders by stem and check every pair; by name, those named only."""
    by_stem = _by_stem(rasters_in(labels))
    paths = tile_images(data, images, labels)
    if names is not None:
        absent = sorted(set(names) - {path.stem for path in paths})
        if absent:
            raise LabelError(f"{images} holds no image tile {absent[0]}, which is named for it")
        paths = [path for path in paths if path.stem in set(names)]
    missing = [path for path in paths if path.stem + data.label_suffix not in by_stem]
    if missing:
        raise LabelError(
            f"{len(missing)} of {len(paths)} image tiles have no label in {labels}: "
            f"{missing[0].name} needs {missing[0].stem}{data.label_suffix} with the suffix of a "
            "raster"
        )
    found = [(path, by_stem[path.stem + data.label_suffix]) for path in paths]
    for path, several in found:
        if len(several) > 1:
            raise LabelError(
                f"{several[0]} and {several[1]} are both the label of {path.name}: move one "
                "of them elsewhere"
            )
    names_of_bands = [band.name for band in config.bands]
    ids = {c.id for c in config.classes} | {IGNORE}
    return [checked_pair(path, label, names_of_bands, data, ids) for path, (label, *_) in found]


def tile_images(data: TilesConfig, images: Path, labels: Path) -> list[Path]:
    """The image tiles of a folder, by name.

    Raises:
        SceneError: There is none, or two have one stem.
    """
    paths = [path for path in rasters_in(images) if path.match(data.pattern)]
    if images == labels:
        paths = [path for path in paths if not path.stem.endswith(data.label_suffix)]
    if not paths:
        raise SceneError(f"{images} holds no image tile that matches {data.pattern!r}")
    for several in _by_stem(paths).values():
        if len(several) > 1:
            raise SceneError(
                f"{several[0]} and {several[1]} would be one tile twice: name those that count by "
                f"data.pattern, such as '*{several[0].suffix}'"
            )
    return paths


def _by_stem(paths: Sequence[Path]) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for path in paths:
        found.setdefault(path.stem, []).append(path)
    return found
