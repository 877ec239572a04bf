"""Arrays as pictures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from geoconvlora.errors import BandError
from geoconvlora.explore.legend import Legend

RGBA = NDArray[np.uint8]
"""``(h, w, 4)``, transparent where there is no data."""

_FALSE_COLOUR = ("nir", "red", "green")
_TRUE_COLOUR = ("red", "green", "blue")
PERCENTILES = (2.0, 98.0)


def scene_rgba(scene: xr.DataArray, bands: Sequence[str] | None = None) -> RGBA:
    """Three bands of ``(band, y, x)``, each from its 2nd to its 98th percentile, or one in grey.

    Args:
        scene: Values, NaN where invalid.
        bands: Names of three bands, or of one; None: red, green and blue where there are such,
            else the first three, or the first.

    Raises:
        BandError: There is no such band, or two are given.
    """
    dim = scene.dims[0]
    names = [str(name) for name in scene[dim].values]
    chosen = list(bands) if bands is not None else _chosen(names)
    if len(chosen) not in (1, 3) or not set(chosen) <= set(names):
        raise BandError(
            f"bands {', '.join(chosen)} cannot be drawn: give one or three of {', '.join(names)}"
        )
    values = np.asarray(scene.isel({dim: [names.index(name) for name in chosen]}).values)
    valid = np.isfinite(values).all(axis=0)
    image = np.zeros((*values.shape[1:], 4), np.uint8)
    if valid.any():
        low, high = np.percentile(values[:, valid], PERCENTILES, axis=1)[:, :, None, None]
        with np.errstate(invalid="ignore"):
            scaled = np.clip((values - low) / np.where(high > low, high - low, 1), 0, 1)
        image[..., :3] = np.moveaxis(np.nan_to_num(scaled) * 255, 0, -1).astype(np.uint8)
    image[..., 3] = np.where(valid, 255, 0)
    return image


def classes_rgba(classes: xr.DataArray) -> RGBA:
    """Class ids ``(y, x)`` in their colours."""
    legend = Legend.of_attributes(classes.attrs, str(classes.name))
    ids = np.asarray(classes.values)
    image: RGBA = legend.table()[ids]
    image[ids == classes.attrs.get("_FillValue", 65535)] = 0
    return image


def probability_rgba(chance: xr.DataArray) -> RGBA:
    """Probabilities ``(y, x)`` from 0 to 1, in viridis."""
    import matplotlib

    values = np.asarray(chance.values)
    image: RGBA = matplotlib.colormaps["viridis"](np.nan_to_num(values), bytes=True)
    image[~np.isfinite(values)] = 0
    return image


def _chosen(names: Sequence[str]) -> list[str]:
    for wanted in (_TRUE_COLOUR, _FALSE_COLOUR):
        if set(wanted) <= set(names):
            return list(wanted)
    return list(names[:3]) if len(names) >= 3 else list(names[:1])
