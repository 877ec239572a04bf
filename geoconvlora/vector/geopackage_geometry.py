"""Polygons as GeoPackage keeps them: WKB behind a header with their bounds (OGC 12-128, 2.1.3)."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from geoconvlora.vector.schema import BBOX_TYPE

_HEADER = np.dtype(
    [("magic", "S2"), ("version", "u1"), ("flags", "u1"), ("srs_id", "<i4"), ("sides", "<f8", 4)]
)
_HEADER_BYTES_EMPTY = 8
_LITTLE_ENDIAN, _WITH_BOUNDS, _EMPTY = 1, 1 << 1, 1 << 4


def envelopes_of(bbox: pa.StructArray) -> NDArray[np.float64]:
    """Bounds in the order of GeoPackage and SQLite: xmin, xmax, ymin, ymax.

    Args:
        bbox: Of type :data:`geoconvlora.vector.schema.BBOX_TYPE`.

    Returns:
        ``(n, 4)``; not finite where there is no polygon, or an empty one.
    """
    envelopes = np.empty((len(bbox), 4))
    for column, name in enumerate(("xmin", "xmax", "ymin", "ymax")):
        side = bbox.field(BBOX_TYPE.get_field_index(name))
        envelopes[:, column] = side.to_numpy(zero_copy_only=False)
    return envelopes


def to_blobs(wkb: pa.Array, envelopes: NDArray[np.float64], srs_id: int) -> pa.Array:
    """Put the headers before the polygons.

    Args:
        wkb: Binary, of two dimensions; null without polygon.
        envelopes: Their bounds, as :func:`envelopes_of` gives them.
        srs_id: Number of the CRS in the file.

    Returns:
        Binary; null without polygon.
    """
    headers = np.zeros(len(wkb), _HEADER)
    empty = ~np.isfinite(envelopes[:, 0])
    headers["magic"] = b"GP"
    headers["flags"] = np.where(empty, _LITTLE_ENDIAN | _EMPTY, _LITTLE_ENDIAN | _WITH_BOUNDS)
    headers["srs_id"] = srs_id
    headers["sides"] = envelopes
    written = headers.view(np.uint8).reshape(-1, _HEADER.itemsize)
    if empty.any():
        sizes = np.where(empty, _HEADER_BYTES_EMPTY, _HEADER.itemsize)
        written = written[np.arange(_HEADER.itemsize) < sizes[:, None]]
    else:
        sizes = np.full(len(wkb), _HEADER.itemsize)
    offsets = np.append(0, np.cumsum(sizes)).astype(np.int32)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(written))]
    before = pa.Array.from_buffers(pa.binary(), len(wkb), buffers)
    return pc.binary_join_element_wise(before, wkb, pa.scalar(b"", pa.binary()))
