from __future__ import annotations

import numpy as np

from geoconvlora.synthetic.noise import PERIOD, noise_bank
from geoconvlora.synthetic.palettes import palettes, recorded_colours
from geoconvlora.synthetic.spectra import modelled_colours
from geoconvlora.synthetic.style import Cover


def test_every_palette_names_bands_and_shares() -> None:
    assert len(palettes()) > 5
    for palette in palettes():
        assert palette.colours.shape == (len(palette.share), len(palette.bands))
        assert abs(palette.share.sum() - 1) < 0.01
        assert palette.bands[:3] == ("red", "green", "blue")


def test_every_cover_has_colours_from_both_sources() -> None:
    rng = np.random.default_rng(1)
    recorded, bands = recorded_colours(rng)
    for colours, count in ((recorded, len(bands)), (modelled_colours(rng), 4)):
        assert len(colours.others) == len(Cover)
        for table in colours.others:
            assert table.shape[1] == count
            assert (table > 0).all()


def test_modelled_plants_are_bright_in_the_near_infrared() -> None:
    woods = modelled_colours(np.random.default_rng(2)).others[Cover.WOOD]
    assert (woods[:, 3] > 3 * woods[:, 0]).all()


def test_noise_repeats_without_a_seam() -> None:
    soil = noise_bank().soil
    seam = np.abs(soil[0] - soil[PERIOD - 1]).mean()
    inside = np.abs(np.diff(soil, axis=0)).mean()
    assert 0.5 * inside < seam < 2 * inside
