from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import shapely
from geopandas.testing import assert_geodataframe_equal
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage
from skimage.measure import label

from geoconvlora.errors import ConfigError
from geoconvlora.scenes.origin import Origin
from geoconvlora.vector import MapPolygons, PolygonOptions, polygonize
from geoconvlora.vector.gaps import GapCloser
from geoconvlora.vector.parts import NOTHING
from geoconvlora.weights.card import ClassInfo, InstanceRule

objects = hnp.arrays(
    np.int64,
    st.tuples(st.integers(1, 20), st.integers(1, 10)),
    elements=st.sampled_from([NOTHING, NOTHING, NOTHING, 1, 2, 3]),
)


def _close(labels, gap_px, feed_rows=99, weights=None):
    closer = GapCloser(labels.shape[1], gap_px)
    done = []
    for row in range(0, len(labels), feed_rows):
        beside = None if weights is None else weights[row : row + feed_rows]
        done.append(closer.feed(labels[row : row + feed_rows], beside))
    done.append(closer.finish())
    return tuple(np.concatenate(parts) for parts in zip(*done, strict=True))


def _gaps(labels, gap_px):
    """Slow and plain: pixels that no free square of the next size covers."""
    side = gap_px + 1
    free = np.pad(labels == NOTHING, side, constant_values=True)
    covered = np.zeros_like(free)
    for row in range(free.shape[0] - gap_px):
        for column in range(free.shape[1] - gap_px):
            square = (slice(row, row + side), slice(column, column + side))
            if free[square].all():
                covered[square] = True
    return (free & ~covered)[side:-side, side:-side]


@settings(max_examples=60, deadline=None)
@given(objects, st.integers(1, 4))
def test_only_pixels_are_given_that_no_free_square_covers(labels, gap_px):
    closed, weights = _close(labels, gap_px)
    given = closed != labels
    gaps = _gaps(labels, gap_px)
    assert not (given & ~gaps).any()
    beside = ndimage.binary_dilation(labels != NOTHING)
    assert given[gaps & beside].all()
    np.testing.assert_array_equal(np.isnan(weights), given)


@settings(max_examples=60, deadline=None)
@given(objects, st.integers(1, 4))
def test_pixels_go_to_an_object_the_fewest_steps_away(labels, gap_px):
    closed, _ = _close(labels, gap_px)
    gaps = _gaps(labels, gap_px)
    for row, column in np.argwhere(closed != labels):
        steps, reached = 0, np.zeros(labels.shape, bool)
        reached[row, column] = True
        while not (reached & (labels != NOTHING)).any():
            reached = ndimage.binary_dilation(reached) & (gaps | (labels != NOTHING))
            steps += 1
        assert closed[row, column] in labels[reached]


@settings(max_examples=60, deadline=None)
@given(objects, st.integers(1, 4))
def test_objects_stay_connected(labels, gap_px):
    closed, _ = _close(labels, gap_px)
    for parts in (label(closed, background=NOTHING, connectivity=1),):
        for part in range(1, parts.max() + 1):
            assert (labels[parts == part] != NOTHING).any()


@settings(max_examples=60, deadline=None)
@given(objects, st.integers(1, 5), st.integers(1, 21))
def test_streamed_rows_are_those_of_the_whole(labels, gap_px, feed_rows):
    weights = np.random.default_rng(0).random(labels.shape, np.float32)
    whole = _close(labels, gap_px, weights=weights)
    fed = _close(labels, gap_px, feed_rows, weights)
    np.testing.assert_array_equal(whole[0], fed[0])
    np.testing.assert_array_equal(whole[1], fed[1])


@settings(max_examples=40, deadline=None)
@given(objects, st.integers(1, 4), st.integers(0, 20))
def test_objects_may_be_renamed_on_the_way(labels, gap_px, row):
    after = np.where(labels == 3, 1, labels)
    closer = GapCloser(labels.shape[1], gap_px)
    early, _ = closer.feed(labels[:row], None)
    closer.relabel(np.array([3]), np.array([1]))
    rest = [closer.feed(after[row:], None)[0], closer.finish()[0]]
    found = np.concatenate([np.where(early == 3, 1, early), *rest])
    np.testing.assert_array_equal(found, _close(after, gap_px)[0])


@pytest.mark.parametrize(("gap_px", "closed"), [(1, False), (2, True), (5, True)])
def test_crossing_boundaries_of_two_pixels_are_shared_out(gap_px, closed):
    labels = np.full((10, 10), NOTHING)
    labels[:4, :4], labels[:4, 6:], labels[6:, :4], labels[6:, 6:] = 1, 2, 3, 4
    found, _ = _close(labels, gap_px)
    assert (found != NOTHING).all() == closed
    if closed:
        assert np.unique(found, return_counts=True)[1].tolist() == [25] * 4


def test_an_object_alone_keeps_its_outline():
    rows, columns = np.indices((30, 30))
    disc = np.where(np.hypot(rows - 15, columns - 15) < 11, 7, NOTHING)
    found, _ = _close(disc, 4)
    np.testing.assert_array_equal(found, disc)


def test_polygons_share_an_edge_where_a_gap_was(utm_grid):
    values = np.zeros((600, 12), np.uint8)
    values[:, :5], values[:, 7:] = 1, 2
    values[300] = 0
    chance = np.where(values == 0, np.float32(0.1), np.float32(0.8))
    options = PolygonOptions(close_gaps_px=2, neighbours=True)
    polygons = polygonize(
        values, geobox=utm_grid(600, 12), instances=True, probs=chance, options=options
    )
    assert polygons["area_m2"].sum() == pytest.approx(600 * 12 * 100, rel=1e-3)
    assert shapely.coverage_is_valid(polygons.geometry.array)
    assert polygons["neighbours"].tolist() == [1, 1]
    assert polygons["confidence"].tolist() == pytest.approx([0.8, 0.8])
    share = np.average(polygons["valid_share"], weights=polygons["area_m2"])
    assert share == pytest.approx((values != 0).mean(), rel=1e-3)


@pytest.mark.parametrize("feed_rows", [9, 40])
def test_objects_of_a_model_do_not_depend_on_feeds_when_gaps_are_closed(utm_grid, feed_rows):
    noise = np.random.default_rng(4).normal(size=(3, 120, 60))
    smooth = np.exp(ndimage.gaussian_filter(noise, (0, 3, 3)) * 25)
    probabilities = (smooth / smooth.sum(axis=0)).astype(np.float32)

    def polygons(rows: int, gap_px: int):
        stream = MapPolygons(
            geobox=utm_grid(120, 60),
            classes=[ClassInfo(id=i, name=f"c{i}", color="#123456") for i in range(3)],
            rule=InstanceRule(interior=1, boundary=2),
            options=PolygonOptions(close_gaps_px=gap_px, simplify_px=0),
            origin=Origin("scene", model="model"),
            block_rows=16,
        )
        valid = np.ones((120, 60), bool)
        done = [
            stream.feed(probabilities[:, row : row + rows], valid[row : row + rows])
            for row in range(0, 120, rows)
        ]
        return pd.concat([*done, stream.finish()], ignore_index=True)

    whole = polygons(120, 3)
    assert_geodataframe_equal(whole, polygons(feed_rows, 3))
    assert whole["area_m2"].sum() > 1.01 * polygons(120, 0)["area_m2"].sum()
    assert len(whole) == len(polygons(120, 0))


def test_gaps_between_classes_are_refused(utm_grid):
    options = PolygonOptions(close_gaps_px=1)
    with pytest.raises(ConfigError, match="--instances"):
        polygonize(np.ones((2, 2), np.uint8), geobox=utm_grid(2, 2), options=options)
    with pytest.raises(ConfigError, match="give 0 to 64"):
        PolygonOptions(close_gaps_px=65)
