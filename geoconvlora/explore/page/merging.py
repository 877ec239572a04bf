"""Rasters at a fraction of their resolution: means of squares of valid pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.io import DatasetReader
from rasterio.windows import Window

from geoconvlora.scenes.scene import read_bands, stacked
from geoconvlora.scenes.validity import Validity

Mask = NDArray[np.bool_]

#: Pixels read at a time: several rows of a file's blocks, so that few of these are read twice.
_STRIP_PX = 2**25


def read_merged(
    dataset: DatasetReader, bands: Sequence[int], factor: int
) -> tuple[NDArray[np.float32], Mask]:
    """Read a raster whose pixels are means of ``factor`` x ``factor`` of its own.

    GDAL's own averaging takes ten times as long. An overview is where it starts, if there is one
    that is fine enough.

    Args:
        dataset: Open.
        bands: 1-based.
        factor: How many pixels become one along each side; the last column and row may have fewer.

    Returns:
        Means ``(C, h, w)`` of valid pixels, and where there are any ``(h, w)``.

    Example:
        >>> values, valid = read_merged(dataset, [1, 2, 3], 4)  # doctest: +SKIP
    """
    overviews = [n for n in dataset.overviews(bands[0]) if factor % n == 0]
    finer = max(overviews, default=1)
    rest = factor // finer
    height, width = -(-dataset.height // factor), -(-dataset.width // factor)
    means = np.empty((len(bands), height, width), np.float32)
    valid = np.empty((height, width), np.bool_)
    validity = Validity.of(dataset, bands, nodata=None, default_nodata=None)
    step = max(1, _STRIP_PX // (dataset.width * factor))
    for top in range(0, height, step):
        bottom = min(height, top + step)
        first, last = top * factor, min(dataset.height, bottom * factor)
        window = Window(0, first, dataset.width, last - first)
        shape = -(-(last - first) // finer), -(-dataset.width // finer)
        stored = read_bands(dataset, bands, window=window, shape=shape)
        held = validity.of_values(stored)
        values = stacked(stored)
        if validity.masked:
            masks = dataset.read_masks(list(bands), window=window, out_shape=(len(bands), *shape))
            held &= (masks > 0).all(axis=0)
        for alpha in validity.alpha:
            held &= dataset.read(alpha, window=window, out_shape=shape) > 0
        if values.dtype.kind == "f":
            held &= np.isfinite(values).all(axis=0)
        if not held.all():
            np.copyto(values, 0, where=~held)
        counts = _sums(held, rest)
        valid[top:bottom] = counts > 0
        for band, each in zip(means, values, strict=True):
            band[top:bottom] = _sums(each, rest) / np.maximum(counts, 1)
    return means, valid


def _sums(values: NDArray[Any], side: int) -> NDArray[Any]:
    """Sums over squares; those at the lower and right edge may be cut."""
    if side == 1:
        return values
    height, width = (-(-size // side) * side for size in values.shape)
    if (height, width) != values.shape:
        padding = [(0, height - values.shape[0]), (0, width - values.shape[1])]
        values = np.pad(values, padding)
    exact = np.uint32 if values.dtype.kind in "bu" and values.dtype.itemsize <= 2 else np.float64
    # Rows first: whole rows are added at the speed of memory.
    rows = values.reshape(height // side, side, width).sum(axis=1, dtype=exact)
    sums: NDArray[Any] = rows.reshape(len(rows), width // side, side).sum(axis=2)
    return sums
