from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geoconvlora.inference.blending import Blend, Piece, join, support
from geoconvlora.inference.tiles import TileAxis, Tiling

BLENDS = get_args(Blend)
AXES = st.builds(
    lambda size, tile, share: Tiling.over(size, 1, tile=tile, overlap=int(tile * share)).rows,
    size=st.integers(1, 300),
    tile=st.sampled_from([16, 32, 64]),
    share=st.floats(0, 0.95),
)


def pieces_of(axis: TileAxis, blend: Blend, tiles: np.ndarray) -> list[Piece]:
    """Tiles ``(n, K, tile, 1)`` as pieces along rows."""
    pieces = []
    for index, tile in enumerate(tiles):
        counts = support(axis, index, blend)
        mean = tile[:, counts.first : counts.first + len(counts.weights)]
        variance = np.zeros(mean.shape[1:], np.float32)
        pieces.append(Piece(axis.start(index) + counts.first, mean, variance, counts.weights))
    return pieces


@settings(deadline=None)
@given(axis=AXES, blend=st.sampled_from(BLENDS), seed=st.integers(0, 99))
def test_joined_tiles_are_their_weighted_mean_and_spread(axis, blend, seed) -> None:
    tiles = np.random.default_rng(seed).random((len(axis), 2, axis.tile, 1)).astype(np.float32)
    end = axis.start(len(axis) - 1) + axis.tile
    total, summed, squares = np.zeros(end), np.zeros((2, end)), np.zeros((2, end))
    for index, tile in enumerate(tiles.astype(np.float64)):
        counts = support(axis, index, blend)
        part = slice(counts.first, counts.first + len(counts.weights))
        place = slice(axis.start(index) + part.start, axis.start(index) + part.stop)
        total[place] += counts.weights
        summed[:, place] += counts.weights * tile[:, part, 0]
        squares[:, place] += counts.weights * tile[:, part, 0] ** 2
    assert (total > 0).all()
    joined = join(pieces_of(axis, blend, tiles), 0, end, axis="rows")
    mean = np.concatenate([piece.mean for piece in joined], axis=1)[..., 0]
    variance = np.concatenate([piece.variance for piece in joined])[:, 0]
    np.testing.assert_allclose(mean, summed / total, atol=1e-5)
    expected = (squares / total - (summed / total) ** 2).sum(axis=0) / 2
    np.testing.assert_allclose(variance, expected, atol=1e-5)


@settings(deadline=None)
@given(axis=AXES, blend=st.sampled_from(BLENDS), cut=st.floats(0.01, 0.99))
def test_joining_in_parts_changes_no_bit(axis, blend, cut) -> None:
    tiles = np.random.default_rng(1).random((len(axis), 2, axis.tile, 1)).astype(np.float32)
    pieces, end = pieces_of(axis, blend, tiles), axis.start(len(axis) - 1) + axis.tile
    middle = int(end * cut)
    whole = join(pieces, 0, end, axis="rows")
    parts = join(pieces, 0, middle, axis="rows") + join(pieces, middle, end, axis="rows")
    for name in ("mean", "variance"):
        one, other = (
            np.concatenate([getattr(piece, name) for piece in joined], axis=-2)
            for joined in (whole, parts)
        )
        assert one.tobytes() == other.tobytes()


@pytest.mark.parametrize("blend", BLENDS)
@pytest.mark.parametrize("overlap", [0, 8, 16, 24])
def test_tiles_that_agree_are_kept_to_the_last_bit(blend, overlap) -> None:
    axis = Tiling.over(100, 1, tile=32, overlap=overlap).rows
    tiles = np.full((len(axis), 1, 32, 1), 0.1, np.float32)
    for piece in join(pieces_of(axis, blend, tiles), 0, 100, axis="rows"):
        assert (piece.mean == np.float32(0.1)).all()
        assert not piece.variance.any()


def test_columns_are_joined_as_rows_are() -> None:
    axis = Tiling.over(75, 1, tile=32, overlap=12).rows
    tiles = np.random.default_rng(2).random((len(axis), 2, 32, 3)).astype(np.float32)
    rows = pieces_of(axis, "cosine", tiles)
    columns = [Piece(p.start, p.mean.transpose(0, 2, 1), p.variance.T, p.weights) for p in rows]
    for row, column in zip(
        join(rows, 5, 70, axis="rows"), join(columns, 5, 70, axis="columns"), strict=True
    ):
        np.testing.assert_array_equal(row.mean, column.mean.transpose(0, 2, 1))
        np.testing.assert_array_equal(row.variance, column.variance.T)


def test_where_no_piece_is_nothing_is_joined() -> None:
    piece = Piece(4, np.ones((1, 2, 3), np.float32), None, np.ones(2, np.float32))
    (only,) = join([piece], 0, 10, axis="rows")
    assert (only.start, only.stop) == (4, 6)


@pytest.mark.parametrize("blend", ["cosine", "linear", "gaussian"])
@pytest.mark.parametrize("overlap", [0, 8, 16, 24])
def test_weights_are_positive_symmetric_and_highest_in_the_middle(blend, overlap) -> None:
    weights = support(Tiling.over(100, 1, tile=32, overlap=overlap).rows, 1, blend).weights
    assert (weights > 0).all()
    assert weights[16] == weights.max() == pytest.approx(1, abs=0.04)
    np.testing.assert_allclose(weights, weights[::-1], rtol=1e-6)


@pytest.mark.parametrize("blend", ["cosine", "linear"])
def test_weights_of_regular_neighbours_add_up_to_one(blend) -> None:
    weights = support(Tiling.over(100, 1, tile=32, overlap=8).rows, 1, blend).weights
    np.testing.assert_allclose(weights[-8:] + weights[:8], 1, rtol=1e-6)


@settings(deadline=None)
@given(axis=AXES, blend=st.sampled_from(["crop", "none"]))
def test_each_pixel_has_one_tile_where_none_are_averaged(axis, blend) -> None:
    owned = [
        (axis.start(i) + counts.first, len(counts.weights))
        for i in range(len(axis))
        for counts in [support(axis, i, blend)]
    ]
    ends = [start + length for start, length in owned]
    assert [start for start, _ in owned] == [0, *ends[:-1]]
    assert ends[-1] == axis.start(len(axis) - 1) + axis.tile


def test_tiles_meet_in_the_middle_of_their_overlap_or_where_the_last_begins() -> None:
    axis = Tiling.over(80, 1, tile=32, overlap=8).rows
    assert [axis.start(i) + support(axis, i, "crop").first for i in range(3)] == [0, 28, 52]
    assert [axis.start(i) + support(axis, i, "none").first for i in range(3)] == [0, 24, 48]
