from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from geoconvlora.vector.basins import BasinStream
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


def _stream(probabilities, valid, feed_rows, *, block_rows=16, basin_rows=512, rule=RULE):
    """All final rows, earlier numbers brought up to date."""
    stream = InstanceStream(valid.shape[1], rule, block_rows=block_rows, basin_rows=basin_rows)
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


def _rough(seed: int, height: int, width: int):
    """Probabilities without any structure, in few levels, so that nearly everything is a tie."""
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.normal(size=(height, width)), rng.uniform(0.5, 2))
    boundary = np.round(np.clip(smooth / smooth.std() * 0.2 + 0.4, 0, 0.9), 1)
    background = np.where(rng.random((height, width)) < 0.05, 0.9, 0.1)
    interior = np.maximum(1 - boundary - background, 0)
    return np.stack([background, interior, boundary]).astype(np.float32)


@pytest.mark.parametrize("block_rows", [1, 7, 20, 64])
@pytest.mark.parametrize("reach", [1, 3, 12, 64])
@pytest.mark.parametrize("seed", range(3))
def test_bands_of_any_height_give_the_objects_of_the_whole_raster(seed, reach, block_rows):
    rough = _rough(seed, 90, 23)
    valid = np.random.default_rng(seed).random((90, 23)) < 0.97
    rule = RULE.model_copy(update={"reach_px": reach, "smoothing": 0.0, "seed_depth": 0.25})
    whole = _stream(rough, valid, 90, block_rows=90, basin_rows=24, rule=rule)
    assert len(np.unique(whole)) > 3
    bands = _stream(rough, valid, 11, block_rows=block_rows, basin_rows=24, rule=rule)
    np.testing.assert_array_equal(bands == NOTHING, whole == NOTHING)
    assert _same_partition(whole, bands)


def test_objects_grow_no_further_than_the_rule_says():
    probabilities = np.zeros((3, 5, 60), np.float32)
    probabilities[2] = 0.6
    probabilities[1] = 0.4
    probabilities[:, :, 0] = [[0], [1], [0]]
    rule = RULE.model_copy(update={"smoothing": 0.0, "reach_px": 20})
    labels = _stream(probabilities, np.ones((5, 60), bool), 5, rule=rule)
    assert (labels[:, :21] == 1).all()
    assert (labels[:, 21:] == NOTHING).all()


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
    labels = _stream(probabilities, np.ones((200, 12), bool), 11, block_rows=16)
    assert len(np.unique(labels[:, 2:10])) == 1


def test_arms_that_join_far_below_are_one_object():
    probabilities = np.zeros((3, 100, 9), np.float32)
    probabilities[1, :, [1, 2, 6, 7]] = 0.9
    probabilities[1, 95:, 1:8] = 0.9
    labels = _stream(probabilities, np.ones((100, 9), bool), 100, block_rows=16)
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


@pytest.mark.parametrize("block_rows", [7, 64])
@pytest.mark.parametrize("seed", range(3))
def test_the_line_around_objects_is_taken_off_and_nothing_else(seed, block_rows):
    probabilities, _ = _landscape(seed, 90, 50, 20)
    valid = np.ones((90, 50), bool)
    rule = RULE.model_copy(update={"smoothing": 0.0})
    touching = _stream(probabilities, valid, 90, rule=rule)
    lined = rule.model_copy(update={"max_boundary": 0.4})
    parted = _stream(probabilities, valid, 11, block_rows=block_rows, rule=lined)
    share = probabilities[2] / np.maximum(probabilities[1] + probabilities[2], 0.2)
    line = np.rint(np.clip(share, 0, 1) * 255) > round(0.4 * 255)
    assert 0 < (line & (touching != NOTHING)).sum() < line.size
    np.testing.assert_array_equal(parted, np.where(line, NOTHING, touching))
