"""A scene cut into blocks, each of which belongs wholly to training or to validation.

Neighbouring pixels look alike: a split by pixel or by tile would let validation see what training
saw.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from geoconvlora.scenes import Window

_MIN_BLOCKS = 8
"""Labelled blocks that an automatic block size aims at."""
_MIN_SIDE_PX = 32


@dataclass(frozen=True)
class SceneSplit:
    """The labelled blocks of a scene by part."""

    train: tuple[Window, ...]
    val: tuple[Window, ...]
    buffer_px: int = 0
    """Training pixels keep this distance, in rows or columns, from validation blocks."""

    def train_pixels(self, window: Window) -> NDArray[np.bool_]:
        """The (h, w) pixels of a window that training may see."""
        return self._covered(self.train, window) & ~self._covered(self.val, window, self.buffer_px)

    def val_pixels(self, window: Window) -> NDArray[np.bool_]:
        """The (h, w) pixels of a window that validation may see."""
        return self._covered(self.val, window)

    @staticmethod
    def _covered(blocks: Sequence[Window], window: Window, margin: int = 0) -> NDArray[np.bool_]:
        covered = np.zeros((window.height, window.width), dtype=np.bool_)
        for block in blocks:
            top, left = block.row - margin - window.row, block.column - margin - window.column
            bottom, right = top + block.height + 2 * margin, left + block.width + 2 * margin
            covered[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)] = True
        return covered


def split_scene(
    height: int,
    width: int,
    *,
    labelled_area: Callable[[Window], float],
    fraction: float,
    tile_px: int,
    block_px: int | None = None,
    buffer_px: int = 0,
    seed: int = 0,
) -> SceneSplit | None:
    """Split a scene's labelled blocks at random.

    Args:
        height: Rows of the grid.
        width: Columns.
        labelled_area: Labelled pixels of a window; blocks with none are in no part.
        fraction: Share of the labelled area that validation gets, as nearly as blocks allow.
        tile_px: Side of the network's tiles.
        block_px: Side of a block; None: four tiles, halved while fewer than eight are labelled.
        buffer_px: See :class:`SceneSplit`.
        seed: Of the choice.

    Returns:
        The split; None where fewer than two blocks are labelled.
    """
    side = block_px or 4 * tile_px
    blocks, areas = _labelled_blocks(height, width, side, labelled_area)
    while block_px is None and len(blocks) < _MIN_BLOCKS and side // 2 >= _MIN_SIDE_PX:
        side //= 2
        blocks, areas = _labelled_blocks(height, width, side, labelled_area)
    if len(blocks) < 2:
        return None
    order = np.random.default_rng((seed, height, width)).permutation(len(blocks))
    before = np.cumsum(areas[order]) - areas[order]
    # A block is taken while its first half still fits, so the share is nearest to what is asked.
    chosen = order[before + areas[order] / 2 <= fraction * areas.sum()]
    if len(chosen) == 0:
        chosen = order[:1]
    val = {int(index) for index in chosen[: len(blocks) - 1]}
    return SceneSplit(
        train=tuple(b for i, b in enumerate(blocks) if i not in val),
        val=tuple(b for i, b in enumerate(blocks) if i in val),
        buffer_px=buffer_px,
    )


def tiles_of(block: Window, tile_px: int) -> list[Window]:
    """Tiles that cover a block from its upper left corner, the last ones reaching beyond it."""
    return [
        Window(row, column, tile_px, tile_px)
        for row in range(block.row, block.row + block.height, tile_px)
        for column in range(block.column, block.column + block.width, tile_px)
    ]


def _labelled_blocks(
    height: int, width: int, side: int, labelled_area: Callable[[Window], float]
) -> tuple[list[Window], NDArray[np.float64]]:
    rows, columns = (_cuts(size, side) for size in (height, width))
    blocks = [
        Window(top, left, bottom - top, right - left)
        for top, bottom in rows
        for left, right in columns
    ]
    areas = np.array([labelled_area(block) for block in blocks])
    kept = np.flatnonzero(areas >= 1)
    return [blocks[i] for i in kept], areas[kept]


def _cuts(size: int, side: int) -> list[tuple[int, int]]:
    """Equal parts of an axis, each about ``side`` long, so that no sliver remains at the end."""
    count = max(1, round(size / side))
    edges = [size * i // count for i in range(count + 1)]
    return list(pairwise(edges))
