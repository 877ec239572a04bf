"""Overlapping tiles' probabilities averaged in a moving band of rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class RowBlender:
    """Weighted mean of tiles, kept for one row of tiles.

    The mean is updated tile by tile, ``mean += (new - mean) * weight / total_weight``: where tiles
    agree it is exactly what they say, and pixels that a single tile covers are not rounded.
    Tiles must come in a fixed order (rounding is all that the order changes).

    Example:
        >>> blender = RowBlender(1, 4, np.ones((2, 2), np.float32))
        >>> for column in (0, 2):
        ...     blender.add(column, np.full((1, 2, 2), 0.5, np.float32))
        >>> blender.take(2).shape
        (1, 2, 4)
    """

    def __init__(self, classes: int, width: int, weights: NDArray[np.float32]) -> None:
        """Start with no tile.

        Args:
            classes: K.
            width: Columns of the band, at least one tile's.
            weights: ``(tile, tile)``, positive.
        """
        tile = weights.shape[0]
        self._weights = weights
        self._mean = np.zeros((classes, tile, width), dtype=np.float32)
        self._total = np.zeros((tile, width), dtype=np.float32)

    def add(self, column: int, probabilities: NDArray[np.float32]) -> None:
        """Blend in a tile ``(K, tile, tile)`` of the present row of tiles."""
        part = slice(column, column + self._weights.shape[1])
        total = self._total[:, part]
        total += self._weights
        mean = self._mean[:, :, part]
        mean += (probabilities - mean) * (self._weights / total)

    def take(self, rows: int) -> NDArray[np.float32]:
        """Return the first rows ``(K, rows, width)``, which are final, and move the band past them.

        Pixels that no tile covered are 0.
        """
        final = self._mean[:, :rows].copy()
        kept = self._total.shape[0] - rows
        self._mean[:, :kept] = self._mean[:, rows:]
        self._total[:kept] = self._total[rows:]
        self._mean[:, kept:] = 0
        self._total[kept:] = 0
        return final
