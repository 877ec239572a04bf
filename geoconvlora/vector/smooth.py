"""Corners of arcs to curves, guarded so that nothing can cross.

A corner v between the vertices a and b gives way to the parabola that leaves the edge a-v at p and
joins the edge v-b at q (a quadratic Bezier curve with the control points p, v, q, which is where
Chaikin's corner cutting tends to), of which four points are taken. They lie in the triangle
p, v, q, and no outline moves by more than 5 / 9 of the distance of p or q from v.

**Why the coverage stays valid.** A corner is rounded only if no other vertex, of any arc, lies in
the closed triangle. An edge that reached into it would have to end there, or cross one of the two
edges that the triangle lies at, or cross its third side twice; so none does. Two such triangles are
disjoint likewise: neither's edges reach into the other, third sides cross once at most, and along a
common edge none takes half. What is simplified later has vertices taken away, never added or
moved, and crosses no edge, so it stays out too.
"""

from __future__ import annotations

import math

from geoconvlora.vector.compiled import part_of_loops
from geoconvlora.vector.simplify import is_free, side

CORNER_POINTS = 4
_SHARE = 0.45
_TRIES = 3
_MARGIN = 1e-9


@part_of_loops("UniTuple(f8, 2)(i8, i4[:, ::1], f8, f8)")
def place_of(point, points, end_x, end_y):  # type: ignore[no-untyped-def]
    """Column and row of a vertex, where the last ones may be only partly there."""
    return min(float(points[point, 0]), end_x), min(float(points[point, 1]), end_y)


@part_of_loops("UniTuple(f8, 2)(f8, f8, f8, f8, f8)")
def _toward(x, y, to_x, to_y, length):  # type: ignore[no-untyped-def]
    """So far from a corner along its edge, but less than half of it."""
    share = min(_SHARE, length / math.hypot(to_x - x, to_y - y))
    return x + share * (to_x - x), y + share * (to_y - y)


@part_of_loops("i8(f8, f8, f8, f8, f8, f8, f8, u8[:, ::1], i8, f8, f8)")
def cut_of(ax, ay, x, y, bx, by, reach, live, first, end_x, end_y):  # type: ignore[no-untyped-def]
    """How a corner may be rounded: 1 over ``reach``, 2 over half of it, 3 a quarter, 0 never."""
    if abs(side(ax, ay, x, y, bx, by)) <= _MARGIN:
        return 0
    for cut in range(1, _TRIES + 1):
        length = reach / (1 << (cut - 1))
        px, py = _toward(x, y, ax, ay, length)
        qx, qy = _toward(x, y, bx, by, length)
        if is_free(px, py, x, y, qx, qy, live, first, end_x, end_y, _MARGIN):
            return cut
    return 0


@part_of_loops("i8(f8, f8, f8, f8, f8, f8, f8, i8, b1, f8[:, ::1], i8)")
def put_corner(ax, ay, x, y, bx, by, reach, cut, backwards, xy, at):  # type: ignore[no-untyped-def]
    """Write a rounded corner's points; a and b are in the arc's own order, whichever way it goes.

    So both neighbours get the same numbers, to the last bit.
    """
    length = reach / (1 << (cut - 1))
    px, py = _toward(x, y, ax, ay, length)
    qx, qy = _toward(x, y, bx, by, length)
    for step in range(CORNER_POINTS):
        t = step / (CORNER_POINTS - 1)
        place = at + (CORNER_POINTS - 1 - step if backwards else step)
        xy[place, 0] = (1 - t) * (1 - t) * px + 2 * t * (1 - t) * x + t * t * qx
        xy[place, 1] = (1 - t) * (1 - t) * py + 2 * t * (1 - t) * y + t * t * qy
    return at + CORNER_POINTS
