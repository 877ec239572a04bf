"""Arcs to rings, rings to polygons: all regions that are complete, in one pass."""

from __future__ import annotations

import numpy as np

from geoconvlora.vector.compiled import compiled, part_of_loops
from geoconvlora.vector.settle import COUNT, END, FIRST, START
from geoconvlora.vector.smooth import place_of, put_corner


@part_of_loops("i8(i8, i4[:, ::1])")
def _left_of(outgoing, sides):  # type: ignore[no-untyped-def]
    """What lies on the left of the arc that leaves a node (arc * 2 + end), walking away."""
    return sides[outgoing >> 1, outgoing & 1]


@part_of_loops("b1(i8, i4[:, ::1])")
def _is_edge(outgoing, sides):  # type: ignore[no-untyped-def]
    """Whether there is an arc, and it parts two regions."""
    return outgoing >= 0 and sides[outgoing >> 1, 0] != sides[outgoing >> 1, 1]


@part_of_loops("i8(i8, i4[:, ::1], i4[:, ::1], i4[:, ::1])")
def _next(half, arcs, nodes, sides):  # type: ignore[no-untyped-def]
    """The half-arc that goes on with the same region on the left.

    Where a region touches itself at a corner, the ring goes straight on: a hole that touches the
    outline at a point is a ring of its own, as the standard for polygons wants it.
    """
    region = _left_of(half, sides)
    place = arcs[half >> 1, END] if half & 1 == 0 else arcs[half >> 1, START]
    node, slot = place >> 2, place & 3
    beside = nodes[node, (slot + 3) & 3]
    across = nodes[node, (slot + 1) & 3]
    if _is_edge(beside, sides) and _is_edge(across, sides) and _left_of(across, sides) == region:
        return across
    turn = 3
    while not _is_edge(nodes[node, (slot + turn) & 3], sides):
        turn -= 1
    return nodes[node, (slot + turn) & 3]


@compiled(
    "i8(i4[:, ::1], i8, i4[:, ::1], u1[::1], i4[:, ::1], i4[:, ::1], i4[::1], f8, f8, f8,"
    "f8[:, ::1], i8[::1], i8[::1])"
)
def assemble(  # type: ignore[no-untyped-def]
    arcs, count, points, cuts, nodes, sides, region_of, reach, end_x, end_y, xy, rings, parts
):
    """Fill in the polygons of regions.

    Args:
        arcs: ``(A, ARC_FIELDS)``, see :mod:`geoconvlora.vector.settle`.
        count: Arcs in use.
        points: ``(P, 2)`` their vertices.
        cuts: ``(P,)`` how each is rounded, see :mod:`geoconvlora.vector.smooth`.
        nodes: Pool of nodes.
        sides: ``(A, 2)`` root component on the left and right of each arc.
        region_of: Place of each root among the regions asked for; -1: not asked for.
        reach: Pixels over which corners are rounded.
        end_x: Where the last column really ends.
        end_y: Where the last row really ends.
        xy: Filled with vertices; with room.
        rings: Filled with each ring's first vertex; with room.
        parts: ``(n + 1,)``, filled with each region's first ring.

    Returns:
        Number of rings.
    """
    regions = len(parts) - 1
    first = np.zeros(regions + 1, np.int64)
    for arc in range(count):
        if sides[arc, 0] != sides[arc, 1]:
            for side in range(2):
                region = region_of[sides[arc, side]]
                if region >= 0:
                    first[region + 1] += 1
    for region in range(regions):
        first[region + 1] += first[region]
    halves = np.empty(first[regions], np.int64)
    cursor = np.empty(regions, np.int64)
    for region in range(regions):
        cursor[region] = first[region]
    for arc in range(count):
        if sides[arc, 0] != sides[arc, 1]:
            for side in range(2):
                region = region_of[sides[arc, side]]
                if region >= 0:
                    halves[cursor[region]] = 2 * arc + side
                    cursor[region] += 1
    seen = np.zeros(2 * count, np.bool_)
    ring, at = 0, 0
    for region in range(regions):
        parts[region] = ring
        shell = -1
        for place in range(first[region], first[region + 1]):
            if seen[halves[place]]:
                continue
            rings[ring] = at
            half = halves[place]
            while not seen[half]:
                seen[half] = True
                start, length = arcs[half >> 1, FIRST], arcs[half >> 1, COUNT]
                for step in range(length - 1):
                    point = start + step if half & 1 == 0 else start + length - 1 - step
                    x, y = place_of(point, points, end_x, end_y)
                    if cuts[point] > 0:
                        before = point - 1 if point > start else start + length - 2
                        after = point + 1 if point < start + length - 1 else start + 1
                        ax, ay = place_of(before, points, end_x, end_y)
                        bx, by = place_of(after, points, end_x, end_y)
                        backwards = half & 1 == 1
                        at = put_corner(ax, ay, x, y, bx, by, reach, cuts[point], backwards, xy, at)
                        continue
                    xy[at, 0], xy[at, 1] = x, y
                    at += 1
                if arcs[half >> 1, START] >= 0:
                    half = _next(half, arcs, nodes, sides)
            xy[at, 0], xy[at, 1] = xy[rings[ring], 0], xy[rings[ring], 1]
            at += 1
            area = 0.0
            left, top = xy[rings[ring], 0], xy[rings[ring], 1]
            for point in range(rings[ring], at - 1):
                area += (xy[point, 0] - left) * (xy[point + 1, 1] - top)
                area -= (xy[point + 1, 0] - left) * (xy[point, 1] - top)
            if area < 0:
                shell = ring
            ring += 1
        rings[ring] = at
        if shell > parts[region]:
            _put_first(parts[region], shell, xy, rings)
    parts[regions] = ring
    return ring


@part_of_loops("void(i8, i8, f8[:, ::1], i8[::1])")
def _put_first(first, shell, xy, rings):  # type: ignore[no-untyped-def]
    """Move a ring before the others of its polygon."""
    begin, start, end = rings[first], rings[shell], rings[shell + 1]
    # Three reversals exchange the two neighbours in place.
    _reverse(xy, begin, start)
    _reverse(xy, start, end)
    _reverse(xy, begin, end)
    for ring in range(shell, first, -1):
        rings[ring] = rings[ring - 1] + end - start


@part_of_loops("void(f8[:, ::1], i8, i8)")
def _reverse(xy, begin, end):  # type: ignore[no-untyped-def]
    low, high = begin, end - 1
    while low < high:
        x, y = xy[low, 0], xy[low, 1]
        xy[low, 0], xy[low, 1] = xy[high, 0], xy[high, 1]
        xy[high, 0], xy[high, 1] = x, y
        low += 1
        high -= 1
