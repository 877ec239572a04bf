"""Ground without any field: open sea, dunes, bare mountains; and cloud over anything.

Seas and deserts have little contrast, so percentile scaling blows up what there is: swell, depth,
ripples, noise. A network that has seen farmland only takes these for fields.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Layer = NDArray[np.float32]
Barren = Literal["sea", "dunes", "mountains"]
_CHANCES: dict[Barren, float] = {"sea": 0.3, "dunes": 0.4, "mountains": 0.3}


def barren_ground(rng: np.random.Generator, size: int, kind: Barren | None = None) -> Layer:
    """Sea, dunes or mountains in three bands of positive values, (3, size, size).

    Args:
        rng: Source of chance.
        size: Side in pixels.
        kind: What is drawn; None: any of them.
    """
    if kind is None:
        kind = list(_CHANCES)[int(rng.choice(len(_CHANCES), p=list(_CHANCES.values())))]
    make = {"sea": _sea, "dunes": _dunes, "mountains": _mountains}[kind]
    ground: Layer = np.clip(make(rng, size), 1e-3, None)
    return ground


def under_cloud(rng: np.random.Generator, image: Layer) -> tuple[Layer, NDArray[np.bool_]]:
    """Thick cloud and its shadow over an image.

    Args:
        rng: Source of chance.
        image: (3, H, H), any positive values.

    Returns:
        The image, and where cloud hides the ground, (H, H).
    """
    size = image.shape[1]
    shape = texture(rng, size, rng.uniform(1.2, 2.0))
    # From a few clouds to a closed cover.
    level = rng.uniform(-2.5, 1.5)
    cover = soft_step(shape, np.float32(rng.uniform(3, 12)), np.float32(level))
    away = rng.integers(-size // 8, size // 8 + 1, 2)
    shadow = np.roll(cover, tuple(away.tolist()), axis=(0, 1))
    image = image * (1 - np.float32(rng.uniform(0.2, 0.6)) * shadow)
    top = np.percentile(image, 98, axis=(1, 2), keepdims=True) * rng.uniform(1.2, 4)
    billows = 1 + rng.uniform(0.02, 0.15) * texture(rng, size, rng.uniform(0.8, 1.8))
    clouded = image * (1 - cover) + top * billows * cover
    return clouded.astype(np.float32), cover > 0.5


def texture(
    rng: np.random.Generator, size: int, slope: float, *, longest_px: float | None = None
) -> Layer:
    """Noise whose amplitude falls with this power of the frequency: (size, size), unit variance.

    Waves longer than ``longest_px``, or twice the side, are no stronger than those.
    """
    lowest = 1 / (longest_px or 2 * size)
    return _shaped(rng, size, np.maximum(_frequency(size), lowest) ** -slope)


def _shaped(rng: np.random.Generator, size: int, spectrum: NDArray[np.floating]) -> Layer:
    """Noise of a spectrum on the grid of :func:`_frequency`; its period is twice its side."""
    white = np.fft.rfft2(rng.standard_normal((2 * size, 2 * size)))
    noise = np.fft.irfft2(white * spectrum, s=(2 * size, 2 * size))[:size, :size]
    noise -= noise.mean()
    return np.asarray(noise / max(float(noise.std()), 1e-9), dtype=np.float32)


def _axes(size: int) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    return np.fft.fftfreq(2 * size)[:, None], np.fft.rfftfreq(2 * size)[None, :]


def _frequency(size: int) -> NDArray[np.floating]:
    return np.asarray(np.hypot(*_axes(size)))


def waves(rng: np.random.Generator, size: int, length_px: float, spread: float) -> Layer:
    """Waves of about one length and one direction."""
    y, x = _axes(size)
    heading = rng.uniform(0, math.pi)
    along = np.abs(x * math.cos(heading) + y * math.sin(heading)) * length_px - 1
    across = (y * math.cos(heading) - x * math.sin(heading)) * length_px
    return _shaped(rng, size, np.exp(-(along**2 + across**2) / (2 * spread**2)))


def _colour(rng: np.random.Generator, low: float, high: float, spread: float) -> Layer:
    """Brightness of three bands, alike up to a spread, (3, 1, 1)."""
    brightness = math.exp(rng.uniform(math.log(low), math.log(high)))
    return (brightness * np.exp(spread * rng.normal(size=(3, 1, 1)))).astype(np.float32)


def soft_step(values: Layer, steepness: float | np.float32, level: float | np.float32) -> Layer:
    """From 0 below a level to 1 above it."""
    # Far below the level the exponential is infinite, and the step the 0 that is meant.
    with np.errstate(over="ignore"):
        return np.asarray(1 / (1 + np.exp(-steepness * (values - level))))


def _mixed(
    share: NDArray[np.floating], one: NDArray[np.floating], other: NDArray[np.floating]
) -> Layer:
    return (share * one + (1 - share) * other).astype(np.float32)


def _sea(rng: np.random.Generator, size: int) -> Layer:
    """Water with swell, sediment and shallows, and sometimes a coast."""
    water = _colour(rng, 0.01, 0.06, 0.4)
    sea = water * (1 + rng.uniform(0, 0.06) * texture(rng, size, rng.uniform(0, 1)))
    for length_px in np.exp(rng.uniform(math.log(3), math.log(40), rng.integers(0, 3))):
        sea = sea * (1 + rng.uniform(0, 0.12) * waves(rng, size, length_px, 0.3))
    if rng.random() < 0.7:
        depth = texture(rng, size, rng.uniform(1.3, 2.4))
        shallow = soft_step(depth, rng.uniform(0.8, 4), rng.uniform(-0.5, 2))
        sea = _mixed(shallow, sea + _colour(rng, 0.005, 0.15, 0.5), sea)
    if rng.random() < 0.3:
        land = texture(rng, size, rng.uniform(1.4, 2.2)) > rng.uniform(0.5, 2)
        ground = _colour(rng, 0.04, 0.4, 0.3)
        rough = 1 + rng.uniform(0.05, 0.3) * texture(rng, size, rng.uniform(0.3, 1.5))
        sea = np.where(land, ground * rough, sea)
    return sea.astype(np.float32)


def _dunes(rng: np.random.Generator, size: int) -> Layer:
    """Sand in ridges that the sun lights from one side, with plains and rock between them."""
    ridges = np.zeros((size, size), np.float32)
    for length_px in np.exp(rng.uniform(math.log(3), math.log(30), rng.integers(1, 4))):
        crests = waves(rng, size, length_px, rng.uniform(0.1, 0.5))
        sharp = np.sign(crests) * np.abs(crests) ** rng.uniform(0.5, 1.5)
        strength = soft_step(texture(rng, size, 1.8), 2, 0)
        ridges += rng.uniform(0.02, 0.25) * sharp * strength
    slow = rng.uniform(0, 0.25) * texture(rng, size, rng.uniform(1.4, 2.4))
    sand = _colour(rng, 0.1, 0.45, 0.25) * (1 + ridges + slow)
    if rng.random() < 0.4:
        where = texture(rng, size, rng.uniform(1, 2))
        rock = soft_step(where, 8, rng.uniform(0, 2))
        rough = 1 + 0.2 * texture(rng, size, rng.uniform(0.3, 1.2))
        sand = _mixed(rock, _colour(rng, 0.05, 0.4, 0.25) * rough, sand)
    return sand.astype(np.float32)


def _mountains(rng: np.random.Generator, size: int) -> Layer:
    """Bare or wooded slopes, lit by the sun, often with snow."""
    height = texture(rng, size, rng.uniform(1.7, 2.3))
    down, right = np.gradient(height)
    sun = rng.uniform(0, 2 * math.pi)
    slope = down * math.sin(sun) + right * math.cos(sun)
    light = 1 + rng.uniform(0.1, 0.4) * slope / max(float(slope.std()), 1e-9)
    ground = _colour(rng, 0.05, 0.35, 0.3)
    for _ in range(int(rng.integers(0, 3))):
        patch = texture(rng, size, rng.uniform(1, 2)) + rng.normal() * height
        share = soft_step(patch, rng.uniform(2, 10), rng.uniform(-1, 2))
        ground = _mixed(share, _colour(rng, 0.03, 0.35, 0.3), ground)
    if rng.random() < 0.3:
        snow = soft_step(height, 6, rng.uniform(-1, 2))
        ground = _mixed(snow, _colour(rng, 0.5, 0.9, 0.05), ground)
    rough = 1 + rng.uniform(0.02, 0.15) * texture(rng, size, rng.uniform(0, 1))
    return np.asarray(ground * np.clip(light, 0.1, None) * rough, dtype=np.float32)
