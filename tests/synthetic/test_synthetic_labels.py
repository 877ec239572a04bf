from __future__ import annotations

import numpy as np
import pytest

from geoconvlora.synthetic.labels import label_fields


def slow_label(ids: np.ndarray, thickness: int) -> np.ndarray:
    label = np.zeros(ids.shape, dtype=np.uint8)
    height, width = ids.shape
    for y, x in np.argwhere(ids > 0):
        label[y, x] = 1
        for step in range(-thickness, thickness + 1):
            for v, u in ((y + step, x), (y, x + step)):
                if 0 <= v < height and 0 <= u < width and ids[v, u] != ids[y, x]:
                    label[y, x] = 2
    return label


@pytest.mark.parametrize("thickness", [1, 2, 3])
def test_labels_equal_the_definition_written_plainly(thickness: int) -> None:
    rng = np.random.default_rng(3)
    ids = np.kron(rng.integers(0, 4, (6, 5)), np.ones((4, 3), dtype=int))
    np.testing.assert_array_equal(label_fields(ids, thickness), slow_label(ids, thickness))


def test_touching_fields_have_a_line_of_two_pixels_and_a_lone_field_of_one() -> None:
    ids = np.array([[0, 0, 1, 1, 1, 2, 2, 2]]).repeat(5, axis=0)
    assert label_fields(ids)[2].tolist() == [0, 0, 2, 1, 2, 2, 1, 1]


def test_the_edge_of_the_raster_is_no_boundary() -> None:
    assert (label_fields(np.ones((4, 4), dtype=int)) == 1).all()
