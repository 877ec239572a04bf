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


@pytest.mark.parametrize("overlap", [0, 8, 16, 24])
def test_weights_are_positive_symmetric_and_highest_in_the_middle(overlap: int) -> None:
    weights = Tiling.over(100, 100, tile=32, overlap=overlap).weights()
    assert (weights > 0).all()
    assert weights[16, 16] == weights.max() == pytest.approx(1, abs=0.01)
    np.testing.assert_allclose(weights, weights[::-1, ::-1].T, rtol=1e-6)


def test_weights_of_regular_neighbours_add_up_to_one() -> None:
    along = Tiling.over(100, 100, tile=32, overlap=8).weights()[16]
    np.testing.assert_allclose(along[-8:] + along[:8], 1, rtol=1e-6)


@pytest.mark.parametrize(
    ("tile", "overlap"), [(30, 8), (0, 0), (8, 0), (-16, 0), (4112, 0), (32, 32), (32, -1)]
)
def test_what_cannot_work_is_refused(tile: int, overlap: int) -> None:
    with pytest.raises(ConfigError):
        Tiling.over(100, 100, tile=tile, overlap=overlap)
