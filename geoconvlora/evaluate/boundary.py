"""Boundary F1: how well the outlines of classes lie, within a tolerance in pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from geoconvlora.evaluate.pixels import IGNORE

TOLERANCE_PX = 2.0
"""Distance within which two outlines count as the same."""


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
    labelled = truth != ignore
    counts = np.zeros((classes, 4), np.int64)
    ours, theirs = _edges(predicted, labelled), _edges(truth, labelled)
    for index in range(classes):
        found, true = ours & (predicted == index), theirs & (truth == index)
        counts[index] = (
            found.sum(),
            _near(found, true, tolerance_px),
            true.sum(),
            _near(true, found, tolerance_px),
        )
    return counts


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


def _near(pixels: NDArray[np.bool_], others: NDArray[np.bool_], tolerance_px: float) -> int:
    """How many pixels have one of the others within the tolerance."""
    if not pixels.any() or not others.any():
        return 0
    return int((distance_transform_edt(~others)[pixels] <= tolerance_px).sum())
