"""What of a matching lies in which block, so that scores follow from sums over blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from geoconvlora.evaluate.blocks import CELLS, check_side, join_cells
from geoconvlora.evaluate.matching import Floats, Indices
from geoconvlora.evaluate.report import Blocks
from geoconvlora.evaluate.sides import IOUS, Matching, Side

OVERALL_SCORES = 10
"""Precision, recall, F1 at 0.5; the same averaged; matched IoU; over, under; total area error."""
CLASS_SCORES = 6
"""Precision, recall, F1 at 0.5; the same averaged."""

_COUNTS = 3 * len(IOUS)
_OTHER = 7


@dataclass(frozen=True)
class ObjectSums:
    """Sums of each block.

    Attributes:
        by_block: ``(B, S)``: true positives, false positives and misses at each IoU; sums for the
            mean IoU, segmentation and areas; then the counts again for each class.
        blocks: What the blocks are.
        classes: Names, in the order of the counts; empty where classes are not compared.
    """

    by_block: Floats
    blocks: Blocks
    classes: tuple[str, ...]

    @classmethod
    def of(cls, matching: Matching, block_m: float | None) -> ObjectSums:
        """Sort objects into blocks by their centroids; a matched pair lies where the true one is.

        Args:
            matching: Of layers in a CRS with metres.
            block_m: Side of a block; None: the largest of which there are enough.
        """
        check_side(block_m)
        ours, theirs = _places(matching.ours), _places(matching.theirs)
        every = np.concatenate([ours, theirs])
        corner = every.min(axis=0)
        side = block_m or max(float((every.max(axis=0) - corner).max()) / CELLS, 1.0)
        # Blocks asked for lie at multiples of their side, so they do not hang on the objects.
        origin = np.floor(corner / side) * side
        cells, place = np.unique(
            np.floor((every - origin) / side).astype(np.int64), axis=0, return_inverse=True
        )
        place = place.ravel()
        classes = _class_names(matching)
        columns = _columns(matching, place[: len(ours)], place[len(ours) :], len(cells), classes)
        by_cell = np.stack(columns, axis=1)
        holds = by_cell.any(axis=1)
        by_block, joined = by_cell[holds], 1
        if block_m is None:
            by_block, joined = join_cells(cells[holds], by_block)
        return cls(by_block, Blocks(side_m=side * joined, count=len(by_block)), classes)

    def measure(self, sums: Floats) -> Floats:
        """Scores ``(..., M)`` of sums ``(..., S)``: the overall ones, then those of each class."""
        iou, matched, over, under, overlapped, ours_m2, theirs_m2 = np.moveaxis(
            sums[..., _COUNTS : _COUNTS + _OTHER], -1, 0
        )
        scores = [
            *_rates(sums[..., :_COUNTS]),
            _ratio(iou, matched),
            _ratio(over, overlapped),
            _ratio(under, overlapped),
            _ratio(ours_m2 - theirs_m2, theirs_m2),
        ]
        for index in range(len(self.classes)):
            first = _COUNTS + _OTHER + index * _COUNTS
            scores += _rates(sums[..., first : first + _COUNTS])
        return np.stack(scores, axis=-1)


def _columns(
    matching: Matching, ours: Indices, theirs: Indices, cells: int, classes: Sequence[str]
) -> list[Floats]:
    """Sums by cell, (C,) each; ``ours`` and ``theirs`` are the cells of the objects."""

    def added(place: Indices, weights: Floats | None = None) -> Floats:
        return np.bincount(place, weights, minlength=cells).astype(np.float64)

    def counts(our_kind: NDArray[np.bool_], their_kind: NDArray[np.bool_]) -> list[Floats]:
        kind = their_kind[matched.theirs]
        hits, iou = theirs[matched.theirs][kind], matched.iou[kind]
        return [
            *(added(hits[iou >= least]) for least in IOUS),
            *(added(ours[matching.false_positives(least) & our_kind]) for least in IOUS),
            *(added(theirs[matching.misses(least) & their_kind]) for least in IOUS),
        ]

    matched = matching.matched
    true, over, under = _segmentation(matching)
    columns = [
        *counts(np.ones(len(ours), bool), np.ones(len(theirs), bool)),
        added(theirs[matched.theirs], matched.iou),
        added(theirs[matched.theirs]),
        added(theirs[true], over),
        added(theirs[true], under),
        added(theirs[true]),
        added(ours, matching.ours.area),
        added(theirs, matching.theirs.area),
    ]
    for name in classes:
        assert matching.ours.classes is not None
        assert matching.theirs.classes is not None
        columns += counts(matching.ours.classes == name, matching.theirs.classes == name)
    return columns


def _segmentation(matching: Matching) -> tuple[Indices, Floats, Floats]:
    """Counted true objects that anything overlaps, with their over- and under-segmentation.

    A true object's partner is the predicted one that covers most of it (Persello and Bruzzone
    2010); the errors are 1 - common / true area and 1 - common / predicted area (Clinton et al.
    2010).
    """
    pairs = matching.pairs
    order = np.lexsort((pairs.ours, -pairs.common, pairs.theirs))
    true, first = np.unique(pairs.theirs[order], return_index=True)
    best = order[first]
    counted = matching.theirs.counted[true]
    true, best = true[counted], best[counted]
    over = 1 - pairs.common[best] / matching.theirs.area[true]
    under = 1 - pairs.common[best] / matching.ours.area[pairs.ours[best]]
    return true, np.maximum(over, 0.0), np.maximum(under, 0.0)


def _class_names(matching: Matching) -> tuple[str, ...]:
    ours, theirs = matching.ours.classes, matching.theirs.classes
    if ours is None or theirs is None:
        return ()
    return tuple(sorted({*ours.tolist(), *theirs.tolist()}))


def _places(side: Side) -> Floats:
    centres = shapely.centroid(side.polygons)
    return np.stack([shapely.get_x(centres), shapely.get_y(centres)], axis=1)


def _rates(counts: Floats) -> list[Floats]:
    """Precision, recall and F1 at the first IoU, and their means, of counts ``(..., 3 * T)``."""
    tp, fp, fn = np.split(counts, 3, axis=-1)
    anything = tp + fp + fn > 0
    every = [
        np.where(anything, np.nan_to_num(_ratio(tp, tp + fp)), np.nan),
        np.where(anything, np.nan_to_num(_ratio(tp, tp + fn)), np.nan),
        _ratio(2 * tp, 2 * tp + fp + fn),
    ]
    return [*(rate[..., 0] for rate in every), *(rate.mean(axis=-1) for rate in every)]


def _ratio(part: Floats, whole: Floats) -> Floats:
    """NaN of nothing."""
    part, whole = np.asarray(part, float), np.asarray(whole, float)
    ratio: Floats = np.divide(part, whole, out=np.full(whole.shape, np.nan), where=whole != 0)
    return ratio
