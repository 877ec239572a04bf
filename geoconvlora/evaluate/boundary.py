"""Boundary F1: how well the outlines of classes lie, within a tolerance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geoconvlora.evaluate.pixels import IGNORE

TOLERANCE_PX = 2.0
"""Distance within which two outlines count as the same."""

Mask = NDArray[np.bool_]

_PLANES = 64
"""Classes whose outlines are widened together, a bit each."""


@dataclass(frozen=True)
class Reach:
    """Which pixels are near: those within an ellipse around a pixel's centre.

    Attributes:
        half_widths: Columns to either side that belong to it, by rows away from 0 on.
    """

    half_widths: tuple[int, ...]

    @classmethod
    def of(cls, distance: float, height: float = 1.0, width: float = 1.0) -> Reach:
        """Pixels whose centres are at most a distance away.

        Args:
            distance: In the unit of the two others, 0 or more.
            height: Of a pixel.
            width: Of a pixel.

        Example:
            >>> Reach.of(1.5).half_widths
            (1, 1)
        """
        rows = int(distance / height + 1e-9)
        left = [distance**2 - (row * height) ** 2 for row in range(rows + 1)]
        return cls(tuple(int(max(each, 0.0) ** 0.5 / width + 1e-9) for each in left))

    @property
    def rows(self) -> int:
        """Rows above and below that belong to it."""
        return len(self.half_widths) - 1


@dataclass(frozen=True)
class BoundaryPixels:
    """Boundary pixels of both maps, each (H, W), and which of them the other map has too.

    A pixel is a boundary pixel of the class that it has.
    """

    found: Mask
    found_near: Mask
    true: Mask
    true_near: Mask

    def masks(self) -> tuple[Mask, Mask, Mask, Mask]:
        """All four, in the order of the counts."""
        return self.found, self.found_near, self.true, self.true_near


def boundary_pixels(
    predicted: NDArray, truth: NDArray, labelled: Mask, classes: int, reach: Reach
) -> BoundaryPixels:
    """Find boundary pixels of two maps, and those of the same class near one of the other map.

    Args:
        predicted: Class ids below ``classes`` where labelled, (H, W).
        truth: Class ids, (H, W).
        labelled: Pixels that are looked at, (H, W).
        classes: Number of classes, K.
        reach: What is near.

    Returns:
        Masks of the same shape.
    """
    found, true = _edges(predicted, labelled), _edges(truth, labelled)
    found_near, true_near = np.zeros_like(found), np.zeros_like(true)
    for first in range(0, classes, _PLANES):
        planes = min(classes - first, _PLANES)
        ours = _bits(predicted, found, first, planes)
        theirs = _bits(truth, true, first, planes)
        found_near |= (_widened(theirs, reach) & ours) != 0
        true_near |= (_widened(ours, reach) & theirs) != 0
    return BoundaryPixels(found, found_near, true, true_near)


def boundary_counts(
    predicted: NDArray,
    truth: NDArray,
    classes: int,
    *,
    tolerance_px: float = TOLERANCE_PX,
    ignore: int = IGNORE,
) -> NDArray[np.int64]:
    """Count boundary pixels, and those that the other side has too.

    A boundary pixel of a class is one of its pixels beside one (above, below, left or right) of
    another class. The tile's edge is no boundary, nor is the edge of ignored pixels: of both maps
    only pixels that are labelled are looked at. Counts of several tiles are added before
    :func:`boundary_f1`, so the score is pooled (Csurka et al. 2013, "What is a good evaluation
    measure for semantic segmentation?", there by image).

    Args:
        predicted: Class ids of one tile, (H, W).
        truth: Class ids, (H, W).
        classes: Number of classes, K.
        tolerance_px: Largest Euclidean distance between pixel centres of a match.
        ignore: Label that does not count.

    Returns:
        For each class, (K, 4): boundary pixels predicted, those of them near a true one, boundary
        pixels true, those of them near a predicted one.

    Raises:
        ValueError: The shapes differ.

    Example:
        >>> mask = np.array([[0, 0, 1, 1]])
        >>> boundary_counts(mask, mask, 2).tolist()
        [[1, 1, 1, 1], [1, 1, 1, 1]]
    """
    if predicted.shape != truth.shape:
        raise ValueError(f"predicted {predicted.shape} and true {truth.shape} shapes differ")
    reach = Reach.of(tolerance_px)
    outlines = boundary_pixels(predicted, truth, truth != ignore, classes, reach)
    sides = (predicted, predicted, truth, truth)
    counts = [
        np.bincount(side[mask].astype(np.int64), minlength=classes)
        for side, mask in zip(sides, outlines.masks(), strict=True)
    ]
    return np.stack(counts, axis=1)


def boundary_f1(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Harmonic mean of boundary precision and recall of each class.

    Args:
        counts: Sum of :func:`boundary_counts`, (K, 4).

    Returns:
        Scores, (K,): NaN where a class has no boundary on either side, 0 where on one side only.

    Example:
        >>> boundary_f1(np.array([[4, 2, 8, 8], [0, 0, 0, 0]])).round(3).tolist()
        [0.667, nan]
    """
    found, found_near, true, true_near = counts.astype(np.float64).T
    precision = np.divide(found_near, found, out=np.zeros_like(found), where=found > 0)
    recall = np.divide(true_near, true, out=np.zeros_like(true), where=true > 0)
    total = precision + recall
    score = np.divide(2 * precision * recall, total, out=np.zeros_like(total), where=total > 0)
    return np.where(found + true > 0, score, np.nan)


def _edges(classes: NDArray, labelled: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Labelled pixels beside a labelled pixel of another class."""
    edges = np.zeros(classes.shape, np.bool_)
    for axis in (0, 1):
        ahead, behind = [slice(None)] * 2, [slice(None)] * 2
        ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
        one, other = tuple(behind), tuple(ahead)
        differ = (classes[one] != classes[other]) & labelled[one] & labelled[other]
        edges[one] |= differ
        edges[other] |= differ
    return edges


def _bits(classes: NDArray, edges: Mask, first: int, planes: int) -> NDArray[np.unsignedinteger]:
    """One bit a class at its boundary pixels; 0 elsewhere and for classes of other planes."""
    kind = np.dtype(f"u{next(size for size in (1, 2, 4, 8) if planes <= 8 * size)}")
    bits = np.zeros(classes.shape, kind)
    place = classes[edges].astype(np.int64) - first
    own = (place >= 0) & (place < planes)
    one = np.uint64(1) << np.where(own, place, 0).astype(np.uint64)
    bits[edges] = np.where(own, one, np.uint64(0))
    return bits


def _widened(bits: NDArray[np.unsignedinteger], reach: Reach) -> NDArray[np.unsignedinteger]:
    """The bits of all pixels within reach of each."""
    near = np.zeros_like(bits)
    height = len(bits)
    row_wide = bits.copy()
    grown = 0
    # Rows far away reach least to the sides: from them inwards, a row is widened step by step.
    for away in reversed(range(len(reach.half_widths))):
        half_width = reach.half_widths[away]
        for step in range(grown + 1, half_width + 1):
            row_wide[:, step:] |= bits[:, :-step]
            row_wide[:, :-step] |= bits[:, step:]
        grown = half_width
        if away < height:
            near[away:] |= row_wide[: height - away]
            near[: height - away] |= row_wide[away:]
    return near
