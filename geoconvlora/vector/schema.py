"""Columns of polygon layers, as Arrow tables for files and as GeoDataFrames for people."""

from __future__ import annotations

from collections.abc import Iterable

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import shapely

COLUMNS: dict[str, str] = {
    "id": "int64",
    "class": "str",
    "class_id": "int64",
    "area_m2": "float64",
    "perimeter_m": "float64",
    "confidence": "float64",
    "min_confidence": "float64",
    "valid_share": "float64",
    "scene": "str",
    "date": "str",
    "model": "str",
    "model_sha256": "str",
}
"""Attributes of every layer of polygons, in order."""

NEIGHBOURS = "neighbours"
"""Column behind these, of layers whose polygons' neighbours are counted."""

_ARROW = {"int64": pa.int64(), "str": pa.string(), "float64": pa.float64()}

GEOMETRY = "geometry"
"""Column of polygons as WKB."""
BBOX = "bbox"
"""Column of their bounds, for the formats that want them."""

BBOX_TYPE = pa.struct([(name, pa.float64()) for name in ("xmin", "ymin", "xmax", "ymax")])
SCHEMA = pa.schema(
    [
        *(pa.field(name, _ARROW[kind]) for name, kind in COLUMNS.items()),
        pa.field(GEOMETRY, pa.binary()),
        pa.field(BBOX, BBOX_TYPE),
    ]
)
"""Of the tables that go to files."""


def schema_of(*, neighbours: bool) -> pa.Schema:
    """:data:`SCHEMA`, with the column of neighbours if there is one."""
    if not neighbours:
        return SCHEMA
    return SCHEMA.insert(len(COLUMNS), pa.field(NEIGHBOURS, pa.int64()))


def boxes(bounds: np.ndarray) -> pa.StructArray:
    """Bounds ``(n, 4)``: xmin, ymin, xmax, ymax."""
    sides = [pa.array(np.ascontiguousarray(bounds[:, i])) for i in range(4)]
    return pa.StructArray.from_arrays(sides, fields=list(BBOX_TYPE))


def to_frame(table: pa.Table, crs: object) -> gpd.GeoDataFrame:
    """Polygons for people, the table's columns without bounds."""
    kinds = _kinds(table.column_names)
    values = {name: pd.Series(table[name].to_pandas(), dtype=kind) for name, kind in kinds.items()}
    polygons = shapely.from_wkb(table[GEOMETRY].to_numpy(zero_copy_only=False))
    return gpd.GeoDataFrame(pd.DataFrame(values), geometry=polygons, crs=crs)


def to_table(frame: gpd.GeoDataFrame) -> pa.Table:
    """Polygons for files.

    Raises:
        KeyError: A column of the schema is missing.
    """
    polygons = np.asarray(frame.geometry.array)
    kinds = _kinds(frame.columns)
    columns = [
        pa.array(frame[name], _ARROW[kind], from_pandas=True) for name, kind in kinds.items()
    ]
    wkb = pa.array(shapely.to_wkb(polygons, output_dimension=2), pa.binary())
    schema = schema_of(neighbours=NEIGHBOURS in kinds)
    return pa.Table.from_arrays([*columns, wkb, boxes(shapely.bounds(polygons))], schema=schema)


def _kinds(present: Iterable[str]) -> dict[str, str]:
    return {**COLUMNS, NEIGHBOURS: "int64"} if NEIGHBOURS in present else COLUMNS
