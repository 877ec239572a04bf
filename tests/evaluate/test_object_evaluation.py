from __future__ import annotations

import itertools

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from evaluate_inputs import CRS, boxes, layer
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from geoconvlora.errors import ConfigError, LabelError
from geoconvlora.evaluate.extents import Extent
from geoconvlora.evaluate.object_evaluation import compare_objects
from geoconvlora.evaluate.report import ObjectEvaluation
from geoconvlora.evaluate.sides import IOUS


def evaluated(predicted: gpd.GeoDataFrame, truth: gpd.GeoDataFrame, **options) -> ObjectEvaluation:
    column = options.pop("column", None)
    return compare_objects(
        layer(predicted, "prediction", column), layer(truth, "labels", column), **options
    ).evaluation


def extent_of(frame: gpd.GeoDataFrame) -> Extent:
    return Extent(shapely.union_all(frame.geometry.to_numpy()), frame.crs, "within windows")


def random_layer(rng: np.random.Generator, count: int) -> gpd.GeoDataFrame:
    corner = rng.random((count, 2)) * 20
    size = 2 + rng.random((count, 2)) * 6
    frame = boxes(*np.hstack([corner, corner + size]))
    turned = [shapely.affinity.rotate(g, rng.uniform(0, 90)) for g in frame.geometry]
    return frame.set_geometry(gpd.GeoSeries(turned, crs=CRS)).assign(
        kind=rng.choice(["a", "b"], count)
    )


class Brute:
    """Every pair of polygons looked at, one after the other."""

    def __init__(self, predicted: gpd.GeoDataFrame, truth: gpd.GeoDataFrame, by_class: bool):
        self.ours, self.theirs = list(predicted.geometry), list(truth.geometry)
        self.common = np.zeros((len(self.ours), len(self.theirs)))
        for i, j in itertools.product(range(len(self.ours)), range(len(self.theirs))):
            if not by_class or predicted["kind"].iloc[i] == truth["kind"].iloc[j]:
                self.common[i, j] = self.ours[i].intersection(self.theirs[j]).area

    def iou(self, i: int, j: int) -> float:
        union = self.ours[i].area + self.theirs[j].area - self.common[i, j]
        return self.common[i, j] / union

    def matched(self, least: float) -> list[tuple[int, int]]:
        every = itertools.product(range(len(self.ours)), range(len(self.theirs)))
        pairs = sorted((-self.iou(i, j), i, j) for i, j in every if self.iou(i, j) >= least)
        taken: list[tuple[int, int]] = []
        for _, i, j in pairs:
            if all(i != a and j != b for a, b in taken):
                taken.append((i, j))
        return taken

    def segmentation(self) -> tuple[list[float], list[float]]:
        over, under = [], []
        for j, true in enumerate(self.theirs):
            if len(self.ours) and self.common[:, j].max() > 0:
                best = int(self.common[:, j].argmax())
                over.append(1 - self.common[best, j] / true.area)
                under.append(1 - self.common[best, j] / self.ours[best].area)
        return over, under

    def merges(self) -> int:
        return sum(
            sum(self.common[i, j] > t.area / 2 for j, t in enumerate(self.theirs)) >= 2
            for i in range(len(self.ours))
        )

    def splits(self) -> int:
        return sum(
            sum(self.common[i, j] > o.area / 2 for i, o in enumerate(self.ours)) >= 2
            for j in range(len(self.theirs))
        )


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 14), st.integers(1, 14), st.booleans())
def test_everything_agrees_with_looking_at_every_pair(seed, ours, theirs, by_class):
    rng = np.random.default_rng(seed)
    predicted, truth = random_layer(rng, ours), random_layer(rng, theirs)
    copied = truth[: theirs // 2]
    moved = copied.set_geometry(copied.translate(*rng.uniform(-1.0, 1.0, 2)))
    predicted = pd.concat([predicted, moved], ignore_index=True)
    assume(not by_class or set(predicted["kind"]) & set(truth["kind"]))
    windows = extent_of(boxes((-20, -20, 60, 60)))
    brute = Brute(predicted, truth, by_class)
    report = evaluated(predicted, truth, column="kind" if by_class else None, extent=windows)

    for scores, least in zip(report.thresholds, IOUS, strict=True):
        hits = len(brute.matched(least))
        assert (scores.tp, scores.fp, scores.fn) == (hits, len(predicted) - hits, theirs - hits)
    f1s = [2 * s.tp / (len(predicted) + theirs) for s in report.thresholds]
    assert report.at_half.f1.value == pytest.approx(f1s[0])
    assert report.averaged.f1.value == pytest.approx(np.mean(f1s))
    assert report.averaged.recall.value == pytest.approx(
        np.mean([s.tp / theirs for s in report.thresholds])
    )
    pairs = brute.matched(0.5)
    if pairs:
        mean = np.mean([brute.iou(i, j) for i, j in pairs])
        assert report.matched_iou.value == pytest.approx(mean)
    over, under = brute.segmentation()
    assert report.segmentation.over.value == (pytest.approx(np.mean(over)) if over else None)
    assert report.segmentation.under.value == (pytest.approx(np.mean(under)) if under else None)
    assert report.segmentation.merges == brute.merges()
    assert report.segmentation.splits == brute.splits()
    difference = sum(o.area for o in brute.ours) / sum(t.area for t in brute.theirs) - 1
    assert report.area.total.value == pytest.approx(difference)
    for of in report.classes:
        assert of.tp == sum(truth["kind"].iloc[j] == of.name for _, j in pairs)
        assert of.tp + of.fp == (predicted["kind"] == of.name).sum()
        assert of.tp + of.fn == (truth["kind"] == of.name).sum()
    assert sum(size.true for size in report.sizes) == theirs
    assert sum(size.found for size in report.sizes) == report.tp
    assert sum(size.predicted for size in report.sizes) == len(predicted)


def test_scores_are_those_of_the_hand() -> None:
    truth = boxes((0, 0, 10, 10), (20, 0, 30, 10), (40, 0, 50, 10))
    predicted = boxes((0, 0, 10, 9), (20, 0, 30, 4), (60, 0, 70, 10), (80, 0, 90, 10))
    report = evaluated(predicted, truth)
    assert (report.tp, report.fp, report.fn) == (1, 3, 2)
    assert report.at_half.f1.value == pytest.approx(2 / 7)
    # IoU 0.9 is a match at nine of the ten thresholds.
    assert report.averaged.precision.value == pytest.approx(9 / 10 / 4)
    assert report.segmentation.over.value == pytest.approx((0.1 + 0.6) / 2)
    assert report.segmentation.under.value == pytest.approx(0)
    assert report.area.total.value == pytest.approx(330 / 300 - 1)
    assert report.area.matched_mean == pytest.approx(-0.1)


def test_one_polygon_over_two_fields_is_a_merge_and_two_in_one_field_a_split() -> None:
    truth = boxes((0, 0, 10, 10), (10, 0, 20, 10), (40, 0, 60, 10))
    predicted = boxes((0, 0, 20, 10), (40, 0, 50, 10), (50, 0, 60, 10))
    segmentation = evaluated(predicted, truth).segmentation
    assert (segmentation.merges, segmentation.splits) == (1, 1)


def test_empty_prediction_scores_zero() -> None:
    report = evaluated(boxes(), boxes((0, 0, 10, 10), (20, 0, 30, 10)))
    assert (report.tp, report.fp, report.fn) == (0, 0, 2)
    assert [report.at_half.precision.value, report.at_half.f1.value] == [0, 0]
    assert report.area.total.value == -1


@pytest.mark.parametrize("crs", [4326, 3857, 2263])
def test_areas_and_matches_do_not_hang_on_the_crs_of_labels(crs: int) -> None:
    truth = boxes((0, 0, 1000, 1000), (2000, 0, 3000, 1000))
    predicted = boxes((0, 0, 1000, 900), (2000, 0, 3000, 400))
    plain, moved = evaluated(predicted, truth), evaluated(predicted, truth.to_crs(crs))
    assert moved.area.true_m2 == pytest.approx(2e6, rel=2e-3)
    assert moved.matched_iou.value == pytest.approx(plain.matched_iou.value, rel=1e-4)
    assert (moved.tp, moved.fp, moved.fn) == (1, 1, 1)


def test_labels_around_the_180th_meridian_are_measured_there() -> None:
    drawn = [shapely.box(179.99, 0, 180, 0.01), shapely.box(-180, 0, -179.99, 0.01)]
    truth = gpd.GeoDataFrame(geometry=drawn, crs=4326)
    report = evaluated(truth, truth)
    assert report.area.true_m2 == pytest.approx(2 * 1113.195 * 1105.743, rel=1e-4)
    assert report.tp == 2


def test_object_mostly_outside_the_extent_can_be_right_but_not_wrong() -> None:
    windows = extent_of(boxes((0, 0, 100, 100)))
    clipped = boxes((90, 0, 100, 10), (40, 40, 50, 50))
    whole = boxes((90, 0, 150, 10), (40, 40, 50, 50))
    # The label was drawn up to the window's edge, the prediction goes on beyond it: a match.
    report = evaluated(whole, clipped, extent=windows)
    assert (report.tp, report.fp, report.fn) == (2, 0, 0)
    report = evaluated(
        boxes((90, 60, 150, 70), (40, 40, 50, 50)), boxes((40, 40, 50, 50)), extent=windows
    )
    assert (report.tp, report.fp, report.fn) == (1, 0, 0)
    report = evaluated(
        boxes((40, 40, 50, 50)), boxes((90, 60, 150, 70), (40, 40, 50, 50)), extent=windows
    )
    assert (report.tp, report.fp, report.fn) == (1, 0, 0)


def test_what_lies_outside_the_extent_does_not_count() -> None:
    windows = extent_of(boxes((0, 0, 100, 100)))
    report = evaluated(
        boxes((10, 10, 20, 20), (200, 200, 210, 210), (100, 0, 110, 10)),
        boxes((10, 10, 20, 20)),
        extent=windows,
    )
    assert (report.tp, report.fp, report.fn) == (1, 0, 0)
    assert report.area.predicted_m2 == pytest.approx(100)


def test_smaller_objects_than_asked_for_can_be_right_but_not_wrong() -> None:
    truth = boxes((0, 0, 10, 10), (20, 0, 22, 2), (40, 0, 49, 10))
    predicted = boxes((0, 0, 10, 10), (30, 0, 31, 1), (40, 0, 50, 10))
    report = evaluated(predicted, truth, min_area_m2=95)
    assert (report.tp, report.fp, report.fn) == (2, 0, 0)


def test_segmentation_is_of_objects_that_can_be_wrong_whatever_their_partners() -> None:
    windows = extent_of(boxes((0, 0, 100, 100)))
    # Of the first, 8 of 30 metres lie inside; the others lie inside altogether.
    truth = boxes((92, 40, 122, 50), (80, 40, 92, 50), (20, 0, 30, 10), (30, 0, 31, 10))
    predicted = boxes((80, 40, 122, 50), (20, 0, 31, 10))
    plain = evaluated(predicted, truth, extent=windows).segmentation
    assert (plain.merges, plain.splits) == (1, 0)
    assert plain.under.value == pytest.approx((1 - 12 / 20 + 1 - 10 / 11 + 1 - 1 / 11) / 3)
    large = evaluated(predicted, truth, extent=windows, min_area_m2=50).segmentation
    assert (large.merges, large.splits) == (1, 0)
    assert large.under.value == pytest.approx((1 - 12 / 20 + 1 - 10 / 11) / 2)
    assert large.over.value == pytest.approx(0)


def test_size_classes_are_those_asked_for() -> None:
    truth = boxes((0, 0, 10, 10), (20, 0, 40, 20), (60, 0, 100, 40))
    small, large = evaluated(boxes((20, 0, 40, 20)), truth, sizes=[200]).sizes
    assert (small.from_m2, small.to_m2, small.true, small.found) == (0, 200, 1, 0)
    assert (large.true, large.found, large.recall, large.precision) == (2, 1, 0.5, 1)
    for odd in ([200, 100], [np.nan], [100, np.inf], [0, 100], [100, 100]):
        with pytest.raises(ConfigError, match="rising areas"):
            evaluated(truth, truth, sizes=odd)


def test_intervals_cover_the_score_and_hang_on_the_seed_alone() -> None:
    rng = np.random.default_rng(3)
    corners = np.array(list(itertools.product(range(0, 2000, 100), repeat=2)), float)
    truth = boxes(*np.hstack([corners, corners + 80]))
    kept = corners[rng.random(len(corners)) < 0.7]
    predicted = boxes(*np.hstack([kept, kept + 75]))
    one, again = evaluated(predicted, truth), evaluated(predicted, truth)
    f1 = one.at_half.f1
    assert f1.low < f1.value < f1.high
    assert f1.high - f1.low < 0.2
    assert one == again
    assert one.blocks.count >= 20
    other = evaluated(predicted, truth, seed=1)
    assert other.at_half.f1.value == f1.value
    assert other.at_half.f1.low != f1.low


def test_few_blocks_are_said_to_mean_little() -> None:
    truth = boxes((0, 0, 10, 10), (500, 0, 510, 10), (1100, 0, 1110, 10))
    report = evaluated(truth, truth, block_m=1000)
    assert report.blocks.count == 2
    assert any("mean little" in note for note in report.notes)
    alone = evaluated(truth, truth, block_m=10_000)
    assert alone.at_half.f1.low is None
    assert any("no intervals" in note for note in alone.notes)


def test_invalid_geometries_are_mended_and_counted() -> None:
    bow = shapely.Polygon([(0, 0), (10, 10), (10, 0), (0, 10)])
    broken = gpd.GeoDataFrame(
        geometry=[bow, shapely.Point(1, 1), None, shapely.box(20, 0, 30, 10)], crs=CRS
    )
    report = evaluated(broken, broken)
    assert report.true == 2
    assert any("mended: 1" in note for note in report.notes)
    assert any("left out: 2" in note for note in report.notes)


def test_what_cannot_be_compared_is_refused() -> None:
    truth = boxes((0, 0, 10, 10), kind=["a"])
    with pytest.raises(LabelError, match="nothing to compare with"):
        evaluated(truth, boxes())
    with pytest.raises(LabelError, match="do not overlap"):
        evaluated(boxes((900, 900, 910, 910)), truth)
    with pytest.raises(LabelError, match=r"no class in common: prediction has b, labels has a"):
        evaluated(boxes((0, 0, 10, 10), kind=["b"]), truth, column="kind")
    many = boxes(*[(0, 0, 10, 10)] * 300, kind=[str(i) for i in range(300)])
    with pytest.raises(LabelError, match="have 300 classes together"):
        evaluated(many, many, column="kind")
    with pytest.raises(LabelError, match="no CRS"):
        layer(truth.set_crs(None, allow_override=True))
    with pytest.raises(LabelError, match="no column 'crop': its columns are kind"):
        layer(truth, column="crop")
    aside = extent_of(boxes((50, 50, 60, 60)))
    with pytest.raises(LabelError, match="none of its 1 polygons is within windows"):
        evaluated(boxes((50, 50, 60, 60)), truth, extent=aside)
    with pytest.raises(LabelError, match="none of its 1 polygons is 200 m² or larger"):
        evaluated(truth, truth, min_area_m2=200)
    with pytest.raises(ConfigError, match="side above 0"):
        evaluated(truth, truth, block_m=0)


def test_iou_of_exactly_one_half_is_a_match() -> None:
    assert evaluated(boxes((0, 0, 20, 10)), boxes((0, 0, 10, 10))).tp == 1
