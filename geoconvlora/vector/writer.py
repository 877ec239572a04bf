"""Polygons to a file, in pieces, whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
from pyogrio.errors import CRSError, DataLayerError, DataSourceError, FeatureError, GeometryError

from geoconvlora.errors import OutputError
from geoconvlora.naming import check_name_length
from geoconvlora.scenes.environment import vector_environment
from geoconvlora.vector.features import COLUMNS, empty_layer

SUFFIXES = (".gpkg", ".fgb", ".parquet", ".geojson")

_FAILURES = (OSError, DataSourceError, DataLayerError, FeatureError, GeometryError, CRSError)
_CHUNK_ROWS = 8192


def check_target(path: str | Path, *, overwrite: bool = False) -> Path:
    """Refuse early what could not be written at the end.

    Raises:
        OutputError: Unknown suffix, too long a name, a file that exists already, or a folder that
            is missing or cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise OutputError(f"{path}: polygons are written as {' '.join(SUFFIXES)}")
    if path.suffix.lower() == ".parquet":
        _need_pyarrow(path)
    check_name_length(path)
    if path.is_dir():
        raise OutputError(f"{path} is a folder: give the name of a file")
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists already: replace it with --overwrite (overwrite=True)")
    if not path.parent.is_dir():
        raise OutputError(f"{path}: the folder {path.parent} does not exist; make it first")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise OutputError(f"{path}: the folder {path.parent} cannot be written")
    return path


class PolygonWriter:
    """Writes one layer of polygons; the file appears when the ``with`` block ends without error.

    The suffix decides the format: ``.gpkg`` (with spatial index), ``.fgb``, ``.parquet``
    (GeoParquet 1.1), ``.geojson`` (RFC 7946: longitude and latitude on WGS 84).

    Args:
        path: The file.
        crs: CRS of the polygons, anything that pyproj understands.
        layer: Name of the layer where the format has one.
        overwrite: Replace a file that exists.
        metadata: Kept with the layer in a GeoPackage and in the header of a GeoParquet.
        instances: The polygons are objects, not regions of classes.

    Raises:
        OutputError: The file cannot be written; then nothing is left of it.

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
        metadata: dict[str, str] | None = None,
        instances: bool = True,
    ) -> None:
        self.path = check_target(path, overwrite=overwrite)
        self.layer = layer
        self.count = 0
        self._schema = empty_layer(crs)
        self._waiting: list[gpd.GeoDataFrame] = []
        self._metadata = {
            "task": "instances" if instances else "classes",
            **(metadata or {}),
        }
        stem = f".{self.path.name}.{os.getpid()}.part"
        self._draft = self.path.with_name(f"{stem}.gpkg")
        self._converted = self.path.with_name(f"{stem}.final{self.path.suffix.lower()}")

    def __enter__(self) -> Self:
        try:
            with self._mended():
                self._append(self._schema, append=False)
        except BaseException:
            self._clear()
            raise
        return self

    def write(self, polygons: gpd.GeoDataFrame) -> None:
        """Append polygons, which have the columns of the schema."""
        if not len(polygons):
            return
        self.count += len(polygons)
        self._waiting.append(polygons[[*COLUMNS, "geometry"]])
        self._flush(_CHUNK_ROWS)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._flush(1)
                with self._mended():
                    self._publish()
        finally:
            self._clear()

    def _flush(self, at_least: int) -> None:
        """Write in chunks of one size, so that the file does not tell how it was fed."""
        while sum(map(len, self._waiting)) >= at_least:
            waiting = pd.concat(self._waiting, ignore_index=True)
            self._waiting = [waiting.iloc[_CHUNK_ROWS:]]
            with self._mended():
                self._append(waiting.iloc[:_CHUNK_ROWS], append=True)

    def _append(self, polygons: gpd.GeoDataFrame, *, append: bool) -> None:
        first = {} if append else {"layer_metadata": self._metadata, "SPATIAL_INDEX": "YES"}
        with vector_environment():
            pyogrio.write_dataframe(
                polygons,
                self._draft,
                layer=self.layer,
                driver="GPKG",
                geometry_type="Polygon",
                append=append,
                **first,
            )

    def _publish(self) -> None:
        suffix = self.path.suffix.lower()
        final = self._draft if suffix == ".gpkg" else self._converted
        if suffix == ".parquet":
            self._to_parquet()
        elif suffix != ".gpkg":
            self._convert("FlatGeobuf" if suffix == ".fgb" else "GeoJSON")
        with final.open("rb") as written:
            os.fsync(written.fileno())
        final.replace(self.path)

    def _convert(self, driver: str) -> None:
        options = {"RFC7946": "YES"} if driver == "GeoJSON" else {"SPATIAL_INDEX": "YES"}
        with pyogrio.open_arrow(
            self._draft, layer=self.layer, use_pyarrow=False, batch_size=_CHUNK_ROWS
        ) as (meta, stream):
            pyogrio.write_arrow(
                stream,
                self._converted,
                layer=self.layer,
                driver=driver,
                geometry_name=meta["geometry_name"] or "wkb_geometry",
                geometry_type="Polygon",
                crs=meta["crs"],
                **options,
            )

    def _to_parquet(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        with pyogrio.open_arrow(
            self._draft, layer=self.layer, use_pyarrow=True, batch_size=_CHUNK_ROWS
        ) as (meta, reader):
            geometry = reader.schema.get_field_index(meta["geometry_name"] or "wkb_geometry")
            fields = [pa.field(f.name, f.type) for f in reader.schema]
            fields[geometry] = pa.field("geometry", pa.binary())
            header = {"geo": json.dumps(self._geo_header()), **self._metadata}
            schema = pa.schema(fields, metadata=header)
            with pq.ParquetWriter(self._converted, schema, compression="zstd") as parquet:
                for batch in reader:
                    parquet.write_batch(pa.RecordBatch.from_arrays(batch.columns, schema=schema))

    def _geo_header(self) -> dict[str, object]:
        """The ``geo`` entry of GeoParquet 1.1."""
        column: dict[str, object] = {
            "encoding": "WKB",
            "geometry_types": ["Polygon"],
            "crs": self._schema.crs.to_json_dict(),
            "orientation": "counterclockwise",
        }
        if self.count:
            bounds = pyogrio.read_info(self._draft, layer=self.layer)["total_bounds"]
            column["bbox"] = [float(b) for b in np.asarray(bounds)]
        return {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}

    @contextmanager
    def _mended(self) -> Iterator[None]:
        """Failures of the disk become one error that names the file."""
        try:
            yield
        except _FAILURES as error:
            raise OutputError(
                f"{self.path} could not be written ({error}): is the disk full or the folder gone?"
            ) from error

    def _clear(self) -> None:
        for path in (self._draft, self._converted):
            for rest in ("", "-journal", "-wal", "-shm"):
                Path(f"{path}{rest}").unlink(missing_ok=True)


def _need_pyarrow(path: Path) -> None:
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        raise OutputError(
            f"{path}: GeoParquet needs pyarrow; install it (pip install pyarrow) or write .gpkg"
        ) from error
