"""Which scenes a polygon of a mosaic comes from."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray

from geoconvlora.scenes import Window
from geoconvlora.scenes.inputs import short_name

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
        cells: NDArray[np.bool_] = np.asarray(
            mask.reshape(rows, CELL_PX, columns, CELL_PX).any(axis=(1, 3))
        )
        if cells.any():
            key = window.row // self._block[0], window.column // self._block[1]
            self._shares[key].append((name, None if bool(cells.all()) else cells))

    def scenes_of(self, shapes: NDArray[np.object_]) -> NDArray[np.object_]:
        """Return the scenes of each of ``(n,)`` polygons, names in alphabetical order with commas.

        They are those with a say in a cell that the polygon meets.
        """
        names = [
            ",".join(sorted(self._names(shape, *cells)))
            for shape, cells in zip(shapes, self._cells_of(shapes).tolist(), strict=True)
        ]
        return np.array(names, dtype=object)

    def _cells_of(self, shapes: NDArray[np.object_]) -> NDArray[np.int64]:
        """First row and column, last row and column of cells around polygons, ``(n, 4)``."""
        left, bottom, right, top = shapely.bounds(shapes).T
        a, b, x, d, e, y = tuple(self._inverse)[:6]
        columns = np.stack([a * u + b * v + x for u in (left, right) for v in (bottom, top)])
        rows = np.stack([d * u + e * v + y for u in (left, right) for v in (bottom, top)])
        low = np.stack([rows.min(axis=0), columns.min(axis=0)])
        high = np.stack([rows.max(axis=0), columns.max(axis=0)])
        # Borders between pixels are whole numbers but for rounding.
        first = np.floor((low + 1e-3) / CELL_PX)
        last = np.maximum(np.ceil((high - 1e-3) / CELL_PX) - 1, first)
        return np.concatenate([first, last]).T.astype(np.int64)

    def _names(
        self, shape: shapely.Polygon, top: int, left: int, bottom: int, right: int
    ) -> set[str]:
        height, width = (side // CELL_PX for side in self._block)
        found: set[str] = set()
        one_block = (top // height, left // width) == (bottom // height, right // width)
        for row in range(top // height, bottom // height + 1):
            for column in range(left // width, right // width + 1):
                corner = row * height, column * width
                rows = slice(max(0, top - corner[0]), bottom + 1 - corner[0])
                columns = slice(max(0, left - corner[1]), right + 1 - corner[1])
                for name, cells in self._shares.get((row, column), ()):
                    if name in found:
                        continue
                    if cells is None and one_block:
                        found.add(name)
                        continue
                    if cells is None:
                        cells = np.ones((height, width), np.bool_)
                    near = np.zeros_like(cells)
                    near[rows, columns] = cells[rows, columns]
                    one_cell = (top, left) == (bottom, right)
                    if near.any() and (one_cell or self._meets(shape, near, corner)):
                        found.add(name)
        return found

    def _meets(
        self, shape: shapely.Polygon, cells: NDArray[np.bool_], corner: tuple[int, int]
    ) -> bool:
        """Whether a polygon meets some cells of a block by more than their edges."""
        low = (np.argwhere(cells) + np.array(corner)) * CELL_PX
        high = low + CELL_PX
        a, b, x, d, e, y = tuple(self._affine)[:6]
        ring = np.stack(
            [
                np.stack([a * u + b * v + x, d * u + e * v + y], axis=-1)
                for v, u in (
                    (low[:, 0], low[:, 1]),
                    (low[:, 0], high[:, 1]),
                    (high[:, 0], high[:, 1]),
                    (high[:, 0], low[:, 1]),
                )
            ],
            axis=1,
        )
        squares = shapely.polygons(ring)
        shapely.prepare(shape)
        met = shapely.intersects(shape, squares) & ~shapely.touches(shape, squares)
        return bool(met.any())


def distinct_names(paths: Sequence[str]) -> list[str]:
    """Return a short name of each path: the file's, with folders before it where two are alike.

    Example:
        >>> distinct_names(["2020/a.tif", "2021/a.tif", "2021/b.tif"])
        ['2020/a', '2021/a', 'b']
    """
    names = [short_name(path) for path in paths]
    folders = [Path(path.partition("#")[0]).parent.parts for path in paths]
    depth = 0
    while len(set(names)) < len(names) and depth < max(map(len, folders)):
        depth += 1
        count = Counter(names)
        names = [
            "/".join((*folder[-depth:], short_name(path))) if count[name] > 1 else name
            for name, folder, path in zip(names, folders, paths, strict=True)
        ]
    count = Counter(names)
    names = [
        name + Path(path.partition("#")[0]).suffix if count[name] > 1 else name
        for name, path in zip(names, paths, strict=True)
    ]
    # One folder, one stem, one suffix: items of one name in two collections.
    count, met = Counter(names), Counter[str]()
    for number, name in enumerate(names):
        if count[name] > 1:
            met[name] += 1
            names[number] = f"{name}_{met[name]}"
    return names
