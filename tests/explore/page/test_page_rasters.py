from __future__ import annotations

import warnings
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import pytest
import rasterio
from affine import Affine
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import MemoryFile
from view_inputs import write_raster

from geoconvlora import explore
from geoconvlora.errors import BandError, SceneError
from geoconvlora.explore.page import merging
from geoconvlora.explore.page.class_areas import read_legend
from geoconvlora.explore.page.grid import Plane
from geoconvlora.explore.page.pictures import (
    Picture,
    draw_classes,
    draw_probabilities,
    draw_scene,
    scene_bands,
)
from geoconvlora.explore.page.raster_file import Kind, RasterFile, open_raster

UTM = Plane(pyproj.CRS(32631))


@pytest.fixture
def stack() -> Any:
    with ExitStack() as stack:
        yield stack


def opened(path: Path, stack: ExitStack) -> RasterFile:
    return open_raster(str(path), stack)


def pixels(picture: Picture) -> np.ndarray:
    """Red, green, blue and alpha ``(4, h, w)`` as a browser sees them."""
    with warnings.catch_warnings(), MemoryFile(picture.image) as memory:
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        image = memory.open()
        values = image.read()
        if image.colorinterp[0] == ColorInterp.palette:
            table = np.array([image.colormap(1)[i] for i in range(256)], np.uint8)
            return table[values[0]].transpose(2, 0, 1)
        return values


RNG = np.random.default_rng(0)
FRACTION = RNG.random((1, 8, 8), np.float32)
COLORS = {0: (0, 0, 0, 255), 7: (255, 0, 0, 255)}


@pytest.mark.parametrize(
    ("values", "changes", "kind"),
    [
        (RNG.integers(0, 9, (1, 8, 8), np.uint8), {}, Kind.classes),
        (RNG.integers(0, 9999, (1, 64, 64), np.uint16), {}, Kind.scene),
        (RNG.integers(0, 99, (1, 64, 64), np.uint8), {"colors": COLORS}, Kind.classes),
        (RNG.integers(0, 9, (3, 8, 8), np.uint8), {}, Kind.scene),
        (FRACTION, {}, Kind.probabilities),
        (np.concatenate([FRACTION, 1 - FRACTION]), {}, Kind.probabilities),
        (np.concatenate([FRACTION] * 4) * 0.4, {}, Kind.scene),
        (FRACTION * 300, {}, Kind.scene),
        (np.concatenate([FRACTION] * 2), {"tags": {"GEOCONVLORA_CLASSES": "[]"}},
         Kind.probabilities),
    ],
)  # fmt: skip
def test_a_raster_tells_what_it_is(
    tmp_path: Path, stack: ExitStack, values: np.ndarray, changes: dict[str, Any], kind: Kind
) -> None:
    assert opened(write_raster(tmp_path / "a.tif", values, **changes), stack).kind is kind


@pytest.mark.parametrize(
    ("names", "asked", "bands"),
    [
        (["B02", "B03", "B04", "B08"], None, (3, 2, 1)),
        (["a", "b", "c", "d"], None, (1, 2, 3)),
        (["a", "b"], None, (1,)),
        (["a", "b", "c", "d"], (4, 3, 2), (4, 3, 2)),
        (["a", "b"], (2,), (2,)),
    ],
)
def test_bands_are_found_by_name(
    tmp_path: Path, stack: ExitStack, names: list[str], asked: tuple[int, ...] | None,
    bands: tuple[int, ...],
) -> None:  # fmt: skip
    values = RNG.integers(0, 9999, (len(names), 8, 8), np.uint16)
    path = write_raster(tmp_path / "a.tif", values, descriptions=names, photometric="minisblack")
    assert scene_bands(opened(path, stack), asked) == bands


@pytest.mark.parametrize("asked", [(1, 2), (9,), ()])
def test_bands_that_make_no_picture_are_refused(
    tmp_path: Path, stack: ExitStack, asked: tuple[int, ...]
) -> None:
    raster = opened(write_raster(tmp_path / "a.tif", RNG.random((3, 8, 8))), stack)
    with pytest.raises(BandError, match="--bands takes one band or three of 1 to 3"):
        scene_bands(raster, asked)


def test_pixels_without_data_are_clear(tmp_path: Path, stack: ExitStack) -> None:
    values = RNG.integers(1, 9999, (3, 32, 32), np.uint16)
    values[1, :5] = 0
    raster = opened(write_raster(tmp_path / "a.tif", values, nodata=0), stack)
    alpha = pixels(draw_scene(raster, (1, 2, 3), UTM, 99))[3]
    assert (alpha[:5] == 0).all()
    assert (alpha[5:] == 255).all()


def test_scenes_are_stretched_from_their_darkest_to_their_brightest(
    tmp_path: Path, stack: ExitStack
) -> None:
    values = np.linspace(5000, 6000, 64 * 64).astype(np.uint16).reshape(1, 64, 64)
    raster = opened(write_raster(tmp_path / "a.tif", values), stack)
    red = pixels(draw_scene(raster, (1,), UTM, 99))[0]
    assert red[0].mean() < 5
    assert red[-1].mean() > 250


def test_large_rasters_are_merged_to_the_side_asked_for(tmp_path: Path, stack: ExitStack) -> None:
    values = np.zeros((1, 40, 80), np.float32)
    values[:, :, ::2] = 1
    raster = opened(write_raster(tmp_path / "a.tif", values), stack)
    (picture,) = draw_probabilities(raster, UTM, 40)
    assert picture.shape == (20, 40)
    colours = pixels(picture)[:3].reshape(3, -1)
    # The middle of the ramp: neither end is met.
    assert len(np.unique(colours, axis=1).T) == 1
    assert colours[1, 0] not in (1, 231)


@pytest.mark.parametrize("factor", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("overviews", [[], [2, 4]], ids=["plain", "overviews"])
def test_merged_pixels_are_means_of_the_valid_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, factor: int, overviews: list[int]
) -> None:
    monkeypatch.setattr(merging, "_STRIP_PX", 8 * 24)
    # Constant in squares of four pixels, so that overviews of any kind hold the same means.
    values = np.kron(RNG.integers(1, 65_535, (3, 5, 6)), np.ones((4, 4))).astype(np.uint16)
    values[:, 4:8, 4:16] = 0
    path = write_raster(tmp_path / "a.tif", values, nodata=0)
    with rasterio.open(path, "r+") as dataset:
        dataset.build_overviews(overviews)
    with rasterio.open(path) as dataset:
        means, valid = merging.read_merged(dataset, [1, 2, 3], factor)
    assert valid.shape == (-(-20 // factor), -(-24 // factor))
    for row, column in np.ndindex(valid.shape):
        square = values[
            :, row * factor : (row + 1) * factor, column * factor : (column + 1) * factor
        ]
        held = square[0] > 0
        assert valid[row, column] == held.any()
        if held.any():
            assert means[:, row, column] == pytest.approx(square[:, held].mean(axis=1))


def test_the_background_is_clear_and_areas_are_of_all_pixels(
    folder: Path, stack: ExitStack
) -> None:
    raster = opened(folder / "classes.tif", stack)
    legend = read_legend(raster)
    assert [(e.name, e.color, e.clear) for e in legend.entries] == [
        ("background", "#000000", True),
        ("field", "#33aa33", False),
    ]
    assert [e.area_m2 for e in legend.entries] == pytest.approx([358_400, 51_200], rel=0.002)
    seen = pixels(draw_classes(raster, legend, UTM, 64))
    assert (seen[3] == np.where(raster.dataset.read(1) == 1, 255, 0)).all()
    assert seen[:3, 40, 3].tolist() == [0x33, 0xAA, 0x33]


def test_class_values_may_be_any_whole_numbers(tmp_path: Path, stack: ExitStack) -> None:
    values = np.array([[[11, 300, 40000, 11]]], np.int32)
    raster = opened(write_raster(tmp_path / "a.tif", values, nodata=11), stack)
    legend = read_legend(raster)
    assert legend.ids == (300, 40000)
    assert [e.name for e in legend.entries] == ["class 300", "class 40000"]
    assert pixels(draw_classes(raster, legend, UTM, 64))[3, 0].tolist() == [0, 255, 255, 0]


def test_a_map_without_any_data_is_clear(tmp_path: Path, stack: ExitStack) -> None:
    tags = {"GEOCONVLORA_CLASSES": "[]"}
    values = np.full((1, 8, 8), 255, np.uint8)
    raster = opened(write_raster(tmp_path / "a.tif", values, nodata=255, tags=tags), stack)
    legend = read_legend(raster)
    assert legend.entries == ()
    assert (pixels(draw_classes(raster, legend, UTM, 64))[3] == 0).all()


def test_numbered_objects_are_not_taken_for_classes(tmp_path: Path, stack: ExitStack) -> None:
    values = np.arange(400, dtype=np.uint16).reshape(1, 20, 20)
    path = write_raster(tmp_path / "a.tif", values, tags={"GEOCONVLORA_CLASSES": "[]"})
    with pytest.raises(SceneError, match="400 different values"):
        read_legend(opened(path, stack))


@pytest.mark.parametrize(
    "place",
    [Affine(8.66, 5, 500_000, 5, -8.66, 5_600_000), Affine(10, 0, 500_000, 0, 10, 5_599_680)],
    ids=["rotated", "south up"],
)
def test_rasters_that_are_not_north_up_are_turned(
    tmp_path: Path, stack: ExitStack, place: Affine
) -> None:
    values = np.full((1, 32, 32), 7, np.uint8)
    values[0, 0, 0] = 9
    raster = opened(write_raster(tmp_path / "a.tif", values, transform=place), stack)
    picture = draw_classes(raster, read_legend(raster), UTM, 64)
    seen = pixels(picture)
    share = 32 * 32 * 100 / (
        (picture.bounds[2] - picture.bounds[0]) * (picture.bounds[3] - picture.bounds[1])
    )  # fmt: skip
    assert (seen[3] > 0).mean() == pytest.approx(share, abs=0.05)
    # The corner pixel is the only one of its class: it lies where the raster's transform puts it.
    odd = (seen[:3] != seen[:3, seen.shape[1] // 2, seen.shape[2] // 2][:, None, None]).any(axis=0)
    row, column = np.argwhere(odd & (seen[3] > 0)).mean(axis=0) + 0.5
    left, bottom, right, top = picture.bounds
    x = left + column / seen.shape[2] * (right - left)
    y = top - row / seen.shape[1] * (top - bottom)
    assert (x, y) == pytest.approx(
        (place.c + (place.a + place.b) / 2, place.f + (place.d + place.e) / 2), abs=8
    )


def test_a_raster_in_another_crs_lies_where_it_is(tmp_path: Path, stack: ExitStack) -> None:
    values = np.full((1, 50, 50), 3, np.uint8)
    place = Affine(0.001, 0, 3.0, 0, -0.001, 50.0)
    raster = opened(
        write_raster(tmp_path / "a.tif", values, crs="EPSG:4326", transform=place), stack
    )
    left, _, right, top = draw_classes(raster, read_legend(raster), UTM, 64).bounds
    assert (left, top) == pytest.approx((500_000, 5_538_600), abs=200)
    assert right - left == pytest.approx(3580, rel=0.01)


def test_a_truncated_file_is_refused(tmp_path: Path, stack: ExitStack) -> None:
    path = write_raster(tmp_path / "a.tif", RNG.random((3, 200, 200)))
    path.write_bytes(path.read_bytes()[:200_000])
    with pytest.raises(SceneError, match="truncated or damaged"):
        draw_scene(opened(path, stack), (1, 2, 3), UTM, 99)


@pytest.mark.parametrize("dtype", [np.uint8, np.int32])
def test_areas_in_the_legend_are_those_of_each_latitude(
    tmp_path: Path, stack: ExitStack, dtype: type
) -> None:
    ids = np.zeros((1, 80, 90), dtype)
    ids[:, :10], ids[:, -10:], ids[:, 40:42, 5:9] = 1, 2, 3
    degrees = {"crs": "EPSG:4326", "transform": Affine(0.1, 0, 6, 0, -0.1, 55)}
    path = write_raster(tmp_path / "a.tif", ids, nodata=3, **degrees)
    areas = {entry.name: entry.area_m2 for entry in read_legend(opened(path, stack)).entries}
    told = explore.class_statistics(path).area_m2
    assert list(areas.values()) == pytest.approx(told.tolist())
    assert areas["class 2"] > 1.1 * areas["class 1"]


@pytest.mark.parametrize("tags", [{}, {"GEOCONVLORA_CLASSES": "[]"}], ids=["plain", "tagged"])
def test_probabilities_may_be_stored_with_a_scale_and_an_offset(
    tmp_path: Path, stack: ExitStack, tags: dict[str, str]
) -> None:
    field = RNG.random((8, 8))
    fractions = np.stack([1 - field, field])
    plain = write_raster(tmp_path / "a.tif", fractions.astype(np.float32), tags=tags)
    stored = np.rint((fractions - 0.5) / 1e-4).astype(np.int16)
    path = write_raster(tmp_path / "b.tif", stored, tags=tags)
    with rasterio.open(path, "r+") as file:
        file.scales, file.offsets = (1e-4, 1e-4), (0.5, 0.5)
    raster = opened(path, stack)
    assert raster.kind is Kind.probabilities
    drawn = draw_probabilities(raster, UTM, 64)
    expected = draw_probabilities(opened(plain, stack), UTM, 64)
    for picture, like in zip(drawn, expected, strict=True):
        # A step of the ramp at most, where rounding is on the other side of it.
        off = pixels(picture).astype(int) - pixels(like)
        assert np.abs(off).max() < 8


ACROSS = {"crs": "EPSG:4326", "transform": Affine(0.01, 0, 179.5, 0, -0.01, -16)}
UTM_60_SOUTH = {"crs": "EPSG:32760", "transform": Affine(1000, 0, 800_000, 0, -1000, 8_200_000)}


@pytest.mark.parametrize("middle", [None, 180.0, -179.0])
def test_a_raster_across_the_180th_meridian_is_drawn_whole(
    tmp_path: Path, stack: ExitStack, middle: float | None
) -> None:
    values = np.zeros((1, 60, 100), np.uint8)
    values[:, :, 50:] = 7
    raster = opened(write_raster(tmp_path / "a.tif", values, **UTM_60_SOUTH), stack)
    page = Plane(pyproj.CRS(4326), middle)
    picture = draw_classes(raster, read_legend(raster), page, 256)
    shift = -360 if middle == -179.0 else 0
    left, bottom, right, top = raster.bounds(page)
    assert picture.bounds == (left, bottom, right, top)
    assert (left, right) == pytest.approx((179.80 + shift, 180.76 + shift), abs=0.02)
    height, width = picture.shape
    assert 55 <= height <= 100 <= width <= 120
    # The border between the classes is where it is on the ground.
    to_degrees = pyproj.Transformer.from_crs(32760, 4326, always_xy=True)
    longitude = to_degrees.transform(850_000, 8_170_000)[0] % 360 + shift
    seen = pixels(picture)[:, height // 2]
    changes = np.flatnonzero(np.diff(seen[:3].astype(int), axis=1).any(axis=0) & (seen[3, 1:] > 0))
    border = left + (changes[len(changes) // 2] + 1) / width * (right - left)
    assert border == pytest.approx(longitude, abs=0.03)


@pytest.mark.parametrize("turn", [-360, 360])
def test_degrees_of_the_other_side_come_to_that_of_the_page(
    tmp_path: Path, stack: ExitStack, turn: int
) -> None:
    values = RNG.integers(0, 9, (3, 100, 100), np.uint8)
    beside = {**ACROSS, "transform": Affine.translation(turn, 0) @ ACROSS["transform"]}
    page = Plane(pyproj.CRS(4326), 180.0)
    seen = [
        draw_scene(opened(write_raster(tmp_path / name, values, **place), stack), (1,), page, 99)
        for name, place in (("a.tif", ACROSS), ("b.tif", beside))
    ]
    assert seen[0].bounds == pytest.approx(seen[1].bounds)
    np.testing.assert_array_equal(pixels(seen[0]), pixels(seen[1]))


MARS = "+proj=longlat +R=3396190 +no_defs +type=crs"


def test_maps_of_two_planets_are_not_shown_on_one_page(tmp_path: Path, stack: ExitStack) -> None:
    values = RNG.integers(0, 9999, (3, 8, 8), np.uint16)
    place = {"crs": MARS, "transform": Affine(0.01, 0, 10, 0, -0.01, 5)}
    mars = opened(write_raster(tmp_path / "mars.tif", values, **place), stack)
    with pytest.raises(SceneError, match=r"mars.tif has no place in .* 31N.*Show it on its own"):
        mars.bounds(UTM)
