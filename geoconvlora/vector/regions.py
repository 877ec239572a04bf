"""Regions of a stream of labels: from rows to whole polygons.

Rows are cut into blocks at fixed rows of the raster. Each block is labelled into 4-connected
regions, outlined and simplified inside; its top and bottom lines stay as they are, so the pieces
of a region in neighbouring blocks meet exactly and are joined when the region is complete. What is
kept between blocks is the pieces of regions that touch the last row.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from skimage.measure import label as label_components

from geoconvlora.vector.holes import Holes
from geoconvlora.vector.parts import NOTHING, Ids, Parts
from geoconvlora.vector.rows import RowBuffer
from geoconvlora.vector.trace import Polygons, cut_to, insert_vertices, outlines, simplify_inside

BLOCK_ROWS = 512


@dataclass(frozen=True)
class Regions:
    """Complete regions, ordered by where they were first met.

    Attributes:
        polygons: ``(n,)`` in pixels of the raster (x = column, y = row).
        labels: ``(n,)`` label of each.
        pixels: ``(n,)`` size in pixels, without filled holes.
        weight: ``(n,)`` mean weight of those pixels.
        least: ``(n,)`` smallest of their weights.
        filled: ``(n,)`` pixels of the holes that were filled.
    """

    polygons: Polygons
    labels: Ids
    pixels: Ids
    weight: NDArray[np.float64]
    least: NDArray[np.float64]
    filled: Ids

    def __len__(self) -> int:
        return len(self.labels)

    @staticmethod
    def join(several: list[Regions]) -> Regions:
        """One after the other; none at all is allowed."""
        none = np.empty(0, np.int64)
        nothing = np.empty(0)
        several = [Regions(np.empty(0, object), none, none, nothing, nothing, none), *several]
        return Regions(
            np.concatenate([r.polygons for r in several]),
            np.concatenate([r.labels for r in several]),
            np.concatenate([r.pixels for r in several]),
            np.concatenate([r.weight for r in several]),
            np.concatenate([r.least for r in several]),
            np.concatenate([r.filled for r in several]),
        )


class RegionTracer:
    """Labels by rows to polygons of their 4-connected regions.

    Args:
        width: Columns of the raster.
        simplify_px: See :class:`geoconvlora.vector.PolygonOptions`.
        holes: Rule for filling holes; None: all stay.
        block_rows: Height of the blocks; the outlines depend on it, in that a vertex on the line
            between two blocks is never simplified away.
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
        holes: Holes | None = None,
        block_rows: int = BLOCK_ROWS,
        extent: tuple[float, float] | None = None,
    ) -> None:
        none = np.empty(0, np.int64)
        self._simplify_px = simplify_px
        self._holes = holes
        self._block_rows = block_rows
        self._extent = extent
        self._buffer = RowBuffer()
        self._row = 0
        nothing = np.empty(0)
        self._open = Parts(none, none, nothing, nothing, none, np.empty(0, object), none)
        self._front_labels = np.full(width, NOTHING, np.int64)
        # Where the last row's pieces meet: relabelling does not move their vertices.
        self._front_breaks = np.zeros(width - 1, bool)
        self._front_parts = np.full(width, NOTHING, np.int64)

    def feed(self, labels: NDArray[np.integer[Any]], weights: NDArray[np.float32]) -> Regions:
        """Take rows; return the regions that they complete.

        Args:
            labels: ``(h, W)`` integers; those equal to ``NOTHING`` are no polygon.
            weights: ``(h, W)``, averaged over each region.

        Returns:
            Complete regions, maybe none.
        """
        self._buffer.push(labels.astype(np.int64), weights)
        done = []
        # The last block may be the raster's last: only `finish` knows, hence "more than".
        while self._buffer.rows > self._block_rows:
            done.append(self._block(*self._buffer.take(self._block_rows), last=False))
        return Regions.join(done)

    def finish(self) -> Regions:
        """Return the regions that were still open."""
        if not self._buffer.rows:
            return Regions.join([])
        return self._block(*self._buffer.take(self._buffer.rows), last=True)

    def relabel(self, old: Ids, new: Ids) -> None:
        """Rename labels in all rows that are not yet part of a complete region."""
        if not len(old):
            return
        order = np.argsort(old)
        old, new = old[order], new[order]

        def renamed(labels: Ids) -> Ids:
            at = np.minimum(np.searchsorted(old, labels), len(old) - 1)
            return np.where(old[at] == labels, new[at], labels)

        self._front_labels = renamed(self._front_labels)
        parts = self._open
        self._open = replace(parts, labels=renamed(parts.labels))
        if self._buffer.rows:
            labels, weights = self._buffer.take(self._buffer.rows)
            self._buffer.push(renamed(labels), weights)

    def _block(self, labels: Ids, weights: NDArray[np.float32], *, last: bool) -> Regions:
        regions = label_components(labels, background=NOTHING - 1, connectivity=1)
        nodes = self._nodes(regions.astype(np.int32), labels, weights)
        node_at = regions.astype(np.int64) + (len(self._open.labels) - 1)
        part_of, count = self._connect(labels[0], node_at[0], len(nodes.labels))
        open_part = np.zeros(count, bool)
        if not last:
            open_part[part_of[node_at[-1]]] = True

        solid = nodes.labels != NOTHING
        drawn = solid
        if self._holes is not None:
            above = self._front_parts[None] if self._row else node_at[:0]
            part_of, patches, waiting = self._holes.fill(
                nodes,
                np.concatenate([above, node_at]),
                part_of,
                open_part,
                top=self._row == 0,
                bottom=last,
            )
            drawn = solid | patches
            open_part |= waiting
        part_labels = np.full(count, NOTHING, np.int64)
        np.maximum.at(part_labels, part_of, nodes.labels)
        least = np.full(count, np.inf)
        np.minimum.at(least, part_of[solid], nodes.least[solid])
        held = drawn[nodes.piece_of]
        parts = Parts(
            part_labels,
            np.bincount(part_of[solid], nodes.pixels[solid], count).astype(np.int64),
            np.bincount(part_of[solid], nodes.weights[solid], count).astype(np.float64),
            least,
            (
                np.bincount(part_of, nodes.filled, count)
                + np.bincount(part_of[~solid], nodes.pixels[~solid], count)
            ).astype(np.int64),
            nodes.pieces[held],
            part_of[nodes.piece_of[held]],
        )
        self._row += labels.shape[0]
        self._keep(parts, open_part, labels[-1], part_of[node_at[-1]])
        return _complete(parts, ~open_part & (part_labels != NOTHING))

    def _nodes(
        self, regions: NDArray[np.int32], labels: Ids, weights: NDArray[np.float32]
    ) -> Parts:
        """Open parts followed by the block's regions, with vertices matched along the seam."""
        flat = regions.ravel()
        count = int(flat.max())
        own = np.empty(count, np.int64)
        own[flat - 1] = labels.ravel()
        least = np.full(count, np.inf)
        np.minimum.at(least, flat - 1, weights.ravel())
        drawn = outlines(regions, self._row)
        if self._extent is not None:
            drawn = cut_to(drawn, *self._extent)
        drawn = simplify_inside(drawn, self._simplify_px)
        before, behind = self._match_seam(drawn, labels[0])
        known = len(self._open.labels)
        return Parts(
            np.concatenate([self._open.labels, own]),
            np.concatenate([self._open.pixels, np.bincount(flat)[1:]]),
            np.concatenate([self._open.weights, np.bincount(flat, weights.ravel())[1:]]),
            np.concatenate([self._open.least, least]),
            np.concatenate([self._open.filled, np.zeros(count, np.int64)]),
            np.concatenate([before, behind]),
            np.concatenate([self._open.piece_of, known + np.arange(count)]),
        )

    def _match_seam(self, drawn: Polygons, labels: Ids) -> tuple[Polygons, Polygons]:
        """Give the polygons above and below the block's top line each other's vertices."""
        before = self._open.pieces
        if not self._row:
            return before, drawn
        columns = np.flatnonzero(self._front_breaks | _breaks(labels)) + 1
        seam = np.stack([columns, np.full_like(columns, self._row)], axis=1)
        above = shapely.bounds(before)[:, 3] == self._row
        below = shapely.bounds(drawn)[:, 1] == self._row
        before, drawn = before.copy(), drawn.copy()
        before[above] = insert_vertices(before[above], seam)
        drawn[below] = insert_vertices(drawn[below], seam)
        return before, drawn

    def _connect(self, labels: Ids, nodes: Ids, total: int) -> tuple[Ids, int]:
        """The part of each of ``total`` nodes, and the number of parts."""
        same = (self._front_labels == labels) & (self._row > 0)
        pairs = self._front_parts[same], nodes[same]
        graph = coo_array((np.ones(len(pairs[0]), np.int8), pairs), shape=(total, total))
        count, part_of = connected_components(graph, directed=False)
        return part_of.astype(np.int64), int(count)

    def _keep(self, parts: Parts, open_part: NDArray[np.bool_], labels: Ids, front: Ids) -> None:
        renumber = np.cumsum(open_part) - 1
        held = open_part[parts.piece_of]
        self._open = Parts(
            parts.labels[open_part],
            parts.pixels[open_part],
            parts.weights[open_part],
            parts.least[open_part],
            parts.filled[open_part],
            parts.pieces[held],
            renumber[parts.piece_of[held]],
        )
        self._front_labels = labels.copy()
        self._front_breaks = _breaks(labels)
        self._front_parts = renumber[front]
        if self._holes is not None:
            self._holes.renumber(open_part, renumber)


def _breaks(labels: Ids) -> NDArray[np.bool_]:
    changes: NDArray[np.bool_] = labels[1:] != labels[:-1]
    return changes


def _complete(parts: Parts, done: NDArray[np.bool_]) -> Regions:
    """Join the pieces of the parts that are done."""
    chosen = done[parts.piece_of]
    pieces, piece_of = parts.pieces[chosen], parts.piece_of[chosen]
    order = np.argsort(piece_of, kind="stable")
    ids, start, size = np.unique(piece_of[order], return_index=True, return_counts=True)
    polygons = np.empty(len(ids), object)
    for number in np.unique(size):
        rows = np.flatnonzero(size == number)
        several = pieces[order[start[rows, None] + np.arange(number)]]
        polygons[rows] = (
            several[:, 0] if number == 1 else shapely.coverage_union_all(several, axis=1)
        )
    return Regions(
        polygons,
        parts.labels[ids],
        parts.pixels[ids],
        parts.weights[ids] / parts.pixels[ids],
        parts.least[ids],
        parts.filled[ids],
    )
