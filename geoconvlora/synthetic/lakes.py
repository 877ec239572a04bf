"""Lakes and ponds in farmland: smooth, round and of any colour, often with a pale or green shore.

A network that has seen rivers and dark water only takes a lake as green as its fields for one.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from geoconvlora.synthetic.wilderness import soft_step, texture


def with_lakes(
    rng: np.random.Generator,
    image: NDArray[np.float32],
    field_ids: NDArray[np.integer],
    *,
    upscale: int,
) -> tuple[NDArray[np.float32], NDArray[np.integer]]:
    """Lakes over a landscape.

    Args:
        rng: Source of chance.
        image: (3, h, h), what a sensor sees.
        field_ids: (H, H) numbers of fields, 0 where there is none; H is ``upscale`` times h.
        upscale: How many times finer the fields are.

    Returns:
        The image, and the fields without what lies under water.
    """
    side = len(field_ids)
    # From a few large ones to many ponds.
    longest_px = math.exp(rng.uniform(math.log(side / 8), math.log(2 * side)))
    height = texture(rng, side, rng.uniform(1.6, 2.8), longest_px=longest_px)
    level = np.float32(np.quantile(height, rng.uniform(0.7, 0.98)))
    above = height - level
    lake = above > 0
    steepness = np.float32(rng.uniform(20, 60))
    wet = _means(soft_step(above, steepness, 0), upscale)
    spread = image.std(axis=(1, 2), keepdims=True)
    shore_width = rng.uniform(0.03, 0.25)
    if rng.random() < 0.6:
        shore = _means(soft_step(above, steepness, -shore_width), upscale)
        tone = image.mean(axis=(1, 2), keepdims=True) + spread * _tone(rng, 0.8)
        image = image * (1 - shore) + tone * shore
        lake = above > -shore_width
    image = image * (1 - wet) + _water(rng, image, spread) * wet
    return image.astype(np.float32), np.where(lake, 0, field_ids)


def _water(
    rng: np.random.Generator, image: NDArray[np.float32], spread: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The colour of the darkest ground, of ground that is there, or another; hardly any texture."""
    size = image.shape[1]
    kind = rng.random()
    if kind < 0.4:
        tone = np.percentile(image, rng.uniform(0, 5), axis=(1, 2), keepdims=True)
    elif kind < 0.8:
        row, column = rng.integers(0, size, 2)
        tone = image[:, row, column][:, None, None] + 0.3 * spread * _tone(rng, 1.0)
    else:
        tone = image.mean(axis=(1, 2), keepdims=True) + spread * _tone(rng, 1.2)
    slow = texture(rng, size, rng.uniform(1.4, 2.4)) * rng.uniform(0, 0.25)
    return np.asarray(tone + spread * slow * _tone(rng, 1.0), dtype=np.float32)


def _tone(rng: np.random.Generator, strength: float) -> NDArray[np.float32]:
    """A change of three bands, mostly of all alike, (3, 1, 1)."""
    change = strength * (0.9 * rng.normal() + 0.6 * rng.normal(size=(3, 1, 1)))
    return np.asarray(change, dtype=np.float32)


def _means(values: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    side = len(values) // size
    return np.asarray(values.reshape(side, size, side, size).mean(axis=(1, 3)), dtype=np.float32)
