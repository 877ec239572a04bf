"""From the values that labels hold to class ids."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from geoconvlora.errors import LabelError
from geoconvlora.training.data_config import IGNORE, SceneLabels
from geoconvlora.weights.card import ClassInfo

_LISTED = 10


def class_ids(
    values: Sequence[object], source: SceneLabels, classes: Sequence[ClassInfo]
) -> NDArray[np.uint8]:
    """Class ids (N,) of the values of a column or a raster; 255 where they are to be ignored.

    A value is a key of ``class_map``, a class's name or a class's id, in this order: names may be
    numbers that are not the ids. 3.0 is how a column with gaps stores 3.

    Raises:
        LabelError: The configuration does not know a value; names all such values.
    """
    known: dict[str, int] = {}
    for one in classes:
        known |= {str(one.id): one.id, f"{one.id}.0": one.id}
    for one in classes:
        known |= {one.name: one.id, f"{one.name}.0": one.id}
    ids: dict[str, int | None] = {}
    for text in {str(value) for value in values}:
        name = _mapped(text, source.class_map)
        ids[text] = IGNORE if name is None else known.get(name)
    unknown = sorted(text for text, found in ids.items() if found is None)
    if unknown:
        where = f"column {source.label_column!r}" if source.label_column else "the raster"
        more = f" and {len(unknown) - _LISTED} more" if len(unknown) > _LISTED else ""
        raise LabelError(
            f"{source.labels}: {where} holds {', '.join(map(repr, unknown[:_LISTED]))}{more}, "
            "which the configuration does not name: its classes are "
            f"{', '.join(c.name for c in classes)}; add them, or map the values with class_map "
            "(to null, to ignore them)"
        )
    return np.array([ids[str(value)] for value in values], dtype=np.uint8)


def _mapped(text: str, class_map: dict[str, str | None]) -> str | None:
    for key in (text, text.removesuffix(".0")):
        if key in class_map:
            return class_map[key]
    return text
