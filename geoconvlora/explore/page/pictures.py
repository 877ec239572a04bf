"""Rasters as pictures that a browser shows: colours, transparency, files in memory."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import MemoryFile

from geoconvlora.errors import BandError
from geoconvlora.explore.page.class_areas import ClassLegend
from geoconvlora.explore.page.grid import Bounds, Plane
from geoconvlora.explore.page.raster_file import RasterFile, data_bands
from geoconvlora.scenes.environment import raster_environment
from geoconvlora.scenes.scene import band_labels

MAX_PROBABILITIES = 8
"""Bands of probabilities that are shown."""
_QUALITY = 80
_STRETCH = (2, 98)
_STRETCH_PX = 1_000_000
#: Steps of probability that the eye can tell apart; fewer make smaller files.
RAMP_STEPS = 64
_RAMP = "viridis"
_CLEAR = 255


@dataclass(frozen=True)
class Picture:
    """A raster, or a band of it, as an image file.

    Attributes:
        name: Of the layer.
        bounds: In the page's CRS.
        mime: Type of the image.
        image: The file.
        shape: Its height and width.
    """

    name: str
    bounds: Bounds
    mime: str
    image: bytes
    shape: tuple[int, int]


def scene_bands(raster: RasterFile, asked: Sequence[int] | None) -> tuple[int, ...]:
    """Bands that stand for red, green and blue, or one for grey.

    By their names or colours; where those do not tell, the first three.

    Raises:
        BandError: The raster has no such band.
    """
    labels = band_labels(raster.dataset)
    if asked is not None:
        missing = [band for band in asked if not 1 <= band <= len(labels)]
        if missing or len(asked) not in (1, 3):
            raise BandError(
                f"{raster.path}: --bands takes one band or three of 1 to {len(labels)}, "
                f"e.g. --bands 3,2,1; not {','.join(map(str, asked))}"
            )
        return tuple(asked)
    bands = data_bands(raster.dataset)
    by_role = {labels[band - 1].role: band for band in reversed(bands)}
    colours = [by_role.get(role) for role in ("red", "green", "blue")]
    if len(bands) < 3:
        return tuple(bands[:1])
    return tuple(band for band in colours if band is not None) if all(colours) else tuple(bands[:3])


def draw_scene(raster: RasterFile, bands: Sequence[int], plane: Plane, side: int) -> Picture:
    """Bands stretched from their 2nd to their 98th percentile; clear where there is no data."""
    seen = raster.read(bands, plane, side, merge=True)
    values, valid = seen.values, seen.valid
    image = np.empty((4, *valid.shape), np.uint8)
    for channel, band in enumerate(values):
        image[channel] = _stretched(band, valid)
    for channel in range(len(values), 3):
        image[channel] = image[0]
    image[3] = np.where(valid, 255, 0)
    return Picture(
        raster.name,
        seen.bounds,
        "image/webp",
        encode(image, "WEBP", QUALITY=_QUALITY),
        valid.shape,
    )


def draw_classes(raster: RasterFile, legend: ClassLegend, plane: Plane, side: int) -> Picture:
    """Classes in their colours; background and no data are clear."""
    seen = raster.read([1], plane, side, merge=False)
    values, valid = seen.values, seen.valid
    index = np.full(valid.shape, _CLEAR, np.uint8)
    for place, value in enumerate(legend.ids):
        index[valid & (values[0] == value)] = place
    palette = {
        i: (*bytes.fromhex(entry.color[1:]), 0 if entry.clear else 255)
        for i, entry in enumerate(legend.entries)
    }
    image = encode(index[None], "PNG", palette={**palette, _CLEAR: (0, 0, 0, 0)}, ZLEVEL=9)
    return Picture(raster.name, seen.bounds, "image/png", image, valid.shape)


def draw_probabilities(raster: RasterFile, plane: Plane, side: int) -> list[Picture]:
    """Each band from 0 to 1 in the colours of :func:`ramp`, the background's left out."""
    bands = shown_probabilities(raster)
    seen = raster.read(bands, plane, side, merge=True)
    valid = seen.valid
    palette = {i: (*bytes.fromhex(color[1:]), 255) for i, color in enumerate(ramp(RAMP_STEPS))} | {
        _CLEAR: (0, 0, 0, 0)
    }
    pictures = []
    for band, stored in zip(bands, seen.values, strict=True):
        with np.errstate(invalid="ignore"):
            steps = raster.unscaled([band], stored[None])[0] * np.float32(RAMP_STEPS - 1)
            steps = np.clip(steps + np.float32(0.5), 0, RAMP_STEPS - 1)
        index = np.where(valid, np.nan_to_num(steps), _CLEAR).astype(np.uint8)
        name = raster.dataset.descriptions[band - 1] or f"band {band}"
        image = encode(index[None], "PNG", palette=palette, ZLEVEL=9)
        pictures.append(
            Picture(f"{raster.name}: {name}", seen.bounds, "image/png", image, index.shape)
        )
    return pictures


def shown_probabilities(raster: RasterFile) -> list[int]:
    """1-based bands of probabilities that are shown."""
    bands = data_bands(raster.dataset)
    names = raster.dataset.descriptions
    named = [band for band in bands if names[band - 1] != "background"]
    return (named or bands)[:MAX_PROBABILITIES]


def ramp(steps: int) -> list[str]:
    """Colours of 0 to 1 as ``#rrggbb``, in even steps of lightness.

    Example:
        >>> ramp(2)
        ['#440154', '#fde725']
    """
    import matplotlib
    from matplotlib.colors import to_hex

    colours = matplotlib.colormaps[_RAMP](np.linspace(0, 1, steps))
    return [to_hex(colour) for colour in colours]


def encode(
    image: NDArray[np.uint8],
    driver: str,
    *,
    palette: dict[int, tuple[int, ...]] | None = None,
    **creation: Any,
) -> bytes:
    """Write bands ``(C, h, w)`` as an image file in memory."""
    with raster_environment(), warnings.catch_warnings(), MemoryFile() as memory:
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        count, height, width = image.shape
        with memory.open(
            driver=driver, count=count, height=height, width=width, dtype="uint8", **creation
        ) as target:
            target.write(image)
            if palette is not None:
                target.write_colormap(1, palette)
        return bytes(memory.getbuffer())


def _stretched(band: NDArray[Any], valid: NDArray[np.bool_]) -> NDArray[np.uint8]:
    held = band[valid]
    if not held.size:
        return np.zeros(band.shape, np.uint8)
    step = -(-held.size // _STRETCH_PX)
    low, high = (float(v) for v in np.percentile(held[::step], _STRETCH))
    scale = np.float32(255 / (high - low)) if high > low else np.float32(0)
    with np.errstate(invalid="ignore", over="ignore"):
        bright = (band.astype(np.float32) - np.float32(low)) * scale
    image: NDArray[np.uint8] = np.nan_to_num(np.clip(bright, 0, 255)).astype(np.uint8)
    return image
