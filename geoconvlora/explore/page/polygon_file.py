"""Vector files of polygons, a batch of features at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pyogrio
import pyproj
from pyogrio.errors import DataLayerError, DataSourceError

from geoconvlora.errors import LabelError
from geoconvlora.naming import PARQUET_SUFFIXES
from geoconvlora.scenes.class_names import is_color

GEOMETRY = "\0geometry"
"""Column of geometries as WKB in batches; no attribute has this name."""

_BATCH_ROWS = 65_536
#: OGR's types of columns that a table can show: no bytes and no lists.
_SHOWN = {
    "OFTInteger", "OFTInteger64", "OFTReal", "OFTString", "OFTDate", "OFTTime", "OFTDateTime",
}  # fmt: skip
_NUMBERS = {"OFTInteger", "OFTInteger64", "OFTReal"}
_FAULTS = (DataSourceError, DataLayerError, pa.ArrowException, OSError, ValueError, RuntimeError)


@dataclass(frozen=True)
class PolygonFile:
    """A layer of a vector file.

    Attributes:
        path: Of the file.
        layer: Its name; empty in formats without layers.
        geometry: The file's own name of the column of geometries.
        columns: Attributes that text or a number can show, in the file's order.
        numbers: Those of them that are numbers.
        crs: Of the geometries.
        count: Of the features.
        colors: ``#rrggbb`` by class name, as far as the file tells.
    """

    path: Path
    layer: str
    geometry: str
    columns: tuple[str, ...]
    numbers: frozenset[str]
    crs: pyproj.CRS
    count: int
    colors: dict[str, str]

    def batches(self, columns: Sequence[str], *, geometry: bool) -> Iterator[pa.Table]:
        """Yield all features in the file's order.

        Args:
            columns: Attributes to read.
            geometry: Whether to read geometries too, into the column :data:`GEOMETRY`.

        Raises:
            LabelError: The file is damaged.
        """
        try:
            if self.path.suffix.lower() in PARQUET_SUFFIXES:
                yield from self._parquet_batches(columns, geometry=geometry)
            else:
                yield from self._gdal_batches(columns, geometry=geometry)
        except _FAULTS as fault:
            raise _unreadable(self.path, fault) from fault

    def _gdal_batches(self, columns: Sequence[str], *, geometry: bool) -> Iterator[pa.Table]:
        with pyogrio.open_arrow(
            self.path,
            layer=self.layer,
            columns=list(columns),
            read_geometry=geometry,
            batch_size=_BATCH_ROWS,
            use_pyarrow=True,
        ) as (meta, reader):
            found = meta["geometry_name"] or "wkb_geometry"
            for batch in reader:
                yield _named(pa.Table.from_batches([batch]), columns, found if geometry else None)

    def _parquet_batches(self, columns: Sequence[str], *, geometry: bool) -> Iterator[pa.Table]:
        wanted = [*columns, self.geometry] if geometry else list(columns)
        with pq.ParquetFile(self.path) as file:
            for batch in file.iter_batches(_BATCH_ROWS, columns=wanted):
                table = pa.Table.from_batches([batch])
                yield _named(table, columns, self.geometry if geometry else None)


def open_polygons(path: Path) -> PolygonFile:
    """Look at a vector file; of several layers, at the first of polygons.

    Raises:
        LabelError: It cannot be read, has no polygons or no CRS.

    Example:
        >>> open_polygons(Path("fields.gpkg")).count  # doctest: +SKIP
        1204
    """
    try:
        if path.suffix.lower() in PARQUET_SUFFIXES:
            return _open_parquet(path)
        layer = _polygon_layer(path)
        info = pyogrio.read_info(path, layer=layer, force_feature_count=True)
    except _FAULTS as fault:
        raise _unreadable(path, fault) from fault
    kinds = dict(zip(map(str, info["fields"]), info["ogr_types"], strict=True))
    metadata = info.get("layer_metadata") or {}
    return PolygonFile(
        path,
        layer,
        str(info["geometry_name"] or "wkb_geometry"),
        tuple(name for name, kind in kinds.items() if kind in _SHOWN),
        frozenset(name for name, kind in kinds.items() if kind in _NUMBERS),
        _crs(info["crs"], path),
        int(info["features"]),
        _colors(metadata.get("classes") or _described(metadata.get("DESCRIPTION"))),
    )


def _open_parquet(path: Path) -> PolygonFile:
    with pq.ParquetFile(path) as file:
        schema = file.schema_arrow
        # Writers may add it after the schema was written; then it is the file's alone.
        metadata = {**(schema.metadata or {}), **(file.metadata.metadata or {})}
        if b"geo" not in metadata:
            raise LabelError(f"{path} is a table without geometries: give a GeoParquet file")
        geo = json.loads(metadata[b"geo"])
        geometry = str(geo["primary_column"])
        column = geo["columns"][geometry]
        if column["encoding"] != "WKB":
            raise LabelError(
                f"{path} stores its geometries as {column['encoding']}: write it with WKB"
            )
        # A column without this entry is in longitude and latitude, by GeoParquet's standard.
        crs = column.get("crs", "OGC:CRS84")
        shown = [
            field
            for field in schema
            if field.name != geometry and not pa.types.is_nested(field.type)
        ]
        return PolygonFile(
            path,
            "",
            geometry,
            tuple(field.name for field in shown),
            frozenset(field.name for field in shown if _is_number(field.type)),
            _crs(json.dumps(crs) if isinstance(crs, dict) else crs, path),
            int(file.metadata.num_rows),
            _colors(metadata.get(b"classes")),
        )


def _is_number(kind: pa.DataType) -> bool:
    of = pa.types
    return bool(of.is_integer(kind) or of.is_floating(kind) or of.is_decimal(kind))


def _polygon_layer(path: Path) -> str:
    layers = [(str(name), kind) for name, kind in pyogrio.list_layers(path) if kind is not None]
    for name, kind in layers:
        if "Polygon" in kind or "Surface" in kind:
            return name
    for name, kind in layers:
        # GeoJSON and GeoPackages may leave the kind of geometry open.
        if "Point" not in kind and "Line" not in kind and "Curve" not in kind:
            return name
    kinds = ", ".join(str(kind) for _, kind in layers) or "no geometry"
    raise LabelError(f"{path} holds {kinds}: only polygons can be shown")


def _named(table: pa.Table, columns: Sequence[str], geometry: str | None) -> pa.Table:
    places = table.schema.get_all_field_indices
    chosen = table.select([places(name)[0] for name in columns])
    if geometry is None:
        return chosen
    # GDAL's name for geometries may be an attribute's too, which comes first.
    return chosen.append_column(GEOMETRY, table.column(places(geometry)[-1]))


def _crs(found: object, path: Path) -> pyproj.CRS:
    if not found:
        raise LabelError(f"{path} has no CRS: assign the one that it was drawn in, in QGIS say")
    return pyproj.CRS.from_user_input(found)


def _described(text: object) -> object:
    """Classes in the description that other formats than GeoPackage keep metadata in."""
    try:
        return json.loads(str(text))["classes"]
    except (ValueError, TypeError, KeyError):
        return None


def _colors(text: object) -> dict[str, str]:
    """Colours of classes; none where the text is not what this package writes."""
    try:
        found = json.loads(text) if isinstance(text, (str, bytes)) else {}
        return {str(name): str(color) for name, color in found.items() if is_color(color)}
    except (ValueError, AttributeError):
        return {}


def _unreadable(path: Path, fault: Exception) -> LabelError:
    reason = " ".join(str(fault).split())[:200]
    return LabelError(f"{path} cannot be read as a vector file ({reason})")
