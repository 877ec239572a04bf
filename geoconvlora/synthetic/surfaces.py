"""What each piece of ground looks like: mean spectrum and texture, as tables by piece number."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from geoconvlora.synthetic.draft import Layout
from geoconvlora.synthetic.noise import PERIOD
from geoconvlora.synthetic.spectra import CoverColours
from geoconvlora.synthetic.style import Cover

#: Relative change of brightness by grain and by mottle.
TEXTURE = {
    Cover.FIELD: (0.03, 0.025),
    Cover.VERGE: (0.08, 0.05),
    Cover.WOOD: (0.16, 0.07),
    Cover.SCRUB: (0.12, 0.12),
    Cover.GARDEN: (0.25, 0.10),
    Cover.WATER: (0.02, 0.02),
    Cover.ROAD: (0.06, 0.02),
    Cover.HEDGE: (0.20, 0.05),
    Cover.DITCH: (0.10, 0.05),
    Cover.BARE: (0.10, 0.15),
    Cover.ROOF: (0.06, 0.00),
    Cover.STREET: (0.12, 0.05),
    Cover.BANK: (0.12, 0.06),
}


@dataclass(frozen=True)
class Surfaces:
    """Tables by piece number, (pieces,) float32 each but for ``mean``."""

    mean: NDArray[np.float32]
    """(bands, pieces)"""
    grain: NDArray[np.float32]
    mottle: NDArray[np.float32]
    soil: NDArray[np.float32]
    """Strength along ``drift`` of what varies slowly."""
    spots: NDArray[np.float32]
    row_x: NDArray[np.float32]
    """Wave vector of rows or of a gradient across the piece, radians a cell."""
    row_y: NDArray[np.float32]
    row_phase: NDArray[np.float32]
    row_strength: NDArray[np.float32]
    shift: NDArray[np.int64]
    """Where in the periodic textures a piece reads: neighbours must not share a texture."""
    drift: NDArray[np.float32]
    """(bands,) change of colour where soil or moisture changes."""


def clothe(
    rng: np.random.Generator,
    layout: Layout,
    colours: CoverColours,
    cell_m: float,
    *,
    liveliness: float | None = None,
) -> Surfaces:
    """Give every piece of a layout a colour and a texture.

    Args:
        rng: Source of chance.
        layout: Pieces with kind, direction and group.
        colours: The landscape's colours.
        cell_m: Cell size in metres: rows have a spacing in metres.
        liveliness: Strength of all textures, 1 on average; None: drawn.
    """
    pieces = len(layout.kind)
    kind = layout.kind
    mean = colours.draw(rng, kind, layout.group)
    base = np.array([TEXTURE[Cover(k)] for k in range(len(Cover))])
    if liveliness is None:
        liveliness = math.exp(rng.normal(0, 0.5))
    each = np.exp(rng.normal(0, 0.5, (2, pieces))) * liveliness
    is_field = kind == Cover.FIELD

    striped = is_field & (rng.random(pieces) < rng.uniform(0, 0.5))
    spacing_m = np.exp(rng.uniform(math.log(8), math.log(60), pieces))
    strength = np.where(striped, np.abs(rng.normal(0, 0.05, pieces)), 0.0)
    orchard = is_field & layout.rows
    spacing_m = np.where(orchard, rng.uniform(4, 14), spacing_m)
    strength = np.where(orchard, rng.uniform(0.1, 0.4), strength)
    sloped = ~striped & ~orchard & (rng.random(pieces) < 0.5)
    spacing_m = np.where(sloped, rng.uniform(150, 900, pieces), spacing_m)
    strength = np.where(sloped, np.abs(rng.normal(0, 0.08, pieces)), strength)
    across = layout.angle + math.pi / 2
    across = np.where(sloped, rng.uniform(0, 2 * math.pi, pieces), across)
    turns = 2 * math.pi * cell_m / spacing_m

    spotted = rng.random(pieces) < rng.beta(0.6, 1.6)
    open_land = is_field | (kind == Cover.SCRUB) | (kind == Cover.VERGE) | (kind == Cover.BARE)
    return Surfaces(
        mean=mean,
        grain=(base[kind, 0] * each[0]).astype(np.float32),
        mottle=(base[kind, 1] * each[1]).astype(np.float32),
        soil=np.where(open_land, np.abs(rng.normal(0, 0.11, pieces)), 0).astype(np.float32),
        spots=np.where(open_land & spotted, rng.normal(0, 0.5, pieces), 0).astype(np.float32),
        row_x=(turns * np.cos(across)).astype(np.float32),
        row_y=(turns * np.sin(across)).astype(np.float32),
        row_phase=rng.uniform(0, 2 * math.pi, pieces).astype(np.float32),
        row_strength=strength.astype(np.float32),
        shift=rng.integers(0, PERIOD * PERIOD, pieces),
        drift=colours.drift.astype(np.float32),
    )


def join(tables: Sequence[Surfaces]) -> Surfaces:
    """Tables of several layouts as one; the pieces of each follow those of the one before."""
    if len(tables) == 1:
        return tables[0]
    joined = {
        column.name: np.concatenate([getattr(table, column.name) for table in tables], axis=-1)
        for column in fields(Surfaces)
        if column.name != "drift"
    }
    return Surfaces(**joined, drift=tables[0].drift)
