"""A landscape without end: independent blocks of ground, made when they are looked at.

Each block has its own seed, so any part of a country of any size can be drawn alone and always
looks the same. A road runs along every block's edge and one warp bends all of them: no field
crosses a block and no edge is straight.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from skimage.measure import label as connected_components

from geoconvlora.synthetic.draft import SQUARE_METRES_A_HECTARE, Layout
from geoconvlora.synthetic.labels import label_fields
from geoconvlora.synthetic.layout import River, draw_river, lay_out
from geoconvlora.synthetic.render import CELLS_A_PIXEL, Warp, blur, draw_warp, look_up, render
from geoconvlora.synthetic.spectra import modelled_colours
from geoconvlora.synthetic.style import Cover, draw_style
from geoconvlora.synthetic.surfaces import Surfaces, clothe, join

BLOCK_CELLS = (1_152, 2_048)
"""Cells along the side of a block: usually, and at most (where pixels are small)."""
BLOCK_M = 1_600.0
"""Least side of a block: it must hold fields."""
SMALLEST_FIELD_HA = 0.05
"""What rivers and roads leave of a field, if smaller, is none."""
FRAME_M = 4.0
"""Half the width of the road between two blocks."""
IDS_A_BLOCK = 65_536


@dataclass(frozen=True)
class Box:
    """Rows ``top`` to ``bottom`` and columns ``left`` to ``right`` (the ends excluded)."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self.bottom - self.top, self.right - self.left

    def scaled(self, factor: int) -> Box:
        """The same place on a grid ``factor`` times finer."""
        return Box(self.top * factor, self.left * factor, self.bottom * factor, self.right * factor)

    def grown(self, by: int) -> Box:
        """With ``by`` more on each side."""
        return Box(self.top - by, self.left - by, self.bottom + by, self.right + by)

    def common(self, other: Box) -> Box:
        """The part in both; empty where they do not meet."""
        top, left = max(self.top, other.top), max(self.left, other.left)
        return Box(
            top,
            left,
            max(min(self.bottom, other.bottom), top),
            max(min(self.right, other.right), left),
        )

    def tiles(self, side: int) -> Iterator[Box]:
        """Squares of ``side`` that fill the box, row by row; smaller at its end."""
        for top in range(self.top, self.bottom, side):
            for left in range(self.left, self.right, side):
                yield Box(top, left, top + side, left + side).common(self)

    def within(self, outer: Box) -> tuple[slice, slice]:
        """Slices of this box in an array that covers ``outer``."""
        return (
            slice(self.top - outer.top, self.bottom - outer.top),
            slice(self.left - outer.left, self.right - outer.left),
        )


@dataclass(frozen=True)
class BlockFields:
    """The fields of one block on the label grid."""

    box: Box
    """Where on the label grid of the whole country; nothing of the block lies outside."""
    ids: NDArray[np.int32]
    """(height, width) of the box: 1, 2, ... and 0 where there is no field of this block."""


@dataclass(frozen=True)
class _Block:
    surface: NDArray[np.integer]
    """(side, side) numbers of the pieces seen."""
    surfaces: Surfaces
    fields: BlockFields


class Country:
    """Farmland of ``height`` x ``width`` sensor pixels, drawn piecewise.

    Args:
        seed: Any integer at or above 0.
        height: Rows of the sensor's image.
        width: Columns of the sensor's image.
        gsd_m: Size of the sensor's pixels in metres.
        label_scale: How many times finer the label grid is.
    """

    def __init__(
        self, seed: int, height: int, width: int, *, gsd_m: float = 10.0, label_scale: int = 2
    ) -> None:
        self.seed = seed
        self.extent = Box(0, 0, height, width)
        self.gsd_m = gsd_m
        self.label_scale = label_scale
        rng = np.random.default_rng([seed, 0xC0])
        self._style = replace(draw_style(rng, wild=0.0), rivers=0)
        self._colours = modelled_colours(rng)
        self._liveliness = math.exp(rng.normal(-0.2, 0.3))
        self._spill = float(rng.uniform(0.05, 0.15))
        fine_m = gsd_m / CELLS_A_PIXEL
        usual, most = BLOCK_CELLS
        self._side = min(max(usual, math.ceil(BLOCK_M / fine_m)), most)
        self._ground_m = max(fine_m, BLOCK_M / self._side)
        self._zoom = fine_m / self._ground_m
        self._warp = _long_warp(rng, self._style.wander_m, fine_m)
        # Ground lies this far to the lower right, so that blocks count from 0.
        self._shift = self._warp.reach + 2 * CELLS_A_PIXEL
        rows, columns = (
            math.ceil((side * CELLS_A_PIXEL + 2 * self._shift) * self._zoom / self._side)
            for side in (height, width)
        )
        self.block_grid = (rows, columns)
        area_km2 = height * width * gsd_m**2 / 1e6
        ground = (rows * self._side, columns * self._side)
        corners = max(40, max(ground) // 80)
        self._rivers = [
            replace(draw_river(rng, *ground, corners=corners), bank=Cover.BANK)
            for _ in range(min(rng.poisson(area_km2 / 60), 40))
        ]
        self._blocks: OrderedDict[tuple[int, int], _Block] = OrderedDict()

    def image(self, box: Box) -> NDArray[np.float32]:
        """Reflectance (4, height, width) of red, green, blue and near infrared in a box."""
        fine = box.grown(1).scaled(CELLS_A_PIXEL)
        row, column = self._source(fine, 1.0)
        pieces, surfaces = self._mosaic(row, column)
        sharp = render(pieces, surfaces, fine.top, fine.left)
        return np.clip(blur(sharp, self._spill)[:, 1:-1, 1:-1], 0.001, 1.0)

    def label(self, box: Box) -> NDArray[np.uint8]:
        """Background 0, interior 1, boundary 2 in a box of the label grid, (height, width)."""
        thickness = max(self.label_scale // 2, 1)
        around = box.grown(thickness)
        return label_fields(self.field_ids(around), thickness)[box.within(around)]

    def field_ids(self, box: Box) -> NDArray[np.int32]:
        """Numbers of fields in a box of the label grid: unique in the country, 0 for no field."""
        ids = np.zeros(box.shape, dtype=np.int32)
        f = CELLS_A_PIXEL / self.label_scale
        for row in self._blocks_over(box.top * f, box.bottom * f, self.block_grid[0]):
            for column in self._blocks_over(box.left * f, box.right * f, self.block_grid[1]):
                fields = self._block(row, column).fields
                part = fields.box.common(box)
                found = fields.ids[part.within(fields.box)]
                first = (row * self.block_grid[1] + column) * IDS_A_BLOCK
                np.copyto(ids[part.within(box)], found + np.int32(first), where=found > 0)
        return ids

    def block_fields(self, row: int, column: int) -> BlockFields:
        """All fields of one block of ``block_grid``, cut off only where the country ends."""
        fields = self._block(row, column).fields
        box = fields.box.common(self.extent.scaled(self.label_scale))
        return BlockFields(box, fields.ids[box.within(fields.box)])

    def _blocks_over(self, first: float, last: float, count: int) -> range:
        """Blocks along one axis that fine cells ``first`` to ``last`` may come from."""
        reach = self._warp.reach
        low = (first + self._shift - reach) * self._zoom / self._side
        high = (last + self._shift + reach) * self._zoom / self._side
        return range(max(int(low), 0), min(math.ceil(high), count))

    def _source(self, box: Box, step: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Row and column on the ground of the pixels of a box, each ``step`` fine cells wide."""
        rows = (np.arange(box.top, box.bottom) + 0.5) * step
        columns = (np.arange(box.left, box.right) + 0.5) * step
        row, column = self._warp.at(rows, columns)
        shift, zoom = np.float32(self._shift), np.float32(self._zoom)
        return (row + shift) * zoom, (column + shift) * zoom

    def _mosaic(
        self, row: NDArray[np.float32], column: NDArray[np.float32]
    ) -> tuple[NDArray[np.int64], Surfaces]:
        """Piece numbers at places on the ground, and the joined tables of the blocks there."""
        seen = Box(int(row.min()), int(column.min()), int(row.max()) + 1, int(column.max()) + 1)
        canvas = np.empty(seen.shape, dtype=np.int32)
        tables: list[Surfaces] = []
        first = 0
        for i in range(seen.top // self._side, (seen.bottom - 1) // self._side + 1):
            for j in range(seen.left // self._side, (seen.right - 1) // self._side + 1):
                block = self._block(i, j)
                box = self._ground_box(i, j)
                part = box.common(seen)
                canvas[part.within(seen)] = block.surface[part.within(box)]
                canvas[part.within(seen)] += first
                tables.append(block.surfaces)
                first += len(block.surfaces.grain)
        return look_up(canvas, row - seen.top, column - seen.left), join(tables)

    def _ground_box(self, row: int, column: int) -> Box:
        side = self._side
        return Box(row * side, column * side, (row + 1) * side, (column + 1) * side)

    def _block(self, row: int, column: int) -> _Block:
        """One block, made anew unless it was needed lately."""
        key = (row, column)
        if key in self._blocks:
            self._blocks.move_to_end(key)
            return self._blocks[key]
        block = self._blocks[key] = self._make_block(row, column)
        while len(self._blocks) > 2 * self.block_grid[1] + 2:
            self._blocks.popitem(last=False)
        return block

    def _make_block(self, row: int, column: int) -> _Block:
        rng = np.random.default_rng([self.seed, 0xB10C, row, column])
        side, cell_m = self._side, self._ground_m
        rivers = [_moved(river, row * side, column * side) for river in self._rivers]
        layout = lay_out(rng, self._style, side, side, cell_m, rivers=rivers, frame_m=FRAME_M)
        surfaces = clothe(
            rng, layout, self._colours, self.gsd_m / CELLS_A_PIXEL, liveliness=self._liveliness
        )
        number = np.uint16 if len(layout.kind) < 2**16 else np.int32
        return _Block(
            layout.surface.astype(number), surfaces, self._find_fields(layout, row, column)
        )

    def _find_fields(self, layout: Layout, row: int, column: int) -> BlockFields:
        """Fields of a block as the label grid sees them: whole, connected, not too small."""
        f = CELLS_A_PIXEL / self.label_scale
        ground = self._ground_box(row, column)
        top, left, bottom, right = (
            edge / self._zoom - self._shift
            for edge in (ground.top, ground.left, ground.bottom, ground.right)
        )
        reach = self._warp.reach
        box = Box(
            math.floor((top - reach) / f),
            math.floor((left - reach) / f),
            math.ceil((bottom + reach) / f),
            math.ceil((right + reach) / f),
        ).common(self.extent.grown(1).scaled(self.label_scale))
        if 0 in box.shape:
            return BlockFields(box, np.zeros(box.shape, dtype=np.int32))
        source_row, source_column = self._source(box, f)
        source_row -= ground.top
        source_column -= ground.left
        here = (source_row >= 0) & (source_row < self._side)
        here &= (source_column >= 0) & (source_column < self._side)
        number = np.where(layout.kind == Cover.FIELD, np.arange(1, len(layout.kind) + 1), 0)
        pieces = number.take(look_up(layout.cover, source_row, source_column)) * here
        parts = connected_components(pieces, background=0, connectivity=1)
        pixel_ha = (self.gsd_m / self.label_scale) ** 2 / SQUARE_METRES_A_HECTARE
        keep = np.bincount(parts.ravel()) * pixel_ha >= SMALLEST_FIELD_HA
        keep[0] = False
        ids = np.where(keep, np.cumsum(keep), 0).astype(np.int32)
        return BlockFields(box, ids.take(parts))


def _moved(river: River, row: int, column: int) -> River:
    return replace(river, course=[(x - column, y - row) for x, y in river.course])


def _long_warp(rng: np.random.Generator, wander_m: float, cell_m: float) -> Warp:
    """The warp of a chip, and two much longer waves that hide the grid of blocks."""
    near = draw_warp(rng, wander_m / cell_m, cell_m)
    number = 2 * math.pi * cell_m / rng.uniform(4_000, 9_000, 2)
    heading = rng.uniform(0, 2 * math.pi, 2)
    turn = rng.uniform(0, 2 * math.pi, 2)
    size = rng.uniform(50, 90, 2) / cell_m
    return Warp(
        wave_x=np.append(near.wave_x, number * np.cos(heading)),
        wave_y=np.append(near.wave_y, number * np.sin(heading)),
        phase=np.append(near.phase, rng.uniform(0, 2 * math.pi, 2)),
        along_x=np.append(near.along_x, size * np.cos(turn)),
        along_y=np.append(near.along_y, size * np.sin(turn)),
    )
