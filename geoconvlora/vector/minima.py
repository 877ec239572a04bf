"""Extended minima: what stays of a landscape's low places when it is filled to a depth."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from geoconvlora.vector.compiled import compiled
from geoconvlora.vector.queues import longer

Bytes = NDArray[np.uint8]

LEVELS = 255
"""Heights are whole numbers up to this, so that rounding of floats decides nothing."""


def basins(heights: NDArray[np.uint8], depth: int) -> NDArray[np.bool_]:
    """Extended minima (Soille, Morphological Image Analysis, 2003, section 6.3.4).

    Args:
        heights: ``(H, W)``.
        depth: Rise that parts two basins, in levels.

    Returns:
        ``(H, W)``; 4-connected, one component a basin. Basins as high as ``LEVELS`` are none.

    Example:
        >>> basins(np.array([[9, 1, 3, 2, 60, 40, 90]], np.uint8), 10).astype(int).tolist()
        [[1, 1, 1, 1, 0, 1, 0]]
    """
    height, width = heights.shape
    # In a frame of walls, so that no step needs to look where the raster ends.
    ground = np.full((height + 2, width + 2), LEVELS, np.uint8)
    ground[1:-1, 1:-1] = heights
    filled = np.minimum(ground, LEVELS - depth) + np.uint8(depth)
    _fill(ground.ravel(), filled.ravel(), width + 2)
    lowest = (filled < LEVELS).view(np.uint8)
    _drain(filled.ravel(), lowest.ravel(), width + 2)
    return lowest[1:-1, 1:-1] > 0


@compiled("void(uint8[::1], uint8[::1], int64)")
def _fill(ground: Bytes, filled: Bytes, stride: int) -> None:
    """Lower ``filled`` to its reconstruction above ``ground`` (Vincent 1993, section IV-D)."""
    steps = np.array([-stride, -1, 1, stride])
    first, last = stride, len(ground) - stride
    for at in range(first, last):
        filled[at] = max(ground[at], min(filled[at], filled[at - 1], filled[at - stride]))
    front = np.empty(1024, np.int64)
    count = 0
    for at in range(last - 1, first - 1, -1):
        filled[at] = max(ground[at], min(filled[at], filled[at + 1], filled[at + stride]))
        for step in (1, stride):
            if filled[at + step] > max(filled[at], ground[at + step]):
                if count == len(front):
                    front = longer(front)
                front[count] = at
                count += 1
                break
    coming = np.empty(1024, np.int64)
    while count > 0:
        fresh = 0
        for i in range(count):
            for step in steps:
                to = front[i] + step
                lower = max(filled[front[i]], ground[to])
                if filled[to] > lower:
                    filled[to] = lower
                    if fresh == len(coming):
                        coming = longer(coming)
                    coming[fresh] = to
                    fresh += 1
        front, coming = coming, front
        count = fresh


@compiled("void(uint8[::1], uint8[::1], int64)")
def _drain(filled: Bytes, lowest: Bytes, stride: int) -> None:
    """Take the marks from plateaus that have something lower beside them."""
    steps = np.array([-stride, -1, 1, stride])
    stack = np.empty(1024, np.int64)
    for start in range(stride, len(filled) - stride):
        if not lowest[start]:
            continue
        for step in steps:
            if filled[start + step] < filled[start]:
                lowest[start] = 0
                break
        if lowest[start]:
            continue
        stack[0], count = start, 1
        while count > 0:
            count -= 1
            at = stack[count]
            for step in steps:
                to = at + step
                if lowest[to] and filled[to] == filled[at]:
                    lowest[to] = 0
                    if count == len(stack):
                        stack = longer(stack)
                    stack[count] = to
                    count += 1
