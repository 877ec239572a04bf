"""Reading the polygons of a vector file that lie near a scene, in the scene's CRS."""

from __future__ import annotations

import warnings
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyogrio
import shapely
from geopandas import GeoDataFrame
from odc.geo.geobox import GeoBox
from pyogrio.errors import DataLayerError, DataSourceError
from pyproj import CRS

from geoconvlora.errors import LabelError
from geoconvlora.naming import PARQUET_SUFFIXES
from geoconvlora.training.reproject import Bounds, bounds_in, reproject

_FAULTS = (DataSourceError, DataLayerError, ValueError, AttributeError, RuntimeError, OSError)


def read_polygons(path: Path, geobox: GeoBox, *, layer: str | None = None) -> GeoDataFrame:
    """Read the polygons of a vector file that lie near a grid, vertex by vertex in its CRS.

    Invalid polygons are mended: a figure of eight becomes its two loops, a spike vanishes.

    Args:
        path: GeoPackage, GeoParquet, GeoJSON, shapefile or whatever else GDAL reads.
        geobox: The grid that they will be burnt into.
        layer: Which layer of the file; None: the only one.

    Returns:
        Valid, non-empty polygons with their columns, in the file's order; maybe none.

    Raises:
        LabelError: The file cannot be read, has no CRS, has several layers or none of that name,
            or holds no polygon at all.

    Warns:
        UserWarning: Invalid polygons are mended; points, lines and what has no area or no place
            in the grid's CRS are left out.
    """
    frame, total = _read(path, layer, geobox)
    polygons = frame[frame.geom_type.isin(["Polygon", "MultiPolygon"]) & ~frame.is_empty]
    if len(frame) and len(polygons) == 0 and len(frame) == total:
        kinds = ", ".join(sorted({str(kind) for kind in frame.geom_type}))
        raise LabelError(f"{path} holds no polygon (but {kinds}): labels are polygons")
    if len(polygons) < len(frame):
        left_out = len(frame) - len(polygons)
        _warn(f"{path}: {left_out} of {len(frame)} geometries are no polygons and are left out")
    shapes = _mended(shapely.force_2d(polygons.geometry.to_numpy()), path)
    placed = reproject(shapes, CRS(frame.crs), geobox)
    finite = np.isfinite(shapely.bounds(placed)).all(axis=1)
    empty = shapely.is_empty(placed)
    if (~finite & ~empty).any():
        _warn(
            f"{path}: {(~finite & ~empty).sum()} of {len(placed)} polygons have no place in the "
            f"scene's CRS and are left out"
        )
    kept = finite & ~empty
    result = polygons[kept].reset_index(drop=True)
    return GeoDataFrame(result.set_geometry(placed[kept], crs=str(geobox.crs)))


def layer_names(path: Path) -> list[str]:
    """The layers of a vector file with geometries.

    Raises:
        LabelError: The file is missing or cannot be read.
    """
    if not path.exists():
        raise LabelError(f"{path}: there is no such vector file")
    if path.suffix.lower() in PARQUET_SUFFIXES:
        return [path.stem]
    try:
        return [str(name) for name, kind in pyogrio.list_layers(path) if kind is not None]
    except _FAULTS as error:
        raise _unreadable(path, error) from None


def _read(path: Path, layer: str | None, geobox: GeoBox) -> tuple[GeoDataFrame, int]:
    """Features near the grid, and how many the file has in all."""
    names = layer_names(path)
    if layer is None and len(names) > 1:
        raise LabelError(
            f"{path} has the layers {', '.join(names)}: say with 'layer' which one is meant"
        )
    if layer is not None and layer not in names and path.suffix.lower() not in PARQUET_SUFFIXES:
        raise LabelError(f"{path} has no layer {layer!r}: its layers are {', '.join(names)}")
    try:
        if path.suffix.lower() in PARQUET_SUFFIXES:
            frame = gpd.read_parquet(path)
            total = len(frame)
        else:
            layer = layer or (names[0] if names else None)
            about = pyogrio.read_info(path, layer=layer, force_feature_count=True)
            near = _near(geobox, about["crs"])
            total = int(about["features"])
            frame = GeoDataFrame(pyogrio.read_dataframe(path, layer=layer, bbox=near))
    except _FAULTS as error:
        raise _unreadable(path, error) from None
    if "geometry" not in frame.columns and getattr(frame, "_geometry_column_name", None) is None:
        raise LabelError(f"{path} holds no geometry: labels are polygons")
    if total == 0:
        raise LabelError(f"{path} holds no geometry: labels are polygons")
    if frame.crs is None:
        raise LabelError(f"{path} has no CRS: assign the one that it was drawn in, in QGIS say")
    return frame, total


def _near(geobox: GeoBox, crs: str | None) -> Bounds | None:
    return None if crs is None else bounds_in(geobox, CRS(crs))


def _mended(polygons: np.ndarray, path: Path) -> np.ndarray:
    broken = ~shapely.is_valid(polygons)
    if not broken.any():
        return polygons
    mended = polygons.copy()
    mended[broken] = shapely.make_valid(polygons[broken], method="structure", keep_collapsed=False)
    lost = int(shapely.is_empty(mended[broken]).sum())
    text = f"{path}: {broken.sum()} of {len(polygons)} polygons are invalid and were mended"
    _warn(text + (f"; {lost} of them have no area and are left out" if lost else ""))
    return mended


def _unreadable(path: Path, error: Exception) -> LabelError:
    reason = " ".join(str(error).split())[:200]
    return LabelError(f"{path} cannot be read as a vector file ({reason})")


def _warn(text: str) -> None:
    warnings.warn(text, UserWarning, stacklevel=3)
