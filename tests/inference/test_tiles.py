from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geoconvlora.errors import ConfigError
from geoconvlora.inference.tiles import Tiling


@settings(deadline=None)
@given(size=st.integers(1, 500), tile=st.sampled_from([16, 32, 64]), share=st.floats(0, 0.99))
def test_tiles_cover_the_axis_and_share_at_least_the_overlap(size, tile, share) -> None:
    overlap = int(tile * share)
    axis = Tiling.over(size, 1, tile=tile, overlap=overlap).rows
    starts = [axis.start(i) for i in range(len(axis))]
    assert starts[0] == 0
    assert max(size, tile) == starts[-1] + tile
    gaps = np.diff(starts)
    assert (gaps > 0).all()
    assert (gaps <= tile - overlap).all()


@settings(deadline=None)
@given(size=st.integers(1, 500), tile=st.sampled_from([16, 32, 64]), share=st.floats(0, 0.99))
def test_tiles_that_touch_a_pixel_are_those_that_hold_it(size, tile, share) -> None:
    axis = Tiling.over(size, 1, tile=tile, overlap=int(tile * share)).rows
    for pixel in {0, size // 3, size - 1}:
        holding = [i for i in range(len(axis)) if 0 <= pixel - axis.start(i) < tile]
        assert list(axis.touching(pixel, pixel + 1)) == holding


@pytest.mark.parametrize(
    ("tile", "overlap"), [(30, 8), (0, 0), (8, 0), (-16, 0), (4112, 0), (32, 32), (32, -1)]
)
def test_what_cannot_work_is_refused(tile: int, overlap: int) -> None:
    with pytest.raises(ConfigError):
        Tiling.over(100, 100, tile=tile, overlap=overlap)
