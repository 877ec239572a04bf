from __future__ import annotations

import numpy as np

from geoconvlora.inference.blending import RowBlender
from geoconvlora.inference.tiles import Tiling


def test_streamed_mean_is_the_weighted_mean_of_the_whole() -> None:
    rng = np.random.default_rng(2)
    tiling = Tiling.over(75, 90, tile=32, overlap=12)
    weights = tiling.weights()
    total, summed = np.zeros((75, 90)), np.zeros((2, 75, 90))
    blender = RowBlender(2, 90, weights)
    streamed = []
    rows = [tiling.rows.start(i) for i in range(len(tiling.rows))]
    for row, following in zip(rows, [*rows[1:], 75], strict=True):
        for i in range(len(tiling.columns)):
            column = tiling.columns.start(i)
            tile = rng.random((2, 32, 32)).astype(np.float32)
            blender.add(column, tile)
            place = slice(row, row + 32), slice(column, column + 32)
            summed[:, *place] += weights * tile
            total[place] += weights
        streamed.append(blender.take(following - row))
    np.testing.assert_allclose(np.concatenate(streamed, axis=1), summed / total, atol=1e-5)


def test_tiles_that_agree_are_kept_to_the_last_bit() -> None:
    blender = RowBlender(1, 48, Tiling.over(32, 48, tile=32, overlap=16).weights())
    tile = np.full((1, 32, 32), 0.1, np.float32)
    blender.add(0, tile)
    blender.add(16, tile)
    assert (blender.take(32) == np.float32(0.1)).all()


def test_pixels_without_tile_are_zero() -> None:
    blender = RowBlender(1, 64, Tiling.over(32, 64, tile=32, overlap=0).weights())
    blender.add(32, np.ones((1, 32, 32), np.float32))
    assert blender.take(32)[0].sum(axis=0).tolist() == [0] * 32 + [32] * 32
