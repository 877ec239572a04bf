"""Polygons to a file, in pieces, whole or not at all."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import geopandas as gpd
import pyarrow as pa
import pyarrow.compute as pc
import pyproj
from pyogrio.errors import CRSError, DataLayerError, DataSourceError, FeatureError, GeometryError

from geoconvlora.errors import OutputError
from geoconvlora.naming import check_name_length
from geoconvlora.scenes.environment import vector_environment
from geoconvlora.scenes.ground import radius_of_another_body
from geoconvlora.vector import fiboa as field_boundaries
from geoconvlora.vector.geopackage import copy_of, find_layer, is_reserved
from geoconvlora.vector.geopackage_sink import GeoPackageSink
from geoconvlora.vector.schema import BBOX, GEOMETRY, schema_of, to_table
from geoconvlora.vector.sinks import GdalSink, ParquetSink, Sink
from geoconvlora.vector.styles import MAX_STYLED, add_default_style, qml

SUFFIXES = (".gpkg", ".fgb", ".parquet", ".geojson")

_FAILURES = (
    OSError,
    DataSourceError,
    DataLayerError,
    FeatureError,
    GeometryError,
    CRSError,
    pa.ArrowException,
    sqlite3.Error,
)
#: Those that a full disk or a folder that is gone lead to.
_OF_THE_DISK = (OSError, DataSourceError, sqlite3.OperationalError)
_NOT_WRITTEN = "Cannot write feature"
"""What GDAL says, as it does of layers, when a GeoJSON finds no room."""


def check_target(path: str | Path, *, overwrite: bool = False, append: bool = False) -> Path:
    """Refuse early what could not be written at the end.

    Args:
        path: The file.
        overwrite: It may be replaced.
        append: It may be a GeoPackage that is added to.

    Raises:
        OutputError: Unknown suffix, too long a name, a file that exists already or cannot be
            added to, or a folder that is missing or cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise OutputError(f"{path}: polygons are written as {' '.join(SUFFIXES)}")
    if append and path.suffix.lower() != ".gpkg":
        raise OutputError(f"{path}: only a GeoPackage (.gpkg) can be added to")
    check_name_length(path)
    if path.is_dir():
        raise OutputError(f"{path} is a folder: give the name of a file")
    if path.exists() and not (overwrite or append):
        raise OutputError(f"{path} exists already: replace it with --overwrite (overwrite=True)")
    _refuse_if_in_use(path)
    if not path.parent.is_dir():
        raise OutputError(f"{path}: the folder {path.parent} does not exist; make it first")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise OutputError(f"{path}: the folder {path.parent} cannot be written")
    return path


def _refuse_if_in_use(path: Path) -> None:
    """Refuse to replace a GeoPackage beside which SQLite keeps changes that are not yet in it.

    They would be read into the new file, which they do not belong to.
    """
    changes = path.with_name(f"{path.name}-wal")
    if changes.exists() and changes.stat().st_size:
        raise OutputError(
            f"{path} is in use by another program, such as QGIS: close it there first "
            f"(it keeps changes in {changes.name})"
        )


class PolygonWriter:
    """Writes one layer of polygons; the file appears when the ``with`` block ends without error.

    The suffix decides the format: ``.gpkg`` (with spatial index and a style for QGIS), ``.fgb``,
    ``.parquet`` (GeoParquet 1.1), ``.geojson`` (RFC 7946: longitude and latitude on WGS 84, cut
    in two at the antimeridian). Memory does not depend on how many there are.

    Args:
        path: The file.
        crs: CRS of the polygons, anything that pyproj understands.
        layer: Name of the layer where the format has one.
        overwrite: Replace a file that exists; with ``append`` only its layer of this name.
        append: Add to a GeoPackage that exists: rows to its layer of this name, with ids going on
            where they end there, or a new layer. Until all is written the file stays as it was.
        metadata: Kept with the layer in a GeoPackage and in the header of a GeoParquet.
        instances: The polygons are objects, not regions of classes.
        colors: ``#rrggbb`` by class name, for the style.
        fiboa: Use the column names of :mod:`geoconvlora.vector.fiboa`.
        neighbours: The polygons have a column of neighbours.
        multi: They are multipolygons.

    Raises:
        OutputError: The file cannot be written, or cannot have a layer of this name; then nothing
            is left of it.

    Example:
        >>> with PolygonWriter("fields.gpkg", "EPSG:32631", layer="fields") as writer:
        ...     writer.write(polygons)  # doctest: +SKIP
    """

    def __init__(
        self,
        path: str | Path,
        crs: object,
        *,
        layer: str,
        overwrite: bool = False,
        append: bool = False,
        metadata: Mapping[str, str] | None = None,
        instances: bool = True,
        colors: Mapping[str, str] | None = None,
        fiboa: bool = False,
        neighbours: bool = False,
        multi: bool = False,
    ) -> None:
        self.path = check_target(path, overwrite=overwrite, append=append)
        self.layer = layer
        self.count = 0
        self._crs = pyproj.CRS(crs)
        self._fiboa = fiboa
        columns = field_boundaries.schema_of if fiboa else schema_of
        self._schema = columns(neighbours=neighbours)
        self._colors = dict(colors or {})
        self._classes = dict.fromkeys(self._colors)
        self._metadata = {
            "task": "instances" if instances else "classes",
            **(metadata or {}),
            **({"classes": json.dumps(self._colors)} if self._colors else {}),
            **(field_boundaries.collection(layer) if fiboa else {}),
        }
        self._geometry_type = "MultiPolygon" if multi else "Polygon"
        self._suffix = self.path.suffix.lower()
        if self._suffix == ".gpkg" and is_reserved(layer):
            raise OutputError(
                f"{self.path} cannot have a layer '{layer}', as GeoPackages keep that name for "
                "tables of their own: choose another"
            )
        if self._suffix == ".geojson" and radius_of_another_body(self._crs) is not None:
            raise OutputError(
                f"{self.path} cannot be GeoJSON, which holds places on the Earth only: "
                "write a .gpkg"
            )
        self._draft = self.path.with_name(f".{self.path.name}.{os.getpid()}.part{self._suffix}")
        self._into = append and self.path.exists()
        self._keep_rows = self._into and not overwrite
        self._first_id = 0
        self._waiting = schema_of(neighbours=neighbours).empty_table()
        self._sink: Sink | None = None
        # GDAL's settings are the whole process's: here, where writers are nested, and not in the
        # threads that write, which end in any order.
        self._environment = ExitStack()

    def __enter__(self) -> Self:
        try:
            self._environment.enter_context(vector_environment())
            with self._mended():
                self._sink = self._opened()
        except BaseException:
            self._clear()
            raise
        return self

    def write(self, polygons: pa.Table | gpd.GeoDataFrame) -> None:
        """Append polygons.

        Args:
            polygons: An Arrow table with the columns of
                :func:`geoconvlora.vector.schema.schema_of`, or a GeoDataFrame with them.
        """
        if not len(polygons):
            return
        table = polygons if isinstance(polygons, pa.Table) else to_table(polygons)
        self.count += len(table)
        self._classes |= dict.fromkeys(pc.unique(table["class"]).to_pylist())
        self._waiting = pa.concat_tables([self._waiting, table])
        self._flush()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._flush(at_least=1)
                with self._mended():
                    self._publish()
        finally:
            self._clear()

    def _opened(self) -> Sink:
        if self._suffix == ".parquet":
            return ParquetSink(
                self._draft, self._schema, self._crs, self._metadata, self._geometry_type
            )
        settings: dict[str, object] = {
            "crs": self._crs.to_wkt(),
            "geometry_type": self._geometry_type,
        }
        if self._suffix == ".gpkg":
            return self._opened_geopackage(settings)
        settings |= {"layer": self.layer, "DESCRIPTION": json.dumps(self._metadata)}
        if self._suffix == ".geojson":
            return GdalSink(self._draft, self._schema, "GeoJSON", **settings, RFC7946="YES")
        return GdalSink(self._draft, self._schema, "FlatGeobuf", **settings, SPATIAL_INDEX="YES")

    def _opened_geopackage(self, settings: dict[str, object]) -> Sink:
        if not self._into:
            settings["layer_metadata"] = self._metadata
            return GeoPackageSink(self._draft, self._schema, self.layer, **settings)
        copy_of(self.path, self._draft)
        settings["layer"] = self.layer
        if self._keep_rows and self._continues():
            return GdalSink(self._draft, self._schema, "GPKG", **settings, append=True)
        settings |= {"layer_metadata": self._metadata, "SPATIAL_INDEX": "YES"}
        return GdalSink(self._draft, self._schema, "GPKG", **settings)

    def _continues(self) -> bool:
        """Whether rows go to a layer that is there; if so, it must take them."""
        found = find_layer(self._draft, self.layer)
        self._keep_rows = found is not None
        if found is None:
            return False
        columns = [name for name in self._schema.names if name not in (GEOMETRY, BBOX)]
        missing = [name for name in columns if name not in found.columns]
        if missing:
            raise OutputError(
                f"{self.path}: its layer '{self.layer}' has no column {missing[0]!r}: "
                "choose another layer, or replace this one (overwrite=True with append=True)"
            )
        # "Unknown" is the layer of any geometries.
        if found.geometry_type not in (self._geometry_type, "Unknown"):
            raise OutputError(
                f"{self.path}: its layer '{self.layer}' is of {found.geometry_type}s, not of "
                f"{self._geometry_type}s: choose another layer"
            )
        if not found.has_crs(self._crs):
            raise OutputError(
                f"{self.path}: its layer '{self.layer}' has another CRS than {self._crs.name}: "
                "choose another layer"
            )
        self._first_id = found.last_id
        return True

    def _flush(self, at_least: int | None = None) -> None:
        """Write in batches of one size, so that the file does not tell how it was fed."""
        assert self._sink is not None, "used as a context manager"
        rows = self._sink.batch_rows
        while len(self._waiting) >= (at_least or rows):
            table = self._waiting.slice(0, rows)
            self._waiting = self._waiting.slice(rows)
            if self._first_id:
                table = table.set_column(
                    0, table.schema.field("id"), pc.add(table["id"], self._first_id)
                )
            if self._fiboa:
                table = field_boundaries.as_fiboa(table)
            with self._mended():
                self._sink.write(table.combine_chunks().to_batches()[0])

    def _publish(self) -> None:
        assert self._sink is not None, "used as a context manager"
        self._sink.close()
        self._sink = None
        few = self._fiboa or len(self._classes) <= MAX_STYLED
        if self._suffix == ".gpkg" and not self._keep_rows and few:
            column = "determination_method" if self._fiboa else "class"
            shown = ["auto-imagery"] if self._fiboa else [str(name) for name in self._classes]
            add_default_style(self._draft, self.layer, qml(column, shown, self._colors))
        with self._draft.open("rb") as written:
            os.fsync(written.fileno())
        _refuse_if_in_use(self.path)
        self._draft.replace(self.path)

    @contextmanager
    def _mended(self) -> Iterator[None]:
        """Failures become one error that names the file."""
        try:
            yield
        except _FAILURES as error:
            of_the_disk = isinstance(error, _OF_THE_DISK) or _NOT_WRITTEN in str(error)
            raise OutputError(
                f"{self.path} could not be written ({error})"
                + (": is the disk full or the folder gone?" if of_the_disk else "")
            ) from error

    def _clear(self) -> None:
        if self._sink is not None:
            with suppress(*_FAILURES):
                self._sink.abort()
            self._sink = None
        self._environment.close()
        with suppress(FileNotFoundError):
            # GDAL and SQLite put files of their own beside it.
            for left in list(self.path.parent.iterdir()):
                if left.name.startswith(self._draft.stem):
                    left.unlink(missing_ok=True)
