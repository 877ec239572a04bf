"""Where objects start: basins in the landscape of boundary probability.

A threshold on probabilities merges neighbours behind a weak boundary and loses small objects that
are nearly all boundary. A basin asks only that the boundary around is higher than the inside, by
``seed_depth``: an extended minimum (Soille, Morphological Image Analysis, 2003, section 6.3.4).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from geoconvlora.vector.minima import LEVELS, basins
from geoconvlora.vector.rows import RowBuffer
from geoconvlora.weights.card import InstanceRule

LEAST_EXTENT = 0.2
"""Where the extent is lower, boundary probability is not enlarged further."""

RADIUS_SIGMAS = 3.0

BASIN_ROWS = 512
CONTEXT_ROWS = 128

_SMOOTHED_ROWS = 128


@dataclass(frozen=True)
class BasinRows:
    """Rows of the landscape, and what starts in them.

    Attributes:
        heights: ``(h, W)`` uint8; ``LEVELS`` outside the objects' extent.
        inside: ``(h, W)``, where objects may be.
        seeds: ``(h, W)``, pixels of basins.
        extent: ``(h, W)`` P(interior) + P(boundary).
    """

    heights: NDArray[np.uint8]
    inside: NDArray[np.bool_]
    seeds: NDArray[np.bool_]
    extent: NDArray[np.float32]


class BasinStream:
    """Rows of class probabilities to rows with basins, in blocks at fixed rows.

    Args:
        rule: The model card's rule.
        block_rows: Rows of the raster whose basins are found together, from its first row on. They
            belong to the rule for basins, like the context, and not to how rows are fed.
        context_rows: Rows above and below them that are looked at: whether a place is lower than
            all around it is not asked further away.
    """

    def __init__(
        self, rule: InstanceRule, *, block_rows: int = BASIN_ROWS, context_rows: int = CONTEXT_ROWS
    ) -> None:
        self._rule = rule
        self._block_rows = block_rows
        self._context_rows = context_rows + math.ceil(RADIUS_SIGMAS * rule.smoothing)
        self._buffer = RowBuffer()
        self._above = 0

    def feed(
        self, probabilities: NDArray[np.float32], valid: NDArray[np.bool_]
    ) -> Iterator[BasinRows]:
        """Take rows ``(K, h, W)`` with their validity ``(h, W)``; yield those that are final."""
        interior = np.where(valid, probabilities[self._rule.interior], np.float32(0))
        boundary = np.where(valid, probabilities[self._rule.boundary], np.float32(0))
        interior += boundary
        self._buffer.push(interior, boundary)
        while self._buffer.rows > self._above + self._block_rows + self._context_rows:
            yield self._block(self._block_rows)

    def finish(self) -> Iterator[BasinRows]:
        """Yield the rows that were still waiting for those below."""
        while self._buffer.rows > self._above:
            yield self._block(min(self._block_rows, self._buffer.rows - self._above))

    def _block(self, rows: int) -> BasinRows:
        above = self._above
        extent, boundary = self._buffer.peek(above + rows + self._context_rows)
        inside = extent > self._rule.extent_threshold
        heights = self._heights(boundary, extent)
        heights[~inside] = LEVELS
        seeds = inside & basins(heights, round(self._rule.seed_depth * LEVELS))
        final = slice(above, above + rows)
        # Copies, so that the context does not stay in memory behind views.
        done = BasinRows(
            heights[final].copy(), inside[final].copy(), seeds[final].copy(), extent[final].copy()
        )
        self._above = min(above + rows, self._context_rows)
        self._buffer.drop(above + rows - self._above)
        return done

    def _heights(
        self, boundary: NDArray[np.float32], extent: NDArray[np.float32]
    ) -> NDArray[np.uint8]:
        """Boundary probability of what is in the extent, smoothed."""
        heights = np.empty(extent.shape, np.uint8)
        # A few rows at a time, with those that smoothing looks at: wide scenes fill much memory.
        reach = math.ceil(RADIUS_SIGMAS * self._rule.smoothing)
        for first in range(0, len(extent), _SMOOTHED_ROWS):
            top, stop = max(0, first - reach), min(first + _SMOOTHED_ROWS, len(extent))
            seen = slice(top, stop + reach)
            ridges = np.maximum(extent[seen], np.float32(LEAST_EXTENT))
            np.divide(boundary[seen], ridges, out=ridges)
            if self._rule.smoothing > 0:
                gaussian_filter(
                    ridges,
                    self._rule.smoothing,
                    mode="nearest",
                    truncate=RADIUS_SIGMAS,
                    output=ridges,
                )
            ridges = ridges[first - top : stop - top]
            np.clip(ridges, 0, 1, out=ridges)
            ridges *= LEVELS
            heights[first:stop] = np.rint(ridges, out=ridges)
        return heights
