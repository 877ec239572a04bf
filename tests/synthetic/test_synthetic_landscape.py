from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from skimage.measure import label as connected

from geoconvlora.synthetic import Landscape, landscape
from geoconvlora.synthetic.country import Box, Country
from geoconvlora.synthetic.labels import label_fields


def test_same_seed_gives_the_same_landscape() -> None:
    first, second = landscape(2, 40, 60), landscape(2, 40, 60)
    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_array_equal(first.field_ids, second.field_ids)


@pytest.mark.parametrize(
    ("height", "width", "scale"), [(1, 1, 2), (7, 301, 2), (50, 33, 1), (40, 40, 4)]
)
def test_any_size_has_labels_on_the_finer_grid(height: int, width: int, scale: int) -> None:
    scene = landscape(3, height, width, label_scale=scale)
    assert scene.image.shape == (4, height, width)
    assert scene.field_ids.shape == scene.label.shape == (height * scale, width * scale)
    np.testing.assert_array_equal(scene.label > 0, scene.field_ids > 0)


def test_extent_is_exactly_where_fields_are(farmland: Landscape) -> None:
    np.testing.assert_array_equal(farmland.label > 0, farmland.field_ids > 0)
    assert set(np.unique(farmland.label)) == {0, 1, 2}


def test_boundary_follows_the_label_definition(farmland: Landscape) -> None:
    inner = np.s_[1:-1, 1:-1]
    np.testing.assert_array_equal(farmland.label[inner], label_fields(farmland.field_ids)[inner])


def test_boundary_lies_within_a_pixel_of_another_number(farmland: Landscape) -> None:
    ids = farmland.field_ids
    low, high = (
        f(ids, footprint=np.ones((3, 3))) for f in (ndimage.minimum_filter, ndimage.maximum_filter)
    )
    assert (low != high)[1:-1, 1:-1][farmland.label[1:-1, 1:-1] == 2].all()


def test_numbers_are_consecutive_and_each_field_is_connected(farmland: Landscape) -> None:
    ids = farmland.field_ids
    count = int(ids.max())
    assert count > 20
    assert len(np.unique(ids[ids > 0])) == count
    # Connectivity is that of the whole country: cut off by the scene's edge a field may be in two.
    edge = set(np.unique(np.concatenate([ids[0], ids[-1], ids[:, 0], ids[:, -1]])))
    parts = connected(ids, background=0, connectivity=1)
    for number in set(range(1, count + 1)) - edge:
        assert len(np.unique(parts[ids == number])) == 1


def test_a_part_looks_as_it_does_in_the_whole() -> None:
    country = Country(6, 300, 300)
    whole = country.image(Box(0, 0, 300, 300))
    ids = country.field_ids(Box(0, 0, 600, 600))
    part = Box(130, 70, 201, 190)
    other = Country(6, 300, 300)
    np.testing.assert_allclose(other.image(part), whole[:, 130:201, 70:190], atol=2e-3)
    np.testing.assert_array_equal(other.field_ids(part.scaled(2)), ids[260:402, 140:380])


def test_no_field_crosses_two_blocks() -> None:
    country = Country(8, 420, 420)
    ids = country.field_ids(Box(0, 0, 840, 840))
    blocks = np.where(ids > 0, ids // 65_536 + 1, 0)
    assert len(np.unique(blocks)) > 2
    for first, second in ((blocks[1:], blocks[:-1]), (blocks[:, 1:], blocks[:, :-1])):
        assert not ((first > 0) & (second > 0) & (first != second)).any()


def test_reflectance_is_physical(farmland: Landscape) -> None:
    assert farmland.image.min() > 0
    assert farmland.image.max() <= 1
    red, _, _, nir = farmland.image
    assert np.median(nir) > np.median(red)


@pytest.mark.parametrize("gsd_m", [0.5, 3.0, 30.0])
def test_fields_keep_their_size_in_metres_at_any_gsd(gsd_m: float) -> None:
    scene = landscape(1, 256, 256, gsd_m=gsd_m)
    whole = np.bincount(scene.field_ids.ravel())[1:] * (gsd_m / 2) ** 2 / 1e4
    assert 0.05 <= np.median(whole) < 20


@pytest.mark.parametrize(
    "arguments", [(0, 5, 10.0, 2), (5, 0, 10.0, 2), (5, 5, 0.0, 2), (5, 5, 10.0, 0)]
)
def test_sizes_that_are_not_positive_are_refused(arguments: tuple[int, int, float, int]) -> None:
    height, width, gsd_m, scale = arguments
    with pytest.raises(ValueError, match="must be positive"):
        landscape(1, height, width, gsd_m=gsd_m, label_scale=scale)
