"""Two layers of polygons inside an extent, and what was found between them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from geoconvlora.evaluate.extents import Extent
from geoconvlora.evaluate.matching import Floats, Overlaps, overlaps
from geoconvlora.evaluate.polygons import Geometries, PolygonLayer

Mask = NDArray[np.bool_]

IOUS = np.linspace(0.5, 0.95, 10)
"""At which a pair may be a match; scores are averaged over them (Lin et al. 2014, COCO)."""
_MOSTLY = 0.5
"""Share of an object inside the extent from which it can be wrong."""


@dataclass(frozen=True)
class Side:
    """One layer inside the extent.

    Attributes:
        polygons: ``(n,)`` what lies inside.
        area: Their areas in m², ``(n,)``.
        counted: Which can be wrong: the others can only be right, ``(n,)``.
        classes: Text, ``(n,)``; None where classes are not compared.
    """

    polygons: Geometries
    area: Floats
    counted: Mask
    classes: NDArray[np.object_] | None

    @classmethod
    def of(cls, layer: PolygonLayer, extent: Extent | None, min_area_m2: float) -> Side:
        """Cut a layer to the extent."""
        if extent is None:
            inside, share = layer.polygons, np.ones(len(layer))
        else:
            inside, share = extent.cut(layer.polygons)
        kept = share > 0
        inside, share = inside[kept], share[kept]
        area = shapely.area(inside)
        classes = None if layer.classes is None else layer.classes[kept]
        return cls(inside, area, (share >= _MOSTLY) & (area >= min_area_m2), classes)

    def __len__(self) -> int:
        return len(self.polygons)


@dataclass(frozen=True)
class Matching:
    """Two layers and what was found between them.

    Attributes:
        ours: The predicted side.
        theirs: The true side.
        pairs: All overlaps (of the same class, where classes are compared).
        matched: Pairs matched at IoU 0.5 of which at least one object counts.
        our_iou: IoU with its partner, for each predicted object; 0 without one, ``(n,)``.
        their_iou: The same for each true object, ``(m,)``.
    """

    ours: Side
    theirs: Side
    pairs: Overlaps
    matched: Overlaps
    our_iou: Floats
    their_iou: Floats

    @classmethod
    def of(cls, ours: Side, theirs: Side) -> Matching:
        """Match one to one at IoU 0.5."""
        pairs = overlaps(ours.polygons, theirs.polygons)
        if ours.classes is not None and theirs.classes is not None:
            pairs = pairs.chosen(ours.classes[pairs.ours] == theirs.classes[pairs.theirs])
        matched = pairs.one_to_one(float(IOUS[0]))
        our_iou, their_iou = np.zeros(len(ours)), np.zeros(len(theirs))
        our_iou[matched.ours], their_iou[matched.theirs] = matched.iou, matched.iou
        matched = matched.chosen(ours.counted[matched.ours] | theirs.counted[matched.theirs])
        return cls(ours, theirs, pairs, matched, our_iou, their_iou)

    def false_positives(self, iou: float = 0.5) -> Mask:
        """Counted predicted objects without a partner of this IoU, ``(n,)``."""
        return self.ours.counted & (self.our_iou < iou)

    def misses(self, iou: float = 0.5) -> Mask:
        """Counted true objects without a partner of this IoU, ``(m,)``."""
        return self.theirs.counted & (self.their_iou < iou)
