"""From a style to a map of pieces: blocks, fields, the lines between them, and what lies on top."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from geoconvlora.synthetic import shapes
from geoconvlora.synthetic.blocks import BUILDERS, draw_lines
from geoconvlora.synthetic.draft import Draft, Layout
from geoconvlora.synthetic.shapes import Polygon
from geoconvlora.synthetic.split import Piece, split
from geoconvlora.synthetic.style import Block, Cover, Style


@dataclass(frozen=True)
class River:
    """A band of water with banks."""

    course: Polygon
    """Open line, in cells."""
    water_m: float
    banks_m: float
    """Width of water and both banks together."""
    bank: Cover


def lay_out(
    rng: np.random.Generator,
    style: Style,
    height: int,
    width: int,
    cell_m: float,
    *,
    rivers: Sequence[River] = (),
    frame_m: float = 0.0,
) -> Layout:
    """Fill a raster with a landscape.

    Args:
        rng: Source of chance.
        style: What the landscape is like.
        height: Rows of the raster.
        width: Columns of the raster.
        cell_m: Size of a cell in metres.
        rivers: Rivers that come from elsewhere, beside ``style.rivers`` of its own.
        frame_m: Width of a road that runs along the raster's edges, so that no field crosses them.
    """
    draft = Draft(rng, style, height, width, cell_m)
    whole = [(-2.0, -2.0), (width + 2.0, -2.0), (width + 2.0, height + 2.0), (-2.0, height + 2.0)]
    blocks = split(
        rng,
        whole,
        angle=rng.uniform(0, math.pi),
        target=draft.cells(style.block_ha),
        spread=0.35,
        elongation=1.6,
        tilt=math.radians(9),
        regularity=0.2,
    )
    cumulative = np.cumsum(style.block_shares)
    farmland: list[Polygon] = []
    for piece in blocks.leaves:
        draft.block += 1
        use = Block(min(int(np.searchsorted(cumulative, rng.random())), len(Block) - 1))
        BUILDERS[use](draft, piece.polygon, _along_an_edge(rng, piece))
        if use in (Block.FIELDS, Block.PIVOTS):
            farmland.append(piece.polygon)
    draft.block += 1
    draw_lines(draft, blocks.cuts, style.seam_shares)
    for river in (*rivers, *(draw_river(rng, height, width) for _ in range(style.rivers))):
        draft.stroke(river.course, river.bank, river.banks_m)
        draft.stroke(river.course, Cover.WATER, river.water_m)
    for polygon in farmland:
        _farms(draft, polygon)
    _clumps(draft)
    if frame_m:
        cells = max(math.ceil(frame_m / cell_m), 2)
        edge = (0, 0, width - 1, height - 1)
        draft.pen.rectangle(edge, outline=draft.add(Cover.ROAD, 0.0), width=cells)
    cover = draft.snapshot()
    _houses(draft)
    _single_trees(draft)
    return Layout(
        cover=cover,
        surface=draft.snapshot(),
        kind=np.array(draft.kind),
        angle=np.array(draft.angle),
        group=np.array(draft.group),
        rows=np.array([draft.rows.get(number, False) for number in range(len(draft.kind))]),
    )


def _along_an_edge(rng: np.random.Generator, piece: Piece) -> float:
    """Fields mostly follow one side of their block."""
    if rng.random() < 0.2:
        return piece.angle + 0.2 * rng.normal()
    at = int(rng.integers(len(piece.polygon)))
    (x0, y0), (x1, y1) = piece.polygon[at - 1], piece.polygon[at]
    return math.atan2(y1 - y0, x1 - x0)


def draw_river(rng: np.random.Generator, height: int, width: int, *, corners: int = 40) -> River:
    """A swaying river between banks of bushes or trees, from one side of a raster to another."""
    if rng.random() < 0.5:
        ends = ((-9.0, rng.uniform(0, height)), (width + 9.0, rng.uniform(0, height)))
    else:
        ends = ((rng.uniform(0, width), -9.0), (rng.uniform(0, width), height + 9.0))
    course = shapes.meander(rng, *ends, sway=rng.uniform(0.03, 0.16) * width, corners=corners)
    water_m = math.exp(rng.normal(2.7, 0.7))
    bank = Cover.WOOD if rng.random() < 0.5 else Cover.SCRUB
    return River(course, water_m, water_m + math.exp(rng.normal(3.2, 0.7)), bank)


def _farms(draft: Draft, polygon: Polygon) -> None:
    """Farmsteads on the sides of a block: a yard, its buildings and trees."""
    rng = draft.rng
    expected = draft.style.farms_per_km2 * draft.hectares(polygon) / 100
    for _ in range(min(rng.poisson(expected), 12)):
        at = int(rng.integers(len(polygon)))
        (x0, y0), (x1, y1) = polygon[at - 1], polygon[at]
        t = rng.random()
        cx, cy = shapes.centre(polygon)
        x, y = x0 + t * (x1 - x0), y0 + t * (y1 - y0)
        inward = rng.uniform(0.0, 0.12)
        middle = (x + inward * (cx - x), y + inward * (cy - y))
        angle = math.atan2(y1 - y0, x1 - x0)
        yard = shapes.rectangle(
            middle, rng.uniform(35, 110) / draft.cell_m, rng.uniform(30, 75) / draft.cell_m, angle
        )
        draft.fill(yard, Cover.GARDEN, angle)
        draft.plots.append((yard, angle, rng.random() < 0.5))


def _clumps(draft: Draft) -> None:
    """Groups of trees, ponds and rough patches that lie in the fields and are none."""
    rng = draft.rng
    square_km = draft.height * draft.width * draft.cell_m**2 / 1e6
    for _ in range(min(rng.poisson(draft.style.clumps_per_km2 * square_km), 150)):
        middle = (rng.uniform(0, draft.width), rng.uniform(0, draft.height))
        radius = max(math.exp(rng.normal(2.7, 0.5)), 9.0) / draft.cell_m
        kind = (Cover.WOOD, Cover.WOOD, Cover.SCRUB, Cover.WATER)[int(rng.integers(4))]
        draft.fill(shapes.blob(rng, middle, radius, corners=14), kind)


def _houses(draft: Draft) -> None:
    """Roofs and garden trees on every plot."""
    chances = draft.rng.random((len(draft.plots), 3, 6)).tolist()
    for (plot, angle, large), rows in zip(draft.plots, chances, strict=True):
        x, y = shapes.centre(plot)
        reach = math.sqrt(shapes.area(plot))
        for index, (exists, side_u, side_v, long, wide, turned) in enumerate(rows):
            if exists > (0.6 if large else (0.8, 0.15, 0.0)[index]):
                continue
            middle = (x + reach * 0.5 * (side_u - 0.5), y + reach * 0.5 * (side_v - 0.5))
            long_m, wide_m = 9 + 13 * long, 7 + 5 * wide
            if large:
                long_m, wide_m = 20 + 50 * long, 10 + 15 * wide
            turn = angle + (math.pi / 2 if turned < 0.4 else 0.0)
            roof = shapes.rectangle(
                middle,
                min(long_m / draft.cell_m, reach * 0.9),
                min(wide_m / draft.cell_m, reach * 0.6),
                turn,
            )
            draft.fill(roof, Cover.ROOF, turn)
        _, side_u, side_v, size, _, exists = rows[2]
        if exists < 0.5:
            middle = (x + reach * (side_u - 0.5), y + reach * (side_v - 0.5))
            draft.disc(middle, (3 + 4 * size) / draft.cell_m, draft.add(Cover.WOOD, 0.0))


def _single_trees(draft: Draft) -> None:
    """Trees too small to end a field."""
    rng = draft.rng
    square_km = draft.height * draft.width * draft.cell_m**2 / 1e6
    count = min(rng.poisson(3 * draft.style.clumps_per_km2 * square_km), 300)
    tree = draft.add(Cover.WOOD, 0.0)
    at = rng.uniform(0, 1, (count, 3))
    for x, y, size in at.tolist():
        draft.disc((x * draft.width, y * draft.height), (2 + 3.5 * size) / draft.cell_m, tree)
