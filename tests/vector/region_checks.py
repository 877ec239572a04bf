"""Small label rasters, and what regions traced from one must be."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import shapely
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage.measure import label

from geoconvlora.vector.parts import NOTHING
from geoconvlora.vector.regions import Regions

rasters = hnp.arrays(
    np.int64,
    st.tuples(st.integers(1, 20), st.integers(1, 9)),
    elements=st.sampled_from([NOTHING, 0, 1, 2]),
)


def assert_regions_of(
    labels: np.ndarray, traced: Regions, shapes: Sequence[shapely.Geometry], *, connectivity: int
) -> None:
    """Each shape covers exactly one region, 4- or 8-connected."""
    regions = label(labels, background=NOTHING, connectivity=1 if connectivity == 4 else 2)
    rows, columns = np.indices(labels.shape)
    seen = np.zeros_like(regions)
    for shape, value, pixels in zip(shapes, traced.labels, traced.pixels, strict=True):
        inside = shapely.contains_xy(shape, columns + 0.5, rows + 0.5)
        assert shape.geom_type == ("Polygon" if connectivity == 4 else "MultiPolygon")
        assert shapely.is_valid_reason(shape) == "Valid Geometry"
        assert len(np.unique(regions[inside])) == 1
        assert (labels[inside] == value).all()
        assert shape.area == pixels == inside.sum()
        seen += inside
    np.testing.assert_array_equal(seen, labels != NOTHING)
    assert len(traced) == regions.max()
