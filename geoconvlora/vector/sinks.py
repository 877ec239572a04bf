"""Files that take Arrow batches: one through GDAL, one through pyarrow."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pyogrio
import pyproj

from geoconvlora.vector.schema import BBOX, BBOX_TYPE, GEOMETRY
from geoconvlora.vector.sink_thread import ThreadSink


class Sink(Protocol):
    """A file that grows by batches.

    Attributes:
        batch_rows: Polygons of each batch but the last.
    """

    batch_rows: ClassVar[int]

    def write(self, batch: pa.RecordBatch) -> None:
        """Append polygons."""

    def close(self) -> None:
        """Complete the file."""

    def abort(self) -> None:
        """Stop; the file is of no use."""


class GdalSink(ThreadSink):
    """A layer that GDAL writes in one go, in a thread of its own, while batches are being made.

    One go matters: only then is the spatial index built at once, when all is there.

    Args:
        path: The file.
        schema: Of the batches.
        driver: GDAL's name of the format.
        settings: For ``pyogrio.write_arrow``, ``geometry_type`` among them, with GDAL's options of
            the layer.
    """

    def __init__(self, path: Path, schema: pa.Schema, driver: str, **settings: Any) -> None:
        kept = pa.schema([field for field in schema if field.name != BBOX])

        def consume(batches: Iterator[pa.RecordBatch]) -> None:
            stream = (batch.select(kept.names) for batch in batches)
            pyogrio.write_arrow(
                pa.RecordBatchReader.from_batches(kept, stream),
                path,
                driver=driver,
                geometry_name=GEOMETRY,
                **settings,
            )

        super().__init__(consume)


class ParquetSink:
    """GeoParquet 1.1 with a column of bounds, which readers skip row groups by.

    Args:
        path: The file.
        schema: Of the batches.
        crs: Of the polygons.
        metadata: More entries of the file's header.
        geometry_type: Of all rows.
    """

    # Each is a row group, which compresses and is read as one.
    batch_rows: ClassVar[int] = 16384

    def __init__(
        self,
        path: Path,
        schema: pa.Schema,
        crs: pyproj.CRS,
        metadata: Mapping[str, str],
        geometry_type: str,
    ) -> None:
        self._crs = crs
        self._geometry_type = geometry_type
        self._bounds = np.array([np.inf, np.inf, -np.inf, -np.inf])
        self._file = pq.ParquetWriter(
            path, schema.with_metadata(dict(metadata)), compression="zstd"
        )

    def write(self, batch: pa.RecordBatch) -> None:
        """Append a row group."""
        for side, name in enumerate(BBOX_TYPE.names):
            of_all = pc.min if side < 2 else pc.max
            extreme = of_all(pc.struct_field(batch[BBOX], name)).as_py()
            self._bounds[side] = (min if side < 2 else max)(self._bounds[side], extreme)
        self._file.write_batch(batch.replace_schema_metadata(self._file.schema.metadata))

    def close(self) -> None:
        """Write the header."""
        self._file.add_key_value_metadata({"geo": json.dumps(self._geo())})
        self._file.close()

    def abort(self) -> None:
        """Let go of the file."""
        self._file.close()

    def _geo(self) -> dict[str, object]:
        column: dict[str, object] = {
            "encoding": "WKB",
            "geometry_types": [self._geometry_type],
            "crs": self._crs.to_json_dict(),
            "orientation": "counterclockwise",
            "covering": {"bbox": {name: [BBOX, name] for name in BBOX_TYPE.names}},
        }
        if np.isfinite(self._bounds).all():
            column["bbox"] = self._bounds.tolist()
        return {"version": "1.1.0", "primary_column": GEOMETRY, "columns": {GEOMETRY: column}}
