from __future__ import annotations

from typing import Any

import numpy as np
import pyproj
import pytest
import rasterio
from affine import Affine
from rasterio.vrt import WarpedVRT

from geoconvlora import explore
from geoconvlora.errors import SceneError
from geoconvlora.explore import lazy, rows
from geoconvlora.explore.changes import NOTHING, UNCHANGED

EARLY = {0: "background", 1: "field", 2: "tall forest"}


@pytest.fixture
def dates() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(4)
    before = rng.integers(0, 3, (40, 50)).astype(np.uint8)
    after = np.where(rng.random((40, 50)) < 0.8, before, rng.integers(0, 3, (40, 50)))
    before[:3, :3] = 255
    return before, after.astype(np.uint8)


@pytest.mark.parametrize("strip_px", [2**22, 50 * 2 * 7])
def test_matrix_counts_every_pixel(
    write_raster: Any, dates: Any, monkeypatch: pytest.MonkeyPatch, strip_px: int
) -> None:
    monkeypatch.setattr(rows, "_STRIP_PX", strip_px)
    before, after = dates
    one = write_raster("a.tif", before, nodata=255, names=EARLY)
    two = write_raster("b.tif", after, nodata=255, names=EARLY)
    for changed in (
        explore.change(one, two),
        explore.change(explore.open_classes(one).load(), explore.open_classes(two).load()),
        explore.change(one, two, max_side=7),
    ):
        assert list(changed.pixels.index) == list(EARLY.values())
        for early, row in EARLY.items():
            for late, column in EARLY.items():
                both = (before == early) & (after == late)
                assert changed.pixels.loc[row, column] == both.sum()
        assert changed.area_m2.to_numpy().sum() == pytest.approx(
            explore.class_statistics(one).area_m2.sum()
        )


def test_map_holds_the_transition_of_each_pixel(write_raster: Any, dates: Any) -> None:
    before, after = dates
    one = write_raster("a.tif", before, nodata=255, names=EARLY)
    two = write_raster("b.tif", after, nodata=255, names=EARLY)
    changed = explore.change(one, two, max_side=None)
    values = changed.map.change.values
    assert (values[:3, :3] == NOTHING).all()
    known = before != 255
    assert (values[known & (before == after)] == UNCHANGED).all()
    for transition in changed.transitions().itertuples():
        here = values == transition.value
        ids = {name: i for i, name in EARLY.items()}
        assert (before[here] == ids[transition.before]).all()
        assert (after[here] == ids[transition.after]).all()
        assert here.sum() == changed.pixels.loc[transition.before, transition.after]


@pytest.mark.parametrize("step", [2, 3, 7])
def test_reduced_map_is_every_nth_pixel_in_its_place(
    write_raster: Any, dates: Any, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    monkeypatch.setattr(rows, "_STRIP_PX", 50 * 2 * 9)
    one = write_raster("a.tif", dates[0], nodata=255, names=EARLY)
    two = write_raster("b.tif", dates[1], nodata=255, names=EARLY)
    whole = explore.change(one, two, max_side=None).map.change
    reduced = explore.change(one, two, max_side=-(-50 // step)).map.change
    np.testing.assert_array_equal(reduced.values, whole.sel(y=reduced.y, x=reduced.x).values)
    assert reduced.shape[1] == len(range(step // 2, 50, step))


def test_summary_adds_up(write_raster: Any, dates: Any) -> None:
    one = write_raster("a.tif", dates[0], nodata=255, names=EARLY)
    two = write_raster("b.tif", dates[1], nodata=255, names=EARLY)
    summary = explore.change(one, two).summary()
    assert (summary.before - summary.lost + summary.gained).to_numpy() == pytest.approx(
        summary.after.to_numpy()
    )
    assert summary.net.sum() == pytest.approx(0, abs=1e-6)


def test_classes_are_matched_by_name_and_not_by_id(write_raster: Any) -> None:
    one = write_raster("a.tif", np.array([[1, 2]] * 2, np.uint8), names={1: "field", 2: "forest"})
    two = write_raster(
        "b.tif", np.array([[5, 1]] * 2, np.uint8), names={0: "field", 1: "forest", 2: "water"}
        | {}, nodata=0,
    )  # fmt: skip
    pixels = explore.change(one, two).pixels
    assert pixels.loc["forest", "forest"] == 2
    assert list(pixels.index) == ["field", "forest", "water"]


def test_ids_are_compared_where_a_map_has_no_names(write_raster: Any, dates: Any) -> None:
    one = write_raster("a.tif", dates[0], nodata=255, names=EARLY)
    two = write_raster("b.tif", dates[1], nodata=255)
    bare = write_raster("c.tif", dates[0], nodata=255)
    named = explore.change(one, two).pixels
    assert list(named.index) == list(EARLY.values())
    assert named.to_numpy().tolist() == explore.change(bare, two).pixels.to_numpy().tolist()


def test_other_grids_are_warped_to_the_first(write_raster: Any) -> None:
    before = np.zeros((20, 20), np.uint8)
    before[:, 10:] = 1
    one = write_raster("a.tif", before, nodata=255, names=EARLY)
    finer = np.kron(before, np.ones((2, 2), np.uint8))[10:, :]
    two = write_raster(
        "b.tif", finer, nodata=255, names=EARLY,
        transform=Affine(5, 0, 500_000, 0, -5, 5_000_000 - 50),
    )  # fmt: skip
    changed = explore.change(one, two)
    assert changed.pixels.to_numpy().tolist() == [[150, 0, 0], [0, 150, 0], [0, 0, 0]]
    assert (changed.map.change.values[:5] == NOTHING).all()


@pytest.mark.parametrize("strip_px", [2**22, 60 * 7])
def test_maps_in_another_crs_are_warped_strip_by_strip(
    write_raster: Any, monkeypatch: pytest.MonkeyPatch, strip_px: int
) -> None:
    monkeypatch.setattr(rows, "_STRIP_PX", strip_px)
    monkeypatch.setattr(lazy, "find_spec", lambda name: None)
    rng = np.random.default_rng(1)
    coarse = rng.integers(0, 3, (6, 8)).astype(np.uint8)
    one = write_raster("a.tif", np.kron(coarse, np.ones((10, 10), np.uint8)), names=EARLY)
    with rasterio.open(one) as file, WarpedVRT(file, crs="EPSG:4326", nodata=255) as warped:
        there, transform = warped.read(1), warped.transform
    two = write_raster(
        "b.tif", there, crs="EPSG:4326", transform=transform, nodata=255, names=EARLY
    )
    pixels = explore.change(one, two).pixels.to_numpy()
    # Only pixels at the patches' edges can come out on the other side.
    assert np.diag(pixels).sum() > 0.93 * 4800
    assert pixels.sum() > 0.97 * 4800


def test_maps_of_other_places_are_refused(write_raster: Any) -> None:
    ids = np.ones((8, 8), np.uint8)
    one = write_raster("a.tif", ids, nodata=255, names=EARLY)
    far = Affine(10, 0, 600_000, 0, -10, 5_000_000)
    two = write_raster("b.tif", ids, nodata=255, names=EARLY, transform=far)
    with pytest.raises(SceneError, match="no pixel with a class in common"):
        explore.change(one, two)


def across(write_raster: Any, name: str, crs: str, transform: Affine, shape: Any) -> Any:
    """Fields west of 180 degrees and forest east of it."""
    to_degrees = pyproj.Transformer.from_crs(crs, 4326, always_xy=True)
    columns, rows_ = np.meshgrid(*(np.arange(size) + 0.5 for size in shape[::-1]))
    longitude, _ = to_degrees.transform(*(transform @ (columns, rows_)))
    ids = np.where(longitude % 360 < 180, 1, 2).astype(np.uint8)
    return write_raster(
        name, ids, nodata=255, names={1: "field", 2: "tall forest"}, crs=crs, transform=transform
    )


WEST = ("west.tif", "EPSG:4326", Affine(0.01, 0, -180.5, 0, -0.01, -16), (100, 100))
EAST = ("east.tif", "EPSG:4326", Affine(0.01, 0, 179.5, 0, -0.01, -16), (100, 100))
OTHER_DATUM = ("datum.tif", "EPSG:4269", Affine(0.01, 0, -180.5, 0, -0.01, -16), (100, 100))
UTM_60 = ("utm.tif", "EPSG:32760", Affine(1000, 0, 760_000, 0, -1000, 8_240_000), (130, 130))
WORLD = ("world.tif", "EPSG:4326", Affine(0.1, 0, -180, 0, -0.1, 90), (1800, 3600))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (UTM_60, EAST), (EAST, UTM_60), (UTM_60, WEST), (WEST, EAST), (EAST, WEST),
        (EAST, OTHER_DATUM),
    ],
    ids=lambda place: place[0][:-4],
)  # fmt: skip
def test_maps_are_compared_across_the_180th_meridian(
    write_raster: Any, one: Any, other: Any
) -> None:
    maps = [across(write_raster, *place) for place in (one, other)]
    area = explore.change(*maps).area_m2
    half = 5.907e9  # of a square degree at 16.5 degrees south
    assert np.diag(area) == pytest.approx([half] * 2, rel=0.005)
    assert area.to_numpy().sum() == pytest.approx(np.diag(area).sum(), rel=0.01)


@pytest.mark.parametrize("one", [EAST, UTM_60], ids=lambda place: place[0][:-4])
def test_a_map_across_the_180th_meridian_is_compared_with_both_ends_of_the_world(
    write_raster: Any, one: Any
) -> None:
    path = across(write_raster, *one)
    area = explore.change(path, across(write_raster, *WORLD)).area_m2
    assert np.diag(area) == pytest.approx(explore.class_statistics(path).area_m2.tolist(), rel=0.01)


def test_a_map_across_greenwich_is_compared_with_both_ends_of_0_to_360_degrees(
    write_raster: Any,
) -> None:
    ids = np.ones((30, 130), np.uint8)
    place = Affine(1000, 0, 225_000, 0, -1000, 5_650_000)
    path = write_raster("a.tif", ids, nodata=255, names=EARLY, transform=place)
    world = np.ones((140, 72_000), np.uint8)
    around = Affine(0.005, 0, 0, 0, -0.005, 51.2)
    other = write_raster("b.tif", world, nodata=255, names=EARLY, crs="EPSG:4326", transform=around)
    assert explore.change(path, other).pixels.to_numpy().sum() == ids.size
