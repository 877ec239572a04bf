import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geoconvlora.evaluate import boundary_counts, boundary_f1
from geoconvlora.evaluate.boundary import Reach


def halves(column: int, size: int = 10) -> np.ndarray:
    """Class 1 from this column on."""
    mask = np.zeros((size, size), np.uint8)
    mask[:, column:] = 1
    return mask


def test_square_in_the_middle_has_the_boundaries_of_the_hand() -> None:
    mask = np.zeros((6, 6), np.uint8)
    mask[2:4, 2:4] = 1
    # All 4 pixels of the square, and the 8 that touch its sides; not those at its corners.
    assert boundary_counts(mask, mask, 2)[:, 0].tolist() == [8, 4]


@pytest.mark.parametrize(("shift", "score"), [(0, 1), (1, 1), (2, 1), (3, 0)])
def test_outline_within_two_pixels_is_right(shift: int, score: float) -> None:
    counts = boundary_counts(halves(4 + shift), halves(4), 2, tolerance_px=2)
    assert boundary_f1(counts) == pytest.approx([score, score])


def test_tolerance_is_euclidean() -> None:
    one, other = np.zeros((5, 5), np.uint8), np.zeros((5, 5), np.uint8)
    one[1, 1], other[2, 2] = 1, 1
    assert boundary_f1(boundary_counts(one, other, 2, tolerance_px=1))[1] == 0
    assert boundary_f1(boundary_counts(one, other, 2, tolerance_px=1.5))[1] == 1


def test_precision_and_recall_are_those_of_the_hand() -> None:
    truth, found = halves(5), halves(5)
    found[0, 0] = 1
    counts = boundary_counts(found, truth, 2, tolerance_px=1)
    # Class 1: the true line is found; of 11 predicted pixels, the one in the corner is wrong.
    assert counts[1].tolist() == [11, 10, 10, 10]
    assert boundary_f1(counts)[1] == pytest.approx(2 * (10 / 11) / (10 / 11 + 1))


def test_neither_the_tile_nor_the_labels_end_in_a_boundary() -> None:
    truth = halves(5)
    truth[:, 4:6] = 255
    assert not boundary_counts(halves(5), truth, 2).any()
    assert np.isnan(boundary_f1(boundary_counts(halves(5), truth, 2))).all()


def test_missed_boundary_scores_zero() -> None:
    counts = boundary_counts(np.zeros((10, 10), np.uint8), halves(5), 2)
    assert boundary_f1(counts).tolist() == [0, 0]


def test_turned_and_mirrored_maps_score_the_same() -> None:
    rng = np.random.default_rng(0)
    found, truth = rng.integers(0, 3, (2, 12, 9))
    truth[:2] = 255
    plain = boundary_counts(found, truth, 3)
    assert (boundary_counts(found.T, truth.T, 3) == plain).all()
    assert (boundary_counts(found[::-1], truth[::-1], 3) == plain).all()


def test_shapes_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match="shapes differ"):
        boundary_counts(halves(5), halves(5, 12), 2)


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 10_000), st.sampled_from([2, 5, 70]), st.sampled_from([0, 1, 1.5, 2, 3.7, 12])
)
def test_counts_agree_with_distances_class_by_class(seed: int, classes: int, tolerance: float):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 25, 2))
    found, truth = rng.integers(0, classes, (2, *shape))
    if rng.random() < 0.5:
        truth = np.where(rng.random(shape) < 0.8, found, truth)
    truth = np.where(rng.random(shape) < 0.1, 255, truth)
    counts = boundary_counts(found, truth, classes, tolerance_px=tolerance)
    assert (counts == slow_counts(found, truth, classes, tolerance)).all()


def slow_counts(found: np.ndarray, truth: np.ndarray, classes: int, tolerance: float) -> np.ndarray:
    """The definition, pixel by pixel and pair by pair."""
    labelled = truth != 255

    def outline(side: np.ndarray, value: int) -> np.ndarray:
        places = []
        for row, column in np.argwhere((side == value) & labelled):
            for y, x in (
                (row - 1, column),
                (row + 1, column),
                (row, column - 1),
                (row, column + 1),
            ):
                inside = 0 <= y < side.shape[0] and 0 <= x < side.shape[1]
                if inside and labelled[y, x] and side[y, x] != value:
                    places.append((row, column))
                    break
        return np.array(places, float).reshape(-1, 2)

    def near(ones: np.ndarray, others: np.ndarray) -> int:
        if not len(ones) or not len(others):
            return 0
        apart = np.hypot(*(ones[:, None] - others[None]).transpose(2, 0, 1))
        return int((apart.min(axis=1) <= tolerance).sum())

    counts = []
    for value in range(classes):
        ours, theirs = outline(found, value), outline(truth, value)
        counts.append((len(ours), near(ours, theirs), len(theirs), near(theirs, ours)))
    return np.array(counts)


def test_reach_is_an_ellipse_where_pixels_are_no_squares() -> None:
    reach = Reach.of(20, height=10, width=5)
    assert reach.half_widths == (4, 3, 0)
