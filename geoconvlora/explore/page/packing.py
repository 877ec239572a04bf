"""Outlines as few bytes: differences of whole numbers, seven bits a byte."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

Geometries = NDArray[np.object_]

_GROUP_BITS = 7


@dataclass(frozen=True)
class PackedPolygons:
    """Polygons on a lattice, as variable-length numbers.

    Attributes:
        parts: Of each polygon.
        rings: Of each part.
        vertices: Of each ring, without the closing one.
        steps: x and y of each vertex less those of the one before, the very first one's less the
            lattice's origin; the lowest bit is the sign.
    """

    parts: bytes
    rings: bytes
    vertices: bytes
    steps: bytes


def pack_polygons(
    polygons: Geometries, origin: tuple[float, float], quantum: tuple[float, float]
) -> PackedPolygons:
    """Round polygons to a lattice and write them as bytes.

    Neighbours keep their common vertices, as equal vertices are rounded equally.

    Args:
        polygons: Polygons and multipolygons without z.
        origin: Left and top of the lattice; y points down from there.
        quantum: Its steps in x and y.

    Example:
        >>> packed = pack_polygons(np.array([shapely.box(0, 0, 2, 1)]), (0, 1), (1, 1))
        >>> list(packed.vertices), list(packed.steps)
        ([4], [4, 2, 0, 1, 3, 0, 0, 2])
    """
    parts, polygon_of = shapely.get_parts(polygons, return_index=True)
    rings, part_of = shapely.get_rings(parts, return_index=True)
    xy, ring_of = shapely.get_coordinates(rings, return_index=True)
    open_end = np.append(ring_of[1:] == ring_of[:-1], np.zeros(min(1, len(xy)), bool))
    xy, ring_of = xy[open_end], ring_of[open_end]
    lattice = np.empty(xy.shape, np.int64)
    lattice[:, 0] = np.rint((xy[:, 0] - origin[0]) / quantum[0])
    lattice[:, 1] = np.rint((origin[1] - xy[:, 1]) / quantum[1])
    steps = np.diff(lattice, axis=0, prepend=np.zeros((1, 2), np.int64)).ravel()
    return PackedPolygons(
        parts=as_varints(np.bincount(polygon_of, minlength=len(polygons))),
        rings=as_varints(np.bincount(part_of, minlength=len(parts))),
        vertices=as_varints(np.bincount(ring_of, minlength=len(rings))),
        steps=as_varints((steps << 1) ^ (steps >> 63)),
    )


def as_varints(numbers: NDArray[np.int64]) -> bytes:
    """Whole numbers at or above 0, the lowest seven bits first; the eighth says that more follow.

    Example:
        >>> list(as_varints(np.array([1, 300])))
        [1, 172, 2]
    """
    longest = int(numbers.max(initial=0)).bit_length()
    lengths = np.ones(len(numbers), np.int64)
    for bits in range(_GROUP_BITS, longest, _GROUP_BITS):
        lengths += numbers >> bits > 0
    starts = np.cumsum(lengths) - lengths
    written = np.empty(int(lengths.sum()), np.uint8)
    for group in range(int(lengths.max(initial=0))):
        has = lengths > group
        low = (numbers[has] >> (_GROUP_BITS * group)) & 0x7F
        more = lengths[has] > group + 1
        written[starts[has] + group] = low | (more.astype(np.int64) << _GROUP_BITS)
    return written.tobytes()
