"""From field numbers to the label classes that networks learn."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BACKGROUND, INTERIOR, BOUNDARY = 0, 1, 2


def label_fields(field_ids: NDArray[np.integer], thickness: int = 1) -> NDArray[np.uint8]:
    """Background 0, interior 1 and boundary 2 of numbered fields.

    A boundary pixel belongs to a field and has another field or no field within ``thickness``
    pixels along a row or column: two touching fields have a line of twice that width between them,
    a field beside anything else has it on its own side only. What the raster's edge cuts off is
    no boundary.

    Args:
        field_ids: (H, W), 0 where there is no field.
        thickness: Width of the boundary within each field, in pixels.

    Returns:
        (H, W) uint8; ``label > 0`` exactly where ``field_ids > 0``.
    """
    near = np.zeros(field_ids.shape, dtype=bool)
    for step in range(1, thickness + 1):
        differs = field_ids[step:] != field_ids[:-step]
        near[step:] |= differs
        near[:-step] |= differs
        differs = field_ids[:, step:] != field_ids[:, :-step]
        near[:, step:] |= differs
        near[:, :-step] |= differs
    label = (field_ids > 0).astype(np.uint8)
    label += label * near
    return label
