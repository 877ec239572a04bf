"""From the configuration's data section to pools of samples for training and validation."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from geoconvlora.errors import LabelError
from geoconvlora.training.config import (
    MixConfig,
    ScenesConfig,
    SyntheticConfig,
    TilesConfig,
    TrainConfig,
)
from geoconvlora.training.normalise import NormalisedPool
from geoconvlora.training.samples import ChainedPool, MixedPool, Pool
from geoconvlora.training.scene_pool import open_scene_pools
from geoconvlora.training.synthetic_pool import SyntheticPool
from geoconvlora.training.tile_pool import open_tile_pools
from geoconvlora.weights.card import Band

_STATISTICS_SAMPLES = 256
"""Training samples that statistics are measured on."""


class Sources(NamedTuple):
    """All that a run sees, and the statistics that it is normalised with."""

    train: Pool
    val: Pool
    bands: tuple[Band, ...]


def open_sources(config: TrainConfig) -> Sources:
    """Open the data that a configuration names, and measure statistics that it leaves out.

    Raises:
        SceneError: An image cannot be read.
        BandError: An image's bands do not fit the configuration's.
        LabelError: Labels cannot be used.
    """
    train, val = _pools(config, config.data)
    if len(val) == 0:
        raise LabelError(
            "no pixel of the validation part is labelled: raise split.fraction, or take another "
            "split.seed"
        )
    bands = _given_bands(config) or _measured_bands(config, train)
    return Sources(NormalisedPool(train, bands), NormalisedPool(val, bands), bands)


def _given_bands(config: TrainConfig) -> tuple[Band, ...]:
    return tuple(
        Band(name=band.name, mean=band.mean, std=band.std)
        for band in config.bands
        if band.mean is not None and band.std is not None
    )


def _measured_bands(config: TrainConfig, scaled: Pool) -> tuple[Band, ...]:
    """Mean and standard deviation of the valid pixels of the first training samples."""
    count = 0
    total = np.zeros(len(config.bands))
    squares = np.zeros(len(config.bands))
    for key in range(min(len(scaled), _STATISTICS_SAMPLES)):
        sample = scaled.draw(key)
        values = sample.image[:, sample.valid].astype(np.float64)
        count += values.shape[1]
        total += values.sum(axis=1)
        squares += (values**2).sum(axis=1)
    if count == 0:
        raise LabelError("the training images have no valid pixel: look at their nodata value")
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 0))
    return tuple(
        Band(name=band.name, mean=float(m), std=float(s) if s > 0 else 1.0)
        for band, m, s in zip(config.bands, mean, std, strict=True)
    )


def _pools(config: TrainConfig, data: object) -> tuple[Pool, Pool]:
    match data:
        case TilesConfig():
            return open_tile_pools(config, data)
        case ScenesConfig():
            return open_scene_pools(config, data)
        case SyntheticConfig():
            return (
                SyntheticPool(data, config.tile_size),
                SyntheticPool(data, config.tile_size, validation=True),
            )
        case MixConfig():
            pairs = [_pools(config, part.source) for part in data.sources]
            trains, vals = zip(*pairs, strict=True)
            weights = [part.weight for part in data.sources]
            train = MixedPool(trains, weights, config.seed, data.samples_per_epoch)
            return train, ChainedPool(vals)
    raise AssertionError(data)
