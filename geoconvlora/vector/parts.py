"""Connected parts of regions: what the tracer and the rule for holes share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geoconvlora.vector.trace import Polygons

Ids = NDArray[np.int64]

NOTHING = -(2**62)
"""Label of pixels that become no polygon; values of rasters lie above it."""


@dataclass(frozen=True)
class Parts:
    """Parts of regions, and their polygons so far.

    Attributes:
        labels: ``(n,)`` label of each part.
        pixels: ``(n,)`` pixels of each.
        weights: ``(n,)`` sum of the weights of those pixels.
        least: ``(n,)`` smallest of them.
        filled: ``(n,)`` pixels of patches without label that are joined to the part.
        pieces: ``(k,)`` polygons in pixels.
        piece_of: ``(k,)`` index of the part that a piece belongs to.
    """

    labels: Ids
    pixels: Ids
    weights: NDArray[np.float64]
    least: NDArray[np.float64]
    filled: Ids
    pieces: Polygons
    piece_of: Ids
