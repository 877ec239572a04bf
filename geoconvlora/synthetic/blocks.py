"""What stands in a block: one function per :class:`~geoconvlora.synthetic.style.Block`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from geoconvlora.synthetic import shapes
from geoconvlora.synthetic.draft import SQUARE_METRES_A_HECTARE, Draft
from geoconvlora.synthetic.shapes import Point, Polygon
from geoconvlora.synthetic.split import split
from geoconvlora.synthetic.style import LINE_WIDTH_M, LINES, Block, Cover

MIN_FIELD_HA = 0.12
MIN_FIELD_WIDTH_M = 18.0
TYPICAL_WIDTH_M = 30.0
"""Mean width below which no landscape's fields go: a sensor of 10 m could not tell them apart."""


def draw_lines(
    draft: Draft, lines: Sequence[tuple[Point, Point]], shares: Sequence[float] | np.ndarray
) -> None:
    """Draw what lies between neighbours, where anything does.

    Args:
        draft: The drawing board.
        lines: Cuts between pieces, in cells.
        shares: Probability of each of ``LINES``.
    """
    if not lines:
        return
    rng = draft.rng
    choices = np.searchsorted(np.cumsum(shares), rng.random(len(lines)))
    widths = rng.random(len(lines)) ** 2
    for line, choice, wide in zip(lines, choices.tolist(), widths.tolist(), strict=True):
        kind = LINES[min(choice, len(LINES) - 1)]
        if kind is not None:
            low, high = LINE_WIDTH_M[kind]
            draft.stroke(line, kind, low + (high - low) * wide)


def _fields(draft: Draft, polygon: Polygon, angle: float) -> None:
    rng, style = draft.rng, draft.style
    mean_ha = style.field_ha * math.exp(style.field_spread * rng.normal())
    elongation = max(1.1, style.elongation * math.exp(0.25 * rng.normal()))
    strip_ha = elongation * TYPICAL_WIDTH_M**2 / SQUARE_METRES_A_HECTARE
    mean_ha = min(max(mean_ha, strip_ha, 0.4), 40.0)
    parcels = split(
        rng,
        polygon,
        angle=angle,
        target=draft.cells(mean_ha),
        spread=style.field_spread / 4,
        elongation=elongation,
        tilt=style.tilt / math.sqrt(style.elongation),
        regularity=style.regularity,
        merge=style.merge,
        min_width=MIN_FIELD_WIDTH_M / draft.cell_m,
    )
    orchard = rng.random() < style.orchard
    numbers: list[int] = []
    for piece, twin in zip(parcels.leaves, parcels.twins, strict=True):
        if twin < len(numbers):
            draft.pen.polygon(piece.polygon, fill=numbers[twin])
            numbers.append(numbers[twin])
            continue
        kind = Cover.FIELD
        if draft.hectares(piece.polygon) < MIN_FIELD_HA or _narrow(draft, piece.polygon, angle):
            kind = Cover.VERGE
        elif rng.random() < 0.02:
            kind = Cover.SCRUB if rng.random() < 0.5 else Cover.WOOD
        number = draft.fill(piece.polygon, kind, piece.angle)
        draft.rows[number] = orchard
        numbers.append(number)
    shares = style.line_shares
    if rng.random() < 0.25:
        shares = rng.permutation(shares)
    draw_lines(draft, parcels.cuts, shares)


def _narrow(draft: Draft, polygon: Polygon, angle: float) -> bool:
    low, high = shapes.extent(polygon, -math.sin(angle), math.cos(angle))
    low_u, high_u = shapes.extent(polygon, math.cos(angle), math.sin(angle))
    return min(high - low, high_u - low_u) * draft.cell_m < 0.8 * MIN_FIELD_WIDTH_M


def _pivots(draft: Draft, polygon: Polygon, angle: float) -> None:
    rng = draft.rng
    ground = Cover.SCRUB if rng.random() < 0.6 else Cover.VERGE
    if rng.random() < 0.25:
        _fields(draft, polygon, angle)
    else:
        draft.fill(polygon, ground, angle)
    x, y = shapes.centre(polygon)
    reach = math.sqrt(shapes.area(polygon))
    side = min(rng.uniform(250, 820) / draft.cell_m, reach * 0.85)
    count = int(reach / side / 2 + 0.5)
    cos, sin = math.cos(angle), math.sin(angle)
    for row in range(-count, count + 1):
        for column in range(-count, count + 1):
            if rng.random() < 0.12:
                continue
            u, v = column * side, row * side
            middle = (x + u * cos - v * sin, y + u * sin + v * cos)
            radius = side * rng.uniform(0.42, 0.495)
            number = draft.add(Cover.FIELD, angle)
            draft.disc(middle, radius, number)
            if rng.random() < 0.3:
                _slice_of(draft, middle, radius)


def _slice_of(draft: Draft, middle: Point, radius: float) -> None:
    """Another crop on a sector of a pivot."""
    x, y = middle
    start = draft.rng.uniform(0, 360)
    draft.pen.pieslice(
        (x - radius, y - radius, x + radius, y + radius),
        start,
        start + draft.rng.choice([90, 120, 180]),
        fill=draft.add(Cover.FIELD, 0.0),
    )


def _wood(draft: Draft, polygon: Polygon, angle: float) -> None:
    """Stands of different age, with rides or nothing between them, and a clearing or two."""
    rng = draft.rng
    stands = split(
        rng,
        polygon,
        angle=angle,
        target=draft.cells(1 + math.exp(rng.normal(0.8, 0.8))),
        spread=0.5,
        elongation=1.3 + rng.random() * 2,
        tilt=0.12,
        regularity=0.3,
    )
    for piece in stands.leaves:
        kind = Cover.WOOD if rng.random() < 0.88 else Cover.SCRUB
        draft.fill(piece.polygon, kind, piece.angle)
    draw_lines(draft, stands.cuts, (0.75, 0.08, 0.12, 0.0, 0.05))
    for _ in range(rng.poisson(draft.hectares(polygon) / 25)):
        radius = rng.uniform(15, 60) / draft.cell_m
        outline = shapes.blob(rng, _inside(rng, polygon), radius)
        draft.fill(outline, Cover.VERGE if rng.random() < 0.6 else Cover.SCRUB)


def _town(draft: Draft, polygon: Polygon, angle: float) -> None:
    """Plots between streets; houses come on top of the gardens when labels are drawn."""
    rng = draft.rng
    works = rng.random() < 0.15
    plots = split(
        rng,
        polygon,
        angle=angle,
        target=draft.cells(rng.uniform(0.6, 3.0) if works else rng.uniform(0.18, 0.6)),
        spread=0.45,
        elongation=1.2 + rng.random(),
        tilt=0.06,
        regularity=0.5,
    )
    for piece in plots.leaves:
        chance = rng.random()
        kind = Cover.GARDEN
        if chance < 0.08:
            kind = Cover.VERGE
        elif chance < 0.14:
            kind = Cover.WOOD if chance < 0.11 else Cover.STREET
        draft.fill(piece.polygon, kind, piece.angle)
        if kind is Cover.GARDEN:
            draft.plots.append((piece.polygon, piece.angle, works))
    for line in plots.cuts[:6]:
        draft.stroke(line, Cover.ROAD, rng.uniform(5, 12))
    draw_lines(draft, plots.cuts[6:], (0.6, 0.0, 0.35, 0.05, 0.0))


def _scrub(draft: Draft, polygon: Polygon, angle: float) -> None:
    """Unfarmed grass, heath and bushes with soft and hard patches."""
    rng = draft.rng
    draft.fill(polygon, Cover.SCRUB, angle)
    for _ in range(rng.poisson(draft.hectares(polygon) / 6)):
        kinds = (Cover.SCRUB, Cover.WOOD, Cover.VERGE, Cover.BARE)
        kind = kinds[int(np.searchsorted([0.4, 0.65, 0.93], rng.random()))]
        radius = math.exp(rng.normal(3.6, 0.6)) / draft.cell_m
        draft.fill(shapes.blob(rng, _inside(rng, polygon), radius, rough=0.4), kind)


def _lake(draft: Draft, polygon: Polygon, angle: float) -> None:
    rng = draft.rng
    draft.fill(polygon, Cover.VERGE if rng.random() < 0.5 else Cover.WOOD, angle)
    if rng.random() < 0.25:
        ponds = split(
            rng, polygon, angle=angle, target=draft.cells(rng.uniform(0.5, 4)), spread=0.3,
            elongation=2.0, tilt=0.08, regularity=0.6,
        )  # fmt: skip
        for piece in ponds.leaves:
            draft.fill(piece.polygon, Cover.WATER)
        for line in ponds.cuts:
            draft.stroke(line, Cover.VERGE, rng.uniform(4, 12))
        return
    radius = math.sqrt(shapes.area(polygon)) * rng.uniform(0.25, 0.6)
    shore = shapes.blob(rng, shapes.centre(polygon), radius, corners=48)
    draft.fill(shore, Cover.WATER)


def _bare(draft: Draft, polygon: Polygon, angle: float) -> None:
    """Quarry, sand or building site: bright ground with terraces and a pond."""
    rng = draft.rng
    draft.fill(polygon, Cover.BARE if rng.random() < 0.6 else Cover.SCRUB, angle)
    for _ in range(int(rng.integers(3, 12))):
        kind = (Cover.BARE, Cover.BARE, Cover.SCRUB, Cover.WATER)[int(rng.integers(4))]
        radius = math.exp(rng.normal(3.8, 0.6)) / draft.cell_m
        draft.fill(shapes.blob(rng, _inside(rng, polygon), radius), kind)


def _inside(rng: np.random.Generator, polygon: Polygon) -> Point:
    """A random point of a convex polygon, towards its middle."""
    weights = rng.dirichlet(np.ones(len(polygon)))
    x = sum(w * p[0] for w, p in zip(weights, polygon, strict=True))
    y = sum(w * p[1] for w, p in zip(weights, polygon, strict=True))
    return float(x), float(y)


BUILDERS: dict[Block, Callable[[Draft, Polygon, float], None]] = {
    Block.FIELDS: _fields,
    Block.PIVOTS: _pivots,
    Block.WOOD: _wood,
    Block.TOWN: _town,
    Block.SCRUB: _scrub,
    Block.LAKE: _lake,
    Block.BARE: _bare,
}
