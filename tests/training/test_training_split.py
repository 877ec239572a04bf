import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geoconvlora.scenes import Window
from geoconvlora.training.split import split_scene, tiles_of


def area(window: Window) -> float:
    return float(window.height * window.width)


sizes = st.integers(40, 700)
splits = st.fixed_dictionaries(
    {
        "fraction": st.floats(0.05, 0.95),
        "tile_px": st.sampled_from([32, 64]),
        "buffer_px": st.integers(0, 20),
        "seed": st.integers(0, 99),
    }
)


@settings(deadline=None)
@given(sizes, sizes, splits)
def test_parts_are_disjoint_and_cover_all_but_the_buffer(
    height: int, width: int, choices: dict
) -> None:
    split = split_scene(height, width, labelled_area=area, **choices)
    if split is None:
        assert height < 64
        assert width < 64
        return
    whole = Window(0, 0, height, width)
    train, val = split.train_pixels(whole), split.val_pixels(whole)
    assert train.any() or choices["buffer_px"]
    assert val.any()
    assert not (train & val).any()
    if choices["buffer_px"] == 0:
        assert (train | val).all()


@settings(deadline=None)
@given(sizes, sizes, splits, st.integers(-50, 600), st.integers(-50, 600))
def test_window_of_a_part_is_the_same_piece_of_the_whole(
    height: int, width: int, choices: dict, row: int, column: int
) -> None:
    split = split_scene(height, width, labelled_area=area, **choices)
    if split is None:
        return
    window, side = Window(row, column, 64, 64), 800
    whole = split.train_pixels(Window(-100, -100, side, side))
    there = whole[row + 100 : row + 164, column + 100 : column + 164]
    assert np.array_equal(split.train_pixels(window), there)


def test_training_keeps_the_buffer_from_validation() -> None:
    from scipy.ndimage import distance_transform_cdt

    split = split_scene(
        512, 512, labelled_area=area, fraction=0.3, tile_px=64, block_px=128, buffer_px=10
    )
    assert split is not None
    whole = Window(0, 0, 512, 512)
    distance = distance_transform_cdt(~split.val_pixels(whole), metric="chessboard")
    assert distance[split.train_pixels(whole)].min() == 11


@pytest.mark.parametrize("fraction", [0.1, 0.25, 0.5])
def test_validation_gets_its_share(fraction: float) -> None:
    split = split_scene(1000, 1000, labelled_area=area, fraction=fraction, tile_px=50, block_px=100)
    assert split is not None
    assert split.val_pixels(Window(0, 0, 1000, 1000)).mean() == pytest.approx(fraction, abs=0.01)


def test_blocks_without_labels_are_in_no_part() -> None:
    split = split_scene(
        800, 800, labelled_area=lambda w: float(w.row < 400), fraction=0.5, tile_px=50, block_px=100
    )
    assert split is not None
    assert {block.row for block in split.train + split.val} == {0, 100, 200, 300}


def test_split_follows_the_seed() -> None:
    def split(seed: int) -> object:
        return split_scene(800, 800, labelled_area=area, fraction=0.3, tile_px=50, seed=seed)

    assert split(1) == split(1)
    assert split(1) != split(2)


def test_one_labelled_block_cannot_be_split() -> None:
    assert split_scene(40, 40, labelled_area=area, fraction=0.5, tile_px=64) is None


@settings(deadline=None)
@given(st.integers(1, 300), st.integers(1, 300))
def test_tiles_cover_their_block(height: int, width: int) -> None:
    covered = np.zeros((height + 64, width + 64), dtype=int)
    for tile in tiles_of(Window(0, 0, height, width), 64):
        covered[tile.row : tile.row + 64, tile.column : tile.column + 64] += 1
    assert (covered[:height, :width] == 1).all()
