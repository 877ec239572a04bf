from __future__ import annotations

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from geoconvlora.errors import LabelError
from geoconvlora.evaluate import object_scores

CRS = 32631


def _frame(*boxes) -> gpd.GeoDataFrame:
    return gpd.GeoDataFrame(geometry=[shapely.box(*box) for box in boxes], crs=CRS)


def _random(rng, count) -> gpd.GeoDataFrame:
    corner = rng.random((count, 2)) * 20
    size = 2 + rng.random((count, 2)) * 6
    return _frame(*np.hstack([corner, corner + size]))


def _brute(predicted, truth, iou) -> int:
    pairs = []
    for i, one in enumerate(predicted.geometry):
        for j, other in enumerate(truth.geometry):
            score = one.intersection(other).area / one.union(other).area
            if score >= iou:
                pairs.append((-score, i, j))
    ours, theirs = set(), set()
    for _, i, j in sorted(pairs):
        if i not in ours and j not in theirs:
            ours.add(i)
            theirs.add(j)
    return len(ours)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1000), st.integers(0, 15), st.integers(0, 15), st.sampled_from([0.2, 0.5]))
def test_counts_agree_with_comparing_every_pair(seed, ours, theirs, iou):
    rng = np.random.default_rng(seed)
    predicted, truth = _random(rng, ours), _random(rng, theirs)
    predicted = pd.concat([predicted, truth[: theirs // 2].translate(0.5).to_frame("geometry")])
    scores = object_scores(predicted, truth, iou=iou)
    assert scores.tp == _brute(predicted, truth, iou)
    assert scores.tp + scores.fp == len(predicted)
    assert scores.tp + scores.fn == len(truth)


def test_scores_follow_from_the_counts():
    truth = _frame((0, 0, 10, 10), (20, 0, 30, 10), (40, 0, 50, 10))
    predicted = _frame((0, 0, 10, 9), (20, 0, 30, 4), (60, 0, 70, 10), (80, 0, 90, 10))
    scores = object_scores(predicted, truth)
    assert (scores.tp, scores.fp, scores.fn) == (1, 3, 2)
    assert scores.precision == pytest.approx(1 / 4)
    assert scores.recall == pytest.approx(1 / 3)
    assert scores.f1 == pytest.approx(2 / 7)
    assert scores.mean_iou == pytest.approx(0.9)
    assert scores.extent_iou == pytest.approx(130 / (90 + 10 + 40 + 60 + 100 + 200))


def test_one_prediction_over_two_fields_matches_at_most_one():
    truth = _frame((0, 0, 10, 10), (10, 0, 12, 10))
    scores = object_scores(_frame((0, 0, 12, 10)), truth, iou=0.1)
    assert (scores.tp, scores.fp, scores.fn) == (1, 0, 1)


def test_what_lies_outside_the_windows_does_not_count():
    window = _frame((0, 0, 100, 100))
    truth = _frame((10, 10, 20, 20))
    predicted = _frame((10, 10, 20, 20), (200, 200, 210, 210))
    assert object_scores(predicted, truth, windows=window).f1 == 1


def test_objects_mostly_outside_the_windows_are_ignored_on_both_sides():
    window = _frame((0, 0, 100, 100))
    truth = _frame((10, 10, 20, 20), (95, 40, 110, 50))
    predicted = _frame((10, 10, 20, 20), (-30, 60, 5, 70))
    scores = object_scores(predicted, truth, windows=window)
    assert (scores.tp, scores.fp, scores.fn) == (1, 0, 0)
    assert object_scores(predicted, truth, windows=window, remnant=0.0).fn == 1


def test_objects_with_little_area_inside_are_ignored_on_both_sides():
    truth, predicted = (
        _frame((0, 0, 10, 10), (20, 0, 22, 2)),
        _frame((0, 0, 10, 10), (30, 0, 31, 1)),
    )
    scores = object_scores(predicted, truth, least_area=5)
    assert (scores.tp, scores.fp, scores.fn) == (1, 0, 0)


def test_objects_cut_by_a_window_are_compared_inside_it():
    window = _frame((0, 0, 100, 100))
    truth, predicted = _frame((90, 0, 105, 10)), _frame((90, 0, 109, 10))
    assert object_scores(predicted, truth, windows=window).mean_iou == pytest.approx(1)


def test_predictions_in_another_crs_are_compared_on_the_truths():
    truth = _frame((500000, 5000000, 500100, 5000100))
    assert object_scores(truth.to_crs(4326), truth).mean_iou == pytest.approx(1, abs=1e-6)


def test_nothing_predicted_and_nothing_true_are_counted():
    some, none = _frame((0, 0, 1, 1)), _frame()
    assert object_scores(none, some).fn == 1
    assert object_scores(some, none).fp == 1
    assert object_scores(none, none).f1 == 0


def test_polygons_without_crs_are_refused():
    with pytest.raises(LabelError, match="predicted polygons have no CRS"):
        object_scores(_frame((0, 0, 1, 1)).set_crs(None, allow_override=True), _frame())
