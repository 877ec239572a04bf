"""Holes that are small and that nobody else occupies become part of the region around them.

A hole is a 4-connected patch of pixels without polygon whose neighbours all belong to one region.
It is filled by uniting it with that region before the region is outlined; so nothing overlaps, and
an island of another region inside the hole keeps it open.
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

_SURELY = 4.0
"""Pixels of one patch differ in area by less than this factor."""


class Holes:
    """The rule, and what must be remembered of patches that are still open.

    Args:
        limit_m2: Patches smaller than this are filled.
        area_m2: Areas of polygons given in pixels, ``(n,) -> (n,)``.
    """

    def __init__(
        self, limit_m2: float, area_m2: Callable[[RaggedPolygons], NDArray[np.float64]]
    ) -> None:
        self._limit_m2 = limit_m2
        self._area_m2 = area_m2
        # Of the components kept: whether they can be no hole any more.
        self._refused: Mask = np.zeros(1, bool)

    def fill(self, graph: BoundaryGraph, open_root: Mask) -> Mask:
        """Unite complete small holes with the region around them.

        Args:
            graph: Resolved.
            open_root: ``(n,)`` roots that touch the last row; patches that must wait, because
                the regions around them may yet turn out to be one, are added.

        Returns:
            ``(n,)`` patches that may yet be filled, so their arcs are needed.
        """
        patch = graph.labels == NOTHING
        refused = np.zeros(len(patch), bool)
        refused[graph.parent[: len(self._refused)][self._refused]] = True
        sides = graph.sides()
        sides = sides[patch[sides[:, 0]] != patch[sides[:, 1]]]
        pairs = np.where(patch[sides[:, :1]], sides, sides[:, ::-1])
        refused[pairs[pairs[:, 1] == 0, 0]] = True
        self._refuse_large(graph, patch & open_root & ~refused, refused)
        candidate: Mask = patch & ~refused & graph.is_root()

        ended = np.flatnonzero(candidate & ~open_root)
        large = self._area_m2(graph.polygons(ended)) >= self._limit_m2
        candidate[ended[large]] = False
        pairs = np.unique(pairs[candidate[pairs[:, 0]]], axis=0)
        # A region that is complete while the patch beside it is not cannot lie around it, nor can
        # one that is complete and not alone beside it.
        neighbours = np.bincount(pairs[:, 0], minlength=len(patch))
        over = ~open_root[pairs[:, 1]] & (open_root | (neighbours > 1))[pairs[:, 0]]
        candidate[pairs[over, 0]] = False
        enclosed = candidate & ~open_root & (neighbours == 1)
        open_root |= candidate & (neighbours > 1)
        self._refused = patch & ~candidate
        graph.unite(pairs[enclosed[pairs[:, 0]]])
        candidate[enclosed] = False
        return candidate

    def renumber(self, kept: Mask) -> None:
        """Forget components; those in ``kept`` ``(n,)`` get new numbers in their order."""
        self._refused = self._refused[kept]

    def _refuse_large(self, graph: BoundaryGraph, open_patch: Mask, refused: Mask) -> None:
        """Do not wait for the end of a patch that is too large already."""
        roots, column = np.unique(graph.front_roots(), return_index=True)
        refused[roots[np.isin(column, [0, graph.width - 1])]] = True
        column, roots = column[open_patch[roots]], roots[open_patch[roots]]
        pixel = shapely.box(column, graph.row - 1, column + 1, graph.row)
        area_m2 = self._area_m2(RaggedPolygons.from_shapely(pixel)) * graph.pixels[roots]
        refused[roots[area_m2 > _SURELY * self._limit_m2]] = True
