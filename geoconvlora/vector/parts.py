"""Labels of pixels, and the one that stands for none."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]

NOTHING = -(2**62)
"""Label of pixels that become no polygon; values of rasters lie above it."""


def renamed(labels: Ids, old: Ids, new: Ids) -> Ids:
    """Labels in which those in ``old`` ``(k,)``, at least one, have become those in ``new``."""
    order = np.argsort(old)
    old, new = old[order], new[order]
    at = np.minimum(np.searchsorted(old, labels), len(old) - 1)
    return np.where(old[at] == labels, new[at], labels)
