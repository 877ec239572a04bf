from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import shapely
import shapely.affinity
from affine import Affine
from geopandas.testing import assert_geodataframe_equal
from odc.geo.geobox import GeoBox
from scipy import ndimage

from geoconvlora.errors import ConfigError, SceneError
from geoconvlora.scenes.origin import Origin
from geoconvlora.vector import MapPolygons, PolygonOptions
from geoconvlora.vector.schema import COLUMNS
from geoconvlora.weights.card import ClassInfo, InstanceRule

CLASSES = tuple(
    ClassInfo(id=i, name=name, color="#123456")
    for i, name in enumerate(["background", "field", "edge"])
)
RULE = InstanceRule(interior=1, boundary=2, name="field")


def _probabilities(seed: int, height: int, width: int) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=(3, height, width))
    smooth = np.exp(ndimage.gaussian_filter(noise, (0, 3, 3)) * 25)
    return (smooth / smooth.sum(axis=0)).astype(np.float32)


def _map(grid, probabilities, valid=None, *, feed_rows=1000, rule=None, **options):
    valid = np.ones(probabilities.shape[1:], bool) if valid is None else valid
    stream = MapPolygons(
        geobox=grid,
        classes=CLASSES,
        rule=rule,
        options=PolygonOptions(**options),
        origin=Origin("scene", model="model"),
        block_rows=16,
    )
    done = [
        stream.feed(probabilities[:, row : row + feed_rows], valid[row : row + feed_rows])
        for row in range(0, len(valid), feed_rows)
    ]
    return pd.concat([*done, stream.finish()], ignore_index=True)


@pytest.mark.parametrize("rule", [None, RULE], ids=["classes", "instances"])
@pytest.mark.parametrize("feed_rows", [1, 5, 17, 50])
def test_polygons_do_not_depend_on_feed_heights(utm_grid, rule, feed_rows):
    probabilities = _probabilities(0, 70, 40)
    valid = np.ones((70, 40), bool)
    valid[10:20, 5:9] = False
    whole = _map(utm_grid(70, 40), probabilities, valid, rule=rule)
    fed = _map(utm_grid(70, 40), probabilities, valid, rule=rule, feed_rows=feed_rows)
    assert len(whole) >= 10
    assert_geodataframe_equal(whole, fed)


@pytest.mark.parametrize("rule", [None, RULE], ids=["classes", "instances"])
def test_polygons_are_valid_and_do_not_overlap(utm_grid, rule):
    polygons = _map(utm_grid(70, 40), _probabilities(1, 70, 40), rule=rule, simplify_px=1.5)
    assert polygons.is_valid.all()
    assert shapely.coverage_is_valid(polygons.geometry.array)
    assert set(polygons.geom_type) == {"Polygon"}


def test_columns_are_those_of_the_schema(utm_grid):
    polygons = _map(utm_grid(30, 30), _probabilities(2, 30, 30))
    assert list(polygons.columns) == [*COLUMNS, "geometry"]
    assert {name: str(kind) for name, kind in polygons.dtypes[:-1].items()} == COLUMNS
    assert polygons["id"].tolist() == list(range(1, len(polygons) + 1))
    assert set(polygons["scene"]) == {"scene"}
    assert set(polygons["model"]) == {"model"}
    assert polygons.crs == "EPSG:32631"


def test_no_valid_pixel_gives_an_empty_table_with_the_schema(utm_grid):
    polygons = _map(utm_grid(9, 9), _probabilities(2, 9, 9), np.zeros((9, 9), bool), rule=RULE)
    assert len(polygons) == 0
    assert list(polygons.columns) == [*COLUMNS, "geometry"]
    assert polygons.crs == "EPSG:32631"


def test_the_background_is_written_only_when_asked_for(utm_grid):
    probabilities = _probabilities(3, 30, 30)
    assert set(_map(utm_grid(30, 30), probabilities)["class"]) == {"field", "edge"}
    asked = _map(utm_grid(30, 30), probabilities, classes=("background",))
    assert set(asked["class"]) == {"background"}
    assert set(_map(utm_grid(30, 30), probabilities, classes=("2", 1))["class_id"]) == {1, 2}


def test_an_unknown_class_is_refused_with_the_names_there_are(utm_grid):
    with pytest.raises(ConfigError, match=r"'water'.*background \(0\), field \(1\), edge \(2\)"):
        _map(utm_grid(9, 9), _probabilities(0, 9, 9), classes=("water",))


def test_a_grid_without_crs_is_refused():
    with pytest.raises(SceneError, match="no CRS"):
        _map(GeoBox((9, 9), Affine.identity(), None), _probabilities(0, 9, 9))


def test_confidence_is_the_mean_probability_of_the_class(utm_grid):
    probabilities = np.zeros((3, 20, 10), np.float32)
    probabilities[1, :, :5], probabilities[2, :, 5:] = 0.75, 0.5
    probabilities[1, 10:, :5] = 0.25
    polygons = _map(utm_grid(20, 10), probabilities, simplify_px=0)
    assert dict(zip(polygons["class"], polygons["confidence"], strict=True)) == {
        "field": 0.5,
        "edge": 0.5,
    }


def test_objects_below_the_rules_extent_or_area_are_dropped(utm_grid):
    probabilities = np.zeros((3, 20, 30), np.float32)
    probabilities[1, 2:18, 2:10] = 0.9
    probabilities[1, 2:18, 12:20] = 0.6
    probabilities[1, 2:4, 24:26] = 0.9
    kept = _map(utm_grid(20, 30), probabilities, rule=RULE)
    assert len(kept) == 3
    sure = RULE.model_copy(update={"min_extent": 0.8, "min_area_m2": 1000.0})
    (one,) = _map(utm_grid(20, 30), probabilities, rule=sure).itertuples()
    assert one.confidence == pytest.approx(0.9)
    assert one.area_m2 == pytest.approx(16 * 8 * 100, rel=0.01)
    assert len(_map(utm_grid(20, 30), probabilities, rule=sure, min_area_m2=0.0)) == 2


def test_small_holes_are_filled_by_their_area_on_the_ground(utm_grid):
    probabilities = np.zeros((3, 40, 40), np.float32)
    probabilities[0], probabilities[1, 2:38, 2:38] = 0.4, 0.6
    probabilities[1, 14:18, 10:12] = 0  # 8 pixels, across the line between two blocks
    probabilities[1, 20:25, 20:25] = 0
    polygons = _map(utm_grid(40, 40), probabilities, fill_holes_m2=1000.0, simplify_px=0)
    (field,) = polygons.geometry
    assert len(field.interiors) == 1
    assert field.area == (36 * 36 - 25) * 100


@pytest.mark.parametrize(
    "affine",
    [
        Affine(10, 0, 500000, 0, -10, 5000000),
        Affine(10, 0, 500000, 0, 10, 5000000),
        Affine(5, 0, 500000, 0, -10, 5000000),
        Affine(8, 6, 500000, 6, -8, 5000000),
    ],
    ids=["north-up", "south-up", "oblong", "rotated"],
)
def test_polygons_lie_on_their_pixels(affine):
    probabilities = np.zeros((3, 20, 20), np.float32)
    probabilities[0], probabilities[1, 3:9, 4:16] = 0.4, 0.8
    polygons = _map(GeoBox((20, 20), affine, "EPSG:32631"), probabilities, simplify_px=0)
    pixels = shapely.box(4, 3, 16, 9)
    expected = shapely.affinity.affine_transform(
        pixels, [affine.a, affine.b, affine.d, affine.e, affine.c, affine.f]
    )
    (field,) = polygons.geometry
    assert field.symmetric_difference(expected).area < 1e-3
    assert field.exterior.is_ccw
