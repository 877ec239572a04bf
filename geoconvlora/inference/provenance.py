"""Which scenes a polygon of a mosaic comes from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray

from geoconvlora.scenes import Window

#: Side of the cells in which it is kept whether a scene had a say, in pixels.
CELL_PX = 32

Cells = NDArray[np.bool_] | None
"""``(h, w)`` of a block; None: all of them."""


class Provenance:
    """Remembers, in cells of 32 x 32 pixels, which scenes had a say.

    That takes one number for each scene of a block where it is valid throughout, and a byte a cell
    where it is not.
    """

    def __init__(self, affine: Affine, block: tuple[int, int]) -> None:
        """Start with nothing.

        Args:
            affine: Of the endless grid on which blocks lie.
            block: Rows and columns of a block, multiples of a cell's.
        """
        self._inverse, self._affine = ~affine, affine
        self._block = block
        self._shares: dict[tuple[int, int], list[tuple[str, Cells]]] = defaultdict(list)

    def note(self, window: Window, name: str, mask: NDArray[np.bool_]) -> None:
        """Remember that a scene had a say in some pixels ``(h, w)`` of a whole block."""
        rows, columns = window.height // CELL_PX, window.width // CELL_PX
        cells = mask.reshape(rows, CELL_PX, columns, CELL_PX).any(axis=(1, 3))
        if cells.any():
            key = window.row // self._block[0], window.column // self._block[1]
            self._shares[key].append((name, None if cells.all() else cells))

    def scenes_of(self, polygons: gpd.GeoDataFrame) -> NDArray[np.object_]:
        """Return for each polygon its scenes' names in alphabetical order, joined by commas.

        They are those with a say in a cell that the polygon meets.
        """
        shapes = polygons.geometry.to_numpy()
        names = [",".join(sorted(self._names(shape))) for shape in shapes]
        return np.array(names, dtype=object)

    def _names(self, shape: shapely.Polygon) -> set[str]:
        rows, columns = self._blocks(shape)
        blocks = [self._shares.get((row, column), ()) for row in rows for column in columns]
        everywhere = {name for block in blocks for name, _ in block}
        if len(everywhere) < 2:
            return everywhere
        found: set[str] = set()
        for row in rows:
            for column in columns:
                for name, cells in self._shares.get((row, column), ()):
                    if name not in found and self._meets(shape, row, column, cells):
                        found.add(name)
        return found

    def _blocks(self, shape: shapely.Polygon) -> tuple[range, range]:
        left, bottom, right, top = shape.bounds
        a, b, x, d, e, y = tuple(self._inverse)[:6]
        columns = [a * u + b * v + x for u in (left, right) for v in (bottom, top)]
        rows = [d * u + e * v + y for u in (left, right) for v in (bottom, top)]
        height, width = self._block
        return (
            range(int(min(rows) // height), int(max(rows) // height) + 1),
            range(int(min(columns) // width), int(max(columns) // width) + 1),
        )

    def _meets(self, shape: shapely.Polygon, row: int, column: int, cells: Cells) -> bool:
        """Whether a polygon meets a scene's cells in a block by more than their edges."""
        height, width = (side // CELL_PX for side in self._block)
        where = np.argwhere(np.ones((height, width), bool) if cells is None else cells)
        corner = np.array([row * height, column * width])
        low = (where + corner) * CELL_PX
        high = low + CELL_PX
        a, b, x, d, e, y = tuple(self._affine)[:6]
        outlines = [
            np.stack([a * u + b * v + x, d * u + e * v + y], axis=-1)
            for v, u in (
                (low[:, 0], low[:, 1]),
                (low[:, 0], high[:, 1]),
                (high[:, 0], high[:, 1]),
                (high[:, 0], low[:, 1]),
            )
        ]
        squares = shapely.polygons(np.stack(outlines, axis=1))
        shapely.prepare(shape)
        met = shapely.intersects(shape, squares) & ~shapely.touches(shape, squares)
        return bool(met.any())


def distinct_names(paths: Sequence[str]) -> list[str]:
    """Return a short name of each path: the file's, with folders before it where two are alike.

    Example:
        >>> distinct_names(["2020/a.tif", "2021/a.tif", "2021/b.tif"])
        ['2020/a', '2021/a', 'b']
    """
    parts = [Path(path).with_suffix("").parts for path in paths]
    names = [part[-1] for part in parts]
    depth = 1
    while len(set(names)) < len(names) and depth < max(map(len, parts)):
        depth += 1
        alike = {name for name in names if names.count(name) > 1}
        names = [
            "/".join(part[-depth:]) if name in alike else name
            for name, part in zip(names, parts, strict=True)
        ]
    return names
