"""Columns of polygon layers, as Arrow tables for files and as GeoDataFrames for people."""

from __future__ import annotations

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


def boxes(bounds: np.ndarray) -> pa.StructArray:
    """Bounds ``(n, 4)``: xmin, ymin, xmax, ymax."""
    sides = [pa.array(np.ascontiguousarray(bounds[:, i])) for i in range(4)]
    return pa.StructArray.from_arrays(sides, fields=list(BBOX_TYPE))


def to_frame(table: pa.Table, crs: object) -> gpd.GeoDataFrame:
    """Polygons for people, columns :data:`COLUMNS` and ``geometry``."""
    values = {name: pd.Series(table[name].to_pandas(), dtype=COLUMNS[name]) for name in COLUMNS}
    polygons = shapely.from_wkb(table[GEOMETRY].to_numpy(zero_copy_only=False))
    return gpd.GeoDataFrame(pd.DataFrame(values), geometry=polygons, crs=crs)


def to_table(frame: gpd.GeoDataFrame) -> pa.Table:
    """Polygons for files.

    Raises:
        KeyError: A column of the schema is missing.
    """
    polygons = np.asarray(frame.geometry.array)
    columns = [pa.array(frame[name], _ARROW[COLUMNS[name]], from_pandas=True) for name in COLUMNS]
    wkb = pa.array(shapely.to_wkb(polygons), pa.binary())
    return pa.Table.from_arrays([*columns, wkb, boxes(shapely.bounds(polygons))], schema=SCHEMA)
