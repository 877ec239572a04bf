"""A new GeoPackage: GDAL makes it, and what its tables hold is written page by page."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyogrio
from numpy.typing import NDArray
from pyogrio.errors import DataSourceError

from geoconvlora.vector.geopackage import quoted
from geoconvlora.vector.geopackage_geometry import envelopes_of, to_blobs
from geoconvlora.vector.packed_rtree import PackedRtree
from geoconvlora.vector.schema import BBOX, GEOMETRY
from geoconvlora.vector.sink_thread import ThreadSink
from geoconvlora.vector.sqlite_pages import PageFile
from geoconvlora.vector.sqlite_table import TableWriter


class GeoPackageSink(ThreadSink):
    """A GeoPackage of one layer, written in a thread.

    The layer is GDAL's in all but its rows: tables, triggers, metadata and spatial index are made
    by GDAL, empty. Through GDAL the rows would cost several times as much.

    Args:
        path: The file, which is not there yet; of no use if this fails.
        schema: Of the batches, with columns of polygons and bounds.
        layer: Its name.
        settings: For ``pyogrio.write_arrow``, ``geometry_type`` and ``crs`` among them.

    Raises:
        pyogrio.errors.DataLayerError: GDAL cannot make the layer.
        pyogrio.errors.DataSourceError: Nor the file.
    """

    def __init__(self, path: Path, schema: pa.Schema, layer: str, **settings: Any) -> None:
        kept = pa.schema([field for field in schema if field.name != BBOX])
        pyogrio.write_arrow(
            pa.RecordBatchReader.from_batches(kept, []),
            path,
            driver="GPKG",
            layer=layer,
            geometry_name=GEOMETRY,
            SPATIAL_INDEX="YES",
            **settings,
        )
        super().__init__(partial(_fill, path, _made(path, layer)))


@dataclass(frozen=True)
class _Layer:
    """A layer's tables.

    Attributes:
        name: Of the layer and its table.
        columns: Of the table, in its order, with ``key`` and ``geometry``.
        key: Column of row ids.
        geometry: Column of polygons.
        srs_id: The CRS's number in the file.
        node_bytes: Size of a node of the spatial index.
        roots: Number of the first page by table: empty, ``_node``, ``_rowid`` or ``_parent``.
        triggers: Statements that make them.
    """

    name: str
    columns: tuple[str, ...]
    key: str
    geometry: str
    srs_id: int
    node_bytes: int
    roots: dict[str, int]
    triggers: tuple[str, ...]

    @property
    def index(self) -> str:
        """The table of the spatial index."""
        return f"rtree_{self.name}_{self.geometry}"


@dataclass
class _Summary:
    """What GDAL keeps of a layer's rows.

    Attributes:
        count: Of rows.
        least: Of all bounds ``(4,)``: xmin, xmax, ymin, ymax.
        most: Of these, the greatest.
        root: Of the spatial index.
    """

    count: int
    least: NDArray[np.float64]
    most: NDArray[np.float64]
    root: bytes


def _fill(path: Path, made: _Layer, batches: Iterator[pa.RecordBatch]) -> None:
    with _database(path) as database:
        # They would find the place of each row in the index, with functions that only GDAL has.
        for (name,) in database.execute(*_triggers("name", made.name)).fetchall():
            database.execute(f"DROP TRIGGER {quoted(name)}")
        root = f"{made.index}_node"
        database.execute(f"DELETE FROM {quoted(root)}")
    with PageFile(path) as pages:
        summary = _write(pages, made, batches)
    with _database(path) as database:
        database.execute(f"UPDATE {quoted(root)} SET data = ? WHERE nodeno = 1", (summary.root,))
        _summarise(database, made, summary)
        for statement in made.triggers:
            database.execute(statement)


def _write(pages: PageFile, layer: _Layer, batches: Iterator[pa.RecordBatch]) -> _Summary:
    """Write the layer's rows and those of its index."""
    rows = TableWriter(pages, layer.roots[""])
    tables = {part: TableWriter(pages, root) for part, root in layer.roots.items() if part}
    index = PackedRtree(
        layer.node_bytes,
        lambda part, keys, values: tables[f"_{part}"].append(keys, [None, values]),
    )
    count = 0
    least, most = np.full(4, np.inf), np.full(4, -np.inf)
    for batch in batches:
        keys = np.arange(count + 1, count + 1 + len(batch))
        count += len(batch)
        envelopes = envelopes_of(batch[BBOX])
        blobs = to_blobs(batch[GEOMETRY], envelopes, layer.srs_id)
        known = {layer.key: None, layer.geometry: blobs}
        rows.append(
            keys,
            [known[n] if n in known else _as_sqlite(batch[n]) for n in layer.columns],
        )
        there = np.isfinite(envelopes[:, 0])
        bounds = envelopes[there]
        index.add(keys[there], bounds)
        least = np.minimum(least, bounds.min(0, initial=np.inf))
        most = np.maximum(most, bounds.max(0, initial=-np.inf))
    root = index.finish()
    for table in (rows, *tables.values()):
        table.finish()
    return _Summary(count, least, most, root)


def _summarise(database: sqlite3.Connection, layer: _Layer, summary: _Summary) -> None:
    """Write down what GDAL and SQLite keep of a table's rows."""
    database.execute(
        "UPDATE gpkg_ogr_contents SET feature_count = ? WHERE table_name = ?",
        (summary.count, layer.name),
    )
    if summary.count:
        database.execute("INSERT INTO sqlite_sequence VALUES (?, ?)", (layer.name, summary.count))
    if np.isfinite(summary.least).all():
        (xmin, _, ymin, _), (_, xmax, _, ymax) = summary.least.tolist(), summary.most.tolist()
        database.execute(
            "UPDATE gpkg_contents SET min_x = ?, min_y = ?, max_x = ?, max_y = ? "
            "WHERE table_name = ?",
            (xmin, ymin, xmax, ymax, layer.name),
        )


@contextmanager
def _database(path: Path) -> Iterator[sqlite3.Connection]:
    """One transaction without waiting for the disk, as a file that fails is of no use.

    A file that was deleted meanwhile, after an interrupt, is not made anew.
    """
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True)) as database:
        database.execute("PRAGMA synchronous = OFF")
        database.execute("PRAGMA journal_mode = MEMORY")
        with database:
            yield database


def _made(path: Path, layer: str) -> _Layer:
    """What GDAL has made; it makes tables as it closes a file, and tells of no failure then."""
    try:
        with _database(path) as database:
            return _find(database, layer)
    except (sqlite3.Error, ValueError) as fault:
        raise DataSourceError(f"GDAL made no layer '{layer}'") from fault


def _find(database: sqlite3.Connection, layer: str) -> _Layer:
    ((geometry, srs_id),) = database.execute(
        "SELECT column_name, srs_id FROM gpkg_geometry_columns WHERE table_name = ?", (layer,)
    )
    columns = database.execute("SELECT name, pk FROM pragma_table_info(?)", (layer,)).fetchall()
    (key,) = (name for name, is_key in columns if is_key)
    index = f"rtree_{layer}_{geometry}"
    ((node_bytes,),) = database.execute(f"SELECT length(data) FROM {quoted(index + '_node')}")
    pages = dict(database.execute("SELECT name, rootpage FROM sqlite_master WHERE type = 'table'"))
    parts = {"": layer, **{part: index + part for part in ("_node", "_rowid", "_parent")}}
    return _Layer(
        name=layer,
        columns=tuple(name for name, _ in columns),
        key=key,
        geometry=geometry,
        srs_id=srs_id,
        node_bytes=node_bytes,
        roots={part: pages[name] for part, name in parts.items()},
        triggers=tuple(sql for (sql,) in database.execute(*_triggers("sql", layer))),
    )


def _triggers(column: str, table: str) -> tuple[str, tuple[str]]:
    """A query for a table's triggers."""
    return f"SELECT {column} FROM sqlite_master WHERE type = 'trigger' AND tbl_name = ?", (table,)


def _as_sqlite(values: pa.Array) -> pa.Array:
    """Moments in UTC become text as GDAL writes it, with milliseconds if there are any."""
    if not pa.types.is_timestamp(values.type):
        return values
    moments = values.cast(pa.timestamp("ms"), safe=False).dictionary_encode()
    texts = pc.strftime(moments.dictionary, format="%Y-%m-%dT%H:%M:%SZ")
    return pc.replace_substring(texts, ".000Z", "Z").take(moments.indices)
