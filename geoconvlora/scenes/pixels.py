"""Integer windows, and pixels together with their validity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Window:
    """A rectangle of whole pixels; it may reach beyond the raster that it is read from."""

    row: int
    column: int
    height: int
    width: int

    def clipped(self, height: int, width: int) -> Window:
        """Return the part inside a raster of ``height`` x ``width`` pixels (maybe empty)."""
        top, left = min(max(self.row, 0), height), min(max(self.column, 0), width)
        bottom = max(top, min(self.row + self.height, height))
        right = max(left, min(self.column + self.width, width))
        return Window(top, left, bottom - top, right - left)

    def slices_within(self, outer: Window) -> tuple[slice, slice]:
        """Return where this window's pixels lie in an array read from ``outer``."""
        top, left = self.row - outer.row, self.column - outer.column
        return slice(top, top + self.height), slice(left, left + self.width)

    @property
    def empty(self) -> bool:
        """True where there is no pixel."""
        return self.height <= 0 or self.width <= 0


@dataclass(frozen=True)
class Pixels:
    """Values as stored, with their validity.

    Attributes:
        values: ``(C, h, w)``; 0 where invalid.
        valid: ``(h, w)``; True where every band used holds data.
    """

    values: NDArray[np.float32]
    valid: NDArray[np.bool_]

    @classmethod
    def nowhere(cls, bands: int, window: Window) -> Pixels:
        """Return a window without a valid pixel."""
        shape = (window.height, window.width)
        return cls(np.zeros((bands, *shape), np.float32), np.zeros(shape, np.bool_))

    def within(self, own: Window, outer: Window) -> Pixels:
        """Return the window ``outer``: these pixels at ``own``, and none valid around them."""
        if own == outer:
            return self
        wider = Pixels.nowhere(len(self.values), outer)
        place = own.slices_within(outer)
        wider.values[:, *place], wider.valid[place] = self.values, self.valid
        return wider


@dataclass(frozen=True)
class StoredPixels:
    """Values in a small type, with their validity.

    Attributes:
        values: ``(C, h, w)``; 0 where invalid.
        valid: ``(h, w)``.
    """

    values: NDArray[Any]
    valid: NDArray[np.bool_]

    def as_floats(self) -> Pixels:
        """Return the same pixels as float32."""
        return Pixels(self.values.astype(np.float32, copy=False), self.valid)
