"""What gives labels by rows, whatever it is made of."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from geoconvlora.errors import SceneError
from geoconvlora.scenes.class_names import CLASSES_TAG, class_table
from geoconvlora.scenes.origin import Origin
from geoconvlora.vector.parts import NOTHING, Ids

Chance = NDArray[np.float32]


class Labels(ABC):
    """A raster of labels, maybe with probabilities beside it.

    Attributes:
        where: Its name, for messages.
        geobox: Its grid.
        origin: Attributes of the polygons.
        listed: Name by class id, where it says.
        colors: ``#rrggbb`` by class name, where it says.
        has_chance: Whether there are probabilities.
        strip_rows: Rows that are stored together; 1: any may be read alone.
        read_pixels: Pixels that are read at a time.
    """

    where: str
    geobox: GeoBox
    origin: Origin
    listed: dict[int, str]
    colors: dict[str, str]
    has_chance: bool = False
    strip_rows: int = 1
    read_pixels: int = 2**19

    @abstractmethod
    def rows(self, start: int, stop: int) -> Ids:
        """``(stop - start, W)``; ``NOTHING`` where there is no data."""

    @abstractmethod
    def chance(self, start: int, stop: int) -> Chance:
        """``(bands, stop - start, W)`` probabilities; 0 where there is no data."""

    def _describe(self, tags: Mapping[str, object], name: str, date: str) -> None:
        self.listed, self.colors = class_table(tags.get(CLASSES_TAG), self.where)
        self.origin = Origin.of_tags(name, date, tags)


def finite(values: NDArray[Any]) -> Chance:
    """Probabilities as they are stored; what is no number counts as 0."""
    return np.nan_to_num(values.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)


def as_labels(values: NDArray[Any], valid: NDArray[np.bool_], where: str) -> Ids:
    """Stored values to labels, ``NOTHING`` where they are not valid.

    Raises:
        SceneError: A value has no room beside ``NOTHING``.
    """
    if values.dtype.itemsize == 8 and ((values > -NOTHING) | (values < NOTHING + 1))[valid].any():
        raise SceneError(f"{where} holds values beyond 2**62: number them anew")
    labels: Ids = values.astype(np.int64)
    labels[~valid] = NOTHING
    return labels
