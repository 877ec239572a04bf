"""Training samples: an image as the network sees it and its labels, from one integer."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from geoconvlora.synthetic.hardship import (
    DARK,
    MONOTONOUS,
    SMALL,
    STREAKED,
    monotonous,
    streaked,
    with_a_dark_crop,
    with_plots,
    with_small_fields,
)
from geoconvlora.synthetic.labels import label_fields
from geoconvlora.synthetic.lakes import with_lakes
from geoconvlora.synthetic.layout import lay_out
from geoconvlora.synthetic.noise import PERIOD, noise_bank
from geoconvlora.synthetic.palettes import recorded_colours
from geoconvlora.synthetic.render import CELLS_A_PIXEL, blur, draw_warp, look_up, render
from geoconvlora.synthetic.spectra import BANDS, CoverColours, modelled_colours
from geoconvlora.synthetic.style import Cover, draw_style
from geoconvlora.synthetic.surfaces import clothe
from geoconvlora.synthetic.wilderness import Barren, barren_ground, under_cloud

SENSOR_GSD_M = 10.0
GSD_FACTORS = (0.6, 1.7)
LARGEST_WILDERNESS = 4
"""Side of the largest scene without fields, in chips."""


def training_sample(
    seed: int,
    size: int = 256,
    *,
    upscale: int = 2,
    wilderness: float = 0.0,
    overcast: float = 0.0,
    barren: Barren | None = None,
    lakes: float = 0.0,
    plots: float = 0.0,
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """One synthetic chip with three bands and its field labels.

    The sensor's pixels are about 10 m; all radiometric variety is in: band choice, haze, shadow,
    gamma, noise, compression, and percentile scaling as at prediction.

    Args:
        seed: Any integer at or above 0; the same seed gives the same sample everywhere.
        size: Side of image and label, in pixels; a multiple of ``upscale``.
        upscale: How many times finer the label is than the sensor; the image is enlarged
            bilinearly by this factor.
        wilderness: Chance that the chip shows sea, dunes or mountains and no field at all.
        overcast: Chance of thick cloud; what it hides is background.
        barren: What a chip without fields shows; None: any of them.
        lakes: Chance of lakes of any colour in farmland; they are background.
        plots: Chance of farmland in plots of a tenth to half a hectare.

    Returns:
        Image (3, size, size) float32, most values in 0 to 1 (the 2nd and 98th percentile of a
        scene around it), and label (size, size) uint8: 0 background, 1 field interior, 2 boundary.

    Raises:
        ValueError: ``size`` is no positive multiple of ``upscale``.

    Example:
        >>> image, label = training_sample(7, size=128)
        >>> image.shape, label.shape, int(label.max()) <= 2
        ((3, 128, 128), (128, 128), True)
    """
    if upscale < 1 or size < upscale or size % upscale:
        raise ValueError(f"size {size} must be a positive multiple of upscale {upscale}")
    rng = np.random.default_rng([seed, 0x5EED])
    if wilderness and rng.random() < wilderness:
        image = _sensor(rng, _wilderness(rng, size // upscale, overcast, barren))
        return enlarge(image, upscale), np.zeros((size, size), np.uint8)
    image, label = _farmland(rng, size, upscale, lakes, plots)
    scene = image = _atmosphere(rng, image)
    if overcast and rng.random() < overcast:
        image, hidden = under_cloud(rng, image)
        label = np.where(hidden.repeat(upscale, 0).repeat(upscale, 1), np.uint8(0), label)
        # The scene is half as clouded, or just so.
        scene = np.concatenate([scene, image], axis=2) if rng.random() < 0.5 else image
    image = _sensor(rng, _scale_as_a_scene(rng, image, scene))
    return enlarge(image, upscale), label


def _wilderness(
    rng: np.random.Generator, size: int, overcast: float, barren: Barren | None
) -> NDArray[np.float32]:
    """A part of a scene without any field, scaled as the whole scene: (3, size, size).

    Percentiles of a chip alone would show the little that it holds stronger than a scene does.
    """
    whole = size * int(rng.integers(1, LARGEST_WILDERNESS + 1))
    scene = _atmosphere(rng, barren_ground(rng, whole, barren))
    if rng.random() < overcast:
        scene, _ = under_cloud(rng, scene)
    row, column = rng.integers(0, whole - size + 1, 2)
    chip = scene[:, row : row + size, column : column + size]
    return _scale_as_a_scene(rng, chip, scene)


def _farmland(
    rng: np.random.Generator, size: int, upscale: int, lakes: float, plots: float
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """What a sensor sees of a landscape, and its labels, ``upscale`` times finer."""
    cells = size // upscale * CELLS_A_PIXEL
    low, high = GSD_FACTORS
    gsd_m = SENSOR_GSD_M * math.exp(rng.uniform(math.log(low), math.log(high)))
    cell_m = gsd_m / CELLS_A_PIXEL

    style, colours = draw_style(rng), sensed_colours(rng)
    if rng.random() < SMALL:
        style = with_small_fields(rng, style)
    if plots and rng.random() < plots:
        style = with_plots(rng, style)
    if rng.random() < MONOTONOUS:
        style, colours = monotonous(rng, style, colours)
    if rng.random() < DARK:
        colours = with_a_dark_crop(rng, colours)
    warp = draw_warp(rng, style.wander_m / cell_m, cell_m)
    margin = warp.reach + 1
    layout = lay_out(rng, style, cells + 2 * margin, cells + 2 * margin, cell_m)
    surfaces = clothe(rng, layout, colours, cell_m)
    if rng.random() < STREAKED:
        surfaces = streaked(rng, surfaces, layout, cell_m)

    centres = np.arange(cells) + 0.5 + margin
    seen = look_up(layout.surface, *warp.at(centres, centres))
    image = blur(render(seen, surfaces), rng.uniform(0.02, 0.17))

    centres = (np.arange(size) + 0.5) * (CELLS_A_PIXEL / upscale) + margin
    covers = look_up(layout.cover, *warp.at(centres, centres))
    ids = np.where(layout.kind == Cover.FIELD, np.arange(len(layout.kind)), 0)[covers]
    if lakes and rng.random() < lakes:
        image, ids = with_lakes(rng, image, ids, upscale=upscale)
    return image, label_fields(ids)


def sensed_colours(rng: np.random.Generator) -> CoverColours:
    """Colours of a landscape in three bands: true colour, false colour or some other choice."""
    if rng.random() < 0.5:
        colours, bands = recorded_colours(rng)
    else:
        colours, bands = modelled_colours(rng), BANDS
    unit = np.eye(len(bands))
    choice = rng.random()
    if choice < 0.35:
        mix = unit[[bands.index(band) for band in ("red", "green", "blue")]]
    elif choice < 0.7:
        first = "nir" if "nir" in bands else "green"
        mix = unit[
            [bands.index(band) for band in (first, "red", "green" if first == "nir" else "blue")]
        ]
    elif choice < 0.88:
        mix = unit[rng.permutation(len(bands))[:3]]
    else:
        mix = rng.dirichlet(np.full(len(bands), 0.8)) + rng.uniform(0, 0.5) * unit[:3]
    if rng.random() < 0.3:
        mix = mix + 0.12 * rng.normal(size=mix.shape)
    return colours.select(mix)


def _cut_out(
    rng: np.random.Generator, texture: NDArray[np.float32], size: int
) -> NDArray[np.float32]:
    """A random square of a periodic texture."""
    row, column = rng.integers(0, PERIOD, 2)
    rows = (row + np.arange(size)) % PERIOD
    columns = (column + np.arange(size)) % PERIOD
    return np.asarray(texture[rows[:, None], columns[None, :]])


def _atmosphere(rng: np.random.Generator, image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Uneven haze, cloud shadow and thin cloud."""
    spread = image.std(axis=(1, 2), keepdims=True)
    size = image.shape[1]
    if rng.random() < 0.35:
        haze = _cut_out(rng, noise_bank().soil, size)
        weight = np.abs(rng.normal(0, 0.18, (3, 1, 1))).astype(np.float32)
        image = image + weight * spread * haze
    if rng.random() < 0.10:
        shade = _cut_out(rng, noise_bank().spots, size)
        image = image * (1 - np.float32(rng.uniform(0.15, 0.5)) * shade)
    if rng.random() < 0.06:
        cloud = _cut_out(rng, noise_bank().spots, size) * np.float32(rng.uniform(0.1, 0.5))
        bright = image.max(axis=(1, 2), keepdims=True) * np.float32(rng.uniform(0.7, 1.3))
        image = image * (1 - cloud) + bright * cloud
    return image.astype(np.float32)


def _scale_as_a_scene(
    rng: np.random.Generator, image: NDArray[np.float32], known: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Percentile scaling of a scene that the chip is a part of.

    The scene's 2nd and 98th percentiles differ from those of what is ``known`` of it, and mostly
    lie further apart.
    """
    low, high = np.percentile(known, [2, 98], axis=(1, 2), keepdims=True).astype(np.float64)
    span = np.maximum(high - low, 1e-4)
    common = rng.normal()
    for_low = np.abs(0.10 * common + 0.10 * rng.normal(size=(3, 1, 1))) - 0.04
    for_high = np.abs(0.18 * rng.normal() + 0.15 * rng.normal(size=(3, 1, 1))) - 0.05
    low = low - for_low * span
    high = high + for_high * span
    scaled = (image - low) / np.maximum(high - low, 0.3 * span)
    if rng.random() < 0.5:
        power = np.exp(rng.normal(0, 0.22) + 0.08 * rng.normal(size=(3, 1, 1)))
        scaled = np.sign(scaled) * np.abs(scaled) ** power
    return np.asarray(scaled, dtype=np.float32)


def _sensor(rng: np.random.Generator, image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Noise, stripes of compression and rounding, and values beyond the range that 8 bits clip."""
    noise = math.exp(rng.uniform(math.log(0.002), math.log(0.035)))
    image = image + np.float32(noise) * rng.standard_normal(image.shape, dtype=np.float32)
    if rng.random() < 0.12:
        image = _blocky(image, np.float32(rng.uniform(0.2, 0.8)))
    if rng.random() < 0.35:
        levels = np.float32(rng.integers(24, 256))
        image = (np.round(image * levels) / levels).astype(np.float32)
    if rng.random() < 0.5:
        image = np.clip(image, -0.02, 1.02)
    return np.clip(image, -0.5, 2.0).astype(np.float32)


def _blocky(image: NDArray[np.float32], strength: np.float32) -> NDArray[np.float32]:
    """Detail lost in squares of 8 pixels, as by strong compression."""
    bands, height, width = image.shape
    rows, columns = height // 8 * 8, width // 8 * 8
    squares = image[:, :rows, :columns].reshape(bands, rows // 8, 8, columns // 8, 8)
    means = squares.mean(axis=(2, 4), keepdims=True)
    detail = squares - means
    kept = np.where(np.abs(detail) < 0.06, detail * (1 - strength), detail)
    image = image.copy()
    image[:, :rows, :columns] = (means + kept).reshape(bands, rows, columns)
    return image


def enlarge(image: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """Bilinear enlargement about pixel centres, (bands, H, W) to (bands, H*factor, W*factor)."""
    for axis in (1, 2):
        if factor == 1:
            break
        count = image.shape[axis]
        place = (np.arange(count * factor) + 0.5) / factor - 0.5
        before = np.clip(np.floor(place).astype(np.int64), 0, count - 1)
        behind = np.clip(before + 1, 0, count - 1)
        weight = np.clip(place - before, 0, 1).astype(np.float32)
        shape = [1, 1, 1]
        shape[axis] = len(weight)
        weight = weight.reshape(shape)
        image = image.take(before, axis) * (1 - weight) + image.take(behind, axis) * weight
    return image
