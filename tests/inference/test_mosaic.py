from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from map_files import CLASSES, UTM31, probabilities, read, write_map
from rasterio.transform import Affine
from rasterio.warp import reproject
from rasterio.warp import transform as to_crs
from scipy.ndimage import distance_transform_edt

from geoconvlora.errors import ConfigError, OutputError, SceneError
from geoconvlora.inference import joining, mosaic, warping
from geoconvlora.inference.map_source import MapSource
from geoconvlora.inference.provenance import distinct_names
from geoconvlora.scenes import Pixels, Window


def shifted(rows: int, columns: int) -> Affine:
    return Affine(10, 0, UTM31.c + 10 * columns, 0, -10, UTM31.f - 10 * rows)


def patches(seed: int) -> np.ndarray:
    """As random, in patches of 10 x 10 pixels: few polygons."""
    return probabilities(seed, (9, 11)).repeat(10, axis=1).repeat(10, axis=2)


def test_one_map_is_its_own_mosaic(tmp_path: Path) -> None:
    values = probabilities(0)
    values[:, 20:40, 30:60] = np.nan
    mosaic([write_map(tmp_path / "a.tif", values)], tmp_path / "c.tif", probs=tmp_path / "p.tif")
    np.testing.assert_array_equal(read(tmp_path / "p.tif"), values)
    expected = np.where(np.isnan(values[0]), 255, values.argmax(axis=0))
    np.testing.assert_array_equal(read(tmp_path / "c.tif")[0], expected)


def test_blend_is_the_mean_weighted_by_distance_to_the_valid_edge(tmp_path: Path) -> None:
    one, two = probabilities(1), probabilities(2)
    two[:, :50, :20] = np.nan
    a = write_map(tmp_path / "a.tif", one)
    b = write_map(tmp_path / "b.tif", two, transform=shifted(30, 40))
    mosaic([a, b], [], probs=tmp_path / "p.tif", fade_px=16)

    weighed = np.zeros((3, 120, 150))
    total = np.zeros((120, 150))
    for values, rows, columns in ((one, 0, 0), (two, 30, 40)):
        valid = ~np.isnan(values[0])
        distance = distance_transform_edt(np.pad(valid, 1))[1:-1, 1:-1]
        weight = np.minimum(distance / 16, 1)
        part = slice(rows, rows + 90), slice(columns, columns + 110)
        weighed[:, *part] += np.nan_to_num(values) * weight
        total[part] += weight
    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(read(tmp_path / "p.tif"), weighed / total, atol=1e-6)


@pytest.mark.parametrize("merge", ["blend", "max"])
def test_order_of_maps_changes_no_byte(tmp_path: Path, merge) -> None:
    places = [(0, 0), (37, 51), (-20, 60)]
    maps = [
        write_map(tmp_path / f"{i}.tif", patches(i), transform=shifted(*place))
        for i, place in enumerate(places)
    ]
    zone = {"crs": "EPSG:32632", "transform": Affine(10, 0, 176_300, 0, -10, 5_610_000)}
    maps.append(write_map(tmp_path / "z.tif", patches(9), **zone))
    outputs = [tmp_path / "c.tif", tmp_path / "c.gpkg"]
    seen = set()
    for order in (maps, maps[::-1], [maps[i] for i in (2, 0, 3, 1)]):
        mosaic(
            *(order, outputs),
            **{"probs": tmp_path / "p.tif", "dst_crs": "EPSG:3035", "res": 10.0},
            **{"merge": merge, "overwrite": True},
        )
        seen.add(tuple(path.read_bytes() for path in (*outputs, tmp_path / "p.tif")))
    assert len(seen) == 1


def test_maps_on_one_grid_give_it_in_any_order(tmp_path: Path) -> None:
    places = [(0, 0), (37, 51), (-20, 60)]
    maps = [
        write_map(tmp_path / f"{i}.tif", patches(i), transform=shifted(*place))
        for i, place in enumerate(places)
    ]
    outputs = [tmp_path / "c.tif", tmp_path / "c.gpkg"]
    seen = set()
    for order in (maps, maps[::-1], [maps[i] for i in (2, 0, 1)]):
        mosaic(order, outputs, overwrite=True)
        seen.add(tuple(path.read_bytes() for path in outputs))
    assert len(seen) == 1


def test_first_last_and_max_take_one_map_as_it_is(tmp_path: Path) -> None:
    one, two = probabilities(1), probabilities(2)
    one[:, :30] = np.nan
    a, b = write_map(tmp_path / "a.tif", one), write_map(tmp_path / "b.tif", two)
    found = {}
    for merge in ("first", "last", "max"):
        mosaic([a, b], [], probs=tmp_path / f"{merge}.tif", merge=merge)
        found[merge] = read(tmp_path / f"{merge}.tif")
    np.testing.assert_array_equal(found["first"], np.where(np.isnan(one), two, one))
    np.testing.assert_array_equal(found["last"], two)
    surer = np.nan_to_num(one).max(axis=0) > two.max(axis=0)
    np.testing.assert_array_equal(found["max"], np.where(surer, one, two))


def test_bounds_give_the_same_pixels_as_the_whole(tmp_path: Path) -> None:
    a = write_map(tmp_path / "a.tif", probabilities(1, (300, 400)))
    zone = {"crs": "EPSG:32632", "transform": Affine(11, 0, 176_000, 0, -11, 5_611_000)}
    b = write_map(tmp_path / "b.tif", probabilities(2, (300, 400)), **zone)
    whole, part = tmp_path / "whole.tif", tmp_path / "part.tif"
    mosaic([a, b], [], probs=whole)
    mosaic([a, b], [], probs=part, bounds=(601_003, 5_597_900, 603_337, 5_599_999))
    with rasterio.open(whole) as all_of_it, rasterio.open(part) as cut:
        window = rasterio.windows.from_bounds(*cut.bounds, transform=all_of_it.transform)
        np.testing.assert_array_equal(all_of_it.read(window=window), cut.read())
        assert cut.bounds == (601_000, 5_597_900, 603_340, 5_600_000)


def test_warped_probabilities_are_bilinear_at_exactly_projected_places(tmp_path: Path) -> None:
    """Against interpolation at places projected one by one."""
    values = probabilities(3, (60, 80))
    source = write_map(tmp_path / "a.tif", values)
    mosaic([source], [], probs=tmp_path / "p.tif", dst_crs="EPSG:32632", res=10)
    with rasterio.open(tmp_path / "p.tif") as dataset:
        found, affine = dataset.read(), dataset.transform
    rows, columns = np.nonzero(~np.isnan(found[0]))
    x, y = affine.a * (columns + 0.5) + affine.c, affine.e * (rows + 0.5) + affine.f
    x, y = (np.array(each) for each in to_crs("EPSG:32632", "EPSG:32631", x, y))
    column, row = (x - UTM31.c) / 10, (UTM31.f - y) / 10
    inner = (row > 1) & (row < 59) & (column > 1) & (column < 79)
    r, c = (row - 0.5)[inner], (column - 0.5)[inner]
    top, left = np.floor(r).astype(int), np.floor(c).astype(int)
    down, right = r - top, c - left
    expected = (
        values[:, top, left] * (1 - down) * (1 - right)
        + values[:, top, left + 1] * (1 - down) * right
        + values[:, top + 1, left] * down * (1 - right)
        + values[:, top + 1, left + 1] * down * right
    )
    assert inner.sum() > 4000
    # A hundredth of a pixel on each axis, times the largest step between neighbours.
    np.testing.assert_allclose(found[:, rows[inner], columns[inner]], expected, atol=0.02)
    inside = (row > 0) & (row < 60) & (column > 0) & (column < 80)
    assert inside.all()


def test_finer_map_counts_with_all_its_pixels(tmp_path: Path) -> None:
    fine = probabilities(4, (80, 120))
    transform = Affine(2.5, 0, 600_000, 0, -2.5, 5_600_000)
    a = write_map(tmp_path / "a.tif", np.full((3, 20, 30), np.nan, np.float32))
    b = write_map(tmp_path / "b.tif", fine, transform=transform)
    mosaic([a, b], [], probs=tmp_path / "p.tif")
    means = fine.reshape(3, 20, 4, 30, 4).mean(axis=(2, 4))
    np.testing.assert_allclose(read(tmp_path / "p.tif"), means, atol=1e-6)


def test_class_rasters_keep_their_numbers_and_gain_the_votes(tmp_path: Path) -> None:
    ids = np.array([10, 40, 90], np.uint8)
    one = ids[np.random.default_rng(5).integers(0, 3, (1, 40, 50))]
    one[0, :5] = 255
    a = write_map(tmp_path / "a.tif", one, classes=None)
    b = write_map(tmp_path / "b.tif", one, classes=None, transform=shifted(0, 50))
    result = mosaic([a, b], tmp_path / "c.tif", probs=tmp_path / "p.tif")
    np.testing.assert_array_equal(read(tmp_path / "c.tif"), np.concatenate([one, one], axis=2))
    assert result.classes == ("class_10", "class_40", "class_90")
    assert set(np.unique(read(tmp_path / "p.tif")[:, 5:])) == {0, 1}


def test_scaled_integers_are_probabilities(tmp_path: Path) -> None:
    values = np.random.default_rng(6).integers(0, 251, (3, 30, 40), dtype=np.uint8)
    mosaic([write_map(tmp_path / "a.tif", values, scale=0.004)], [], probs=tmp_path / "p.tif")
    np.testing.assert_allclose(read(tmp_path / "p.tif"), values * 0.004, atol=1e-6)


def test_polygon_names_the_scenes_it_comes_from(tmp_path: Path) -> None:
    crop = np.zeros((3, 64, 200), np.float32)
    crop[0] = 1
    west, east = crop.copy(), crop.copy()
    for values, where in (
        (west, np.s_[8:20, 8:30]),
        (west, np.s_[40:50, 100:200]),
        (east, np.s_[40:50, 0:60]),
        (east, np.s_[8:20, 150:190]),
    ):
        values[:, *where] = np.array([0, 1, 0])[:, None, None]
    a = write_map(tmp_path / "west.tif", west)
    b = write_map(tmp_path / "east.tif", east, transform=shifted(0, 190))
    mosaic([a, b], tmp_path / "c.gpkg")
    found = gpd.read_file(tmp_path / "c.gpkg")
    crops = found[found["class"] == "crop"]
    crops = crops.iloc[np.argsort(crops.geometry.bounds.minx)]
    assert crops["scene"].tolist() == ["west", "east,west", "east"]


def test_names_that_are_alike_are_told_apart() -> None:
    assert distinct_names(["x/1/s.tif", "x/2/s.tif", "t.tif"]) == ["1/s", "2/s", "t"]
    assert distinct_names(["s.tif", "s.vrt", "t.tif"]) == ["s.tif", "s.vrt", "t"]
    assert len(set(distinct_names(["a.json#s", "b.json#s", "c.json#t"]))) == 3


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"merge": "mean"}, ConfigError, "merge 'mean' is unknown: give blend, max"),
        ({"resampling": "cubic"}, ConfigError, "give bilinear, nearest"),
        ({"dst_crs": "EPSG:1"}, ConfigError, "'EPSG:1' is no coordinate system"),
        ({"dst_crs": "EPSG:4978"}, ConfigError, "Geocentric CRS, in which no map lies flat"),
        ({"dst_crs": "EPSG:4326", "res": 10}, ConfigError, r"10 \(degree\) is larger than all"),
        ({"res": 2000}, ConfigError, r"2000 \(metre\) is larger than all .* 1.1e\+03 x 900"),
        ({"res": 0.0}, ConfigError, "resolution 0.0"),
        ({"res": 1e-6}, ConfigError, "coarser --res"),
        ({"bounds": (1, 2, 1, 2)}, ConfigError, "hold nothing"),
        ({"fade_px": -1}, ConfigError, "fade -1"),
        ({"probs": "p.xyz"}, OutputError, "name it .tif"),
    ],
)
def test_arguments_that_cannot_work_are_refused(tmp_path: Path, arguments, error, says) -> None:
    path = write_map(tmp_path / "a.tif", probabilities(0))
    with pytest.raises(error, match=says):
        mosaic([path], tmp_path / "c.tif", **arguments)
    assert [each.name for each in tmp_path.iterdir()] == ["a.tif"]


def test_maps_that_do_not_go_together_are_refused(tmp_path: Path) -> None:
    a = write_map(tmp_path / "a.tif", probabilities(0))
    other = [{**each, "name": each["name"] * 2} for each in CLASSES]
    b = write_map(tmp_path / "b.tif", probabilities(0), classes=other)
    c = write_map(tmp_path / "c.tif", np.zeros((1, 5, 5), np.uint8))
    d = write_map(tmp_path / "d.tif", probabilities(0)[:1])
    for maps, says in (
        ([a, b], "b.tif has the classes groundground"),
        ([a, c], "c.tif holds classes, .*a.tif probabilities"),
        ([d], "a mosaic takes class rasters"),
        ([a, a], "given twice"),
        ([], "no map is given"),
    ):
        with pytest.raises((SceneError, ConfigError), match=says):
            mosaic(maps, tmp_path / "o.tif")


def test_map_under_another_name_is_the_same_map(tmp_path: Path, monkeypatch) -> None:
    write_map(tmp_path / "a.tif", probabilities(0))
    (tmp_path / "b.tif").symlink_to("a.tif")
    monkeypatch.chdir(tmp_path)
    for other in ("./a.tif", str(tmp_path / "a.tif"), "b.tif"):
        with pytest.raises(ConfigError, match=f"{other} is given twice"):
            mosaic(["a.tif", other], "o.tif")


def test_value_that_the_legend_lacks_is_warned_of(tmp_path: Path) -> None:
    values = np.zeros((1, 40, 50), np.uint8)
    values[0, :10], values[0, -1], values[0, 20] = 7, 9, 255
    source = write_map(tmp_path / "a.tif", values)
    with pytest.warns(UserWarning, match=r"a.tif holds the values 7, 9, which its tag"):
        mosaic([source], tmp_path / "c.tif")
    expected = np.where(values == 0, 0, 255)
    np.testing.assert_array_equal(read(tmp_path / "c.tif"), expected)


def test_coarse_pixels_are_read_from_the_map_alone(tmp_path: Path, monkeypatch) -> None:
    values = np.ones((1, 600, 800), np.uint8)
    values[:, :, 400:] = 2
    seen: list[Window] = []
    plain = MapSource.read

    def counted(source: MapSource, window: Window) -> Pixels:
        seen.append(window)
        return plain(source, window)

    monkeypatch.setattr(MapSource, "read", counted)
    monkeypatch.setattr(warping, "_READ_PIXELS", 2 * 100**2)
    mosaic([write_map(tmp_path / "a.tif", values)], tmp_path / "c.tif", res=1000)
    np.testing.assert_array_equal(read(tmp_path / "c.tif")[0], [[1] * 4 + [2] * 4] * 6)
    assert sum(each.height * each.width for each in seen) == 600 * 800
    assert max(each.width for each in seen) == 200


def test_target_too_wide_for_the_memory_is_refused(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(joining, "_memory_bytes", lambda: 1e6)
    a = write_map(tmp_path / "a.tif", probabilities(0))
    b = write_map(tmp_path / "b.tif", probabilities(0), transform=shifted(0, 5000))
    for dry_run in (True, False):
        with pytest.raises(ConfigError, match=r"5,110 pixels wide, and 256 rows .* 0.001 GB of"):
            mosaic([a, b], tmp_path / "c.tif", dry_run=dry_run)


def test_truncated_map_leaves_nothing(tmp_path: Path) -> None:
    path = write_map(tmp_path / "a.tif", probabilities(0))
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    with pytest.raises(SceneError, match="truncated or damaged"):
        mosaic([path], [tmp_path / "c.tif", tmp_path / "c.gpkg"], probs=tmp_path / "p.tif")
    assert [each.name for each in tmp_path.iterdir()] == ["a.tif"]


def test_a_map_in_degrees_that_goes_past_the_180th_meridian_is_whole(tmp_path) -> None:
    values = np.ones((1, 40, 4000), np.uint8)
    values[:, :, 1000:] = 2
    step = Affine(0.001, 0, 179, 0, -0.001, -17)
    path = write_map(tmp_path / "fiji.tif", values, crs="EPSG:4326", transform=step)
    mosaic([path], tmp_path / "utm.tif", dst_crs="EPSG:32760")
    with rasterio.open(tmp_path / "utm.tif") as found:
        ours = found.read(1)
        theirs = np.full(ours.shape, 255, np.uint8)
        reproject(
            values[0],
            theirs,
            src_transform=step,
            src_crs="EPSG:4326",
            dst_transform=found.transform,
            dst_crs=found.crs,
            dst_nodata=255,
        )
    assert (theirs == 2).sum() > 2.5 * (theirs == 1).sum()
    assert np.mean(ours == theirs) > 0.99
