from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio.transform import Affine
from rasterio.warp import transform as to_crs
from scipy.ndimage import label

from geoconvlora.errors import BandError, ConfigError, SceneError
from geoconvlora.inference import predict
from geoconvlora.inference.several import Joining
from geoconvlora.vector import PolygonOptions
from geoconvlora.weights.card import Resolution

# Either side of 6 degrees east, where zone 31 meets zone 32, with 1.2 km in common.
HEIGHT, WIDTH = 260, 300
WEST = {"crs": "EPSG:32631", "transform": Affine(10, 0, 711_000, 0, -10, 5_320_000)}
EAST = {"crs": "EPSG:32632", "transform": Affine(10, 0, 265_100, 0, -10, 5_320_900)}
LEGEND = np.array([[220, 30, 30], [30, 220, 30], [30, 30, 220]], np.uint8)


def truth(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.int64]:
    """Classes at places in EPSG:3035: blobs of crop on ground, and a road two pixels wide."""
    wave = np.sin(x / 90) + np.sin(y / 70) + np.sin((x + y) / 150)
    found = np.where(wave > 0.4, 1, 0)
    road = np.abs(y - ROAD_Y + 0.09 * (x - 4_012_000) - 200 * np.sin(x / 1500)) < 14
    return np.where(road, 2, found)


ROAD_Y = 2_772_200


def places(crs: str, affine: Affine, shape: tuple[int, int]) -> tuple[NDArray, NDArray]:
    columns, rows = np.meshgrid(np.arange(shape[1]) + 0.5, np.arange(shape[0]) + 0.5)
    x = affine.a * columns + affine.c
    y = affine.e * rows + affine.f
    found = to_crs(crs, "EPSG:3035", x.ravel(), y.ravel())
    return np.reshape(found[0], shape), np.reshape(found[1], shape)


def scene_of(crs: str, transform: Affine, *, wrong: float, seed: int = 0) -> NDArray[np.uint8]:
    """The truth in colours, and in a part of the pixels the wrong one."""
    shape = HEIGHT, WIDTH
    classes = truth(*places(crs, transform, shape))
    rng = np.random.default_rng(seed)
    other = (classes + rng.integers(1, 3, shape)) % 3
    classes = np.where((rng.random(shape) < wrong) & (classes != 2), other, classes)
    return np.moveaxis(LEGEND[classes], -1, 0)


@pytest.fixture
def two_scenes(write_scene) -> list[Path]:
    return [
        write_scene(scene_of(**WEST, wrong=0), name="west.tif", **WEST),
        write_scene(scene_of(**EAST, wrong=0), name="east.tif", **EAST),
    ]


def read(path: Path) -> NDArray:
    with rasterio.open(path) as dataset:
        return dataset.read()


def covered(path: Path, crs: str, transform: Affine) -> NDArray[np.bool_]:
    """Which pixels of a raster lie in a scene."""
    with rasterio.open(path) as dataset:
        columns, rows = np.meshgrid(np.arange(dataset.width) + 0.5, np.arange(dataset.height) + 0.5)
        x = dataset.transform.a * columns + dataset.transform.c
        y = dataset.transform.e * rows + dataset.transform.f
        x, y = (
            np.reshape(each, columns.shape)
            for each in to_crs(dataset.crs, crs, x.ravel(), y.ravel())
        )
    column, row = (x - transform.c) / transform.a, (y - transform.f) / transform.e
    return (column > 0) & (column < WIDTH) & (row > 0) & (row < HEIGHT)


@pytest.mark.parametrize("wrong", [0, 0.08])
def test_seam_of_two_zones_is_as_right_as_the_rest(
    make_model, write_scene, tmp_path, wrong
) -> None:
    scenes = [
        write_scene(scene_of(**WEST, wrong=wrong, seed=1), name="west.tif", **WEST),
        write_scene(scene_of(**EAST, wrong=wrong, seed=2), name="east.tif", **EAST),
    ]
    out = tmp_path / "c.tif"
    predict(scenes, out, model=make_model(), joining=Joining(dst_crs="EPSG:3035", res=10))
    found = read(out)[0]
    with rasterio.open(out) as dataset:
        right = truth(*places("EPSG:3035", dataset.transform, found.shape))
    west, east = covered(out, **WEST), covered(out, **EAST)
    inner = found != 255
    seam, rest = inner & west & east, inner & (west ^ east)
    assert min(seam.sum(), rest.sum()) > 20_000
    wrong = found != right
    assert wrong[seam].mean() <= wrong[rest].mean() + 0.01
    # Nothing is lost between the scenes, and nothing is made up beside them.
    assert (inner == (west | east)).mean() > 0.999


def test_one_scene_is_mapped_in_the_grid_that_is_asked_for(
    make_model, two_scenes, tmp_path
) -> None:
    out, joining = tmp_path / "c.tif", Joining(dst_crs="EPSG:3035", res=20)
    predict(two_scenes[0], out, model=make_model(), joining=joining)
    found = read(out)[0]
    with rasterio.open(out) as dataset:
        assert (dataset.crs.to_epsg(), dataset.res) == (3035, (20, 20))
        right = truth(*places("EPSG:3035", dataset.transform, found.shape))
    inner = found != 255
    assert (found == right)[inner].mean() > 0.95
    assert (inner == covered(out, **WEST)).mean() > 0.99
    with pytest.raises(ConfigError, match="uncertainty belongs to one scene on its own grid"):
        predict(
            two_scenes[0], [], probs=tmp_path / "p.tif", uncertainty=tmp_path / "u.tif",
            model=make_model(), joining=joining,
        )  # fmt: skip


def test_road_across_the_seam_stays_one_and_polygons_across_it_are_whole(
    make_model, two_scenes, tmp_path
) -> None:
    raster, layer = tmp_path / "c.tif", tmp_path / "c.gpkg"
    predict(
        *(two_scenes, [raster, layer]),
        model=make_model(),
        joining=Joining(dst_crs="EPSG:3035", res=10),
        polygons=PolygonOptions(simplify_px=0),
    )
    classes = read(raster)[0]
    parts, _ = label(classes == 2, structure=np.ones((3, 3)))
    west, east = covered(raster, **WEST), covered(raster, **EAST)
    longest = np.bincount(parts[parts > 0]).argmax()
    road = parts == longest
    assert (road & west & ~east).sum() > 100
    assert (road & east & ~west).sum() > 100
    assert road.sum() > 0.97 * (classes == 2).sum()

    polygons = gpd.read_file(layer)
    with rasterio.open(raster) as dataset:
        expected = label(classes == 1)[1]
        assert polygons.crs == dataset.crs
    assert (polygons["class"] == "crop").sum() == expected
    across = polygons[(polygons["scene"] == "east,west") & (polygons["class"] == "crop")]
    assert len(across) > 10
    assert set(polygons["scene"]) == {"west", "east", "east,west"}


@pytest.mark.parametrize("gsd_m", [None, 5, 20])
def test_order_of_scenes_changes_no_byte(make_model, two_scenes, tmp_path, gsd_m) -> None:
    model = make_model(resolution=Resolution(gsd_m=gsd_m))
    outputs = [tmp_path / "c.tif", tmp_path / "c.gpkg"]
    seen = set()
    for order in (two_scenes, two_scenes[::-1]):
        predict(
            *(order, outputs),
            **{"model": model, "probs": tmp_path / "p.tif", "overwrite": True},
            joining=Joining(dst_crs="EPSG:3035", res=10),
        )
        seen.add(tuple(path.read_bytes() for path in (*outputs, tmp_path / "p.tif")))
    assert len(seen) == 1
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"west.tif", "east.tif", "c.tif", "c.gpkg", "p.tif"}


@pytest.mark.parametrize("gsd_m", [None, 5, 20])
def test_two_halves_of_a_scene_give_the_map_of_the_whole(
    make_model, write_scene, patchwork, tmp_path, gsd_m
) -> None:
    """With a network that sees single pixels, and one that sees them in another resolution."""
    values = patchwork[:, :96, :128]
    model = make_model(resolution=Resolution(gsd_m=gsd_m))
    whole = write_scene(values, name="whole.tif")
    left = write_scene(values[:, :, :80], name="left.tif")
    transform = Affine(10, 0, 600_400, 0, -10, 5_600_000)
    right = write_scene(values[:, :, 40:], name="right.tif", transform=transform)
    predict(whole, tmp_path / "a.tif", model=model, probs=tmp_path / "pa.tif")
    predict([left, right], tmp_path / "b.tif", model=model, probs=tmp_path / "pb.tif")
    one, two = read(tmp_path / "pa.tif"), read(tmp_path / "pb.tif")
    assert one.shape == two.shape
    # Each scene's edge has no neighbour to interpolate with.
    difference = np.abs(one - two).max(axis=(0, 1))
    assert difference[:38].max() < 1e-6
    assert difference[42:78].max() < (1e-6 if gsd_m is None else 0.05)
    assert difference[82:].max() < 1e-6


def test_bands_are_found_by_name_in_each_scene(
    make_model, write_scene, patchwork, tmp_path
) -> None:
    values = patchwork[:, :64, :64]
    model = make_model()
    more = np.concatenate([values[::-1], values[:1] * 0 + 7])
    a = write_scene(more, name="a.tif", photometric="minisblack")
    names = ("blue", "green", "red", "nir")
    with rasterio.open(a, "r+") as dataset:
        for band, name in enumerate(names, start=1):
            dataset.set_band_description(band, name)
    b = write_scene(values, name="b.tif", transform=Affine(10, 0, 600_640, 0, -10, 5_600_000))
    predict([a, b], tmp_path / "c.tif", model=model)
    found = read(tmp_path / "c.tif")[0]
    np.testing.assert_array_equal(found[:, :64], found[:, 64:])


def test_scenes_that_cannot_work_are_refused_before_anything_is_written(
    make_model, write_scene, patchwork, tmp_path
) -> None:
    a = write_scene(patchwork, name="a.tif")
    b = write_scene(patchwork[:2], name="b.tif")
    for scenes, error, says in (
        ([a, tmp_path / "no.tif"], SceneError, "no.tif does not exist"),
        ([a, b], BandError, "b.tif has 2 bands"),
        ([a, a], ConfigError, "given twice"),
        ([], ConfigError, "no scene is given"),
    ):
        with pytest.raises(error, match=says):
            predict(scenes, tmp_path / "c.gpkg", model=make_model())
    with pytest.raises(ConfigError, match="merge 'sum'"):
        predict(
            [a, write_scene(patchwork, name="c.tif")],
            tmp_path / "c.gpkg",
            model=make_model(),
            joining=Joining(merge="sum"),
        )
    assert {path.name for path in tmp_path.iterdir()} == {"a.tif", "b.tif", "c.tif"}


def test_error_in_a_later_scene_leaves_nothing(
    make_model, write_scene, patchwork, tmp_path
) -> None:
    a, b = (write_scene(patchwork, name=name) for name in ("a.tif", "b.tif"))
    with b.open("r+b") as file:
        file.truncate(b.stat().st_size // 2)
    with pytest.raises(SceneError, match="truncated or damaged"):
        predict([a, b], [tmp_path / "c.tif", tmp_path / "c.gpkg"], model=make_model())
    assert {path.name for path in tmp_path.iterdir()} == {"a.tif", "b.tif"}
