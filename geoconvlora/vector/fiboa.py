"""Field boundaries under the names of fiboa (https://github.com/fiboa/specification, v0.2.0)."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.compute as pc

from geoconvlora.vector.schema import BBOX, BBOX_TYPE, GEOMETRY, NEIGHBOURS

VERSION = "0.2.0"
HECTARE_M2 = 10_000.0

SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("area", pa.float32()),
        pa.field("perimeter", pa.float32()),
        pa.field("determination_datetime", pa.timestamp("ms", tz="UTC")),
        pa.field("determination_method", pa.string()),
        pa.field("determination_details", pa.string()),
        pa.field("confidence", pa.float64()),
        pa.field(GEOMETRY, pa.binary()),
        pa.field(BBOX, BBOX_TYPE),
    ]
)
"""The core specification's columns, and ours of the confidence."""


def schema_of(*, neighbours: bool) -> pa.Schema:
    """:data:`SCHEMA`, with our column of neighbours if there is one."""
    if not neighbours:
        return SCHEMA
    return SCHEMA.insert(SCHEMA.get_field_index(GEOMETRY), pa.field(NEIGHBOURS, pa.int64()))


def as_fiboa(table: pa.Table) -> pa.Table:
    """Rename and convert the columns of polygons: areas to hectares, dates to UTC.

    Args:
        table: Columns of :func:`geoconvlora.vector.schema.schema_of`.

    Returns:
        Columns of :func:`schema_of`.
    """
    count = len(table)
    counted = NEIGHBOURS in table.column_names
    details = pc.if_else(
        pc.equal(table["model"], ""),
        "geoconvlora",
        pc.binary_join_element_wise("geoconvlora, model ", table["model"], ""),
    )
    columns = {
        "id": table["id"].cast(pa.string()),
        "area": pc.divide(table["area_m2"], HECTARE_M2).cast(pa.float32()),
        "perimeter": table["perimeter_m"].cast(pa.float32()),
        "determination_datetime": _moments(table["date"]),
        "determination_method": pa.repeat("auto-imagery", count),
        "determination_details": details,
        "confidence": table["confidence"],
        **({NEIGHBOURS: table[NEIGHBOURS]} if counted else {}),
        GEOMETRY: table[GEOMETRY],
        BBOX: table[BBOX],
    }
    return pa.Table.from_arrays(list(columns.values()), schema=schema_of(neighbours=counted))


def collection(layer: str) -> dict[str, str]:
    """The collection's metadata, for the file's header."""
    return {
        "fiboa": json.dumps({"fiboa_version": VERSION, "fiboa_extensions": [], "id": layer}),
    }


def _moments(dates: pa.ChunkedArray) -> pa.ChunkedArray:
    """ISO 8601 to moments; a day is its first moment, and times without zone are UTC.

    Of an interval, when several scenes were taken, it is the last: then it was still there.
    """
    dates = pc.replace_substring_regex(dates, "^.*/", "")
    full = pc.if_else(
        pc.equal(pc.utf8_length(dates), 10),
        pc.binary_join_element_wise(dates, "T00:00:00", ""),
        pc.utf8_rtrim(dates, "Z"),
    )
    naive = pc.cast(full, pa.timestamp("ms"))
    return pc.assume_timezone(naive, "UTC")
