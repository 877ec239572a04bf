"""Queues of pixels for compiled loops."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from geoconvlora.vector.compiled import part_of_loops


@part_of_loops("int64[::1](int64[::1])")
def longer(queue: NDArray[np.int64]) -> NDArray[np.int64]:
    """Copy a queue's pixels to one of twice the room."""
    grown = np.empty(2 * len(queue), np.int64)
    for place in range(len(queue)):
        grown[place] = queue[place]
    return grown
