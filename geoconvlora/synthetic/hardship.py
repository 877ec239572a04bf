"""What makes some training samples hard: small fields, one crop, dark soil, streaks in fields.

Maps of Flanders showed what a network misses that has seen varied farmland only: fields of half a
hectare, meadows of one colour that thin lines part, dark fields taken for water, lines of machines
taken for boundaries.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from geoconvlora.synthetic.draft import Layout
from geoconvlora.synthetic.spectra import CoverColours
from geoconvlora.synthetic.style import Cover, Style
from geoconvlora.synthetic.surfaces import Surfaces

SMALL = 0.25
"""Share of the samples whose fields are those of gardeners and smallholders."""
MONOTONOUS = 0.3
"""Share of the samples in which most fields carry one crop."""
DARK = 0.2
"""Share of the samples in which one crop is nearly as dark as water."""
STREAKED = 0.35
"""Share of the samples in which some fields have broad stripes along their rows."""


def with_small_fields(rng: np.random.Generator, style: Style) -> Style:
    """Fields of a third of a hectare to one and a half, six to thirty of them in a block."""
    field_ha = math.exp(rng.uniform(math.log(0.35), math.log(1.5)))
    return replace(style, field_ha=field_ha, block_ha=max(field_ha * rng.uniform(6, 30), 3.0))


def with_plots(rng: np.random.Generator, style: Style) -> Style:
    """Plots of a tenth of a hectare to half of one, with paths or dams between most of them."""
    field_ha = math.exp(rng.uniform(math.log(0.1), math.log(0.5)))
    return replace(
        style,
        field_ha=field_ha,
        field_spread=rng.uniform(0.1, 0.5),
        block_ha=max(field_ha * rng.uniform(10, 60), 2.0),
        line_shares=rng.dirichlet([1.0, 1.5, 2.0, 0.3, 0.6]),
        wander_m=rng.uniform(2, 12),
    )


def monotonous(
    rng: np.random.Generator, style: Style, colours: CoverColours
) -> tuple[Style, CoverColours]:
    """Most fields in one crop, and a line between nearly all of them.

    Args:
        rng: Source of chance.
        style: The landscape's style; its lines are drawn anew.
        colours: The landscape's colours; the shares of its crops are drawn anew.
    """
    share = rng.dirichlet(np.full(len(colours.crops), 0.15))
    lines = rng.dirichlet([0.5, 1.2, 0.8, 1.2, 1.2])
    jitter = math.exp(rng.uniform(math.log(0.02), math.log(0.10)))
    return replace(style, line_shares=lines), replace(colours, crop_share=share, jitter=jitter)


def with_a_dark_crop(rng: np.random.Generator, colours: CoverColours) -> CoverColours:
    """One crop becomes wet soil: little brighter than water, and no less common than others."""
    water = colours.others[Cover.WATER]
    crops = colours.crops.copy()
    chosen = int(rng.integers(len(crops)))
    brightness = rng.uniform(0.05, 0.35)
    crops[chosen] = water[0] + brightness * (crops[chosen] - water[0])
    share = colours.crop_share + rng.uniform(0, 0.5) * np.eye(len(crops))[chosen]
    return replace(colours, crops=crops, crop_share=share / share.sum())


def streaked(
    rng: np.random.Generator, surfaces: Surfaces, layout: Layout, cell_m: float
) -> Surfaces:
    """Broad stripes of machines on some fields that have neither rows nor a gradient."""
    plain = (layout.kind == Cover.FIELD) & (surfaces.row_strength == 0)
    chosen = plain & (rng.random(len(plain)) < rng.uniform(0.2, 0.9))
    spacing_m = np.exp(rng.uniform(math.log(25), math.log(140), len(plain)))
    turns = 2 * math.pi * cell_m / spacing_m
    across = layout.angle + math.pi / 2
    strength = np.abs(rng.normal(0, 0.07, len(plain)))
    return replace(
        surfaces,
        row_x=np.where(chosen, turns * np.cos(across), surfaces.row_x).astype(np.float32),
        row_y=np.where(chosen, turns * np.sin(across), surfaces.row_y).astype(np.float32),
        row_strength=np.where(chosen, strength, surfaces.row_strength).astype(np.float32),
    )
