"""Pixel scores from one confusion matrix, pooled over all tiles."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Confusion = NDArray[np.int64]

IGNORE = 255
"""Label of pixels that count for nothing."""


def confusion(
    predicted: NDArray, truth: NDArray, classes: int, *, ignore: int = IGNORE
) -> Confusion:
    """Count pixels by true and predicted class.

    Matrices of several tiles are added; scores of the sum are pooled scores, in which a pixel
    weighs the same whatever tile it lies in.

    Args:
        predicted: Class ids, of any shape.
        truth: Class ids of the same shape; pixels of value ``ignore`` are left out.
        classes: Number of classes, K.
        ignore: Label that does not count.

    Returns:
        Counts, (K, K): row is the true class, column the predicted one.

    Raises:
        ValueError: The shapes differ, or a class id is not below K.

    Example:
        >>> confusion(np.array([0, 1, 1]), np.array([0, 1, 255]), 2).tolist()
        [[1, 0], [0, 1]]
    """
    if predicted.shape != truth.shape:
        raise ValueError(f"predicted {predicted.shape} and true {truth.shape} shapes differ")
    counted = truth != ignore
    true, found = truth[counted].astype(np.int64), predicted[counted].astype(np.int64)
    for side in (true, found):
        if side.size and not 0 <= side.min() <= side.max() < classes:
            raise ValueError(
                f"class ids go from {side.min()} to {side.max()}, of {classes} classes"
            )
    counts = np.bincount(true * classes + found, minlength=classes**2)
    return counts.reshape(classes, classes)


def class_iou(counts: Confusion) -> NDArray[np.float64]:
    """Intersection over union of each class, (K,); NaN where it is neither true nor predicted.

    Args:
        counts: Confusion matrix, (K, K).

    Example:
        >>> class_iou(np.array([[3, 1], [0, 4]])).tolist()
        [0.75, 0.8]
    """
    hit = np.diagonal(counts)
    return _ratio(hit, counts.sum(axis=0) + counts.sum(axis=1) - hit)


def class_dice(counts: Confusion) -> NDArray[np.float64]:
    """Dice coefficient (F1) of each class, (K,); NaN where it is neither true nor predicted.

    Args:
        counts: Confusion matrix, (K, K).

    Example:
        >>> class_dice(np.array([[3, 1], [0, 1]])).round(3).tolist()
        [0.857, 0.667]
    """
    return _ratio(2 * np.diagonal(counts), counts.sum(axis=0) + counts.sum(axis=1))


def mean_of_present(scores: NDArray[np.float64]) -> float:
    """Mean over the classes that have a score; NaN where none has.

    Example:
        >>> mean_of_present(np.array([0.5, np.nan, 1.0]))
        0.75
    """
    present = scores[~np.isnan(scores)]
    return float(present.mean()) if present.size else float("nan")


def _ratio(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    ratio: NDArray[np.float64] = np.divide(
        part, whole, out=np.full(len(whole), np.nan), where=whole > 0
    )
    return ratio
