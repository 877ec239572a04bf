"""Regions that touch at corners: what 8-connected regions are made of.

The boundary graph parts 4-connected regions. Two of them that have one label and touch where four
edges meet belong together, and become the parts of one MultiPolygon: as one polygon they would pass
that point twice, which the standard for polygons does not allow.
"""

from __future__ import annotations

import numpy as np

from geoconvlora.vector.arcs import NODE_ARCS, OUTSIDE
from geoconvlora.vector.compiled import compiled
from geoconvlora.vector.parts import NOTHING
from geoconvlora.vector.settle import END, START


@compiled("i8(i4[:, ::1], i8, i4[:, ::1], i4[:, ::1], i8[::1], i4[:, ::1], u1[::1])")
def corner_pairs(arcs, count, nodes, sides, label_of, pairs, waits):  # type: ignore[no-untyped-def]
    """Find regions of one label that touch at a corner.

    Args:
        arcs: ``(A, ARC_FIELDS)``, see :mod:`geoconvlora.vector.settle`.
        count: Arcs in use.
        nodes: Pool of nodes.
        sides: ``(A, 2)`` root component on the left and right of each arc.
        label_of: ``(n,)`` label of each root.
        pairs: Filled with roots that touch; with room for two for each arc.
        waits: ``(n,)``, set to 1 where it is not known yet what lies across a corner.

    Returns:
        Number of pairs.
    """
    found = 0
    quadrants = np.empty(4, np.int64)
    for arc in range(count):
        for end in range(2):
            place = arcs[arc, START] if end == 0 else arcs[arc, END]
            if place < 0:
                continue
            node, slot = place >> 2, place & 3
            if nodes[node, NODE_ARCS] != 4:
                continue
            # Each node once: from the first of its arcs that are complete.
            earlier = False
            for other in range(slot):
                earlier = earlier or nodes[node, other] >= 0
            if earlier:
                continue
            # The region on the left of an arc that leaves is on the right of the next one.
            for quadrant in range(4):
                quadrants[quadrant] = -1
                following = nodes[node, (quadrant + 1) & 3]
                if nodes[node, quadrant] >= 0:
                    leaving = nodes[node, quadrant]
                    quadrants[quadrant] = sides[leaving >> 1, leaving & 1]
                elif following >= 0:
                    quadrants[quadrant] = sides[following >> 1, 1 - (following & 1)]
            for quadrant in range(2):
                one, other = quadrants[quadrant], quadrants[quadrant + 2]
                if one >= 0 and other >= 0:
                    label = label_of[one]
                    if (
                        one != other
                        and label == label_of[other]
                        and label not in (NOTHING, OUTSIDE)
                    ):
                        pairs[found, 0], pairs[found, 1] = one, other
                        found += 1
                elif one >= 0:
                    waits[one] = 1
                elif other >= 0:
                    waits[other] = 1
    return found
