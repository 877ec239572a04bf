"""Small parts of blocks, and how many of their pixels are of each class: where to draw windows."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from geoconvlora.scenes import Window
from geoconvlora.training.labelled_scene import PartedScene


class Block(NamedTuple):
    """A block of one scene."""

    scene: PartedScene
    window: Window


class Cells:
    """Cells of many blocks, a few bytes each: a large scene has tens of thousands.

    Args:
        classes: How many.
    """

    def __init__(self, classes: int) -> None:
        self._columns = 5 + classes
        self._blocks: list[Block] = []
        self._numbers = array("q")

    def __len__(self) -> int:
        return len(self._numbers) // self._columns

    def add_block(self, block: Block) -> None:
        """Begin a block: cells are added to the latest."""
        self._blocks.append(block)

    def add(self, cell: Window, class_pixels: NDArray[np.int64]) -> None:
        """Add a cell with its valid labelled pixels, (K,) by class."""
        place = (len(self._blocks) - 1, cell.row, cell.column, cell.height, cell.width)
        self._numbers.extend((*place, *class_pixels.tolist()))

    def class_pixels(self) -> NDArray[np.int64]:
        """Valid labelled pixels, (N, K)."""
        return np.frombuffer(self._numbers, dtype=np.int64).reshape(-1, self._columns)[:, 5:]

    def at(self, index: int) -> tuple[Block, Window]:
        """A cell's block, and its own window."""
        numbers: Sequence[int] = self._numbers[index * self._columns : index * self._columns + 5]
        block, row, column, height, width = numbers
        return self._blocks[block], Window(row, column, height, width)
