"""From the configuration's data section to pools of samples for training and validation."""

from __future__ import annotations

from typing import NamedTuple

from geoconvlora.training.config import TrainConfig
from geoconvlora.training.data_config import (
    MixConfig,
    ScenesConfig,
    SyntheticConfig,
    TilesConfig,
)
from geoconvlora.training.normalise import NormalisedPool
from geoconvlora.training.samples import ChainedPool, MixedPool, Pool
from geoconvlora.training.scene_pool import open_scene_pools
from geoconvlora.training.split_apart import check_ground, check_tiles
from geoconvlora.training.split_record import SplitRecord
from geoconvlora.training.survey import Survey, Surveyed, check_classes, measured_bands
from geoconvlora.training.synthetic_pool import SyntheticPool
from geoconvlora.training.tile_pool import open_tile_pools
from geoconvlora.weights.card import Band

_DRAWN = 256
"""Synthetic samples that statistics are measured on."""


class Sources(NamedTuple):
    """All that a run sees, and the statistics that it is normalised with."""

    train: Pool
    val: Pool
    bands: tuple[Band, ...]
    test: Pool
    """What the run keeps for ``evaluate``; maybe empty."""
    split: SplitRecord
    """What ground, or which tiles, are of which part."""


def open_sources(config: TrainConfig) -> Sources:
    """Open the data that a configuration names, and measure statistics that it leaves out.

    Raises:
        SceneError: An image cannot be read, or its statistics are not numbers.
        BandError: An image's bands do not fit the configuration's.
        LabelError: Labels cannot be used, or a part lacks what it needs.
        ConfigError: The split names a scene that is not there, resolutions differ, or a tile is of
            two parts.

    Warns:
        UserWarning: Sources of a mix show common ground, which they put into different parts.
    """
    train, val, test, split = _parts(config, config.data)
    check_tiles(split)
    check_classes(config, train.survey, val.survey)
    bands = _given_bands(config) or measured_bands(config, train.survey)
    return Sources(
        NormalisedPool(train, bands),
        NormalisedPool(val, bands),
        bands,
        NormalisedPool(test, bands),
        split,
    )


class _Parts(NamedTuple):
    train: Surveyed
    val: Surveyed
    test: Pool
    split: SplitRecord


def _given_bands(config: TrainConfig) -> tuple[Band, ...]:
    return tuple(
        Band(name=band.name, mean=band.mean, std=band.std)
        for band in config.bands
        if band.mean is not None and band.std is not None
    )


def _parts(config: TrainConfig, data: object) -> _Parts:
    match data:
        case TilesConfig():
            return _Parts(*open_tile_pools(config, data))
        case ScenesConfig():
            return _Parts(*open_scene_pools(config, data))
        case SyntheticConfig():
            return _drawn(config, data)
        case MixConfig():
            return _mixed(config, data)
    raise AssertionError(data)


def _drawn(config: TrainConfig, data: SyntheticConfig) -> _Parts:
    pools = [SyntheticPool(data, config.tile_size, validation=part) for part in (False, True)]
    # Landscapes hold all classes and have a known scale, so given statistics need no look at them.
    count = 0 if _given_bands(config) else _DRAWN
    surveys = [
        Survey.of(
            (pool.draw(key) for key in range(min(count, len(pool)))),
            len(config.bands),
            len(config.classes),
            drawn=True,
        )
        for pool in pools
    ]
    train, val = (Surveyed(pool, survey) for pool, survey in zip(pools, surveys, strict=True))
    return _Parts(train, val, ChainedPool([]), SplitRecord())


def _mixed(config: TrainConfig, data: MixConfig) -> _Parts:
    parts = [_parts(config, part.source) for part in data.sources]
    weights = [part.weight for part in data.sources]
    shares = [weight / sum(weights) for weight in weights]
    trains, vals, tests, splits = zip(*parts, strict=True)
    check_ground(splits)
    train = MixedPool(trains, weights, config.seed, data.samples_per_epoch)
    return _Parts(
        Surveyed(train, Survey.joined([pool.survey for pool in trains], shares)),
        Surveyed(ChainedPool(vals), Survey.joined([pool.survey for pool in vals], shares)),
        ChainedPool(tests),
        SplitRecord.joined(splits),
    )
