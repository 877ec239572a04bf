"""Many polygons in three arrays: what is made, moved and written without an object for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray

from geoconvlora.vector.compiled import compiled
from geoconvlora.vector.copying import put_bytes

Polygons = NDArray[np.object_]
"""A one-dimensional array of ``shapely.Polygon``."""

_HEADER_BYTES = 9
_COUNT_BYTES = 4
_VERTEX_BYTES = 16
_MULTIPOLYGON = 6
"""The standard's number of that type of geometry."""


@dataclass(frozen=True)
class RaggedPolygons:
    """``(N,)`` polygons without an object for each.

    Attributes:
        xy: ``(V, 2)`` vertices; a ring's last is its first.
        rings: ``(R + 1,)`` first vertex of each ring, and the end.
        parts: ``(N + 1,)`` first ring of each polygon, its shell, and the end.

    Example:
        >>> square = RaggedPolygons.from_shapely(np.array([shapely.box(0, 0, 2, 1)]))
        >>> square.to_shapely()[0].area
        2.0
    """

    xy: NDArray[np.float64]
    rings: NDArray[np.int64]
    parts: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.parts) - 1

    @staticmethod
    def empty() -> RaggedPolygons:
        """No polygon."""
        return RaggedPolygons(np.empty((0, 2)), np.zeros(1, np.int64), np.zeros(1, np.int64))

    @staticmethod
    def from_shapely(polygons: Polygons) -> RaggedPolygons:
        """From ``(N,)`` shapely polygons in two dimensions."""
        if not len(polygons):
            return RaggedPolygons.empty()
        _, xy, (rings, parts) = shapely.to_ragged_array(polygons)
        return RaggedPolygons(xy, rings.astype(np.int64), parts.astype(np.int64))

    @staticmethod
    def join(several: Sequence[RaggedPolygons]) -> RaggedPolygons:
        """One after the other; none at all is allowed."""
        several = [RaggedPolygons.empty(), *several]
        return RaggedPolygons(
            np.concatenate([p.xy for p in several]),
            joined([p.rings for p in several]),
            joined([p.parts for p in several]),
        )

    def take(self, rows: NDArray[Any]) -> RaggedPolygons:
        """Those at ``rows``: indices in any order, or a mask ``(N,)``."""
        if rows.dtype == bool and rows.all():
            return self
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows
        ring_at, parts = _ranges(self.parts, rows)
        vertex_at, rings = _ranges(self.rings, ring_at)
        return RaggedPolygons(self.xy[vertex_at], rings, parts)

    def bounds(self, members: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
        """Least x and y, greatest x and y of each: ``(N, 4)``.

        Args:
            members: ``(M + 1,)`` first polygon of each multipolygon, and the end: of those.
        """
        polygon = np.arange(len(self) + 1) if members is None else members
        if len(polygon) == 1:
            return np.empty((0, 4))
        first = self.rings[self.parts[polygon[:-1]]]
        low, high = np.minimum.reduceat(self.xy, first), np.maximum.reduceat(self.xy, first)
        return np.concatenate([low, high], axis=1)

    def moved(self, affine: Affine) -> RaggedPolygons:
        """In another frame; a frame that mirrors turns the rings around, so shells keep their way.

        Rings from :class:`~geoconvlora.vector.regions.RegionTracer` count as mirrored already,
        because rows count downwards: under the usual affine of a north-up raster their shells
        are counter-clockwise.
        """
        x, y = self.xy[:, 0], self.xy[:, 1]
        xy = np.empty_like(self.xy)
        xy[:, 0] = affine.a * x + affine.b * y + affine.c
        xy[:, 1] = affine.d * x + affine.e * y + affine.f
        if affine.determinant > 0:
            ring_of = np.repeat(np.arange(len(self.rings) - 1), np.diff(self.rings))
            xy = xy[self.rings[ring_of] + self.rings[ring_of + 1] - 1 - np.arange(len(xy))]
        return RaggedPolygons(xy, self.rings, self.parts)

    def to_shapely(self) -> Polygons:
        """``(N,)`` of ``shapely.Polygon``."""
        if not len(self):
            return np.empty(0, object)
        polygons: Polygons = shapely.from_ragged_array(
            shapely.GeometryType.POLYGON, self.xy, (self.rings, self.parts)
        )
        return polygons

    def to_multi_wkb(
        self, members: NDArray[np.int64]
    ) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Do as :meth:`to_wkb`, but write multipolygons.

        Args:
            members: ``(M + 1,)`` first polygon of each, and the end.
        """
        written, offsets = self.to_wkb()
        head = np.zeros((len(members) - 1, _HEADER_BYTES), np.uint8)
        head[:, 0], head[:, 1] = 1, _MULTIPOLYGON
        count = np.diff(members).astype("<u4")
        head[:, _HEADER_BYTES - _COUNT_BYTES :] = count[:, None].view(np.uint8)
        start = offsets[members]
        whole = np.insert(written, np.repeat(start[:-1], _HEADER_BYTES), head.ravel())
        return whole, start + _HEADER_BYTES * np.arange(len(members))

    def to_wkb(self) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Well-known binary, little-endian.

        Returns:
            All bytes one after the other, and the first byte of each polygon ``(N + 1,)``: the
            buffers of an Arrow array of type ``large_binary``.
        """
        first_vertex = self.rings[self.parts]
        offsets = (
            _HEADER_BYTES * np.arange(len(self.parts))
            + _COUNT_BYTES * self.parts
            + _VERTEX_BYTES * (first_vertex - first_vertex[0])
        )
        written = np.empty(int(offsets[-1]), np.uint8)
        xy = np.ascontiguousarray(self.xy, "<f8").view(np.uint8).reshape(-1)
        write_wkb(xy, self.rings, self.parts, written)
        return written, offsets


@compiled("void(u1[::1], i8[::1], i8[::1], u1[::1])")
def write_wkb(xy, rings, parts, written):  # type: ignore[no-untyped-def]
    """Fill ``written`` with polygons whose vertices are the bytes ``xy``."""
    at = 0
    for polygon in range(len(parts) - 1):
        count = parts[polygon + 1] - parts[polygon]
        written[at] = 1
        written[at + 1] = 3
        written[at + 2] = written[at + 3] = written[at + 4] = 0
        for byte in range(4):
            written[at + 5 + byte] = (count >> (8 * byte)) & 255
        at += 9
        for ring in range(parts[polygon], parts[polygon + 1]):
            count = rings[ring + 1] - rings[ring]
            for byte in range(4):
                written[at + byte] = (count >> (8 * byte)) & 255
            at += 4
            size = 16 * count
            put_bytes(written[at : at + size], xy[16 * rings[ring] : 16 * rings[ring] + size])
            at += size


def joined(offsets: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Offsets of several lists one after the other."""
    ends = np.cumsum([0, *(o[-1] for o in offsets)])
    moved = [o[1:] + end for o, end in zip(offsets, ends[:-1], strict=True)]
    return np.concatenate([np.zeros(1, np.int64), *moved]).astype(np.int64)


def _ranges(
    offsets: NDArray[np.int64], rows: NDArray[Any]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices of all members of the given rows, and the offsets of the rows among them."""
    size = offsets[rows + 1] - offsets[rows]
    ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(size)])
    members = np.arange(ends[-1]) + np.repeat(offsets[rows] - ends[:-1], size)
    return members.astype(np.int64, copy=False), ends
