"""Recursive splitting: how one block of land becomes parcels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from geoconvlora.synthetic import shapes
from geoconvlora.synthetic.shapes import Point, Polygon


class Piece(NamedTuple):
    """A parcel: convex outline in cells, direction of its rows, area asked for in square cells."""

    polygon: Polygon
    angle: float
    target: float


@dataclass(frozen=True)
class Split:
    """A block cut into parcels."""

    leaves: list[Piece]
    cuts: list[tuple[Point, Point]]
    twins: list[int]
    """For each leaf the index of the leaf whose number it shares: its own, but for merged ones."""


def split(
    rng: np.random.Generator,
    polygon: Polygon,
    *,
    angle: float,
    target: float,
    spread: float,
    elongation: float,
    tilt: float,
    regularity: float,
    merge: float = 0.0,
    min_width: float = 0.0,
) -> Split:
    """Cut a convex polygon by oblique lines until its pieces are about ``target`` cells large.

    Args:
        rng: Source of chance.
        polygon: Convex outline of the block, in cells.
        angle: Grain of the block, radians: cuts run along it or across.
        target: Area of a piece in square cells.
        spread: Standard deviation of the logarithm of the target, added at every cut.
        elongation: Length to width from which a piece is cut across rather than along.
        tilt: Standard deviation of the angle between cut and grain, radians.
        regularity: Chance that a cut divides a piece into equal parts.
        merge: Chance that a piece joins the one before it.
        min_width: No cut leaves less than this on either side, in cells.
    """
    leaves: list[Piece] = []
    twins: list[int] = []
    cuts: list[tuple[Point, Point]] = []
    waiting = [Piece(polygon, angle, target)]
    random, normal = rng.random, rng.standard_normal
    while waiting:
        piece = waiting.pop()
        outline = piece.polygon
        parts = shapes.area(outline) / piece.target
        halves = None
        if parts > 0.75 + 0.9 * random():
            turn = piece.angle + tilt * normal()
            cos, sin = math.cos(turn), math.sin(turn)
            low, high = shapes.extent(outline, cos, sin)
            low_v, high_v = shapes.extent(outline, -sin, cos)
            direction = (cos, sin)
            if high - low <= elongation * (high_v - low_v) * (0.8 + 0.5 * random()):
                direction, low, high = (-sin, cos), low_v, high_v
            at = 0.28 + 0.44 * random()
            if parts > 1.5 and random() < regularity:
                count = max(round(parts), 2)
                at = (1 + int(random() * (count - 1))) / count
            offset = low + at * (high - low)
            if high - low > 2 * min_width:
                offset = min(max(offset, low + min_width), high - min_width)
                halves = shapes.cut(outline, direction, offset)
        if halves is None:
            joins = bool(leaves) and random() < merge
            twins.append(twins[-1] if joins else len(leaves))
            leaves.append(piece)
            continue
        below, above, line = halves
        cuts.append(line)
        for half in (below, above):
            waiting.append(Piece(half, piece.angle, piece.target * math.exp(spread * normal())))
    return Split(leaves, cuts, twins)
