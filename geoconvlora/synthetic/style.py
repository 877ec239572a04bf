"""What one landscape has in common: field sizes, line types, land cover shares, habits of texture.

Ranges follow measured outlines (1,213 hand-drawn United States fields: area 0.2 / 2.7 / 28 ha and
elongation 1.05 / 2.1 / 9.7 at the 5th, 50th and 95th percentile) widened towards the narrow strips
of Europe and Asia (0.2-3 ha).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray


class Cover(IntEnum):
    """What covers a piece of ground; only ``FIELD`` is a field."""

    FIELD = 0
    VERGE = 1
    WOOD = 2
    SCRUB = 3
    GARDEN = 4
    WATER = 5
    ROAD = 6
    HEDGE = 7
    DITCH = 8
    BARE = 9
    ROOF = 10
    STREET = 11
    BANK = 12


class Block(IntEnum):
    """What a block between roads is used for."""

    FIELDS = 0
    PIVOTS = 1
    WOOD = 2
    TOWN = 3
    SCRUB = 4
    LAKE = 5
    BARE = 6


LINES = (None, Cover.VERGE, Cover.ROAD, Cover.HEDGE, Cover.DITCH)
"""What may lie between two neighbours; None: nothing but the change of colour."""

LINE_WIDTH_M = {
    Cover.VERGE: (1.5, 8.0),
    Cover.ROAD: (3.0, 9.0),
    Cover.HEDGE: (3.0, 12.0),
    Cover.DITCH: (2.0, 6.0),
}


@dataclass(frozen=True)
class Style:
    """Drawn once a landscape. Lengths in metres, areas in hectares, angles in radians."""

    block_shares: NDArray[np.float64]
    """Probability of each :class:`Block`, (7,)."""
    block_ha: float
    field_ha: float
    field_spread: float
    """Standard deviation of the logarithm of field areas between blocks; at each cut a quarter."""
    elongation: float
    tilt: float
    """Standard deviation of the angle between a cut and the grain of its block."""
    regularity: float
    """Chance that a cut leaves pieces of equal size, as strips have."""
    merge: float
    """Chance that two neighbours belong to one field: L shapes and steps."""
    line_shares: NDArray[np.float64]
    """Probability of each of :data:`LINES` between fields, (5,)."""
    seam_shares: NDArray[np.float64]
    """The same between blocks."""
    farms_per_km2: float
    clumps_per_km2: float
    rivers: int
    orchard: float
    """Share of fields with planted rows of trees."""
    wander_m: float
    """Amplitude of the gentle warp of every line."""


def draw_style(rng: np.random.Generator, *, wild: float = 0.2) -> Style:
    """A random landscape style.

    Args:
        rng: Source of chance.
        wild: Chance of a landscape with hardly any field.
    """
    shares = np.zeros(len(Block))
    if rng.random() < wild:
        others = rng.dirichlet([1.0, 1.2, 0.6, 0.35, 0.3])
        fields = rng.uniform(0.0, 0.3)
        shares[2:] = others * (1 - fields)
        shares[Block.FIELDS] = fields
    else:
        others = rng.dirichlet([1.0, 0.7, 0.7, 0.25, 0.15]) * rng.uniform(0.04, 0.5)
        shares[2:] = others
        shares[Block.FIELDS] = 1 - others.sum()
    if rng.random() < 0.04:
        shares[Block.PIVOTS] = shares[Block.FIELDS] * rng.uniform(0.4, 1.0)
        shares[Block.FIELDS] -= shares[Block.PIVOTS]
    field_ha = math.exp(rng.normal(math.log(4.5), 0.65))
    field_ha = min(max(field_ha, 1.0), 25.0)
    if rng.random() < 0.12:
        field_ha = rng.uniform(0.4, 1.0)
    if rng.random() < 0.5:
        field_lines = rng.dirichlet([12.0, 1.0, 0.5, 0.5, 0.5])
    else:
        field_lines = rng.dirichlet([2.5, 1.0, 0.6, 0.8, 0.6])
    return Style(
        block_shares=shares / shares.sum(),
        block_ha=min(max(field_ha * rng.uniform(6, 22), 6.0), 160.0),
        field_ha=field_ha,
        field_spread=rng.uniform(0.1, 0.6),
        elongation=math.exp(abs(rng.normal(0.35, 0.55))) * 1.25,
        tilt=math.radians(rng.uniform(1, 9)),
        regularity=rng.uniform(0.1, 0.9),
        merge=rng.uniform(0, 0.15),
        line_shares=field_lines,
        seam_shares=rng.dirichlet([0.6, 0.6, 2.5, 0.6, 0.6]),
        farms_per_km2=float(rng.gamma(1.2, 5.0)),
        clumps_per_km2=float(rng.gamma(0.8, 6.0)),
        rivers=int(rng.random() < 0.22),
        orchard=float(rng.random() < 0.2) * rng.uniform(0.02, 0.5),
        wander_m=rng.uniform(2, 22),
    )
