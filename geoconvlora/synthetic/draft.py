"""The drawing board: two rasters of piece numbers, and the register of pieces.

Every piece of ground has a number. ``cover`` decides the labels; ``surface`` adds what shows in an
image but ends no field (single trees, houses in gardens).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from geoconvlora.synthetic import shapes
from geoconvlora.synthetic.shapes import Point, Polygon
from geoconvlora.synthetic.style import Cover, Style

SQUARE_METRES_A_HECTARE = 1e4


@dataclass(frozen=True)
class Layout:
    """Numbered pieces of ground on a raster of square cells."""

    cover: NDArray[np.int32]
    """(H, W) number of the piece that decides the label."""
    surface: NDArray[np.int32]
    """(H, W) number of the piece that is seen."""
    kind: NDArray[np.int64]
    """(pieces,) :class:`Cover` of each."""
    angle: NDArray[np.float64]
    """(pieces,) direction of its rows, radians."""
    group: NDArray[np.int64]
    """(pieces,) block it belongs to; neighbours of one group tend to look alike."""
    rows: NDArray[np.bool_]
    """(pieces,) whether it is planted in rows, as orchards are."""


@dataclass
class Draft:
    """The two rasters while they are drawn, and the register of pieces."""

    rng: np.random.Generator
    style: Style
    height: int
    width: int
    cell_m: float
    kind: list[int] = field(default_factory=list)
    angle: list[float] = field(default_factory=list)
    group: list[int] = field(default_factory=list)
    rows: dict[int, bool] = field(default_factory=dict)
    plots: list[tuple[Polygon, float, bool]] = field(default_factory=list)
    """Gardens that get houses: outline, direction, whether the buildings are large."""
    block: int = 0

    def __post_init__(self) -> None:
        self.canvas = Image.new("I", (self.width, self.height), 0)
        self.pen = ImageDraw.Draw(self.canvas)
        self.add(Cover.VERGE, 0.0)

    def add(self, kind: Cover, angle: float) -> int:
        """Register a piece; its number."""
        self.kind.append(int(kind))
        self.angle.append(angle)
        self.group.append(self.block)
        return len(self.kind) - 1

    def fill(self, polygon: Polygon, kind: Cover, angle: float = 0.0) -> int:
        """Draw a polygon as a new piece; its number."""
        number = self.add(kind, angle)
        self.pen.polygon(polygon, fill=number)
        return number

    def stroke(self, line: list[Point] | tuple[Point, Point], kind: Cover, width_m: float) -> None:
        """Draw a line as a new piece; widths between whole cells are rounded by chance."""
        cells = width_m / self.cell_m
        whole = int(cells)
        whole += self.rng.random() < cells - whole
        if whole:
            joint = "curve" if len(line) > 2 and whole > 3 else None
            self.pen.line(list(line), fill=self.add(kind, 0.0), width=whole, joint=joint)

    def hectares(self, polygon: Polygon) -> float:
        """Area of a polygon given in cells."""
        return shapes.area(polygon) * self.cell_m**2 / SQUARE_METRES_A_HECTARE

    def cells(self, hectares: float) -> float:
        """How many cells an area has."""
        return hectares * SQUARE_METRES_A_HECTARE / self.cell_m**2

    def disc(self, middle: Point, radius: float, number: int) -> None:
        """Draw a circle, radius in cells, with an existing number."""
        x, y = middle
        self.pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=number)

    def snapshot(self) -> NDArray[np.int32]:
        """Copy of the raster as drawn so far."""
        return np.array(self.canvas, dtype=np.int32)
