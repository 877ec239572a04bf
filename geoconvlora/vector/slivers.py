"""Regions that are too small go to the neighbour that they share the longest border with.

Of the neighbours that are large enough, the label with the longest border takes the sliver, and it
joins all regions of that label beside it, as if its pixels had had that label. A sliver among
slivers stays what it is. Who is small is decided before anything is united, so the order of
decisions does not matter; a region waits until its neighbours are known to be small or large.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import shapely
from numpy.typing import NDArray

from geoconvlora.vector.parts import NOTHING
from geoconvlora.vector.ragged import RaggedPolygons
from geoconvlora.vector.trace import BoundaryGraph

Mask = NDArray[np.bool_]

SURELY = 4.0
"""Pixels of regions near the limit differ in area by less than this factor from the last row's."""


class Slivers:
    """The rule.

    Args:
        limit_m2: Regions smaller than this are given away.
        area_m2: Areas of polygons given in pixels, ``(n,) -> (n,)``.
    """

    def __init__(
        self, limit_m2: float, area_m2: Callable[[RaggedPolygons], NDArray[np.float64]]
    ) -> None:
        self._limit_m2 = limit_m2
        self._area_m2 = area_m2

    def give(self, graph: BoundaryGraph, open_root: Mask) -> None:
        """Unite small regions that are complete with their neighbours.

        Args:
            graph: Resolved.
            open_root: ``(n,)`` roots that go on; regions that must wait for them are added.
        """
        region = graph.is_root() & (graph.labels != NOTHING)
        region[0] = False
        small, unknown = self._small(graph, region, open_root)
        sides, lengths = graph.sides(), graph.lengths()
        edge = region[sides].all(axis=1) & (sides[:, 0] != sides[:, 1])
        pairs = np.concatenate([sides[edge], sides[edge][:, ::-1]])
        # Borders with slivers are none with the region that took them, or that they now equal.
        own = ~np.concatenate([graph.adopted()[edge]] * 2)
        lengths = np.concatenate([lengths[edge]] * 2)

        undecided = np.zeros(len(region), bool)
        undecided[pairs[unknown[pairs[:, 1]], 0]] = True
        undecided &= small
        waits = unknown | undecided
        held = pairs[waits[pairs[:, 1]], 0]
        candidate = own & (small & ~undecided)[pairs[:, 0]] & ~small[pairs[:, 1]]
        united = _longest(pairs[candidate], graph.labels, lengths[candidate])
        graph.adopt(np.flatnonzero(small & ~undecided))
        graph.unite(united)
        graph.unite_equals(undecided)
        open_root[held] = True
        open_root[graph.parent[open_root]] = True

    def _small(self, graph: BoundaryGraph, region: Mask, open_root: Mask) -> tuple[Mask, Mask]:
        """Which regions are complete and small, and which are open and may become so."""
        pixel_m2 = pixel_area(graph, self._area_m2)
        doubtful = region & (graph.pixels * pixel_m2 < SURELY * self._limit_m2)
        small = np.zeros(len(region), bool)
        ended = np.flatnonzero(doubtful & ~open_root)
        small[ended] = self._area_m2(graph.polygons(ended)) < self._limit_m2
        return small, doubtful & open_root


def pixel_area(
    graph: BoundaryGraph, area_m2: Callable[[RaggedPolygons], NDArray[np.float64]]
) -> float:
    """Area in m² of the smallest pixel of the last row."""
    column = np.array([0, graph.width // 2, graph.width - 1])
    pixel = shapely.box(column, graph.row - 1, column + 1, graph.row)
    return float(area_m2(RaggedPolygons.from_shapely(pixel)).min())


def _longest(
    pairs: NDArray[np.int32], labels: NDArray[np.int64], lengths: NDArray[np.int32]
) -> NDArray[np.int32]:
    """Pairs ``(k, 2)`` of each sliver and the neighbours of the label beside most of its border."""
    if not len(pairs):
        return pairs
    order = np.lexsort((labels[pairs[:, 1]], pairs[:, 0]))
    pairs, lengths = pairs[order], lengths[order]
    sliver, label = pairs[:, 0], labels[pairs[:, 1]]
    first = np.ones(len(pairs), bool)
    first[1:] = (sliver[1:] != sliver[:-1]) | (label[1:] != label[:-1])
    group = np.cumsum(first) - 1
    border = np.bincount(group, lengths)
    # Of equally long borders, the one with the least label.
    ranked = np.lexsort((label[first], -border, sliver[first]))
    _, best = np.unique(sliver[first][ranked], return_index=True)
    chosen = np.zeros(len(border), bool)
    chosen[ranked[best]] = True
    given: NDArray[np.int32] = pairs[chosen[group]]
    return given
