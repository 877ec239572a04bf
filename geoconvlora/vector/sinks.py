"""Files that take Arrow batches: one through GDAL, one through pyarrow."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from queue import Empty, Full, Queue
from threading import Thread, main_thread
from typing import Any, ClassVar, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pyogrio
import pyproj

from geoconvlora.vector.schema import BBOX, BBOX_TYPE, GEOMETRY

_BATCHES_WAITING = 3
_LOOK_S = 0.1


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


class GdalSink:
    """A layer that GDAL writes in one go, in a thread of its own, while batches are being made.

    One go matters: only then is the spatial index built at once, when all is there.

    Args:
        path: The file.
        schema: Of the batches.
        driver: GDAL's name of the format.
        settings: For ``pyogrio.write_arrow``, ``geometry_type`` among them, with GDAL's options of
            the layer.
    """

    # Few, as several wait; the same rows are written whatever it is.
    batch_rows: ClassVar[int] = 4096

    def __init__(self, path: Path, schema: pa.Schema, driver: str, **settings: Any) -> None:
        self._queue: Queue[pa.RecordBatch | None] = Queue(_BATCHES_WAITING)
        self._stopped = False
        self._failure: Exception | None = None
        kept = [field for field in schema if field.name != BBOX]
        self._names = [field.name for field in kept]
        self._thread = Thread(target=self._run, args=(path, pa.schema(kept), driver, settings))
        self._thread.start()

    def write(self, batch: pa.RecordBatch) -> None:
        """Hand a batch over, once there is room for it.

        Raises:
            Exception: What GDAL's thread ended with.
        """
        self._put(batch.select(self._names))

    def close(self) -> None:
        """Wait until the file is complete.

        Raises:
            Exception: What GDAL's thread ended with.
        """
        self._put(None)
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def abort(self) -> None:
        """Let the thread end."""
        self._stopped = True
        self._thread.join()

    def _put(self, batch: pa.RecordBatch | None) -> None:
        while self._thread.is_alive():
            try:
                self._queue.put(batch, timeout=_LOOK_S)
            except Full:
                continue
            return
        if self._failure is not None:
            raise self._failure

    def _batches(self) -> Iterator[pa.RecordBatch]:
        # A sink that an interrupt has cut off from its writer ends with the process: Python waits
        # for the thread, and breaks down where a thread that it does not wait for calls it then.
        while not self._stopped and main_thread().is_alive():
            try:
                batch = self._queue.get(timeout=_LOOK_S)
            except Empty:
                continue
            if batch is None:
                return
            yield batch

    def _run(self, path: Path, schema: pa.Schema, driver: str, settings: dict[str, Any]) -> None:
        try:
            pyogrio.write_arrow(
                pa.RecordBatchReader.from_batches(schema, self._batches()),
                path,
                driver=driver,
                geometry_name=GEOMETRY,
                **settings,
            )
        except Exception as failure:
            self._failure = failure


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
