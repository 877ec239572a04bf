"""From labels and probabilities to polygons: traced, simplified together, measured, written.

The engine is loaded when it is used: maps without polygons need neither numba nor geopandas.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from geoconvlora.late import late_names

if TYPE_CHECKING:
    from geoconvlora.vector.measure import Ruler
    from geoconvlora.vector.options import PolygonOptions
    from geoconvlora.vector.raster import PolygonizeResult, polygonize
    from geoconvlora.vector.stream import MapPolygons
    from geoconvlora.vector.writer import PolygonWriter, check_target

__all__ = [
    "MapPolygons",
    "PolygonOptions",
    "PolygonWriter",
    "PolygonizeResult",
    "Ruler",
    "check_target",
    "polygonize",
]

_HOMES = {
    "MapPolygons": "stream",
    "PolygonOptions": "options",
    "PolygonWriter": "writer",
    "PolygonizeResult": "raster",
    "Ruler": "measure",
    "check_target": "writer",
    "polygonize": "raster",
}

__getattr__ = late_names(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted(__all__)
