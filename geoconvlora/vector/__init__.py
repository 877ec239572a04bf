"""From labels and probabilities to polygons: traced, simplified together, measured, written.

The names below are imported when first asked for: who polygonizes a raster needs nothing of what
finds objects.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from geoconvlora.vector.measure import Ruler
    from geoconvlora.vector.options import PolygonOptions
    from geoconvlora.vector.raster import PolygonizeResult, polygonize
    from geoconvlora.vector.stream import MapPolygons
    from geoconvlora.vector.writer import PolygonWriter, check_target

_HOMES = {
    "MapPolygons": "stream",
    "PolygonOptions": "options",
    "PolygonWriter": "writer",
    "PolygonizeResult": "raster",
    "Ruler": "measure",
    "check_target": "writer",
    "polygonize": "raster",
}

__all__ = [
    "MapPolygons",
    "PolygonOptions",
    "PolygonWriter",
    "PolygonizeResult",
    "Ruler",
    "check_target",
    "polygonize",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"geoconvlora.vector.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'geoconvlora.vector' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
