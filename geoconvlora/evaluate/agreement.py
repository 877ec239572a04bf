"""Where a map agrees with its labels, small enough for a picture whatever the map's size."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from geoconvlora.evaluate.rasters import Ids, Mask

LONGEST_SIDE = 1600
"""Cells that the longer side has at most."""
_BACKGROUND = 0


class Verdict(IntEnum):
    """What a compared pixel is."""

    background = 0
    """Of the background, rightly."""
    right = 1
    """Of the right class."""
    false = 2
    """Of a class, where the background is true."""
    missed = 3
    """Of the background, where a class is true."""
    confused = 4
    """Of another class than the true one."""


class Agreement:
    """Shares of each verdict in cells of whole pixels, added up strip by strip.

    Args:
        height: Rows of the map.
        width: Its columns.
        background: Whether class 0 is the background; otherwise it is a class like the others.
    """

    def __init__(self, height: int, width: int, *, background: bool) -> None:
        self.step = max(1, -(-max(height, width) // LONGEST_SIDE))
        """Pixels along a cell's side."""
        shape = (-(-height // self.step), -(-width // self.step))
        self.counts = np.zeros((len(Verdict), *shape), np.uint32)
        """Pixels of each verdict, ``(verdicts, rows, columns)``."""
        self._background = background

    def add(self, row: int, predicted: Ids, truth: Ids, valid: Mask) -> None:
        """Add rows; ``row`` is a multiple of :attr:`step`.

        Args:
            row: Of the map, of the first.
            predicted: Ids, ``(h, W)``.
            truth: Ids, ``(h, W)``.
            valid: Pixels that count, ``(h, W)``.
        """
        verdicts = self._verdicts(predicted, truth)
        first, step = row // self.step, self.step
        rows, columns = -(-len(valid) // step), self.counts.shape[2]
        padding = [(0, rows * step - len(valid)), (0, columns * step - valid.shape[1])]
        for verdict in Verdict:
            hits = np.pad(valid & (verdicts == verdict), padding)
            by_row = np.zeros((rows, columns * step), np.uint32)
            cells = self.counts[verdict, first : first + rows]
            for line in range(step):
                by_row += hits[line::step]
            for line in range(step):
                cells += by_row[:, line::step]

    def _verdicts(self, predicted: Ids, truth: Ids) -> NDArray[np.uint8]:
        same = predicted == truth
        verdicts = np.where(same, np.uint8(Verdict.right), np.uint8(Verdict.confused))
        if self._background:
            nothing_true, nothing_found = truth == _BACKGROUND, predicted == _BACKGROUND
            verdicts[nothing_true & ~same] = Verdict.false
            verdicts[nothing_found & ~same] = Verdict.missed
            verdicts[nothing_found & same] = Verdict.background
        return verdicts
