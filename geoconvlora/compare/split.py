"""Which tiles train, validate and test: the same for every run of a comparison."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from geoconvlora.compare.config import CompareConfig
from geoconvlora.compare.inputs import TileSplit
from geoconvlora.errors import ConfigError, LabelError
from geoconvlora.training.split_apart import tile_of_two
from geoconvlora.training.tile_pool import tile_images


def split_tiles(config: CompareConfig) -> TileSplit:
    """Part the tiles at random by ``split.seed``: test first, then validation, then training.

    Raises:
        ConfigError: A tile is of two parts.
        LabelError: There are too few tiles.
        SceneError: A folder is missing or empty.
    """
    data, split = config.train.data, config.train.split
    tiles = tile_images(data, data.images, data.labels)
    order = np.random.default_rng(split.seed).permutation(len(tiles))
    left = [tiles[index] for index in order]
    if config.test.images is not None and config.test.labels is not None:
        test = tile_images(data, config.test.images, config.test.labels)
    else:
        test, left = _take(left, config.test.fraction or 0.0, "testing")
    if data.val_images is not None and data.val_labels is not None:
        val = tile_images(data, data.val_images, data.val_labels)
    else:
        val, left = _take(left, split.fraction, "validation")
    twice = tile_of_two({"training": left, "validation": val, "testing": test})
    if twice is not None:
        # Scores would be of what was trained on.
        tile, first, part = twice
        raise ConfigError(
            f"{tile} is for {first} and for {part}: give folders that share no tile, or fractions "
            "of one folder"
        )
    train, val_stems, test_stems = (tuple(path.stem for path in part) for part in (left, val, test))
    return TileSplit(train=train, val=tuple(sorted(val_stems)), test=tuple(sorted(test_stems)))


def _take(tiles: list[Path], fraction: float, part: str) -> tuple[list[Path], list[Path]]:
    count = max(1, round(fraction * len(tiles)))
    if count >= len(tiles):
        raise LabelError(f"{len(tiles)} tiles are too few to part some for {part} from the rest")
    return tiles[:count], tiles[count:]
