"""Rows that arrive in feeds of any height, and leave in blocks of a fixed one."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


class RowBuffer:
    """A queue of raster rows, in one or several channels of shape ``(h, W)``.

    Blocks cut from it lie at the same absolute rows whatever the heights of the feeds were; that
    is what makes everything behind it independent of them.
    """

    def __init__(self) -> None:
        self._feeds: list[tuple[NDArray[Any], ...]] = []
        self.rows = 0

    def push(self, *channels: NDArray[Any]) -> None:
        """Append rows; each channel ``(h, W)``, all of one height."""
        height = channels[0].shape[0]
        if height:
            self._feeds.append(channels)
            self.rows += height

    def peek(self, count: int) -> tuple[NDArray[Any], ...]:
        """Return the first ``count`` rows of each channel, and keep them."""
        if len(self._feeds) > 1:
            self._feeds = [tuple(np.concatenate(c) for c in zip(*self._feeds, strict=True))]
        return tuple(channel[:count] for channel in self._feeds[0])

    def drop(self, count: int) -> None:
        """Forget the first ``count`` rows."""
        (feed,) = self._feeds
        # A copy, so that rows already used do not stay in memory behind a view.
        rest = tuple(channel[count:].copy() for channel in feed)
        self.rows -= count
        self._feeds = [rest] if self.rows else []

    def take(self, count: int) -> tuple[NDArray[Any], ...]:
        """Return the first ``count`` rows of each channel, and forget them."""
        block = self.peek(count)
        self.drop(count)
        return block
