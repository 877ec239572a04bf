"""Water as a camera sees it from above: of any colour, over shallows, with swell and sun glint.

Six places of one city show black and green water. That it may be brown, that sand shines through
it, and that the sun glints on it, must be drawn.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from geoconvlora.synthetic.wilderness import Layer, soft_step, texture, waves

LAND, WATER = 0, 1
_COLOURS = {
    "black": (0.05, 0.06, 0.06),
    "brown": (0.20, 0.17, 0.12),
    "green": (0.10, 0.17, 0.12),
    "blue": (0.06, 0.13, 0.20),
    "grey": (0.20, 0.22, 0.23),
}
"""Of water, as shares of a camera's full scale."""
_SAND = (0.72, 0.68, 0.60)
_ROCK = (0.38, 0.36, 0.33)


def coast(rng: np.random.Generator, size: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Water with or without bare land.

    Args:
        rng: Source of chance.
        size: Side in pixels.

    Returns:
        Image (3, size, size) as a camera stores it, and classes (size, size): 0 land, 1 water.

    Example:
        >>> image, classes = coast(np.random.default_rng(1), 64)
        >>> image.dtype, image.shape, classes.shape
        (dtype('uint8'), (3, 64, 64), (64, 64))
    """
    height = texture(rng, size, rng.uniform(1.4, 2.2)) - rng.uniform(-0.6, 2.5)
    land = height > 0
    water = _water(rng, size)
    clear = np.exp(np.minimum(height, 0) * rng.uniform(1, 8)) * rng.uniform(0, 0.9)
    sand = _shade(rng, _SAND, 0.1)
    shallow = sand * np.array([0.7, 0.95, 0.85], np.float32)[:, None, None]
    water = water * (1 - clear) + shallow * clear
    water = water + _glint(rng, size)
    ground = sand * (1 + rng.uniform(0.02, 0.12) * texture(rng, size, rng.uniform(0.4, 1.4)))
    if rng.random() < 0.4:
        rock = soft_step(texture(rng, size, rng.uniform(1, 2)), 6, rng.uniform(-0.5, 1.5))
        rough = 1 + 0.15 * texture(rng, size, rng.uniform(0.3, 1.2))
        ground = ground * (1 - rock) + _shade(rng, _ROCK, 0.2) * rough * rock
    image = np.where(land, ground, water)
    image = image + rng.uniform(0, 0.02) * rng.standard_normal(image.shape)
    stored = np.clip(image * 255, 1, 255).astype(np.uint8)
    return stored, np.where(land, LAND, WATER).astype(np.uint8)


def _water(rng: np.random.Generator, size: int) -> NDArray[np.float32]:
    """Two waters that meet, with swell."""
    one, other = (_shade(rng, _COLOURS[name], 0.35) for name in rng.choice(list(_COLOURS), 2))
    plume = soft_step(texture(rng, size, rng.uniform(1.4, 2.4)), rng.uniform(0.8, 6), 0.3)
    water = one * (1 - plume) + other * plume
    # From a mirror to chop, whose crests run every way.
    steepest, spread = rng.choice([(0.12, 0.3), (0.35, 1.2)])
    for length_px in np.exp(rng.uniform(np.log(3), np.log(40), rng.integers(0, 4))):
        crests = waves(rng, size, length_px, rng.uniform(0.3, spread))
        water = water * np.maximum(1 + rng.uniform(0, steepest) * crests, 0)
    return np.asarray(water, dtype=np.float32)


def _glint(rng: np.random.Generator, size: int) -> Layer:
    """What the crests of waves throw back of the sun, here more and there less."""
    if rng.random() < 0.4:
        return np.zeros((size, size), np.float32)
    crests = waves(rng, size, rng.uniform(2.5, 12), rng.uniform(0.4, 1.2))
    bright = np.exp(np.minimum(rng.uniform(0.8, 2.0) * (crests - 1.5), 1.5))
    where = soft_step(texture(rng, size, rng.uniform(1.4, 2.2)), rng.uniform(1, 5), 0)
    return np.asarray(rng.uniform(0.02, 0.25) * bright * where, dtype=np.float32)


def _shade(
    rng: np.random.Generator, colour: tuple[float, float, float], spread: float
) -> NDArray[np.float32]:
    """A colour lighter or darker, and a little another, (3, 1, 1)."""
    tone = np.exp(spread * rng.normal() + 0.25 * spread * rng.normal(size=3))
    return np.asarray((np.array(colour) * tone)[:, None, None], dtype=np.float32)
