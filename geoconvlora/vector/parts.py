"""Labels of pixels, the one that stands for none, and what belongs together."""

from __future__ import annotations

from typing import Any

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


def hanging_together(pairs: NDArray[np.integer[Any]]) -> tuple[NDArray[Any], NDArray[np.int32]]:
    """Groups of what pairs ``(k, 2)``, at least one, connect.

    Returns:
        All members in order, ``(m,)``, and the number of each one's group, from 0.

    Example:
        >>> members, group = hanging_together(np.array([[4, 7], [9, 5], [7, 8]]))
        >>> members.tolist(), group.tolist()
        ([4, 5, 7, 8, 9], [0, 1, 0, 0, 1])
    """
    # Here, because it takes memory and is rarely needed.
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    members, flat = np.unique(pairs, return_inverse=True)
    ends = flat.reshape(pairs.shape)
    size = (len(members), len(members))
    links = coo_array((np.ones(len(ends), np.int8), (ends[:, 0], ends[:, 1])), shape=size)
    _, group = connected_components(links, directed=False)
    return members, group
