"""Weights that fall towards a map's valid edge, so that it fades into its neighbours."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

#: Pixels beyond which an edge is not looked for: what is read around a window is this much more.
MAX_FADE_PX = 512


def halo_of(fade_px: float) -> int:
    """Return how many pixels around a window its weights depend on."""
    return math.ceil(min(fade_px, MAX_FADE_PX))


def fade_weights(valid: NDArray[np.bool_], fade_px: float) -> NDArray[np.float32]:
    """Return the weight of the pixels in the middle of a window, ``(h - 2 halo, w - 2 halo)``.

    It is the distance to the nearest invalid pixel's centre over ``fade_px``, at most 1; 0 where
    invalid. Because it stops growing there, it follows exactly from the halo, whatever lies
    beyond.

    Args:
        valid: ``(h, w)``, with a halo of :func:`halo_of` pixels; outside the map it is False.
        fade_px: Pixels over which the weight rises; below 1 it does not fade.

    Example:
        >>> row = np.pad(np.ones((1, 5), bool), 2)
        >>> fade_weights(row, 2.0)
        array([[0.5, 0.5, 0.5, 0.5, 0.5]], dtype=float32)
    """
    halo, fade_px = halo_of(fade_px), min(fade_px, MAX_FADE_PX)
    height, width = valid.shape
    middle = slice(halo, height - halo), slice(halo, width - halo)
    if fade_px <= 1 or valid.all() or not valid[middle].any():
        return valid[middle].astype(np.float32)
    distance = distance_transform_edt(valid)
    weights: NDArray[np.float32] = np.minimum(distance[middle] / fade_px, 1).astype(np.float32)
    return weights
