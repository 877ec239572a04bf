"""Plane geometry of small convex polygons: cutting by a line, extents, and a few outlines.

Polygons are lists of ``(x, y)`` in raster cells. They have four to eight corners and there are
hundreds a landscape, so plain Python is faster here than arrays.
"""

from __future__ import annotations

import math

import numpy as np

Point = tuple[float, float]
Polygon = list[Point]


def area(polygon: Polygon) -> float:
    """Area in square cells (shoelace formula)."""
    total = 0.0
    x0, y0 = polygon[-1]
    for x1, y1 in polygon:
        total += x0 * y1 - x1 * y0
        x0, y0 = x1, y1
    return abs(total) / 2


def centre(polygon: Polygon) -> Point:
    """Mean of the corners."""
    n = len(polygon)
    return sum(x for x, _ in polygon) / n, sum(y for _, y in polygon) / n


def extent(polygon: Polygon, cos: float, sin: float) -> tuple[float, float]:
    """Lowest and highest coordinate of the corners along the direction ``(cos, sin)``."""
    along = [x * cos + y * sin for x, y in polygon]
    return min(along), max(along)


def cut(
    polygon: Polygon, normal: Point, offset: float
) -> tuple[Polygon, Polygon, tuple[Point, Point]] | None:
    """Both sides of a convex polygon and the cut between them, or None where the line misses it.

    Args:
        polygon: Convex, at least three corners.
        normal: Unit normal of the line ``x * normal[0] + y * normal[1] = offset``.
        offset: Distance of the line from the origin, in cells.
    """
    nx, ny = normal
    below: Polygon = []
    above: Polygon = []
    crossings: list[Point] = []
    x0, y0 = polygon[-1]
    d0 = x0 * nx + y0 * ny - offset
    for x1, y1 in polygon:
        d1 = x1 * nx + y1 * ny - offset
        if (d0 < 0) != (d1 < 0):
            t = d0 / (d0 - d1)
            crossing = (x0 + t * (x1 - x0), y0 + t * (y1 - y0))
            below.append(crossing)
            above.append(crossing)
            crossings.append(crossing)
        (below if d1 < 0 else above).append((x1, y1))
        x0, y0, d0 = x1, y1, d1
    if len(crossings) != 2 or len(below) < 3 or len(above) < 3:
        return None
    return below, above, (crossings[0], crossings[1])


def rectangle(middle: Point, length: float, width: float, angle: float) -> Polygon:
    """Rectangle of ``length`` x ``width`` cells whose long side has the given angle (radians)."""
    cos, sin = math.cos(angle) / 2, math.sin(angle) / 2
    ax, ay, bx, by = cos * length, sin * length, -sin * width, cos * width
    x, y = middle
    return [
        (x + ax + bx, y + ay + by),
        (x + ax - bx, y + ay - by),
        (x - ax - bx, y - ay - by),
        (x - ax + bx, y - ay + by),
    ]


def blob(
    rng: np.random.Generator, middle: Point, radius: float, *, rough: float = 0.3, corners: int = 28
) -> Polygon:
    """Closed smooth outline around ``middle``: a circle plus a few random harmonics."""
    angle = np.linspace(0, 2 * math.pi, corners, endpoint=False)
    order = np.arange(1, 6)
    weight = rough * rng.normal(size=5) / order
    wave = np.cos(angle[:, None] * order + rng.uniform(0, 2 * math.pi, 5)) @ weight
    r = radius * np.clip(1 + wave, 0.25, 2.0)
    stretch = math.exp(rng.normal(0, 0.3))
    turn = rng.uniform(0, math.pi)
    u, v = r * np.cos(angle) * stretch, r * np.sin(angle) / stretch
    x = middle[0] + u * math.cos(turn) - v * math.sin(turn)
    y = middle[1] + u * math.sin(turn) + v * math.cos(turn)
    return list(zip(x.tolist(), y.tolist(), strict=True))


def meander(
    rng: np.random.Generator, start: Point, end: Point, *, sway: float, corners: int = 40
) -> Polygon:
    """Open line from ``start`` to ``end`` that sways by about ``sway`` cells to its sides."""
    t = np.linspace(0, 1, corners)
    length = math.dist(start, end) or 1.0
    nx, ny = (start[1] - end[1]) / length, (end[0] - start[0]) / length
    order = np.arange(1, 7)
    weight = rng.normal(size=6) / order
    side = sway * np.sin(t[:, None] * order * math.pi + rng.uniform(0, 6.28, 6)) @ weight
    x = start[0] + t * (end[0] - start[0]) + nx * side
    y = start[1] + t * (end[1] - start[1]) + ny * side
    return list(zip(x.tolist(), y.tolist(), strict=True))
