"""What makes training samples hard changes what it says, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from geoconvlora.synthetic.hardship import monotonous, streaked, with_a_dark_crop
from geoconvlora.synthetic.layout import lay_out
from geoconvlora.synthetic.spectra import modelled_colours
from geoconvlora.synthetic.style import Cover, draw_style
from geoconvlora.synthetic.surfaces import clothe

SEEDS = range(8)


@pytest.mark.parametrize("seed", SEEDS)
def test_monotonous_farmland_has_lines_between_most_fields(seed: int) -> None:
    rng = np.random.default_rng(seed)
    before, colours = draw_style(rng), modelled_colours(rng)
    style, grown = monotonous(rng, before, colours)
    assert style.field_ha == before.field_ha
    assert style.line_shares.sum() == pytest.approx(1)
    assert np.array_equal(grown.crops, colours.crops)
    assert grown.crop_share.sum() == pytest.approx(1)


def test_monotonous_farmland_has_one_crop_and_few_bare_borders_on_average() -> None:
    bare, largest = [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        style, colours = monotonous(rng, draw_style(rng), modelled_colours(rng))
        bare.append(style.line_shares[0])
        largest.append(colours.crop_share.max())
    assert np.mean(bare) < 0.2
    assert np.mean(largest) > 0.6


@pytest.mark.parametrize("seed", SEEDS)
def test_a_dark_crop_is_near_water_and_the_others_stay(seed: int) -> None:
    rng = np.random.default_rng(seed)
    colours = modelled_colours(rng)
    dark = with_a_dark_crop(rng, colours)
    water = colours.others[Cover.WATER][0]
    changed = (dark.crops != colours.crops).any(axis=1)
    assert changed.sum() == 1
    before = np.abs(colours.crops[changed] - water).max()
    assert np.abs(dark.crops[changed] - water).max() < 0.4 * before
    assert dark.crop_share[changed] >= colours.crop_share[changed] * 0.5
    assert dark.crop_share.sum() == pytest.approx(1)


def test_streaks_are_on_plain_fields_only() -> None:
    rng = np.random.default_rng(3)
    layout = lay_out(rng, draw_style(rng, wild=0.0), 400, 400, 2.5)
    before = clothe(rng, layout, modelled_colours(rng), 2.5)
    after = streaked(rng, before, layout, 2.5)
    changed = after.row_strength != before.row_strength
    assert changed.any()
    assert (layout.kind[changed] == Cover.FIELD).all()
    assert (before.row_strength[changed] == 0).all()
    wave = np.hypot(after.row_x, after.row_y)[changed]
    metres = 2 * np.pi * 2.5 / wave
    assert metres.min() > 24
    assert metres.max() < 141
