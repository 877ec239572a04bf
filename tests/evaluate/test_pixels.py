import math

import numpy as np
import pytest

from geoconvlora.evaluate import class_dice, class_iou, confusion, mean_of_present

TRUTH = np.array([[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 1, 255], [2, 2, 255, 255]])
FOUND = np.array([[0, 0, 1, 1], [0, 1, 1, 1], [2, 0, 1, 1], [2, 2, 2, 0]])


def test_counts_are_those_of_the_hand() -> None:
    assert confusion(FOUND, TRUTH, 3).tolist() == [[3, 1, 0], [0, 5, 0], [1, 0, 3]]


def test_iou_and_dice_are_those_of_the_hand() -> None:
    counts = confusion(FOUND, TRUTH, 3)
    assert class_iou(counts) == pytest.approx([3 / 5, 5 / 6, 3 / 4])
    assert class_dice(counts) == pytest.approx([6 / 8, 10 / 11, 6 / 7])


def test_sum_of_tiles_is_the_score_of_all_their_pixels() -> None:
    rng = np.random.default_rng(0)
    found, truth = rng.integers(0, 3, (2, 5, 8, 8))
    pooled = sum(confusion(f, t, 3) for f, t in zip(found, truth, strict=True))
    assert (pooled == confusion(found, truth, 3)).all()


def test_class_that_nobody_has_is_no_part_of_the_mean() -> None:
    counts = confusion(np.array([0, 1, 1]), np.array([0, 0, 1]), 3)
    iou = class_iou(counts)
    assert math.isnan(iou[2])
    assert mean_of_present(iou) == pytest.approx(0.5)
    assert mean_of_present(class_dice(counts)) == pytest.approx(2 / 3)


def test_class_that_is_only_predicted_counts_as_zero() -> None:
    assert class_iou(confusion(np.array([0, 2]), np.array([0, 0]), 3))[2] == 0


def test_nothing_labelled_has_no_score() -> None:
    counts = confusion(np.zeros(4), np.full(4, 255), 2)
    assert not counts.any()
    assert math.isnan(mean_of_present(class_iou(counts)))


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="shapes differ"):
        confusion(np.zeros(3), np.zeros(4), 2)
    with pytest.raises(ValueError, match="from 0 to 2, of 2 classes"):
        confusion(np.zeros(2), np.array([0, 2]), 2)
