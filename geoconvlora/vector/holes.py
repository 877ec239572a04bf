"""Holes that are small and that nobody else occupies become part of the region around them.

A hole is a 4-connected patch of pixels without polygon whose neighbours all belong to one region.
It is filled by joining it to that region before its pieces are put together; so nothing overlaps,
and an island of another region inside the hole keeps it open.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from geoconvlora.vector.parts import NOTHING, Ids, Parts
from geoconvlora.vector.trace import Polygons


class Holes:
    """The rule, and what must be remembered of patches that are still open.

    Args:
        limit_m2: Patches smaller than this are filled.
        area_m2: Areas of polygons given in pixels, ``(n,) -> (n,)``.
    """

    def __init__(self, limit_m2: float, area_m2: Callable[[Polygons], NDArray[np.float64]]) -> None:
        self._limit_m2 = limit_m2
        self._area_m2 = area_m2
        # Of the open parts: area so far (of patches), and whether it cannot be a hole any more.
        self._area: NDArray[np.float64] = np.empty(0)
        self._refused = np.empty(0, bool)
        # Open patch and open region that touch.
        self._pairs = np.empty((0, 2), np.int64)

    def fill(
        self,
        nodes: Parts,
        node_at: Ids,
        part_of: Ids,
        open_part: NDArray[np.bool_],
        *,
        top: bool,
        bottom: bool,
    ) -> tuple[Ids, NDArray[np.bool_], NDArray[np.bool_]]:
        """Join complete small holes to the region around them.

        Args:
            nodes: The open parts, then the regions of the new block.
            node_at: ``(h, W)`` node of each pixel of the block; but for the raster's first block
                one more row on top, the last of the block before.
            part_of: Part of each node.
            open_part: Whether a part touches the block's last row.
            top: The block is the raster's first.
            bottom: The block is the raster's last.

        Returns:
            The part of each node, filled holes joined; which nodes are a patch that was filled
            or may yet be; and which parts must be kept open although they end in this block.
        """
        count, known = len(open_part), len(self._area)
        patch = nodes.labels == NOTHING
        node_area = np.zeros(len(patch))
        node_area[:known] = self._area
        drawn = patch[nodes.piece_of] & (nodes.piece_of >= known)
        node_area[nodes.piece_of[drawn]] = self._area_m2(nodes.pieces[drawn])
        area: NDArray[np.float64] = np.bincount(part_of, node_area, count).astype(np.float64)

        refused = np.zeros(count, bool)
        refused[part_of[:known][self._refused]] = True
        border = [node_at[:, 0], node_at[:, -1]] + [node_at[0]] * top + [node_at[-1]] * bottom
        refused[part_of[np.concatenate(border)]] = True
        candidate = np.zeros(count, bool)
        candidate[part_of[patch]] = True
        candidate &= ~refused & (area < self._limit_m2)

        pairs = part_of[np.concatenate([self._pairs, _touching(node_at, patch)])]
        pairs = np.unique(pairs[candidate[pairs[:, 0]]], axis=0)
        hole, first, regions = np.unique(pairs[:, 0], return_index=True, return_counts=True)
        ended = ~open_part[hole]
        enclosed = ended & (regions == 1)
        joined = np.arange(count)
        joined[hole[enclosed]] = pairs[first[enclosed], 1]
        # Regions around a patch that has ended may yet turn out to be one, further down.
        waiting = np.zeros(count, bool)
        waiting[hole[ended & ~enclosed]] = True

        # A region that is complete while the patch beside it is not cannot lie around it.
        over = (open_part | waiting)[pairs[:, 0]] & ~open_part[pairs[:, 1]]
        refused[pairs[over, 0]] = True
        candidate[pairs[over, 0]] = False
        waiting[pairs[over, 0]] = False
        self._area, self._refused = area, refused
        self._pairs = pairs[(candidate & (open_part | waiting))[pairs[:, 0]]]
        return joined[part_of], candidate[part_of] & patch, waiting

    def renumber(self, open_part: NDArray[np.bool_], number: Ids) -> None:
        """Forget the parts that are complete; the open ones get new numbers."""
        self._area, self._refused = self._area[open_part], self._refused[open_part]
        self._pairs = number[self._pairs]


def _touching(node_at: Ids, patch: NDArray[np.bool_]) -> Ids:
    """``(k, 2)`` patch and region that share an edge between pixels, in no order."""
    across = np.stack([node_at[:, :-1].ravel(), node_at[:, 1:].ravel()], axis=1)
    along = np.stack([node_at[:-1].ravel(), node_at[1:].ravel()], axis=1)
    pairs = np.concatenate([across, along])
    side = patch[pairs]
    pairs, side = pairs[side[:, 0] != side[:, 1]], side[side[:, 0] != side[:, 1]]
    ordered: Ids = np.where(side[:, :1], pairs, pairs[:, ::-1])
    return ordered
