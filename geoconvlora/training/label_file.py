"""Reading a vector file's polygons into a scene's CRS."""

from __future__ import annotations

import warnings
from pathlib import Path

import pyogrio
import shapely
from geopandas import GeoDataFrame
from odc.geo.geobox import GeoBox
from pyogrio.errors import DataLayerError, DataSourceError
from pyproj import CRS

from geoconvlora.errors import LabelError

_SEGMENT_PX = 64
"""Edges are split to this length before reprojection, since a straight edge becomes a curve."""
_METRES_PER_DEGREE = 111_320


def read_polygons(path: Path, geobox: GeoBox) -> GeoDataFrame:
    """Read the polygons of a vector file, vertex by vertex in the grid's CRS.

    Args:
        path: A file with one layer of polygons; of several layers the first is read.
        geobox: The grid that they will be burnt into.

    Returns:
        Valid, non-empty polygons with their columns.

    Raises:
        LabelError: The file cannot be read, has no CRS, or holds no polygon.

    Warns:
        UserWarning: Points, lines or empty geometries are left out.
    """
    if not path.exists():
        raise LabelError(f"{path}: there is no such label file")
    try:
        frame = GeoDataFrame(pyogrio.read_dataframe(path))
    except (DataSourceError, DataLayerError, ValueError, AttributeError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise LabelError(f"{path} cannot be read as a vector file ({reason})") from None
    if "geometry" not in frame.columns or len(frame) == 0:
        raise LabelError(f"{path} holds no geometry: labels are polygons")
    if frame.crs is None:
        raise LabelError(f"{path} has no CRS: assign the one that it was drawn in, in QGIS say")
    polygons = frame[frame.geom_type.isin(["Polygon", "MultiPolygon"]) & ~frame.is_empty].copy()
    if len(polygons) == 0:
        kinds = ", ".join(sorted({str(kind) for kind in frame.geom_type}))
        raise LabelError(f"{path} holds no polygon (but {kinds}): labels are polygons")
    if len(polygons) < len(frame):
        left_out = len(frame) - len(polygons)
        warnings.warn(
            f"{path}: {left_out} of {len(frame)} geometries are no polygons and are left out",
            UserWarning,
            stacklevel=2,
        )
    target = CRS(str(geobox.crs))
    if not target.equals(polygons.crs, ignore_axis_order=True):
        length = _SEGMENT_PX * abs(float(geobox.resolution.x)) * _metres(target)
        length /= _metres(polygons.crs)
        polygons = polygons.set_geometry(polygons.segmentize(length)).to_crs(target)
    polygons = polygons.set_geometry(polygons.make_valid())
    finite = shapely.is_valid(polygons.geometry.to_numpy()) & ~polygons.is_empty
    if not finite.any():
        raise LabelError(f"{path}: its polygons have no place in {geobox.crs}, the scene's CRS")
    placed: GeoDataFrame = polygons[finite].reset_index(drop=True)
    return placed


def _metres(crs: CRS) -> float:
    """About how many metres a unit of a CRS is."""
    if crs.is_geographic:
        return _METRES_PER_DEGREE
    return float(crs.axis_info[0].unit_conversion_factor or 1)
