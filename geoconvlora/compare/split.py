"""Which tiles train, validate and test: the same for every run of a comparison."""

from __future__ import annotations

import numpy as np

from geoconvlora.compare.config import CompareConfig
from geoconvlora.compare.inputs import TileSplit
from geoconvlora.errors import LabelError
from geoconvlora.training.tile_pool import tile_images


def split_tiles(config: CompareConfig) -> TileSplit:
    """Part the tiles at random by ``split.seed``: test first, then validation, then training.

    Raises:
        LabelError: There are too few tiles.
        SceneError: A folder is missing or empty.
    """
    data, split = config.train.data, config.train.split
    stems = [path.stem for path in tile_images(data, data.images, data.labels)]
    order = np.random.default_rng(split.seed).permutation(len(stems))
    left = [stems[index] for index in order]
    if config.test.images is not None and config.test.labels is not None:
        found = tile_images(data, config.test.images, config.test.labels)
        test = tuple(path.stem for path in found)
    else:
        test, left = _take(left, config.test.fraction or 0.0, "testing")
    if data.val_images is not None and data.val_labels is not None:
        found = tile_images(data, data.val_images, data.val_labels)
        val = tuple(path.stem for path in found)
    else:
        val, left = _take(left, split.fraction, "validation")
    return TileSplit(train=tuple(left), val=tuple(sorted(val)), test=tuple(sorted(test)))


def _take(stems: list[str], fraction: float, part: str) -> tuple[tuple[str, ...], list[str]]:
    count = max(1, round(fraction * len(stems)))
    if count >= len(stems):
        raise LabelError(f"{len(stems)} tiles are too few to part some for {part} from the rest")
    return tuple(stems[:count]), stems[count:]
