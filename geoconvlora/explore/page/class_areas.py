"""What a class raster's values mean, in which colour, and how much ground they cover."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rasterio.windows import Window

from geoconvlora.errors import SceneError
from geoconvlora.explore.page.raster_file import RasterFile
from geoconvlora.explore.pixel_areas import PixelAreas
from geoconvlora.scenes.class_names import CLASSES_TAG, class_table
from geoconvlora.scenes.environment import raster_environment
from geoconvlora.scenes.opening import RASTER_FAULTS, reason
from geoconvlora.scenes.validity import Validity
from geoconvlora.vector.classes import BACKGROUND
from geoconvlora.vector.styles import PALETTE

_CHUNK_PX = 2**22
_MOST = 255
"""Classes that a picture can have colours for."""


@dataclass(frozen=True)
class ClassEntry:
    """A class in the legend.

    Attributes:
        name: Of the class.
        color: As ``#rrggbb``.
        area_m2: Of its pixels.
        clear: Whether it is left clear, as the background is.
    """

    name: str
    color: str
    area_m2: float
    clear: bool


@dataclass(frozen=True)
class ClassLegend:
    """Classes that occur in a raster.

    Attributes:
        ids: Their values, ascending.
        entries: One a value.
    """

    ids: tuple[int, ...]
    entries: tuple[ClassEntry, ...]


def read_legend(raster: RasterFile) -> ClassLegend:
    """Count all pixels of a class raster at its full resolution.

    Areas are the pixels' own on the ellipsoid, as :func:`geoconvlora.explore.class_statistics`
    and polygons have them.

    Raises:
        SceneError: It is damaged, or holds more than 255 classes.
    """
    areas: dict[int, float] = {}
    pixel_areas = PixelAreas(raster.geobox)
    height, width = raster.geobox.shape
    rows = max(1, _CHUNK_PX // width)
    for row in range(0, height, rows):
        count = min(rows, height - row)
        pixel_m2 = pixel_areas.of_rows(row, row + count)
        for value, area_m2 in _summed(raster, Window(0, row, width, count), pixel_m2).items():
            areas[value] = areas.get(value, 0.0) + area_m2
    if len(areas) > _MOST:
        raise SceneError(
            f"{raster.path} holds {len(areas):,} different values, too many for classes: if they "
            "number objects, make polygons of them first (geoconvlora polygonize --instances)"
        )
    names, colors = class_table(raster.dataset.tags().get(CLASSES_TAG), raster.path)
    own = _own_colors(raster)
    ids = tuple(sorted(areas))
    entries = []
    for number, value in enumerate(ids):
        name = names.get(value, f"class {value}")
        color = colors.get(name) or own.get(value) or PALETTE[number % len(PALETTE)]
        entries.append(ClassEntry(name, color, areas[value], name == BACKGROUND))
    return ClassLegend(ids, tuple(entries))


def _summed(raster: RasterFile, window: Window, pixel_m2: NDArray[np.float64]) -> dict[int, float]:
    """Area of each value that occurs in a window, whose pixels have the areas ``(h, w)``."""
    try:
        with raster_environment():
            stored = raster.dataset.read([1], window=window)
            validity = Validity.of(raster.dataset, [1], nodata=None, default_nodata=None)
            valid = validity.read(raster.dataset, [1], window, stored)
    except RASTER_FAULTS as fault:
        raise SceneError(
            f"{raster.path} cannot be read: it is truncated or damaged ({reason(fault)})"
        ) from fault
    held: NDArray = stored[0][valid]
    if held.dtype.itemsize <= 2 and held.dtype.kind == "u":
        sums = np.bincount(held, pixel_m2[valid])
        return {int(value): float(sums[value]) for value in np.flatnonzero(np.bincount(held))}
    found, place = np.unique(held, return_inverse=True)
    sums = np.bincount(place, pixel_m2[valid], len(found))
    return dict(zip(found.tolist(), sums.tolist(), strict=True))


def _own_colors(raster: RasterFile) -> dict[int, str]:
    if raster.dataset.colorinterp[0] != ColorInterp.palette:
        return {}
    table = raster.dataset.colormap(1)
    return {value: "#" + bytes(color[:3]).hex() for value, color in table.items()}
