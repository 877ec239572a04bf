"""The ground of a scene by part: what trains, what validates, and what no run sees.

Neighbouring pixels look alike: a split by pixel or by tile would let validation see what training
saw.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import shapely
from numpy.typing import NDArray

from geoconvlora.scenes import Window
from geoconvlora.training.burn import PixelPolygons

Part = Literal["train", "val", "test"]
PARTS: tuple[Part, ...] = ("train", "val", "test")
KEEPS_FROM: dict[Part, tuple[Part, ...]] = {"train": ("val", "test"), "val": ("test",), "test": ()}
"""Which parts' ground a part keeps its distance from."""

Ground = Mapping[Part, NDArray[np.object_]]
"""Polygons of each part."""
Blocks = Mapping[Part, Sequence[Window]]
"""Windows of each part."""


class SceneSplit:
    """The ground of each part, in pixel coordinates of a scene's grid.

    Training keeps a distance from validation and test ground, validation from test ground: what
    lies nearer is of no part.

    Args:
        ground: (N,) polygons of each part.
        blocks: Windows of each part that hold all of its ground and do not overlap.
        height: Rows of the grid.
        width: Columns.
        buffer_px: The distance, measured along rows and columns where ground is rectangular.
        elsewhere: Ground of other scenes where they overlap this one: it is kept clear of too.
    """

    def __init__(
        self,
        ground: Ground,
        blocks: Blocks,
        height: int,
        width: int,
        *,
        buffer_px: float = 0.0,
        elsewhere: Ground | None = None,
    ) -> None:
        self.ground = {part: ground[part] for part in PARTS}
        self.blocks = {part: tuple(blocks[part]) for part in PARTS}
        self.height = height
        self.width = width
        self.buffer_px = buffer_px
        self._own = {part: PixelPolygons(self.ground[part]) for part in PARTS}
        self._barred = {}
        known = [ground] if elsewhere is None else [ground, elsewhere]
        for part, others in KEEPS_FROM.items():
            held_out = [kept[other] for kept in known for other in others]
            far = np.concatenate([np.empty(0, dtype=object), *held_out])
            # Mitred: corners stay corners, so that no pixel is nearer than asked.
            self._barred[part] = shapely.buffer(far, buffer_px, join_style="mitre")
        self._barring = {part: PixelPolygons(barred) for part, barred in self._barred.items()}

    def pixels(self, part: Part, window: Window) -> NDArray[np.bool_]:
        """The (h, w) pixels of a window that a part may see."""
        return self._own[part].covers(window) & ~self._barring[part].covers(window)

    def outlines(self, part: Part) -> NDArray[np.object_]:
        """Polygons of what a part may see: without what is too near to others."""
        cut = shapely.difference(self.ground[part], shapely.union_all(self._barred[part]))
        scene = shapely.box(0, 0, self.width, self.height)
        cut = shapely.intersection(cut, scene)
        return np.asarray(cut[shapely.area(cut) > 0])
