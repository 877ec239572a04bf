from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from skimage.measure import label
from skimage.segmentation import watershed

from geoconvlora.vector.basins import BasinStream, basins
from geoconvlora.vector.instances import InstanceStream
from geoconvlora.vector.parts import NOTHING
from geoconvlora.weights.card import InstanceRule

RULE = InstanceRule(interior=1, boundary=2)


def _landscape(seed: int, height: int, width: int, fields: int):
    """Probabilities of Voronoi fields with soft borders, and their true ids."""
    rng = np.random.default_rng(seed)
    sites = rng.random((fields, 2)) * (height, width)
    rows, columns = np.indices((height, width))
    distance = np.hypot(
        rows[None] - sites[:, 0, None, None], columns[None] - sites[:, 1, None, None]
    )
    nearest = np.sort(distance, axis=0)
    edge = np.exp(-(nearest[1] - nearest[0]) / 3)
    noise = ndimage.gaussian_filter(rng.normal(size=edge.shape), 1) * 0.05
    boundary = np.clip(edge + noise, 0, 1) * 0.95
    interior = 0.95 - boundary
    stacked = np.stack([1 - interior - boundary, interior, boundary]).astype(np.float32)
    return stacked, distance.argmin(axis=0)


def _stream(probabilities, valid, feed_rows, *, block_rows=16, halo_rows=16, rule=RULE):
    """All final rows, earlier numbers brought up to date."""
    stream = InstanceStream(valid.shape[1], rule, block_rows=block_rows, halo_rows=halo_rows)
    blocks = []
    for row in range(0, len(valid), feed_rows):
        upto = slice(row, row + feed_rows)
        blocks += stream.feed(probabilities[:, upto], valid[upto])
    blocks += stream.finish()
    labels = np.empty((0, valid.shape[1]), np.int64)
    for block in blocks:
        for old, new in zip(block.former, block.current, strict=True):
            labels[labels == old] = new
        labels = np.concatenate([labels, block.labels])
    return labels


def _same_partition(one, other) -> bool:
    pairs = np.unique(np.stack([one.ravel(), other.ravel()]), axis=1)
    return pairs.shape[1] == len(np.unique(one)) == len(np.unique(other))


def _basin_rows(probabilities, valid, *, block_rows, rule=RULE, context_rows=40):
    stream = BasinStream(rule, block_rows=block_rows, context_rows=context_rows)
    return [*stream.feed(probabilities, valid), *stream.finish()]


@pytest.mark.parametrize("feed_rows", [1, 7, 16, 33, 100])
def test_objects_do_not_depend_on_feed_heights(feed_rows):
    probabilities, _ = _landscape(0, 90, 50, 20)
    valid = np.ones((90, 50), bool)
    whole = _stream(probabilities, valid, 90)
    np.testing.assert_array_equal(whole, _stream(probabilities, valid, feed_rows))


@pytest.mark.parametrize("seed", range(6))
def test_blocks_give_the_watershed_of_the_whole_raster(seed):
    probabilities, _ = _landscape(seed, 120, 60, 25)
    valid = np.ones((120, 60), bool)
    (rows,) = _basin_rows(probabilities, valid, block_rows=200)
    seeds = label(rows.seeds, connectivity=1)
    whole = watershed(rows.heights, seeds, connectivity=1, mask=rows.inside)
    blocks = _stream(probabilities, valid, 120, block_rows=24, halo_rows=24)
    np.testing.assert_array_equal(blocks == NOTHING, whole == 0)
    # Plateaus are shared out by the order of the queue, which a block's line may change.
    agreeing = sum(
        np.unique(blocks[whole == one], return_counts=True)[1].max()
        for one in range(1, whole.max() + 1)
    )
    assert len(np.unique(blocks)) == len(np.unique(whole))
    assert agreeing >= 0.99 * (whole > 0).sum()


def test_objects_find_the_true_fields():
    probabilities, true = _landscape(3, 100, 80, 12)
    found = _stream(probabilities, np.ones((100, 80), bool), 9)
    assert len(np.unique(found)) == 12
    for field in range(12):
        counts = np.unique(found[true == field], return_counts=True)[1]
        assert counts.max() > 0.9 * counts.sum()


def test_an_object_over_many_blocks_is_one():
    probabilities = np.zeros((3, 200, 12), np.float32)
    probabilities[1, :, 2:10] = 0.9
    labels = _stream(probabilities, np.ones((200, 12), bool), 11, block_rows=16, halo_rows=4)
    assert len(np.unique(labels[:, 2:10])) == 1


def test_arms_that_join_far_below_are_one_object():
    probabilities = np.zeros((3, 100, 9), np.float32)
    probabilities[1, :, [1, 2, 6, 7]] = 0.9
    probabilities[1, 95:, 1:8] = 0.9
    labels = _stream(probabilities, np.ones((100, 9), bool), 100, block_rows=16, halo_rows=8)
    assert len(np.unique(labels[probabilities[1] > 0])) == 1


def test_invalid_pixels_belong_to_no_object():
    probabilities = np.full((3, 30, 10), 0.9, np.float32)
    valid = np.ones((30, 10), bool)
    valid[10:14] = False
    labels = _stream(probabilities, valid, 30)
    assert (labels[~valid] == NOTHING).all()
    assert set(np.unique(labels[:10])).isdisjoint(np.unique(labels[14:]))


def test_boundary_without_an_inside_is_no_object():
    probabilities = np.zeros((3, 10, 10), np.float32)
    probabilities[2] = 0.9
    assert (_stream(probabilities, np.ones((10, 10), bool), 10) == NOTHING).all()


def test_a_raster_that_is_all_inside_is_one_object():
    probabilities = np.zeros((3, 40, 10), np.float32)
    probabilities[1] = 0.9
    assert (_stream(probabilities, np.ones((40, 10), bool), 40) == 1).all()


@pytest.mark.parametrize(("rise", "objects"), [(0.05, 1), (0.15, 2)])
def test_a_boundary_parts_from_seed_depth_on(rise, objects):
    probabilities = np.zeros((3, 20, 21), np.float32)
    probabilities[2] = 0.2
    probabilities[2, :, 10] += np.float32(rise)
    probabilities[1] = 1 - probabilities[2]
    rule = RULE.model_copy(update={"smoothing": 0.0})
    labels = _stream(probabilities, np.ones((20, 21), bool), 20, rule=rule)
    assert len(np.unique(labels)) == objects


@pytest.mark.parametrize("seed", range(4))
def test_basins_are_those_of_the_whole_raster(seed):
    probabilities, _ = _landscape(seed, 120, 60, 25)
    valid = np.ones((120, 60), bool)
    (whole,) = _basin_rows(probabilities, valid, block_rows=200)
    blocks = _basin_rows(probabilities, valid, block_rows=24)
    for name in ("heights", "inside", "seeds", "extent"):
        joined = np.concatenate([getattr(rows, name) for rows in blocks])
        np.testing.assert_array_equal(joined, getattr(whole, name))


def test_basins_are_minima_of_the_filled_landscape():
    heights = np.array([[9, 1, 3, 2, 60, 40, 40, 255, 255, 7]], np.uint8)
    found = basins(heights, 10)
    assert found.tolist() == [[1, 1, 1, 1, 0, 1, 1, 0, 0, 1]]
    assert basins(heights, 25).tolist() == [[1, 1, 1, 1, 0, 0, 0, 0, 0, 1]]


def test_labels_partition_equally_for_other_halos():
    probabilities, _ = _landscape(5, 90, 50, 15)
    valid = np.ones((90, 50), bool)
    rule = RULE.model_copy(update={"seed_depth": 0.3})
    near = _stream(probabilities, valid, 90, block_rows=90, rule=rule)
    assert _same_partition(near, _stream(probabilities, valid, 90, block_rows=1000, rule=rule))
