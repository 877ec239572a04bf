"""Windows that cover other windows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from geoconvlora.scenes import Window

_PIECE_PX = 512


def tiles_of(block: Window, tile_px: int, overlap: int = 0) -> list[Window]:
    """Tiles that cover a block from its upper left corner, the last ones reaching beyond it."""
    rows, columns = (
        range(start, start + max(1, size - overlap), tile_px - overlap)
        for start, size in ((block.row, block.height), (block.column, block.width))
    )
    return [Window(row, column, tile_px, tile_px) for row in rows for column in columns]


def pieces_of(block: Window, side: int = _PIECE_PX) -> Iterator[Window]:
    """Parts of a block that are small enough to read at once."""
    for tile in tiles_of(block, side):
        height = min(side, block.row + block.height - tile.row)
        width = min(side, block.column + block.width - tile.column)
        yield Window(tile.row, tile.column, height, width)


def window_around(cell: Window, block: Window, tile_px: int, rng: np.random.Generator) -> Window:
    """A random tile that holds a cell of a block, and does not leave the block if it fits."""
    starts = []
    for inner, size, outer, whole in (
        (cell.row, cell.height, block.row, block.height),
        (cell.column, cell.width, block.column, block.width),
    ):
        low, high = inner + size - tile_px, inner
        if whole >= tile_px:
            low, high = max(low, outer), min(high, outer + whole - tile_px)
        else:
            low, high = max(low, outer + whole - tile_px), min(high, outer)
        starts.append(int(rng.integers(low, high + 1)))
    return Window(starts[0], starts[1], tile_px, tile_px)
