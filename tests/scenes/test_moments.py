import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoconvlora.scenes import Moments


@given(st.integers(0, 10**6), st.lists(st.integers(0, 40), min_size=1, max_size=6))
def test_moments_of_pieces_are_those_of_the_whole(seed: int, sizes: list[int]) -> None:
    rng = np.random.default_rng(seed)
    # Far from zero, where the difference of the squares' mean and the mean's square is noise.
    pieces = [rng.normal([[1e7], [3]], [[0.1], [5]], (2, size)) for size in sizes]
    moments = Moments(2)
    for piece in pieces:
        moments.add(piece)
    whole = np.concatenate(pieces, axis=1)
    assert moments.count == whole.shape[1]
    if whole.shape[1]:
        assert moments.mean == pytest.approx(whole.mean(axis=1), rel=1e-14)
        assert moments.std == pytest.approx(whole.std(axis=1), rel=1e-6, abs=1e-9)


def test_mixed_moments_are_those_of_draws_in_proportion() -> None:
    one, other = np.array([[1.0, 2.0, 6.0]]), np.array([[10.0, 30.0]])
    parts = []
    for values in (one, other):
        parts.append(Moments(1))
        parts[-1].add(values)
    mixed = Moments.mixed(parts, [0.4, 0.6])
    drawn = np.concatenate([np.repeat(one, 8, axis=1), np.repeat(other, 18, axis=1)], axis=1)
    assert mixed.mean == pytest.approx(drawn.mean())
    assert mixed.std == pytest.approx(drawn.std())
