"""Regions of a stream of labels: from rows to whole polygons.

Rows go into the boundary graph as they come. At fixed rows of the raster the regions that have
ended are outlined and leave; what is kept between them is the graph of those that go on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoconvlora.vector.holes import Holes
from geoconvlora.vector.neighbours import Neighbours
from geoconvlora.vector.parts import NOTHING, Ids
from geoconvlora.vector.ragged import RaggedPolygons, joined
from geoconvlora.vector.rows import BLOCK_ROWS, rows_a_block
from geoconvlora.vector.slivers import Slivers
from geoconvlora.vector.trace import BoundaryGraph

_BLOCK_PIXELS = 2**21
_GROWTH = 1.25


@dataclass(frozen=True)
class Regions:
    """Complete regions, ordered by where they were first met.

    Attributes:
        polygons: ``(m,)`` in pixels of the raster (x = column, y = row); one for each region, or
            several where regions hang together by corners.
        members: ``(n + 1,)`` first polygon of each region, and the end.
        labels: ``(n,)`` label of each.
        pixels: ``(n,)`` size in pixels, with slivers that were given to it, without filled holes.
        weight: ``(n,)`` mean weight of those pixels; 0 where none were given.
        least: ``(n,)`` smallest of their weights; infinite where none were given.
        filled: ``(n,)`` pixels of the holes and gaps that were filled.
        neighbours: ``(n,)`` regions that share an edge with it; 0 where they are not counted.
    """

    polygons: RaggedPolygons
    members: Ids
    labels: Ids
    pixels: Ids
    weight: NDArray[np.float64]
    least: NDArray[np.float64]
    filled: Ids
    neighbours: Ids

    def __len__(self) -> int:
        return len(self.labels)

    @staticmethod
    def join(several: list[Regions]) -> Regions:
        """One after the other; none at all is allowed."""
        filled = [one for one in several if len(one)]
        if len(filled) == 1:
            return filled[0]
        none, nothing = np.empty(0, np.int64), np.empty(0)
        start = np.zeros(1, np.int64)
        first = Regions(RaggedPolygons.empty(), start, none, none, nothing, nothing, none, none)
        several = [first, *filled]
        return Regions(
            RaggedPolygons.join([r.polygons for r in several]),
            joined([r.members for r in several]),
            np.concatenate([r.labels for r in several]),
            np.concatenate([r.pixels for r in several]),
            np.concatenate([r.weight for r in several]),
            np.concatenate([r.least for r in several]),
            np.concatenate([r.filled for r in several]),
            np.concatenate([r.neighbours for r in several]),
        )


class RegionTracer:
    """Labels by rows to polygons of their connected regions.

    Args:
        width: Columns of the raster.
        simplify_px: See :class:`geoconvlora.vector.PolygonOptions`.
        smooth_px: Likewise.
        holes: Rule for filling holes; None: all stay.
        slivers: Rule for giving small regions to their neighbours; None: they stay.
        neighbours: Count of neighbours; None: they are not counted.
        corners: Whether regions of one label that touch at a corner are one (8-connected); not
            with slivers or neighbours, which know single polygons only.
        block_rows: Rows after which complete regions leave, fewer in wide rasters. The order of
            the regions depends on it, the regions do not.
        extent: Rows and columns to which the last ones reach, where they are only partly there;
            outlines end at it. None: whole rows and columns.

    Example:
        >>> import numpy as np
        >>> tracer = RegionTracer(4, simplify_px=0)
        >>> first = tracer.feed(np.array([[1, 1, 2, 2]]), np.ones((1, 4), np.float32))
        >>> tracer.finish().pixels.tolist()
        [2, 2]
    """

    def __init__(
        self,
        width: int,
        *,
        simplify_px: float,
        smooth_px: float = 0.0,
        holes: Holes | None = None,
        slivers: Slivers | None = None,
        neighbours: Neighbours | None = None,
        corners: bool = False,
        block_rows: int = BLOCK_ROWS,
        extent: tuple[float, float] | None = None,
    ) -> None:
        self._graph = BoundaryGraph(
            width, simplify_px=simplify_px, smooth_px=smooth_px, extent=extent
        )
        self._holes = holes
        self._slivers = slivers
        self._neighbours = neighbours
        self._corners = corners
        self._block_rows = rows_a_block(block_rows, width, least=16, pixels=_BLOCK_PIXELS)
        self._kept_arcs = 0

    def feed(
        self, labels: NDArray[np.integer[Any]], weights: NDArray[np.float32] | None = None
    ) -> Regions:
        """Take rows; return the regions that they complete.

        Args:
            labels: ``(h, W)`` integers; those equal to ``NOTHING`` are no polygon.
            weights: ``(h, W)``, averaged over each region; NaN: the region took the pixel in;
                None: nothing is averaged.

        Returns:
            Complete regions, maybe none.
        """
        done, row = [], 0
        while row < len(labels):
            end = row + self._block_rows - self._graph.row % self._block_rows
            self._graph.feed(labels[row:end], None if weights is None else weights[row:end])
            row = end
            if self._graph.row % self._block_rows == 0:
                done.append(self._complete())
        return Regions.join(done)

    def finish(self) -> Regions:
        """Return the regions that were still open."""
        if not self._graph.row:
            return Regions.join([])
        self._graph.close()
        self._kept_arcs = 0
        done = self._complete()
        # Its memory is wanted: the last polygons may be long in writing.
        del self._graph
        return done

    def relabel(self, old: Ids, new: Ids) -> None:
        """Rename labels in all rows that are not yet part of a complete region."""
        if len(old):
            self._graph.rename(old, new)

    def _complete(self) -> Regions:
        graph = self._graph
        graph.resolve()
        # Looking through what is open costs time, so it waits until there is something new.
        if graph.arcs < _GROWTH * self._kept_arcs:
            return Regions.join([])
        open_root = graph.open_roots()
        needed = graph.labels != NOTHING
        if self._holes is not None:
            needed |= self._holes.fill(graph, open_root)
        if self._slivers is not None:
            self._slivers.give(graph, open_root)
        counts = np.zeros(len(open_root), np.int64)
        if self._neighbours is not None:
            counts = self._neighbours.count(graph, open_root)
        group = graph.corner_groups(open_root) if self._corners else graph.parent
        ended = graph.is_root() & ~open_root & (graph.labels != NOTHING)
        done = _regions(graph, np.flatnonzero(ended), group, counts)
        kept = graph.keep(open_root, needed)
        if self._holes is not None:
            self._holes.renumber(kept)
        if self._neighbours is not None:
            self._neighbours.renumber(kept)
        self._kept_arcs = graph.arcs
        return done


def _regions(
    graph: BoundaryGraph, roots: Ids, group: NDArray[np.integer[Any]], counts: Ids
) -> Regions:
    """Complete regions of ``roots`` ``(m,)``, those of one group together."""
    if not len(roots):
        return Regions.join([])
    order = np.argsort(group[roots], kind="stable")
    roots = roots[order]
    first = np.flatnonzero(np.diff(group[roots], prepend=-1))
    pixels = np.add.reduceat(graph.pixels[roots], first)
    return Regions(
        graph.polygons(roots),
        np.append(first, len(roots)),
        graph.labels[roots[first]],
        pixels,
        np.add.reduceat(graph.weight[roots], first) / pixels,
        np.minimum.reduceat(graph.least[roots], first),
        np.add.reduceat(graph.filled[roots], first),
        counts[roots[first]],
    )
