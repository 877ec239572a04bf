"""Simplification of arcs after Visvalingam and Whyatt (1993), guarded so that nothing can cross.

A vertex spans a triangle with its two neighbours; the vertex with the smallest triangle goes
first, and goes only if no other vertex that is still there, of any arc, lies in the triangle or on
its edges. An arc that replaced two sides of such a triangle by the third can neither cross nor
touch anything, so the coverage stays valid, whatever the order of the arcs.
"""

from __future__ import annotations

import math

import numpy as np

from geoconvlora.vector.compiled import part_of_loops

_NONE = -1
_PLACE_BITS = 32
_LARGEST = 1 << 30


@part_of_loops("f8(f8, f8, f8, f8, f8, f8)")
def side(ax, ay, bx, by, px, py):  # type: ignore[no-untyped-def]
    """Twice the area of the triangle a, b, p; its sign tells on which side of a-b p lies."""
    return (bx - ax) * (py - ay) - (by - ay) * (px - ax)


@part_of_loops("UniTuple(f8, 2)(f8, f8, f8, f8, f8, f8, f8)")
def _widen(y, ax, ay, bx, by, low, high):  # type: ignore[no-untyped-def]
    """Widen an interval by where the edge from a to b passes the height y."""
    if min(ay, by) <= y <= max(ay, by):
        if ay == by:
            return min(low, ax, bx), max(high, ax, bx)
        x = ax + (y - ay) * (bx - ax) / (by - ay)
        return min(low, x), max(high, x)
    return low, high


@part_of_loops("b1(f8, f8, f8, f8, f8, f8, u8[:, ::1], i8, f8, f8, f8)")
def is_free(ax, ay, bx, by, cx, cy, live, first, end_x, end_y, margin):  # type: ignore[no-untyped-def]
    """Whether no live vertex but a, b and c lies in their triangle, on its edges or that near."""
    for row in range(int(min(ay, by, cy)), math.ceil(max(ay, by, cy)) + 1):
        y = min(float(row), end_y)
        low, high = np.inf, -np.inf
        low, high = _widen(y, ax, ay, bx, by, low, high)
        low, high = _widen(y, bx, by, cx, cy, low, high)
        low, high = _widen(y, cx, cy, ax, ay, low, high)
        if low > high:
            continue
        column = max(0, math.floor(low - 1e-6))
        last = math.ceil(high + 1e-6)
        while column <= last:
            word = live[row - first, column >> 6] if column >> 6 < live.shape[1] else np.uint64(0)
            if word == 0:
                column = ((column >> 6) + 1) << 6
                continue
            if word >> np.uint64(column & 63) & np.uint64(1):
                x = min(float(column), end_x)
                one = side(ax, ay, bx, by, x, y)
                two = side(bx, by, cx, cy, x, y)
                three = side(cx, cy, ax, ay, x, y)
                inside = (one >= -margin and two >= -margin and three >= -margin) or (
                    one <= margin and two <= margin and three <= margin
                )
                corner = (x == ax and y == ay) or (x == bx and y == by) or (x == cx and y == cy)
                if inside and not corner:
                    return False
            column += 1
    return True


@part_of_loops("i8(i8, i8[::1], i8)")
def _push(key, heap, size):  # type: ignore[no-untyped-def]
    at = size
    while at > 0 and heap[(at - 1) >> 1] > key:
        heap[at] = heap[(at - 1) >> 1]
        at = (at - 1) >> 1
    heap[at] = key
    return size + 1


@part_of_loops("i8(i8[::1], i8)")
def _pop(heap, size):  # type: ignore[no-untyped-def]
    """Remove the least key; the new size is returned."""
    size -= 1
    key = heap[size]
    at = 0
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        if child + 1 < size and heap[child + 1] < heap[child]:
            child += 1
        if heap[child] >= key:
            break
        heap[at] = heap[child]
        at = child
    heap[at] = key
    return size


@part_of_loops("i8(i8, f8[::1], f8[::1], i8[::1], i8[::1], f8)")
def _key(at, x, y, behind, ahead, limit):  # type: ignore[no-untyped-def]
    """Sort key of a vertex: the area of its triangle, then its place on the arc; or none."""
    one, other = behind[at], ahead[at]
    if one == _NONE or other == _NONE:
        return np.int64(_NONE)
    area = abs(side(x[one], y[one], x[at], y[at], x[other], y[other]))
    if area > limit:
        return np.int64(_NONE)
    whole = np.int64(min(4 * area, _LARGEST))
    return (whole << _PLACE_BITS) | at


@part_of_loops(
    "i8(f8[::1], f8[::1], i8, b1, i8, f8, u8[:, ::1], i8, f8, f8,"
    "i8[::1], i8[::1], i8[::1], i8[::1])"
)
def simplify(  # type: ignore[no-untyped-def]
    x, y, count, ring, least, limit, live, first, end_x, end_y, behind, ahead, keys, heap
):
    """Remove vertices of one arc; the ends of an open one stay.

    Args:
        x: Columns of the vertices, first ``count`` entries; of a ring each vertex once.
        y: Rows.
        count: Number of vertices.
        ring: Whether the last vertex is followed by the first.
        least: Vertices that must stay.
        limit: Twice the area of the largest triangle that may be cut off.
        live: Bits of the lattice points where a vertex is; those of removed ones are cleared.
        first: Lattice row of the bits' first row.
        end_x: Where the last column really ends.
        end_y: Where the last row really ends.
        behind: Scratch of ``count`` entries; ``-2`` afterwards where a vertex is gone.
        ahead: Scratch of ``count`` entries.
        keys: Scratch of ``count`` entries.
        heap: Scratch of ``3 * count`` entries.

    Returns:
        How many vertices stay.
    """
    for at in range(count):
        behind[at] = at - 1
        ahead[at] = at + 1
    ahead[count - 1] = _NONE
    if ring:
        behind[0] = count - 1
        ahead[count - 1] = 0
    size = 0
    for at in range(count):
        keys[at] = _key(at, x, y, behind, ahead, limit)
        if keys[at] != _NONE:
            size = _push(keys[at], heap, size)
    # On whole coordinates a triangle of half a pixel holds no other lattice point.
    empty = 1.0 if end_x == np.inf else 0.0
    kept = count
    while size > 0 and kept > least:
        key = heap[0]
        size = _pop(heap, size)
        at = key & ((1 << _PLACE_BITS) - 1)
        if behind[at] == -2 or keys[at] != key:
            continue
        one, other = behind[at], ahead[at]
        area = abs(side(x[one], y[one], x[at], y[at], x[other], y[other]))
        if area > empty and not is_free(
            x[one], y[one], x[at], y[at], x[other], y[other], live, first, end_x, end_y, 0.0
        ):
            keys[at] = _NONE
            continue
        ahead[one] = other
        behind[other] = one
        behind[at] = -2
        kept -= 1
        column, row = int(x[at]), int(y[at]) - first
        live[row, column >> 6] &= ~(np.uint64(1) << np.uint64(column & 63))
        keys[one] = _key(one, x, y, behind, ahead, limit)
        if keys[one] != _NONE:
            size = _push(keys[one], heap, size)
        keys[other] = _key(other, x, y, behind, ahead, limit)
        if keys[other] != _NONE:
            size = _push(keys[other], heap, size)
    return kept
