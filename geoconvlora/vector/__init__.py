"""From labels and probabilities to polygons: traced, simplified together, measured, written."""

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
