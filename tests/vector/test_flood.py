from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage
from skimage.segmentation import watershed

from geoconvlora.vector.flood import flood, halo_of


def _neighbours(pixel, inside):
    row, column = pixel
    for at in ((row - 1, column), (row, column - 1), (row, column + 1), (row + 1, column)):
        if 0 <= at[0] < inside.shape[0] and 0 <= at[1] < inside.shape[1] and inside[at]:
            yield at


def _onwards(cost, height):
    highest, so_many, before, behind = cost
    if height > highest:
        return height, 1, highest, 0
    if height == highest:
        return highest, so_many + 1, before, 0
    return highest, so_many, before, behind + 1


def _by_definition(heights, seeds, inside, reach):
    """The module's words, one after the other."""
    seeds = np.where(inside, seeds, 0)
    cost = {
        pixel: (int(heights[pixel]), 0, int(heights[pixel]), 0)
        for pixel in zip(*np.nonzero(seeds), strict=True)
    }
    for _ in range(reach):
        cheaper = dict(cost)
        for pixel, so_far in cost.items():
            for to in _neighbours(pixel, inside):
                offered = _onwards(so_far, int(heights[to]))
                if not seeds[to] and offered < cheaper.get(to, (256,)):
                    cheaper[to] = offered
        if cheaper == cost:
            break
        cost = cheaper
    parent = {}
    for pixel in cost:
        if not seeds[pixel]:
            known = [to for to in _neighbours(pixel, inside) if to in cost]
            parent[pixel] = min(
                known, key=lambda to, p=pixel: (_onwards(cost[to], int(heights[p])), cost[to])
            )
    labels = np.zeros(heights.shape, np.int32)
    for pixel in cost:
        at, links = pixel, 0
        while not seeds[at] and links <= reach:
            at, links = parent[at], links + 1
        if links <= reach:
            labels[pixel] = seeds[at]
    return labels


@st.composite
def _landscapes(draw, least=1, most=14):
    shape = draw(st.integers(least, most)), draw(st.integers(1, 12))
    levels = draw(st.sampled_from([[0], [0, 255], [0, 1, 2], [3, 90, 91, 92, 255]]))
    heights = draw(arrays(np.uint8, shape, elements=st.sampled_from(levels)))
    some = st.sampled_from([0] * 9 + [1, 2, 3])
    seeds = draw(arrays(np.int32, shape, elements=some))
    inside = draw(arrays(bool, shape, elements=st.sampled_from([True] * 5 + [False])))
    return heights, seeds, inside


@settings(max_examples=120, deadline=None)
@given(_landscapes(), st.sampled_from([1, 2, 3, 5, 9, 100, 254]))
def test_a_flood_is_what_its_definition_says(landscape, reach):
    np.testing.assert_array_equal(flood(*landscape, reach), _by_definition(*landscape, reach))


@pytest.mark.parametrize("columns", [1, 3, 7])
def test_columns_worked_on_together_change_nothing(monkeypatch, columns):
    rng = np.random.default_rng(columns)
    for _ in range(30):
        # Few seeds on plains: many pixels lie further from theirs than a seed reaches.
        shape = rng.integers(6, 24), rng.integers(30, 60)
        heights = rng.choice([0, 1, 2], shape).astype(np.uint8)
        seeds = np.where(rng.random(shape) < 0.03, rng.integers(1, 4, shape), 0).astype(np.int32)
        inside = rng.random(shape) < 0.9
        wanted = flood(heights, seeds, inside, 5)
        with monkeypatch.context() as patch:
            patch.setattr("geoconvlora.vector.flood._COLUMNS", columns)
            np.testing.assert_array_equal(flood(heights, seeds, inside, 5), wanted)


@settings(max_examples=80, deadline=None)
@given(_landscapes(20, 40), st.integers(1, 4), st.data())
def test_a_band_with_its_halo_has_the_labels_of_the_whole(landscape, reach, data):
    whole = flood(*landscape, reach)
    top = data.draw(st.integers(0, len(whole) - 1))
    bottom = data.draw(st.integers(top, len(whole))) + 1
    first = max(top - halo_of(reach), 0)
    seen = slice(first, bottom + halo_of(reach))
    band = flood(*(np.ascontiguousarray(each[seen]) for each in landscape), reach)
    wanted = slice(top - first, bottom - first)
    np.testing.assert_array_equal(band[wanted], whole[top:bottom])
    rows = flood(*(np.ascontiguousarray(each[seen]) for each in landscape), reach, wanted)
    np.testing.assert_array_equal(rows, whole[top:bottom])


@settings(max_examples=60, deadline=None)
@given(_landscapes(), st.sampled_from([2, 4, 254]))
def test_every_part_of_an_object_holds_a_seed(landscape, reach):
    _, seeds, inside = landscape
    labels = flood(*landscape, reach)
    for one in np.unique(labels[labels > 0]):
        parts, count = ndimage.label(labels == one)
        assert set(parts[(seeds == one) & inside]) == set(range(1, count + 1))


def _highest_on_the_way(heights, seeds, inside):
    """The lowest possible highest pixel of a path from any of the seeds to each pixel."""
    least = np.where((seeds > 0) & inside, heights.astype(int), 999)
    cross = ndimage.generate_binary_structure(2, 1)
    while True:
        spread = ndimage.minimum_filter(least, footprint=cross, mode="constant", cval=999)
        lower = np.minimum(least, np.where(inside, np.maximum(spread, heights), 999))
        if (lower == least).all():
            return least
        least = lower


@pytest.mark.parametrize("seed", range(4))
def test_a_flood_differs_from_skimages_only_where_seeds_are_equally_good(seed):
    rng = np.random.default_rng(seed)
    rough = ndimage.gaussian_filter(rng.normal(size=(60, 70)), 1 + seed)
    heights = np.clip(rough / rough.std() * 60 + 120, 0, 254).astype(np.uint8)
    inside = rng.random(heights.shape) < 0.98
    seeds = np.zeros(heights.shape, np.int32)
    seeds.ravel()[rng.choice(heights.size, 15, replace=False)] = np.arange(1, 16)
    ours = flood(heights, seeds, inside, 254)
    theirs = watershed(heights, seeds, connectivity=1, mask=inside)
    np.testing.assert_array_equal(ours > 0, theirs > 0)
    differ = ours != theirs
    for one in range(1, 16):
        least = _highest_on_the_way(heights, seeds * (seeds == one), inside)
        best = _highest_on_the_way(heights, seeds, inside)
        np.testing.assert_array_equal(least[ours == one], best[ours == one])
        np.testing.assert_array_equal(
            least[differ & (theirs == one)], best[differ & (theirs == one)]
        )
    assert differ.mean() < 0.1


@pytest.mark.parametrize("reach", [0, 255])
def test_a_reach_that_cannot_be_counted_is_refused(reach):
    with pytest.raises(ValueError, match="reach"):
        flood(np.zeros((2, 2), np.uint8), np.ones((2, 2), np.int32), np.ones((2, 2), bool), reach)
