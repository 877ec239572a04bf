"""Outlines of the regions of a raster that arrives by rows, in pixel coordinates.

Every 4-connected region has an outline, whatever its label; every edge between two regions is
stored and simplified once, so the polygons of neighbours have the same vertices along it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoconvlora.vector import arcs as graph
from geoconvlora.vector.assemble import assemble
from geoconvlora.vector.corners import corner_pairs
from geoconvlora.vector.parts import NOTHING, Ids, hanging_together, renamed
from geoconvlora.vector.ragged import RaggedPolygons
from geoconvlora.vector.settle import (
    ADOPTED,
    ARC_FIELDS,
    COUNT,
    FIRST,
    LEFT_PART,
    LENGTH,
    RIGHT_PART,
    drop_arcs,
    settle,
)
from geoconvlora.vector.smooth import CORNER_POINTS

_STRIPE_BITS = 2**29
_STRIPE_ROWS = 8192
_CHUNK_PIXELS = 2**18


def stripe_rows(width: int) -> int:
    """Height of the stripes in which a raster of this width is simplified.

    An arc keeps a vertex where it crosses from one stripe into the next, because what has been
    simplified must not wait for rows that are far away. Stripes are a property of the raster:
    neither feeds nor blocks move them.
    """
    return max(256, min(_STRIPE_ROWS, _STRIPE_BITS // width))


class BoundaryGraph:
    """Components of equal label, and the arcs between them, of the rows so far.

    Args:
        width: Columns of the raster.
        simplify_px: See :class:`geoconvlora.vector.PolygonOptions`.
        smooth_px: Likewise.
        extent: Rows and columns to which the last ones reach, where they are only partly there.
    """

    def __init__(
        self,
        width: int,
        *,
        simplify_px: float,
        smooth_px: float = 0.0,
        extent: tuple[float, float] | None = None,
    ) -> None:
        self._limit = 2 * simplify_px**2 if simplify_px else -1.0
        self._end_y, self._end_x = extent or (np.inf, np.inf)
        self._reach = smooth_px
        stripe = stripe_rows(width) if simplify_px or smooth_px else 0
        columns = width + 1
        self._front = np.full(columns, graph.OUTSIDE, np.int64)
        self._components = np.zeros(columns, np.int32)
        self._hanging = np.full(columns, -1, np.int32)
        self._live = np.zeros((stripe + 1, columns // 64 + 1), np.uint64)
        self._state = np.zeros(graph.STATE_FIELDS, np.int64)
        self._state[[graph.FREE_VERTEX, graph.FREE_NODE]] = -1
        self._state[graph.STRIPE] = stripe
        self._state[graph.COMPONENTS] = 1
        self._vertices = np.empty((8 * columns, graph.VERTEX_FIELDS), np.int32)
        self._nodes = np.empty((2 * columns, graph.NODE_FIELDS), np.int32)
        self._keys = np.empty((2 * columns, graph.KEY_FIELDS), np.int64)
        self._chains = np.empty((4 * columns, graph.DONE_FIELDS), np.int32)
        self._parent = np.zeros(2 * columns, np.int32)
        self._label = np.full(2 * columns, graph.OUTSIDE, np.int64)
        self._pixels = np.zeros(2 * columns, np.int64)
        self._filled = np.zeros(2 * columns, np.int64)
        self._weight = np.zeros(2 * columns)
        self._least = np.full(2 * columns, np.inf)
        self._arcs = np.empty((0, ARC_FIELDS), np.int32)
        self._points = np.empty((0, 2), np.int32)
        self._cuts = np.empty(0, np.uint8)
        self._count = 0

    @property
    def width(self) -> int:
        """Columns of the raster."""
        return len(self._front) - 1

    @property
    def row(self) -> int:
        """Rows taken so far."""
        return int(self._state[graph.ROW])

    @property
    def arcs(self) -> int:
        """Arcs that are kept."""
        return self._count

    @property
    def parent(self) -> NDArray[np.int32]:
        """Root of each component ``(n,)``, 0 for outside; valid after :meth:`resolve`."""
        return self._parent[: self._state[graph.COMPONENTS]]

    @property
    def labels(self) -> Ids:
        """Label of each root ``(n,)``."""
        return self._label[: self._state[graph.COMPONENTS]]

    @property
    def pixels(self) -> Ids:
        """Size of each root ``(n,)``."""
        return self._pixels[: self._state[graph.COMPONENTS]]

    @property
    def weight(self) -> NDArray[np.float64]:
        """Sum of the weights of each root ``(n,)``."""
        return self._weight[: self._state[graph.COMPONENTS]]

    @property
    def least(self) -> NDArray[np.float64]:
        """Smallest weight of each root ``(n,)``; infinite without weights."""
        return self._least[: self._state[graph.COMPONENTS]]

    @property
    def filled(self) -> Ids:
        """Pixels without label that each root took in ``(n,)``."""
        return self._filled[: self._state[graph.COMPONENTS]]

    def feed(self, labels: NDArray[np.integer[Any]], weights: NDArray[np.float32] | None) -> None:
        """Take rows ``(h, W)``; weights may be left out, then none are summed.

        A pixel whose weight is NaN counts as taken in, like one of a hole.
        """
        rows = max(1, _CHUNK_PIXELS // len(self._front))
        buffer = np.empty((min(rows, len(labels)), len(self._front)), np.int64)
        buffer[:, -1] = graph.OUTSIDE
        for row in range(0, len(labels), rows):
            chunk = labels[row : row + rows]
            buffer[: len(chunk), :-1] = chunk
            if weights is None:
                beside = np.empty((len(chunk), 0), np.float32)
            else:
                beside = np.ascontiguousarray(weights[row : row + rows], np.float32)
            self._scan(buffer[: len(chunk)], beside)

    def close(self) -> None:
        """Take what lies below the last row: nothing."""
        below = np.full((1, len(self._front)), graph.OUTSIDE, np.int64)
        self._scan(below, np.empty((1, 0), np.float32))

    def resolve(self) -> None:
        """Complete arcs and roots, so that what the properties say is true of the rows so far."""
        self._settle()
        self._resolve_roots()

    def open_roots(self) -> NDArray[np.bool_]:
        """Which roots touch the last row ``(n,)``; outside always does."""
        touching = np.zeros(len(self.parent), bool)
        if (self._front != graph.OUTSIDE).any():
            touching[self.parent[self._components]] = True
        touching[0] = True
        return touching

    def sides(self) -> NDArray[np.int32]:
        """``(A, 2)`` roots on the left and right of the arcs."""
        parts = self._arcs[: self._count, LEFT_PART : RIGHT_PART + 1]
        return np.take(self.parent, np.ascontiguousarray(parts))

    def lengths(self) -> NDArray[np.int32]:
        """``(A,)`` edges of pixels in each arc, before it was simplified."""
        return self._arcs[: self._count, LENGTH]

    def adopted(self) -> NDArray[np.bool_]:
        """``(A,)`` arcs around components that :meth:`adopt` was told of."""
        flags: NDArray[np.bool_] = self._arcs[: self._count, ADOPTED] != 0
        return flags

    def adopt(self, roots: NDArray[np.integer[Any]]) -> None:
        """Remember the arcs around components whose borders must not count for others."""
        given = np.zeros(len(self.parent), bool)
        given[roots] = True
        self._arcs[: self._count, ADOPTED] |= given[self.sides()].any(axis=1)

    def front_roots(self) -> NDArray[np.int32]:
        """``(W,)`` roots of the last row."""
        return self.parent[self._components[:-1]]

    def is_root(self) -> NDArray[np.bool_]:
        """Which components ``(n,)`` stand for all that are joined to them."""
        own: NDArray[np.bool_] = self.parent == np.arange(len(self.parent))
        return own

    def unite(self, pairs: NDArray[np.integer[Any]]) -> None:
        """Make one component of each group that pairs of roots ``(k, 2)`` hang together in.

        It has the label of its largest member. Pixels without polygon are no part of its size.
        """
        if not len(pairs):
            return
        members, group = hanging_together(pairs)
        count = int(group.max()) + 1
        solid = self.labels[members] != NOTHING
        counted = np.where(solid, self.pixels[members], 0)
        filled = self.filled[members] + self.pixels[members] - counted
        weight = np.where(solid, self.weight[members], 0.0)
        # The first of each group's members, and the first of its largest.
        _, first = np.unique(group, return_index=True)
        order = np.lexsort((members, -counted, group))
        _, place = np.unique(group[order], return_index=True)
        root, label = members[first], self.labels[members[order[place]]]
        least = np.full(count, np.inf)
        np.minimum.at(least, group[solid], self.least[members[solid]])
        self.labels[root], self.least[root] = label, least
        self.pixels[root] = np.bincount(group, counted, count).astype(np.int64)
        self.filled[root] = np.bincount(group, filled, count).astype(np.int64)
        self.weight[root] = np.bincount(group, weight, count)
        self.parent[members] = root[group]
        self._resolve_roots()

    def rename(self, old: Ids, new: Ids) -> None:
        """Give labels other names; neighbours that now have one name become one component."""
        self.resolve()
        self._front = renamed(self._front, old, new)
        self.labels[:] = renamed(self.labels, old, new)
        self.unite_equals(np.zeros(len(self.parent), bool))

    def unite_equals(self, apart: NDArray[np.bool_]) -> None:
        """Make one component of neighbours that have come to have the same label.

        Args:
            apart: ``(n,)`` roots that stay by themselves.
        """
        front = self.parent[self._components]
        beside = np.stack([front[:-1], front[1:]], axis=1)
        pairs = np.concatenate([self.sides(), beside[self._hanging[1:] >= 0]])
        same = self.labels[pairs[:, 0]] == self.labels[pairs[:, 1]]
        self.unite(pairs[same & ~apart[pairs].any(axis=1)])

    def polygons(self, roots: NDArray[Any]) -> RaggedPolygons:
        """Outlines of complete components ``(n,)``."""
        region_of = np.full(len(self.parent), -1, np.int32)
        region_of[roots] = np.arange(len(roots))
        sides = self.sides()
        uses = ((region_of[sides] >= 0) & (sides[:, :1] != sides[:, 1:])).sum(axis=1)
        size = self._arcs[: self._count, COUNT].astype(np.int64)
        if self._reach:
            size *= CORNER_POINTS
        xy = np.empty((int((uses * size).sum()), 2))
        rings = np.zeros(int(uses.sum()) + 1, np.int64)
        parts = np.zeros(len(roots) + 1, np.int64)
        number = assemble(
            self._arcs,
            self._count,
            self._points,
            self._cuts,
            self._nodes,
            sides,
            region_of,
            self._reach,
            self._end_x,
            self._end_y,
            xy,
            rings,
            parts,
        )
        rings = rings[: number + 1].copy()
        return RaggedPolygons(xy[: rings[-1]].copy(), rings, parts)

    def corner_groups(self, open_root: NDArray[np.bool_]) -> Ids:
        """Find out which regions of one label hang together by corners.

        Args:
            open_root: ``(n,)`` roots that go on or wait; those whose group does, or may, are added.

        Returns:
            ``(n,)`` the least root of each root's group.
        """
        pairs = np.empty((2 * self._count, 2), np.int32)
        waits = np.zeros(len(self.parent), np.uint8)
        sides = self.sides()
        found = corner_pairs(self._arcs, self._count, self._nodes, sides, self.labels, pairs, waits)
        open_root |= (waits != 0) & (self.labels != NOTHING)
        group = np.arange(len(self.parent))
        if found:
            members, number = hanging_together(pairs[:found])
            # Members are in order, so the first of each group is its least.
            _, first = np.unique(number, return_index=True)
            group[members] = members[first][number]
            waiting = np.bincount(number, open_root[members]) > 0
            open_root[members] = waiting[number]
        return group

    def keep(self, open_root: NDArray[np.bool_], drawn: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Forget all components but the open ones, and all arcs but those that ``drawn`` ones need.

        Args:
            open_root: ``(n,)`` roots that go on or wait.
            drawn: ``(n,)`` of them, those whose outline may be asked for.

        Returns:
            ``(n,)`` components that are kept, numbered anew in their order.
        """
        live = self.is_root() & open_root
        live[0] = True
        number = np.where(live, np.cumsum(live) - 1, 0).astype(np.int32)
        alive = live & drawn
        alive[0] = False
        self._count = drop_arcs(
            self._arcs,
            self._count,
            self._points,
            self._cuts,
            self._nodes,
            self.parent,
            alive,
            number,
            self._state,
        )
        self._components = number[self.parent[self._components]]
        count = int(live.sum())
        for values in self._sizes():
            values[:count] = values[: len(live)][live]
        self._parent[:count] = np.arange(count)
        self._state[graph.COMPONENTS] = count
        return live

    def _sizes(self) -> tuple[NDArray[Any], ...]:
        return self._label, self._pixels, self._filled, self._weight, self._least

    def _resolve_roots(self) -> None:
        parent = self.parent
        # A root is less than all that are joined to it, so few rounds reach it.
        while (changed := parent[parent] != parent).any():
            parent[changed] = parent[parent[changed]]

    def _scan(self, rows: Ids, weights: NDArray[np.float32]) -> None:
        state, stripe = self._state, int(self._state[graph.STRIPE])
        while len(rows):
            taken = len(rows)
            if stripe:
                taken = min(taken, int(state[graph.STRIPE_ROW]) + stripe + 1 - self.row)
            if taken == 0:
                self._next_stripe()
                continue
            done = graph.scan(
                rows[:taken],
                weights[:taken],
                self._front,
                self._components,
                self._hanging,
                self._vertices,
                self._nodes,
                self._keys,
                self._parent,
                self._label,
                self._pixels,
                self._filled,
                self._weight,
                self._least,
                self._chains,
                self._live,
                state,
            )
            rows, weights = rows[done:], weights[done:]
            if done < taken:
                self._make_room()

    def _next_stripe(self) -> None:
        """Only the line between stripes is still of use."""
        self._settle()
        stripe = self._state[graph.STRIPE]
        self._live[0] = self._live[stripe]
        self._live[1:] = 0
        self._state[graph.STRIPE_ROW] += stripe

    def _make_room(self) -> None:
        """Settle what is complete; enlarge the pools that are more than half full even so."""
        self._settle()
        state, columns = self._state, len(self._front)
        if len(self._vertices) < 2 * state[graph.LIVE_VERTICES] + 8 * columns:
            self._vertices = _enlarged(self._vertices)
        if len(self._nodes) < 2 * state[graph.LIVE_NODES] + 2 * columns:
            self._nodes = _enlarged(self._nodes)
            self._keys = _enlarged(self._keys)
        if len(self._parent) < state[graph.COMPONENTS] + 2 * columns:
            self._parent = _enlarged(self._parent)
            self._label = _enlarged(self._label)
            self._pixels = _enlarged(self._pixels)
            self._weight = _enlarged(self._weight)
            self._least = _enlarged(self._least)
            self._filled = _enlarged(self._filled)

    def _settle(self) -> None:
        chains = int(self._state[graph.CHAINS])
        if not chains:
            return
        last = self._arcs[self._count - 1] if self._count else None
        used = int(last[FIRST] + last[COUNT]) if last is not None else 0
        needed = used + int(self._state[graph.LIVE_VERTICES]) + chains
        if len(self._points) < needed:
            self._points = _enlarged(self._points, needed + needed // 2)
            self._cuts = _enlarged(self._cuts, len(self._points))
        if len(self._arcs) < self._count + chains:
            self._arcs = _enlarged(self._arcs, (self._count + chains) * 3 // 2)
        self._count = settle(
            self._chains,
            self._vertices,
            self._nodes,
            self._keys,
            self._live,
            self._arcs,
            self._points,
            self._cuts,
            self._count,
            self._state,
            self._limit,
            self._reach,
            self._end_x,
            self._end_y,
        )


def _enlarged(pool: NDArray[Any], length: int | None = None) -> NDArray[Any]:
    grown = np.empty((length or 2 * len(pool), *pool.shape[1:]), pool.dtype)
    grown[: len(pool)] = pool
    return grown
