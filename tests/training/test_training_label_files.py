"""Label files of any CRS and format, held against the pixels' own places on the ground."""

import pickle
import tempfile
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import example, given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from pyproj import Transformer
from rasterio.features import rasterize
from training_files import FIELD_CLASSES, write_polygons, write_raster

from geoconvlora.errors import LabelError
from geoconvlora.scenes import Window
from geoconvlora.training.burn import box_of, to_pixels
from geoconvlora.training.config import TrainConfig
from geoconvlora.training.config_file import load_config
from geoconvlora.training.data_config import SceneLabels, ScenesConfig
from geoconvlora.training.label_file import read_polygons
from geoconvlora.training.labels import Labels, open_labels
from geoconvlora.training.rasters import is_raster

SIDE = 200
EDGE_PX = 1 / 16
"""Pixels whose centre is so near to an edge may be burnt or not."""


def config(task: str = "classes") -> TrainConfig:
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


def opened(labels: Path, grid: GeoBox, source: dict | None = None, **data: object) -> Labels:
    scene = SceneLabels(image="scene.tif", labels=labels, **(source or {}))
    scenes = ScenesConfig(kind="scenes", scenes=[scene], **data)
    run = config()
    if scene.label_column is None and not is_raster(labels):
        run = run.model_copy(update={"classes": run.classes[:2]})
    return open_labels(run, scenes, scene, grid, gsd_m=10)


def grid_at(crs: str, longitude: float, latitude: float, gsd_m: float) -> GeoBox:
    x, y = Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(longitude, latitude)
    return GeoBox((SIDE, SIDE), Affine(gsd_m, 0, x, 0, -gsd_m, y), crs)


def centres(grid: GeoBox, crs: str) -> tuple[np.ndarray, np.ndarray]:
    """Where the pixels' centres are in another CRS."""
    rows, columns = np.mgrid[:SIDE, :SIDE] + 0.5
    a = grid.affine
    to_labels = Transformer.from_crs(str(grid.crs), crs, always_xy=True)
    return to_labels.transform(a.c + a.a * columns, a.f + a.e * rows)


@settings(deadline=None, max_examples=30)
@given(
    st.sampled_from(["EPSG:32631", "EPSG:32733", "EPSG:3857", "EPSG:3035"]),
    st.sampled_from(["EPSG:4326", "EPSG:3857", "EPSG:3035", "EPSG:32633"]),
    st.floats(-25, 45),
    st.floats(30, 68),
    st.sampled_from([0.3, 2.5, 10.0, 30.0, 250.0]),
    st.integers(0, 10**6),
    st.tuples(st.integers(-20, 190), st.integers(-20, 190), st.integers(1, 80)),
)
def test_not_one_polygon_of_another_crs_is_lost_and_every_pixel_is_where_it_belongs(
    scene_crs: str,
    label_crs: str,
    longitude: float,
    latitude: float,
    gsd_m: float,
    seed: int,
    place: tuple[int, int, int],
) -> None:
    grid = grid_at(scene_crs, longitude, latitude, gsd_m)
    rng = np.random.default_rng(seed)
    x, y = centres(grid, label_crs)
    pixel = float(np.hypot(x[1, 0] - x[0, 0], y[1, 0] - y[0, 0]))
    # Squares of 6 pixels on a lattice of 20, straight in the labels' CRS, and one huge triangle.
    squares = []
    for row in range(10, SIDE, 20):
        for column in range(10, SIDE, 20):
            turn = rng.uniform(0, np.pi / 2) + np.arange(4) * np.pi / 2
            centre = np.array([x[row, column], y[row, column]])
            corners = np.stack([np.cos(turn), np.sin(turn)], 1) * 4 * pixel
            squares.append(shapely.Polygon(centre + corners))
    large = shapely.Polygon(
        np.array([[-150, -130], [160, -90], [-40, 180]]) * pixel
        + (x[SIDE // 2, SIDE // 2], y[SIDE // 2, SIDE // 2])
    )
    kinds = [2] * len(squares) + [1]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "labels.gpkg"
        write_polygons(path, [*squares, large], crs=label_crs, kind=[str(k) for k in kinds])
        assert len(read_polygons(path, grid)) == len(kinds)
        labels = opened(path, grid, {"label_column": "kind"})
    mask = labels.burn(Window(0, 0, SIDE, SIDE))
    certain, truth = np.ones(mask.shape, dtype=bool), np.zeros(mask.shape, dtype=np.uint8)
    for polygon, kind in [(large, 1), (shapely.MultiPolygon(squares), 2)]:
        for margin, value in ((EDGE_PX, False), (-EDGE_PX, True)):
            grown = polygon.buffer(margin * pixel, join_style="mitre")
            shapely.prepare(grown)
            inside = shapely.contains_xy(grown, x, y)
            certain[inside] = value
            truth[inside] = kind
    assert certain.mean() > 0.9
    assert np.array_equal(mask[certain], truth[certain])
    row, column, side = place
    window = labels.burn(Window(row, column, side, side))
    whole = labels.burn(Window(-20, -20, 300, 300))
    assert np.array_equal(
        window, whole[row + 20 : row + 20 + side, column + 20 : column + 20 + side]
    )


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10**6), st.floats(-170, 170), st.floats(-75, 75), st.booleans())
@example(766_593, 0.0, 0.0, True)
def test_windows_are_the_crop_of_rasterising_in_one_piece(
    seed: int, longitude: float, latitude: float, all_touched: bool
) -> None:
    grid = grid_at("EPSG:32631" if latitude > 0 else "EPSG:3857", longitude / 4, latitude, 10.0)
    rng = np.random.default_rng(seed)
    angles = np.linspace(0, 2 * np.pi, 9, endpoint=False)
    shapes = []
    for _ in range(12):
        ring = rng.uniform(3, 40, (9, 1)) * np.stack([np.cos(angles), np.sin(angles)], 1)
        shapes.append(shapely.Polygon(ring + rng.uniform(-10, SIDE + 10, 2)))
    a = grid.affine
    ground = [shapely.transform(s, lambda xy: xy * [a.a, a.e] + [a.c, a.f]) for s in shapes]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "labels.gpkg"
        gpd.GeoSeries(ground, crs=str(grid.crs)).to_crs("EPSG:4326").to_file(path)
        frame = read_polygons(path, grid)
        labels = opened(path, grid, all_touched=all_touched, overlaps="later")
    whole = rasterize(
        ((polygon, 1) for polygon in frame.geometry),
        out_shape=(SIDE, SIDE),
        transform=a,
        all_touched=all_touched,
        dtype=np.uint8,
    )
    union = shapely.union_all(to_pixels(np.asarray(frame.geometry), grid))
    for row in range(-10, SIDE, 67):
        for column in range(-10, SIDE, 67):
            window = labels.burn(Window(row, column, 67, 67))
            inside = Window(row, column, 67, 67).clipped(SIDE, SIDE)
            rows, columns = inside.slices_within(Window(row, column, 67, 67))
            there = whole[
                inside.row : inside.row + inside.height,
                inside.column : inside.column + inside.width,
            ]
            for r, c in np.argwhere(window[rows, columns] != there):
                # Vertices are rounded to a millionth of a pixel: only so much may decide.
                pixel = box_of(Window(inside.row + int(r), inside.column + int(c), 1, 1))
                edge = shapely.boundary(union)
                assert not shapely.intersects(edge, shapely.buffer(pixel, -1e-5))
                assert shapely.intersects(edge, shapely.buffer(pixel, 1e-5))


GRID = GeoBox((SIDE, SIDE), Affine(10, 0, 500_000, 0, -10, 5_600_000), "EPSG:32631")
WHOLE = Window(0, 0, SIDE, SIDE)


def box(left: float, top: float, right: float, bottom: float) -> shapely.Polygon:
    """From pixels to the ground."""
    return shapely.box(
        500_000 + 10 * left, 5_600_000 - 10 * bottom, 500_000 + 10 * right, 5_600_000 - 10 * top
    )


@pytest.mark.parametrize("suffix", ["gpkg", "geojson", "shp", "parquet", "fgb"])
def test_vector_formats_are_one(tmp_path: Path, suffix: str) -> None:
    frame = gpd.GeoDataFrame(
        {"kind": ["field", "boundary"]},
        geometry=[box(10, 10, 40, 40), box(60, 60, 90, 90)],
        crs="EPSG:32631",
    ).to_crs("EPSG:4326")
    path = tmp_path / f"labels.{suffix}"
    frame.to_parquet(path) if suffix == "parquet" else frame.to_file(path)
    mask = opened(path, GRID, {"label_column": "kind"}).burn(WHOLE)
    assert [(mask == value).sum() for value in (1, 2)] == [900, 900]
    assert (mask[10:40, 10:40] == 1).all()


def test_label_of_half_the_globe_needs_no_place_for_its_far_corners(tmp_path: Path) -> None:
    path = tmp_path / "world.gpkg"
    halves = [shapely.box(-180, -90, 3.01, 90), shapely.box(3.01, -90, 180, 90)]
    write_polygons(path, halves, crs="EPSG:4326", kind=["field", "boundary"])
    mask = opened(path, GRID, {"label_column": "kind"}).burn(WHOLE)
    longitude, _ = centres(GRID, "EPSG:4326")
    near = np.abs(longitude - 3.01) < 1e-5
    assert np.array_equal(mask[~near], np.where(longitude < 3.01, 1, 2)[~near])


def test_invalid_polygons_are_mended_and_counted(tmp_path: Path) -> None:
    figure_of_eight = shapely.Polygon(
        [(500_100, 5_599_900), (500_500, 5_599_500), (500_500, 5_599_900), (500_100, 5_599_500)]
    )
    spike = shapely.Polygon([(501_000, 5_599_000), (501_100, 5_599_000), (501_000, 5_599_000)])
    path = write_polygons(
        tmp_path / "labels.gpkg", [figure_of_eight, box(100, 100, 120, 120), spike]
    )
    with pytest.warns(UserWarning, match="2 of 3 polygons are invalid and were mended; 1 of them"):
        mask = opened(path, GRID).burn(WHOLE)
    assert mask.sum() == pytest.approx(400 + 800, abs=45)


@pytest.mark.parametrize(
    ("rule", "middle"),
    [("smaller", 2), ("larger", 1), ("later", 1), ("earlier", 2), ("priority", 1)],
)
def test_overlapping_labels_follow_the_rule(tmp_path: Path, rule: str, middle: int) -> None:
    small, large = box(20, 20, 40, 40), box(10, 10, 90, 90)
    path = write_polygons(
        tmp_path / "labels.gpkg", [small, large], kind=["boundary", "field"], rank=[3, 7]
    )
    column = {"priority_column": "rank"} if rule == "priority" else {}
    mask = opened(path, GRID, {"label_column": "kind"}, overlaps=rule, **column).burn(WHOLE)
    assert (mask[20:40, 20:40] == middle).all()
    assert (mask > 0).sum() == 6400


def test_touched_pixels_are_burnt_on_request(tmp_path: Path) -> None:
    path = write_polygons(tmp_path / "labels.gpkg", [box(10.6, 10.6, 20.4, 20.4)])
    assert opened(path, GRID).burn(WHOLE).sum() == 81
    assert opened(path, GRID, all_touched=True).burn(WHOLE).sum() == 121


def test_values_that_are_mapped_to_null_are_ignored(tmp_path: Path) -> None:
    shapes = [box(10, 10, 30, 30), box(50, 50, 60, 60)]
    path = write_polygons(tmp_path / "labels.gpkg", shapes, kind=["wheat", "cloud"])
    source = {"label_column": "kind", "class_map": {"wheat": "field", "cloud": None}}
    mask = opened(path, GRID, source).burn(WHOLE)
    assert [(mask == value).sum() for value in (1, 255)] == [400, 100]


def test_boundary_has_its_width_in_metres_or_pixels(tmp_path: Path) -> None:
    path = write_polygons(tmp_path / "labels.gpkg", [box(10, 10, 50, 50), box(50, 10, 90, 50)])
    scene = SceneLabels(image="scene.tif", labels=path)
    masks = []
    for width in ({"boundary_width_m": 30}, {"boundary_width_px": 3}):
        data = ScenesConfig(kind="scenes", scenes=[scene], **width)
        masks.append(open_labels(config("instances"), data, scene, GRID, gsd_m=10).burn(WHOLE))
    assert np.array_equal(*masks)
    assert masks[0][30, 8:92].tolist() == [0] * 2 + ([2] * 3 + [1] * 34 + [2] * 3) * 2 + [0] * 2


def test_layer_must_be_named_where_there_are_several(tmp_path: Path) -> None:
    path = tmp_path / "labels.gpkg"
    for name in ("fields", "roads"):
        gpd.GeoDataFrame(geometry=[box(10, 10, 20, 20)], crs="EPSG:32631").to_file(path, layer=name)
    with pytest.raises(LabelError, match="has the layers fields, roads: say with 'layer'"):
        opened(path, GRID)
    assert opened(path, GRID, {"label_layer": "roads"}).burn(WHOLE).sum() == 100
    with pytest.raises(LabelError, match="no layer 'trees'"):
        opened(path, GRID, {"label_layer": "trees"})


def test_priority_that_is_no_number_is_refused(tmp_path: Path) -> None:
    path = write_polygons(tmp_path / "labels.gpkg", [box(0, 0, 9, 9)], rank=["high"])
    with pytest.raises(LabelError, match="'rank' holds what is no number"):
        opened(path, GRID, overlaps="priority", priority_column="rank")


def class_raster(path: Path, **profile: object) -> np.ndarray:
    values = np.random.default_rng(0).integers(0, 3, (SIDE // 4, SIDE // 4)).astype(np.uint8)
    values = values.repeat(4, 0).repeat(4, 1)
    values[:8, :8] = 77
    write_raster(path, values[None], nodata=77, **profile)
    return np.where(values == 77, 255, values)


def test_class_raster_on_the_scenes_grid_is_taken_as_it_is(tmp_path: Path) -> None:
    values = class_raster(tmp_path / "labels.tif")
    labels = opened(tmp_path / "labels.tif", GRID)
    assert np.array_equal(labels.burn(WHOLE), values)
    assert np.array_equal(labels.burn(Window(-5, 150, 20, 70))[5:, :50], values[:15, 150:])
    assert (labels.burn(Window(-5, 150, 20, 70))[:5] == 255).all()
    assert labels.labelled_area(WHOLE) == SIDE * SIDE - 64


@settings(deadline=None, max_examples=25)
@given(
    st.sampled_from(["EPSG:32631", "EPSG:4326", "EPSG:3035", "EPSG:32629"]),
    st.floats(3, 40),
    st.tuples(st.integers(-20, 190), st.integers(-20, 190), st.integers(1, 80)),
)
def test_class_raster_of_any_grid_gives_each_pixel_the_class_under_its_centre(
    crs: str, gsd_m: float, place: tuple[int, int, int]
) -> None:
    size = gsd_m / 111_320 if crs == "EPSG:4326" else gsd_m
    x, y = centres(GRID, crs)
    left, top = float(x.min()) + 5 * size, float(y.max()) - 5 * size
    side = 150
    values = np.random.default_rng(1).integers(0, 3, (side, side)).astype(np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "labels.tif"
        write_raster(path, values[None], crs=crs, transform=Affine(size, 0, left, 0, -size, top))
        labels = pickle.loads(pickle.dumps(opened(path, GRID)))  # as a loader's worker gets it
        mask = labels.burn(WHOLE)
        row, column, length = place
        window = labels.burn(Window(row, column, length, length))
        whole = labels.burn(Window(-20, -20, 300, 300))
    columns, rows = (x - left) / size, (top - y) / size
    certain = (np.abs(columns - columns.round()) > 0.01) & (np.abs(rows - rows.round()) > 0.01)
    inside = (rows >= 0) & (rows < side) & (columns >= 0) & (columns < side)
    truth = np.full(mask.shape, 255, dtype=np.uint8)
    truth[inside] = values[rows[inside].astype(int), columns[inside].astype(int)]
    assert np.array_equal(mask[certain], truth[certain])
    there = whole[row + 20 : row + 20 + length, column + 20 : column + 20 + length]
    assert np.array_equal(window, there)


def test_values_of_a_class_raster_are_mapped_or_refused(tmp_path: Path) -> None:
    values = np.tile(np.array([[10, 20, 30, 10]], np.uint16), (SIDE, SIDE // 4))
    path = write_raster(tmp_path / "labels.tif", values[None])
    with pytest.raises(LabelError, match="the raster holds '10', '20', '30'"):
        opened(path, GRID).burn(WHOLE)
    named = {"class_map": {"10": "other", "20": "field", "30": None}}
    mask = opened(path, GRID, named).burn(WHOLE)
    assert mask[0, :4].tolist() == [0, 1, 255, 0]


def test_labels_know_whether_they_lie_on_the_scene(tmp_path: Path) -> None:
    far = write_raster(tmp_path / "far.tif", np.zeros((1, 9, 9), np.uint8), left=900_000)
    near = write_polygons(tmp_path / "near.gpkg", [box(0, 0, 9, 9)])
    away = write_polygons(tmp_path / "away.gpkg", [box(900, 900, 999, 999)])
    assert opened(near, GRID).on_scene
    assert not opened(far, GRID).on_scene
    assert not opened(away, GRID).on_scene
    assert not opened(near, GRID, {"extent": away}).on_scene


def test_class_raster_with_bands_is_refused(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "three.tif", np.zeros((3, 9, 9), np.uint8))
    with pytest.raises(LabelError, match="has 3 bands: labels are one band"):
        opened(path, GRID)
