from __future__ import annotations

import math

import numpy as np
import pytest
from shapely.geometry import Polygon
from shapely.ops import unary_union

from geoconvlora.synthetic import shapes
from geoconvlora.synthetic.split import split

SQUARE = [(0.0, 0.0), (100.0, 0.0), (100.0, 100.0), (0.0, 100.0)]


def pieces(seed: int, **changes: float) -> list[shapes.Polygon]:
    settings = {
        "angle": 0.4, "target": 300.0, "spread": 0.2, "elongation": 2.0, "tilt": 0.1,
        "regularity": 0.5,
    }  # fmt: skip
    found = split(np.random.default_rng(seed), SQUARE, **{**settings, **changes})
    return [leaf.polygon for leaf in found.leaves]


@pytest.mark.parametrize("seed", range(5))
def test_pieces_tile_the_block_without_gap_or_overlap(seed: int) -> None:
    polygons = [Polygon(piece) for piece in pieces(seed)]
    assert sum(p.area for p in polygons) == pytest.approx(10_000)
    assert unary_union(polygons).area == pytest.approx(10_000)


def test_area_asked_for_sets_the_size_of_pieces() -> None:
    small, large = (
        np.median([shapes.area(p) for p in pieces(1, target=t)]) for t in (100.0, 900.0)
    )
    assert 50 < small < 200
    assert 450 < large < 1_800


def test_elongation_asked_for_makes_strips() -> None:
    def median_elongation(asked: float) -> float:
        ratios = []
        for piece in pieces(2, elongation=asked, tilt=0.0):
            low, high = shapes.extent(piece, math.cos(0.4), math.sin(0.4))
            low_v, high_v = shapes.extent(piece, -math.sin(0.4), math.cos(0.4))
            ratios.append((high - low) / (high_v - low_v))
        return float(np.median(ratios))

    assert median_elongation(6.0) > 1.8 * median_elongation(1.2)


def test_no_cut_leaves_less_than_the_least_width() -> None:
    for piece in pieces(3, tilt=0.0, angle=0.0, target=20.0, min_width=12.0):
        assert min(np.ptp(np.array(piece), axis=0)) >= 12.0 - 1e-9


def test_cut_area_is_shared_between_both_sides() -> None:
    below, above, _ = shapes.cut(SQUARE, (0.6, 0.8), 70.0) or pytest.fail("the line crosses")
    assert shapes.area(below) + shapes.area(above) == pytest.approx(10_000)


def test_a_line_that_misses_cuts_nothing() -> None:
    assert shapes.cut(SQUARE, (1.0, 0.0), 120.0) is None
