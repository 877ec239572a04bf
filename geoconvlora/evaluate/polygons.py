"""Polygons of any vector file, mended, in the CRS in which they are to be compared."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyogrio
import pyproj
import shapely
from numpy.typing import NDArray
from pyogrio.errors import DataLayerError, DataSourceError
from pyproj.crs import ProjectedCRS
from pyproj.crs.coordinate_operation import LambertAzimuthalEqualAreaConversion
from pyproj.exceptions import ProjError

from geoconvlora.errors import LabelError
from geoconvlora.naming import PARQUET_SUFFIXES
from geoconvlora.scenes.ground import full_turn, in_degrees

Geometries = NDArray[np.object_]

_SEGMENT_M = 1000.0
_METRES_PER_DEGREE = 111_320.0
_LARGEST_DISTORTION = 0.01
_NO_CRS = "{} has no CRS: assign the one that it was drawn in, in QGIS say"


@dataclass(frozen=True)
class PolygonLayer:
    """Valid polygons and multipolygons of one file.

    Attributes:
        name: Of the file, for messages.
        polygons: ``(n,)``; a multipolygon is one object.
        crs: Theirs.
        classes: ``(n,)`` text of the class column; None without one.
        mended: How many of them were invalid as drawn.
        left_out: Points, lines, and geometries without area or place.
    """

    name: str
    polygons: Geometries
    crs: pyproj.CRS
    classes: NDArray[np.object_] | None = None
    mended: int = 0
    left_out: int = 0

    def __len__(self) -> int:
        return len(self.polygons)

    def to_crs(self, crs: pyproj.CRS) -> PolygonLayer:
        """The same polygons elsewhere; long edges follow what is straight in their own CRS.

        Raises:
            LabelError: There is no way from the one CRS to the other.
        """
        if crs.equals(self.crs, ignore_axis_order=True) or not len(self):
            return PolygonLayer(
                self.name, self.polygons, crs, self.classes, self.mended, self.left_out
            )
        length = _SEGMENT_M / _metres(self.crs)
        series = gpd.GeoSeries(shapely.segmentize(self.polygons, length), crs=self.crs)
        try:
            placed = np.asarray(series.to_crs(crs).array, object)
        except ProjError as error:
            raise LabelError(
                f"{self.name} is in {self.crs.name}, from which no transformation leads to "
                f"{crs.name}: assign the CRS that it was drawn in"
            ) from error
        moved, kept, _ = _areal(_unwound(placed, crs))
        return PolygonLayer(
            self.name,
            moved,
            crs,
            None if self.classes is None else self.classes[kept],
            # What the projection alone made invalid is not the fault of who drew it.
            self.mended,
            self.left_out + int((~kept).sum()),
        )

    def notes(self) -> list[str]:
        """What was done to the geometries."""
        said = []
        if self.mended:
            said.append(f"{self.name}: invalid geometries mended: {self.mended:,}")
        if self.left_out:
            said.append(
                f"{self.name}: geometries without area or place left out: {self.left_out:,}"
            )
        return said


def read_layer(path: str | Path, column: str | None = None) -> PolygonLayer:
    """Read the polygons of a vector file.

    Args:
        path: GeoPackage, GeoParquet, GeoJSON, FlatGeobuf, shapefile or what else GDAL reads; of
            several layers, the first of polygons.
        column: Of the classes; None: none is read.

    Raises:
        LabelError: The file cannot be read, has no CRS, or not the column.

    Example:
        >>> len(read_layer("fields.gpkg"))  # doctest: +SKIP
        1204
    """
    frame = _read_frame(path, column)
    return layer_of(frame, str(path), column)


def read_frame(path: str | Path) -> gpd.GeoDataFrame:
    """Read the polygons of a vector file as they are, with all columns.

    Args:
        path: As for :func:`read_layer`.

    Raises:
        LabelError: The file cannot be read or has no CRS.
    """
    frame = _read_frame(path, None)
    if frame.crs is None:
        raise LabelError(_NO_CRS.format(path))
    return frame


def layer_of(frame: gpd.GeoDataFrame, name: str, column: str | None = None) -> PolygonLayer:
    """Take the polygons of a table.

    Args:
        frame: With a CRS.
        name: For messages.
        column: Of the classes; None: none.

    Raises:
        LabelError: There is no CRS, or not the column.
    """
    if frame.crs is None:
        raise LabelError(_NO_CRS.format(name))
    if column is not None and column not in frame.columns:
        listed = ", ".join(str(c) for c in frame.columns if c != frame.geometry.name)
        raise LabelError(f"{name} has no column {column!r}: its columns are {listed or 'none'}")
    polygons, kept, mended = _areal(np.asarray(frame.geometry.array, object))
    classes = None if column is None else _as_text(frame[column].to_numpy()[kept])
    return PolygonLayer(name, polygons, pyproj.CRS(frame.crs), classes, mended, int((~kept).sum()))


def is_vector(path: str | Path) -> bool:
    """Whether a file holds layers of features, and not pixels."""
    if Path(path).suffix.lower() in PARQUET_SUFFIXES:
        return True
    try:
        return len(pyogrio.list_layers(path)) > 0
    except (DataSourceError, DataLayerError, ValueError):
        return False


def has_column(path: str | Path, column: str) -> bool:
    """Whether a vector file has a column; False where it cannot be read as one."""
    try:
        if Path(path).suffix.lower() in PARQUET_SUFFIXES:
            import pyarrow.parquet as pq

            return column in pq.read_schema(path).names
        return column in pyogrio.read_info(path, layer=_polygon_layer(Path(path)))["fields"]
    except (DataSourceError, DataLayerError, ValueError, OSError):
        return False


def measuring_crs(layer: PolygonLayer) -> pyproj.CRS:
    """The CRS in which a layer's areas are right: its own, or an equal-area one around it.

    Its own is kept if it is projected, in metres, and distorts areas by less than 1 % at the
    layer's centre and corners (degrees, feet and Web Mercator do not pass). Otherwise it is a
    Lambert azimuthal equal-area projection around the layer's centre, on the same datum.

    Raises:
        LabelError: The polygons have no place on the Earth.
    """
    geographic = in_degrees(layer.crs)
    if geographic is None:
        return layer.crs
    boxes = shapely.bounds(layer.polygons)
    left, bottom = boxes[:, :2].min(axis=0)
    right, top = boxes[:, 2:].max(axis=0)
    x = np.concatenate([[left, left, right, right], boxes[:, ::2].mean(axis=1)])
    y = np.concatenate([[bottom, top, bottom, top], boxes[:, 1::2].mean(axis=1)])
    to_degrees = pyproj.Transformer.from_crs(layer.crs, geographic, always_xy=True)
    lon, lat = (np.asarray(each) for each in to_degrees.transform(x, y))
    middles = lon[4:], lat[4:]
    if not (np.isfinite(middles[0]) & np.isfinite(middles[1])).any():
        raise LabelError(
            f"{layer.name}: its polygons have no place in its CRS ({layer.crs.name}): is it right?"
        )
    centre_lon, centre_lat = _centre(*middles)
    if _keeps_areas(layer.crs, np.append(lon[:4], centre_lon), np.append(lat[:4], centre_lat)):
        return layer.crs
    around = LambertAzimuthalEqualAreaConversion(round(centre_lat, 3), round(centre_lon, 3))
    return ProjectedCRS(around, name="Equal area around the labels", geodetic_crs=geographic)


def _unwound(polygons: Geometries, crs: pyproj.CRS) -> Geometries:
    """Polygons across the 180th meridian, which degrees tear apart, made whole beyond it."""
    if not crs.is_geographic:
        return polygons
    turn = full_turn(crs)
    parts, polygon = shapely.get_parts(polygons, return_index=True)
    left, right = shapely.bounds(parts)[:, ::2].T
    torn = right - left > turn / 2
    if not torn.any():
        return polygons
    whole = shapely.transform(
        parts[torn], lambda xy: xy + np.stack([turn * (xy[:, 0] < 0), 0 * xy[:, 1]], 1)
    )
    left, right = shapely.bounds(whole)[:, ::2].T
    parts[torn] = np.where(right - left < turn / 2, whole, parts[torn])
    mended: Geometries = polygons.copy()
    for number in np.unique(polygon[torn]):
        mended[number] = shapely.multipolygons(parts[polygon == number])
    return mended


def crs_name(crs: pyproj.CRS) -> str:
    """Its EPSG code where there is one, else its name."""
    code = crs.to_epsg()
    return str(crs.name) if code is None else f"EPSG:{code}"


def _read_frame(path: str | Path, column: str | None) -> gpd.GeoDataFrame:
    path = Path(path)
    if not path.exists():
        raise LabelError(f"{path} does not exist")
    try:
        return _frame_of(path, column)
    except (DataSourceError, DataLayerError, ValueError, RuntimeError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise LabelError(f"{path} cannot be read as a vector file ({reason})") from error


def _frame_of(path: Path, column: str | None) -> gpd.GeoDataFrame:
    if path.suffix.lower() in PARQUET_SUFFIXES:
        # Without a list of columns, one that is missing can be named together with those there are.
        return gpd.read_parquet(path)
    layer = _polygon_layer(path)
    columns = None
    if column is not None and column in pyogrio.read_info(path, layer=layer)["fields"]:
        columns = [column]
    frame = pyogrio.read_dataframe(path, layer=layer, columns=columns)
    if not isinstance(frame, gpd.GeoDataFrame):
        raise LabelError(f"{path} holds no geometry: labels and predictions are polygons")
    return frame


def _polygon_layer(path: Path) -> str:
    layers = pyogrio.list_layers(path)
    for name, kind in layers:
        if kind is not None and ("Polygon" in kind or "Surface" in kind):
            return str(name)
    # GeoJSON and GeoPackages may leave the kind of geometry open.
    for name, kind in layers:
        if kind is not None:
            return str(name)
    raise LabelError(f"{path} holds no layer of geometries: labels and predictions are polygons")


def _areal(drawn: Geometries) -> tuple[Geometries, NDArray[np.bool_], int]:
    """Valid polygons, which of those drawn they are, and how many had to be mended."""
    kept = ~(shapely.is_missing(drawn) | shapely.is_empty(drawn))
    kept &= np.isfinite(shapely.bounds(drawn)).all(axis=1) & (shapely.get_dimensions(drawn) == 2)
    flat: Geometries = shapely.force_2d(drawn[kept])
    invalid = ~shapely.is_valid(flat)
    flat[invalid] = shapely.make_valid(flat[invalid], method="structure", keep_collapsed=False)
    has_area = shapely.area(flat) > 0
    kept[kept] = has_area
    return flat[has_area], kept, int((invalid & has_area).sum())


def _as_text(values: NDArray) -> NDArray[np.object_]:
    """Class values as text; 3.0 is how a column with gaps stores 3."""
    texts = [
        str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
        for value in values.tolist()
    ]
    return np.array(texts, dtype=object)


def _centre(lon: NDArray[np.float64], lat: NDArray[np.float64]) -> tuple[float, float]:
    """Middle of places in degrees, wherever the 180th meridian is."""
    placed = np.isfinite(lon) & np.isfinite(lat)
    along, up = np.radians(lon[placed]), np.radians(lat[placed])
    x, y = (np.cos(up) * np.cos(along)).mean(), (np.cos(up) * np.sin(along)).mean()
    middle_lat = np.degrees(np.arctan2(np.sin(up).mean(), np.hypot(x, y)))
    return float(np.degrees(np.arctan2(y, x))), float(middle_lat)


def _keeps_areas(crs: pyproj.CRS, lon: NDArray[np.float64], lat: NDArray[np.float64]) -> bool:
    if not crs.is_projected or crs.axis_info[0].unit_conversion_factor != 1:
        return False
    try:
        scale = np.asarray(pyproj.Proj(crs).get_factors(lon, lat).areal_scale)
    except ProjError:
        return False
    return bool((np.abs(scale - 1) < _LARGEST_DISTORTION).all())


def _metres(crs: pyproj.CRS) -> float:
    """About how many metres a unit of a CRS is."""
    if crs.is_geographic:
        return _METRES_PER_DEGREE
    return float(crs.axis_info[0].unit_conversion_factor or 1) if crs.axis_info else 1.0
