"""Rows that arrive in feeds of any height, and leave in blocks of a fixed one."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCK_ROWS = 512


def rows_a_block(most: int, width: int, *, least: int, pixels: int) -> int:
    """Rows of a block: ``most`` of them, fewer in wide rasters for the sake of memory.

    Args:
        most: Rows in narrow rasters.
        width: Columns of the raster.
        least: Rows that wide rasters have all the same.
        pixels: That a block of more than ``least`` rows may have.
    """
    return min(most, max(least, pixels // width))


class RowBuffer:
    """A queue of raster rows, in one or several channels of shape ``(h, W)``.

    Blocks cut from it lie at the same absolute rows whatever the heights of the feeds were; that
    is what makes everything behind it independent of them.
    """

    def __init__(self) -> None:
        self._channels: tuple[list[NDArray[Any]], ...] = ()
        self.rows = 0

    def push(self, *channels: NDArray[Any]) -> None:
        """Append rows; each channel ``(h, W)``, all of one height."""
        height = channels[0].shape[0]
        if height:
            self._channels = self._channels or tuple([] for _ in channels)
            for feeds, channel in zip(self._channels, channels, strict=True):
                feeds.append(channel)
            self.rows += height

    def peek(self, count: int) -> tuple[NDArray[Any], ...]:
        """Return the first ``count`` rows of each channel, and keep them."""
        for feeds in self._channels:
            if len(feeds) > 1:
                feeds[:] = [_joined(feeds)]
        return tuple(feeds[0][:count] for feeds in self._channels)

    def drop(self, count: int) -> None:
        """Forget the first ``count`` rows."""
        self.rows -= count
        for feeds in self._channels:
            (rows,) = feeds
            # A copy, so that rows already used do not stay in memory behind a view.
            feeds[:] = [rows[count:].copy()] if self.rows else []

    def take(self, count: int) -> tuple[NDArray[Any], ...]:
        """Return the first ``count`` rows of each channel, and forget them."""
        block = self.peek(count)
        self.drop(count)
        return block


def _joined(feeds: list[NDArray[Any]]) -> NDArray[Any]:
    """Rows one below the other; the feeds are let go of on the way, so none is there twice."""
    rows = np.empty((sum(map(len, feeds)), *feeds[0].shape[1:]), feeds[0].dtype)
    row = 0
    feeds.reverse()
    while feeds:
        feed = feeds.pop()
        rows[row : row + len(feed)] = feed
        row += len(feed)
    return rows
