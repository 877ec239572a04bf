from pathlib import Path

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from scipy import ndimage
from training_files import FIELD_CLASSES, write_polygons

from geoconvlora.errors import LabelError
from geoconvlora.scenes import Window
from geoconvlora.synthetic.labels import label_fields
from geoconvlora.training.config_file import load_config
from geoconvlora.training.data_config import SceneLabels, ScenesConfig
from geoconvlora.training.labels import BoundaryRule, LabelMap, burn_order, open_labels

GRID = GeoBox((120, 150), Affine(5, 0, 500_000, 0, -5, 5_600_000), "EPSG:32631")
WHOLE = Window(0, 0, 120, 150)
DATA = ScenesConfig(kind="scenes", scenes=[SceneLabels(image="scene.tif", labels="labels.gpkg")])


def on_ground(polygon: shapely.Polygon) -> shapely.Polygon:
    """From pixels to the grid's CRS."""
    return shapely.transform(polygon, lambda xy: xy * [5, -5] + [500_000, 5_600_000])


def label_map(
    polygons: list, classes: list[int] | None = None, rule: str = "smaller", **settings: object
) -> LabelMap:
    ground = np.array([on_ground(p) for p in polygons], dtype=object)
    ids = np.array(classes or [1] * len(polygons), dtype=np.uint8)
    order = burn_order(ground, rule)
    return LabelMap(ground[order], ids[order], GRID, **settings)


def random_polygons(seed: int) -> list[shapely.Polygon]:
    rng = np.random.default_rng(seed)
    centres = rng.uniform(-10, 150, (12, 2))
    angles = np.linspace(0, 2 * np.pi, 9, endpoint=False)
    return [
        shapely.Polygon(
            centre + rng.uniform(3, 30, (9, 1)) * np.stack([np.cos(angles), np.sin(angles)], 1)
        )
        for centre in centres
    ]


def rounded(polygon: shapely.Polygon, steps: int | None) -> shapely.Polygon:
    if steps is None:
        return polygon
    return shapely.transform(polygon, lambda xy: np.round(xy * steps) / steps)


@settings(deadline=None)
@given(
    st.integers(0, 10**6),
    st.integers(-20, 110),
    st.integers(-20, 140),
    st.integers(1, 60),
    st.sampled_from([0, 1, 3]),
    st.booleans(),
    st.booleans(),
    st.sampled_from([None, 1, 2, 3]),
)
def test_window_is_the_same_piece_of_the_whole_scene(
    seed: int,
    row: int,
    column: int,
    side: int,
    thickness: int,
    bounded: bool,
    all_touched: bool,
    steps: int | None,
) -> None:
    labels = label_map(
        # Corners and edges on pixels' corners, edges and centres are the hard cases.
        [rounded(p, steps) for p in random_polygons(seed)],
        all_touched=all_touched,
        boundary=BoundaryRule(1, 2, thickness) if thickness else None,
        extent=np.array([on_ground(p) for p in random_polygons(seed + 1)]) if bounded else None,
    )
    whole = labels.burn(Window(-100, -100, 400, 400))
    window = labels.burn(Window(row, column, side, side))
    there = whole[row + 100 : row + 100 + side, column + 100 : column + 100 + side]
    assert np.array_equal(window, there)


def numbered(polygons: list[shapely.Polygon], *, down: float = 0, right: float = 0) -> np.ndarray:
    """Of each pixel, (120, 150), the number of the last polygon that its centre lies in."""
    rows, columns = np.mgrid[:120, :150] + 0.5
    numbers = np.zeros((120, 150), dtype=np.int32)
    for number, polygon in enumerate(polygons, start=1):
        numbers[shapely.contains_xy(polygon, columns + right, rows + down)] = number
    return numbers


@settings(deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 3))
@example(15721, 1)
def test_boundary_is_that_of_synthetic_labels(seed: int, thickness: int) -> None:
    polygons = sorted(random_polygons(seed), key=lambda p: -p.area)
    numbers = numbered(polygons)
    # A centre on an outline, as far as rounding can tell, may be of either side.
    for shift in (-1e-6, 1e-6):
        assume(np.array_equal(numbers, numbered(polygons, right=shift)))
        assume(np.array_equal(numbers, numbered(polygons, down=shift)))
    labels = label_map(polygons, boundary=BoundaryRule(1, 2, thickness))
    inner = (slice(3, -3), slice(3, -3))  # the scene's edge is no boundary; polygons go on there
    assert np.array_equal(labels.burn(WHOLE)[inner], label_fields(numbers, thickness)[inner])


def test_touching_fields_have_separate_interiors() -> None:
    left, right = shapely.box(10, 10, 40, 60), shapely.box(40, 10, 70, 60)
    mask = label_map([left, right], boundary=BoundaryRule(1, 2, 1)).burn(WHOLE)
    _, interiors = ndimage.label(mask == 1)
    _, extents = ndimage.label(mask > 0)
    assert (interiors, extents) == (2, 1)
    assert (mask[30, 35:45] == [1, 1, 1, 1, 2, 2, 1, 1, 1, 1]).all()
    assert (mask > 0).sum() == 60 * 50


def test_smaller_polygon_lies_on_top() -> None:
    pond, field = shapely.box(20, 20, 30, 30), shapely.box(10, 10, 60, 60)
    for order in ([pond, field], [field, pond]):
        classes = [2 if polygon is pond else 1 for polygon in order]
        mask = label_map(order, classes).burn(WHOLE)
        assert (mask[20:30, 20:30] == 2).all()
        assert (mask == 2).sum() == 100


def test_outside_the_extent_is_ignored() -> None:
    labels = label_map(
        [shapely.box(10, 10, 60, 60)], extent=np.array([on_ground(shapely.box(0, 0, 40, 40))])
    )
    mask = labels.burn(WHOLE)
    assert (mask[:40, :40] < 255).all()
    assert (mask[40:] == 255).all()
    assert labels.labelled_area(Window(30, 30, 20, 20)) == pytest.approx(100)


@pytest.fixture
def sources(tmp_path: Path) -> SceneLabels:
    return SceneLabels(image=tmp_path / "scene.tif", labels=tmp_path / "labels.gpkg")


def config(task: str = "instances") -> object:
    rule = {"interior": 1, "boundary": 2} if task == "instances" else None
    return load_config(
        None,
        {
            "model": {"size": "vit_t", "method": "full"},
            "task": task,
            "instances": rule,
            "classes": FIELD_CLASSES,
            "data": {"kind": "synthetic"},
            "out": "x.safetensors",
        },
    )


def test_labels_of_another_crs_are_burnt_in_the_same_place(
    sources: SceneLabels, tmp_path: Path
) -> None:
    import geopandas as gpd

    polygons = [on_ground(p) for p in random_polygons(3)]
    write_polygons(sources.labels, polygons)
    far = tmp_path / "degrees.gpkg"
    gpd.read_file(sources.labels).to_crs("EPSG:4326").to_file(far)
    near = open_labels(config(), DATA, sources, GRID, gsd_m=5).burn(WHOLE)
    turned = open_labels(config(), DATA, sources.model_copy(update={"labels": far}), GRID, gsd_m=5)
    assert (near != turned.burn(WHOLE)).mean() < 1e-3


def test_long_edges_of_another_crs_stay_straight_on_their_own_map(
    sources: SceneLabels,
) -> None:
    grid = GeoBox((400, 400), Affine(2000, 0, 100_000, 0, -2000, 6_400_000), "EPSG:32631")
    write_polygons(sources.labels, [shapely.box(-2, 52, 8, 54)], crs="EPSG:4326")
    mask = open_labels(config("instances"), DATA, sources, grid, gsd_m=2000).burn(
        Window(0, 0, 400, 400)
    )
    import pyproj

    to_degrees = pyproj.Transformer.from_crs("EPSG:32631", "EPSG:4326", always_xy=True)
    rows, columns = np.mgrid[:400, :400] + 0.5
    lon, lat = to_degrees.transform(100_000 + 2000 * columns, 6_400_000 - 2000 * rows)
    inside = (lon > -2) & (lon < 8) & (lat > 52) & (lat < 54)
    assert (mask.astype(bool) != inside).sum() <= 0.002 * inside.sum()


def test_classes_come_from_the_column_by_name_map_or_id(sources: SceneLabels) -> None:
    polygons = [on_ground(shapely.box(20 * i, 10, 20 * i + 10, 20)) for i in range(3)]
    write_polygons(sources.labels, polygons, kind=["field", "rand", "2"])
    labelled = sources.model_copy(
        update={"label_column": "kind", "class_map": {"rand": "boundary"}}
    )
    mask = open_labels(config("classes"), DATA, labelled, GRID, gsd_m=5).burn(WHOLE)
    assert [mask[15, 20 * i + 5] for i in range(3)] == [1, 2, 2]


def test_polygons_of_one_of_several_classes_need_a_column(sources: SceneLabels) -> None:
    write_polygons(sources.labels, [on_ground(shapely.box(0, 0, 9, 9))])
    with pytest.raises(LabelError, match=r"which of the 3 classes .* by --label-column"):
        open_labels(config("classes"), DATA, sources, GRID, gsd_m=5)


def test_class_that_the_configuration_does_not_name_is_refused(sources: SceneLabels) -> None:
    box = on_ground(shapely.box(0, 0, 9, 9))
    write_polygons(sources.labels, [box, box, box], kind=["field", "wood", "lake"])
    labelled = sources.model_copy(update={"label_column": "kind"})
    with pytest.raises(LabelError, match=r"'lake', 'wood'.*other, field, boundary"):
        open_labels(config("classes"), DATA, labelled, GRID, gsd_m=5)


def test_missing_column_is_refused_with_the_columns_there(sources: SceneLabels) -> None:
    write_polygons(sources.labels, [on_ground(shapely.box(0, 0, 9, 9))], kind=["field"])
    labelled = sources.model_copy(update={"label_column": "type"})
    with pytest.raises(LabelError, match=r"'type'.*kind"):
        open_labels(config("classes"), DATA, labelled, GRID, gsd_m=5)


def test_labels_without_crs_are_refused(sources: SceneLabels) -> None:
    shapes = sources.labels.with_suffix(".shp")
    write_polygons(shapes, [on_ground(shapely.box(0, 0, 9, 9))], number=[1])
    shapes.with_suffix(".prj").unlink()
    with pytest.raises(LabelError, match="no CRS"):
        open_labels(config(), DATA, sources.model_copy(update={"labels": shapes}), GRID, gsd_m=5)


@pytest.mark.parametrize("content", [None, b"", b"no vector file at all"])
def test_unreadable_labels_are_refused(sources: SceneLabels, content: bytes | None) -> None:
    if content is not None:
        sources.labels.write_bytes(content)
    with pytest.raises(LabelError, match=r"labels\.gpkg"):
        open_labels(config(), DATA, sources, GRID, gsd_m=5)


def test_points_are_left_out_with_a_warning(sources: SceneLabels) -> None:
    ground = [on_ground(shapely.box(0, 0, 9, 9)), shapely.Point(500_010, 5_599_990)]
    write_polygons(sources.labels.with_suffix(".geojson"), ground)
    mixed = sources.model_copy(update={"labels": sources.labels.with_suffix(".geojson")})
    with pytest.warns(UserWarning, match="1 of 2 geometries"):
        mask = open_labels(config(), DATA, mixed, GRID, gsd_m=5).burn(WHOLE)
    assert (mask > 0).sum() == 81


def test_lines_alone_are_refused(sources: SceneLabels) -> None:
    write_polygons(sources.labels, [on_ground(shapely.LineString([(0, 0), (50, 50)]))])
    with pytest.raises(LabelError, match="no polygon"):
        open_labels(config(), DATA, sources, GRID, gsd_m=5)
