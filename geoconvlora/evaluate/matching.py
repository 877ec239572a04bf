"""Which polygons of one layer overlap which of another, and which pairs are the same object."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from geoconvlora.evaluate.polygons import Geometries

Indices = NDArray[np.intp]
Floats = NDArray[np.float64]

_PAIRS_AT_ONCE = 200_000


@dataclass(frozen=True)
class Overlaps:
    """Pairs that share ground, by index into either layer, ``(k,)`` each.

    Attributes:
        ours: Predicted.
        theirs: True.
        common: Area of the intersection.
        iou: Intersection over union.
    """

    ours: Indices
    theirs: Indices
    common: Floats
    iou: Floats

    def chosen(self, which: NDArray[np.bool_] | Indices) -> Overlaps:
        """Some of the pairs."""
        return Overlaps(self.ours[which], self.theirs[which], self.common[which], self.iou[which])

    def one_to_one(self, least_iou: float) -> Overlaps:
        """Matched pairs, best first.

        Pairs are taken greedily by falling IoU, ties by the order of the layers, each object once.
        From IoU 0.5 on, objects of layers that do not overlap themselves have at most one partner,
        so that this is the only matching; and pairs of a higher least IoU are those of a lower one
        that reach it.
        """
        order = np.lexsort((self.theirs, self.ours, -self.iou))
        order = order[self.iou[order] >= least_iou]
        our_taken: set[int] = set()
        their_taken: set[int] = set()
        taken = []
        objects = zip(self.ours[order].tolist(), self.theirs[order].tolist(), strict=True)
        for pair, (our, their) in zip(order.tolist(), objects, strict=True):
            if our not in our_taken and their not in their_taken:
                our_taken.add(our)
                their_taken.add(their)
                taken.append(pair)
        return self.chosen(np.array(taken, np.intp))


def overlaps(predicted: Geometries, truth: Geometries) -> Overlaps:
    """All pairs with common area, found by a spatial index.

    Args:
        predicted: ``(n,)`` valid polygons; empty ones have no pair.
        truth: ``(m,)`` valid polygons.

    Example:
        >>> square = np.array([shapely.box(0, 0, 2, 2)])
        >>> overlaps(square, np.array([shapely.box(1, 0, 3, 2)])).iou.round(3).tolist()
        [0.333]
    """
    ours, theirs = shapely.STRtree(truth).query(predicted, predicate="intersects")
    common = np.zeros(len(ours))
    for first in range(0, len(ours), _PAIRS_AT_ONCE):
        part = slice(first, first + _PAIRS_AT_ONCE)
        common[part] = shapely.area(
            shapely.intersection(predicted[ours[part]], truth[theirs[part]])
        )
    shared = common > 0
    ours, theirs, common = ours[shared], theirs[shared], common[shared]
    union = shapely.area(predicted)[ours] + shapely.area(truth)[theirs] - common
    return Overlaps(ours, theirs, common, common / union)
