"""How many polygons each polygon shares an edge with, counted while regions come and go.

A region leaves when no later row can change its number. Its neighbours may still grow by then, but
it must be sure that no two of them are one, and that none of them ends too small to be written. A
region that goes on need only remember how many neighbours have left before it: they were told
apart from each other when they left, and a region that is counted leaves once.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from geoconvlora.vector.parts import NOTHING, Ids
from geoconvlora.vector.ragged import RaggedPolygons
from geoconvlora.vector.slivers import SURELY, pixel_area
from geoconvlora.vector.trace import BoundaryGraph

Mask = NDArray[np.bool_]


class Neighbours:
    """The count, and what must be remembered of regions that are still open.

    Args:
        area_m2: Areas of polygons given in pixels, ``(n,) -> (n,)``.
        min_area_m2: Regions smaller than this are not written, and count for nobody.
        min_weight: Likewise regions of a lower mean weight.
        renames: Whether labels may yet be renamed, so that any two open regions may be one;
            otherwise only regions of one label may.
    """

    def __init__(
        self,
        area_m2: Callable[[RaggedPolygons], NDArray[np.float64]],
        *,
        min_area_m2: float = 0.0,
        min_weight: float = 0.0,
        renames: bool = False,
    ) -> None:
        self._area_m2 = area_m2
        self._min_area_m2, self._min_weight = min_area_m2, min_weight
        self._renames = renames
        # Of the components kept: their neighbours that have left.
        self._left: Ids = np.zeros(1, np.int64)

    def count(self, graph: BoundaryGraph, open_root: Mask) -> Ids:
        """Count the neighbours of regions that are complete.

        Args:
            graph: Resolved.
            open_root: ``(n,)`` roots that go on or wait; those that must wait for their number
                are added.

        Returns:
            ``(n,)`` neighbours of each root, final for those that leave.
        """
        size = len(graph.parent)
        region = graph.is_root() & (graph.labels != NOTHING)
        region[0] = False
        one, other = _pairs(graph, region)
        ended = region & ~open_root
        written = ~self._dropped(graph, ended)

        waits = np.zeros(size, bool)
        waits[one[self._doubtful(graph, open_root)[other]]] = True
        going = open_root[other]
        name = np.zeros_like(graph.labels) if self._renames else graph.labels
        waits[_repeated(one[going], name[other[going]])] = True
        waits &= ended & written

        left = np.bincount(graph.parent[: len(self._left)], self._left, size).astype(np.int64)
        number: Ids = left + np.bincount(one[written[other]], minlength=size)
        leaves = ended & ~waits & written
        self._left = left + np.bincount(one[leaves[other]], minlength=size)
        open_root |= waits
        return number

    def renumber(self, kept: Mask) -> None:
        """Forget components; those in ``kept`` ``(n,)`` get new numbers in their order."""
        self._left = self._left[kept]

    def _dropped(self, graph: BoundaryGraph, ended: Mask) -> Mask:
        """Which complete regions will not be written."""
        dropped = np.zeros(len(ended), bool)
        if self._min_area_m2 > 0 or self._min_weight > 0:
            roots = np.flatnonzero(ended)
            small = self._area_m2(graph.polygons(roots)) < self._min_area_m2
            faint = graph.weight[roots] / graph.pixels[roots] < self._min_weight
            dropped[roots] = small | faint
        return dropped

    def _doubtful(self, graph: BoundaryGraph, open_root: Mask) -> Mask:
        """Which open regions may yet turn out not to be written."""
        if self._min_weight > 0:
            return open_root
        if not self._min_area_m2:
            return np.zeros(len(open_root), bool)
        surely_m2 = SURELY * self._min_area_m2
        return open_root & (graph.pixels * pixel_area(graph, self._area_m2) < surely_m2)


def _pairs(graph: BoundaryGraph, region: Mask) -> tuple[Ids, Ids]:
    """Both orders of each pair of regions that share an edge."""
    sides = graph.sides().astype(np.int64)
    sides = sides[region[sides].all(axis=1) & (sides[:, 0] != sides[:, 1])]
    keys = np.unique(sides.min(axis=1) * len(region) + sides.max(axis=1))
    low, high = keys // len(region), keys % len(region)
    return np.concatenate([low, high]), np.concatenate([high, low])


def _repeated(one: Ids, name: Ids) -> Ids:
    """Those in ``one`` that stand beside an equal name more than once."""
    order = np.lexsort((name, one))
    one, name = one[order], name[order]
    again = (one[1:] == one[:-1]) & (name[1:] == name[:-1])
    repeated: Ids = one[1:][again]
    return repeated
