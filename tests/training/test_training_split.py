import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import distance_transform_cdt

from geoconvlora.scenes import Window
from geoconvlora.training.blocks import choose_parts, labelled_blocks
from geoconvlora.training.burn import box_of
from geoconvlora.training.split import PARTS, SceneSplit
from geoconvlora.training.windows import pieces_of, tiles_of, window_around


def area(window: Window) -> float:
    return float(window.height * window.width)


def split_of(
    height: int, width: int, *, side: int | None = None, buffer_px: float = 0, seed: int = 0
) -> SceneSplit | None:
    whole = Window(0, 0, height, width)
    blocks, _ = labelled_blocks(whole, area, tile_px=32, side=side, least=8)
    if len(blocks) < 2:
        return None
    counts = np.array([[int(area(block))] for block in blocks])
    chosen = choose_parts(counts, 0.25, 0.15, np.random.default_rng(seed))
    parts = {
        part: [block for block, mine in zip(blocks, chosen == place, strict=True) if mine]
        for place, part in enumerate(PARTS)
    }
    ground = {part: np.array([box_of(b) for b in parts[part]], dtype=object) for part in PARTS}
    return SceneSplit(ground, parts, height, width, buffer_px=buffer_px)


sizes = st.integers(40, 500)


@settings(deadline=None)
@given(sizes, sizes, st.integers(0, 20), st.integers(0, 99))
def test_parts_are_disjoint_keep_their_distance_and_cover_the_rest(
    height: int, width: int, buffer_px: int, seed: int
) -> None:
    split = split_of(height, width, buffer_px=buffer_px, seed=seed)
    if split is None:
        assert height * width < 64 * 64 * 2
        return
    whole = Window(0, 0, height, width)
    train, val, test = (split.pixels(part, whole) for part in PARTS)
    assert (train.astype(int) + val + test).max() == 1
    assert buffer_px or (train | val | test).all()
    for part, held_out in ((train, ("val", "test")), (val, ("test",))):
        for other in held_out:
            blocks = np.zeros((height, width), dtype=bool)
            for b in split.blocks[other]:
                blocks[b.row : b.row + b.height, b.column : b.column + b.width] = True
            if part.any() and blocks.any():
                distance = distance_transform_cdt(~blocks, metric="chessboard")
                assert distance[part].min() > buffer_px


@settings(deadline=None)
@given(sizes, sizes, st.floats(0, 20), st.integers(-50, 400), st.integers(-50, 400))
def test_window_of_a_part_is_the_same_piece_of_the_whole(
    height: int, width: int, buffer_px: float, row: int, column: int
) -> None:
    split = split_of(height, width, buffer_px=buffer_px)
    if split is None:
        return
    for part in PARTS:
        whole = split.pixels(part, Window(-100, -100, 700, 700))
        there = whole[row + 100 : row + 164, column + 100 : column + 164]
        assert np.array_equal(split.pixels(part, Window(row, column, 64, 64)), there)


def test_outlines_are_what_a_part_may_see() -> None:
    split = split_of(512, 512, side=128, buffer_px=10)
    assert split is not None
    for part in PARTS:
        seen = split.pixels(part, Window(0, 0, 512, 512)).sum()
        assert shapely.area(split.outlines(part)).sum() == pytest.approx(seen)


@pytest.mark.parametrize(("val", "test"), [(0.1, 0.1), (0.25, 0.0), (0.5, 0.2)])
def test_parts_get_their_shares(val: float, test: float) -> None:
    counts = np.full((100, 1), 1000)
    parts = choose_parts(counts, val, test, np.random.default_rng(0))
    assert np.bincount(parts, minlength=3) / 100 == pytest.approx([1 - val - test, val, test])


@settings(deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 12))
def test_training_and_validation_are_never_empty(seed: int, blocks: int) -> None:
    counts = np.random.default_rng(seed).integers(1, 1000, (blocks, 1))
    parts = choose_parts(counts, 0.9, 0.09, np.random.default_rng(seed))
    assert {0, 1} <= set(parts.tolist())


@settings(deadline=None)
@given(st.integers(0, 10**6))
def test_every_part_has_the_rare_class_if_it_can(seed: int) -> None:
    rng = np.random.default_rng(seed)
    counts = np.zeros((20, 2), dtype=np.int64)
    counts[:, 0] = 1000
    counts[rng.choice(20, 7, replace=False), 1] = 10
    parts = choose_parts(counts, 0.25, 0.25, rng)
    assert all(counts[parts == part, 1].any() for part in range(3))


def test_choice_follows_the_seed() -> None:
    counts = np.full((30, 1), 10)
    one, same, other = (
        choose_parts(counts, 0.3, 0.1, np.random.default_rng(s)).tolist() for s in (1, 1, 2)
    )
    assert one == same != other


def test_blocks_without_labels_are_none() -> None:
    blocks, side = labelled_blocks(
        Window(0, 0, 800, 800), lambda w: float(w.row < 400), tile_px=50, side=100, least=8
    )
    assert side == 100
    assert {block.row for block in blocks} == {0, 100, 200, 300}


@settings(deadline=None)
@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 40))
def test_tiles_cover_their_block(height: int, width: int, overlap: int) -> None:
    covered = np.zeros((height + 64, width + 64), dtype=int)
    for tile in tiles_of(Window(0, 0, height, width), 64, overlap):
        covered[tile.row : tile.row + 64, tile.column : tile.column + 64] += 1
    assert (covered[:height, :width] >= 1).all()
    assert overlap or (covered[:height, :width] == 1).all()


@settings(deadline=None)
@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 90))
def test_pieces_are_their_block(height: int, width: int, side: int) -> None:
    block = Window(-7, 11, height, width)
    covered = np.zeros((height, width), dtype=int)
    for piece in pieces_of(block, side):
        assert max(piece.height, piece.width) <= side
        covered[piece.slices_within(block)] += 1
    assert (covered == 1).all()


@settings(deadline=None)
@given(st.integers(20, 200), st.integers(20, 200), st.integers(16, 96), st.integers(0, 10**6))
def test_window_holds_its_cell_and_stays_in_its_block(
    height: int, width: int, tile_px: int, seed: int
) -> None:
    block, rng = Window(5, -9, height, width), np.random.default_rng(seed)
    cells = list(pieces_of(block, tile_px // 2))
    cell = cells[int(rng.integers(len(cells)))]
    window = window_around(cell, block, tile_px, rng)
    assert (window.height, window.width) == (tile_px, tile_px)
    rows, columns = cell.slices_within(window)
    assert rows.start >= 0 <= columns.start
    assert rows.stop <= tile_px >= columns.stop
    inner, outer = (window, block) if min(height, width) >= tile_px else (window, None)
    if outer is not None:
        rows, columns = inner.slices_within(outer)
        assert rows.start >= 0 <= columns.start
        assert rows.stop <= height
        assert columns.stop <= width
