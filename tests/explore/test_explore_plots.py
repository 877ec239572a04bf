from __future__ import annotations

from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pyproj
import pytest
import shapely
from affine import Affine
from matplotlib.axes import Axes

import geoconvlora
from geoconvlora import explore
from geoconvlora.errors import BandError, LabelError
from geoconvlora.explore.axes import metres_per_unit
from geoconvlora.explore.colours import classes_rgba, scene_rgba


def drawn(ax: Axes) -> np.ndarray:
    """The figure's pixels, ``(h, w, 3)``."""
    ax.figure.canvas.draw()
    return np.asarray(ax.figure.canvas.buffer_rgba())[..., :3]


def texts(ax: Axes) -> list[str]:
    legend = ax.get_legend()
    return [] if legend is None else [text.get_text() for text in legend.get_texts()]


def scale_bar(ax: Axes) -> str:
    ax.figure.canvas.draw()
    (bar,) = ax.artists
    return bar._child.get_children()[0].get_text()


def colour_at(ax: Axes, x: float, y: float) -> tuple[int, ...]:
    """What is drawn at a place in the CRS."""
    image = drawn(ax)
    column, row = ax.transData.transform((x, y))
    return tuple(image[image.shape[0] - 1 - int(row), int(column)].tolist())


def test_classes_are_drawn_in_their_colours_where_they_are(class_file: Path) -> None:
    ax = explore.plot_classes(class_file)
    assert texts(ax) == ["background", "field", "tall forest"]
    assert colour_at(ax, 500_300, 4_999_900) == (0x7F, 0xBF, 0x3F)
    assert colour_at(ax, 500_550, 4_999_650) == (0x00, 0x55, 0x00)
    assert colour_at(ax, 500_020, 4_999_980) == (255, 255, 255)


def test_rotated_maps_are_drawn_where_they_are(write_raster: Any) -> None:
    rotated = Affine.translation(500_000, 5_000_000) @ Affine.rotation(30) @ Affine.scale(10, -10)
    ids = np.zeros((8, 20), np.uint8)
    ids[:, 10:] = 1
    path = write_raster("r.tif", ids, transform=rotated, names={0: "background", 1: "field"})
    ax = explore.plot_classes(path)
    assert colour_at(ax, *(rotated @ (15, 4))) == (0x7F, 0xBF, 0x3F)
    assert colour_at(ax, *(rotated @ (5, 4))) == (0xBD, 0xBD, 0xBD)


@pytest.mark.parametrize(
    ("crs", "x", "y", "across", "up"),
    [
        ("EPSG:32631", 500_000, 5_000_000, 1.0004, 1.0004),
        ("EPSG:4326", 9, 60, 55_800, 111_412),
        ("EPSG:3857", 1_000_000, 8_399_737.9, 0.5, 0.5),
        ("EPSG:2263", 980_000, 200_000, 0.3048, 0.3048),
        ("EPSG:4326", 9, 90, 111_319, 111_319),
    ],
)
def test_a_unit_is_as_long_as_on_the_ground(
    crs: str, x: float, y: float, across: float, up: float
) -> None:
    got = metres_per_unit(pyproj.CRS(crs), x, y)
    assert got == pytest.approx((across, up), rel=5e-3)


def test_scale_bar_is_honest_in_web_mercator(write_raster: Any) -> None:
    values = np.arange(110, dtype=np.uint8).reshape(10, 11)
    at_equator = Affine(100, 0, 0, 0, -100, 500)
    up_north = Affine(100, 0, 0, 0, -100, 8_400_000)
    labels = []
    for number, transform in enumerate((at_equator, up_north)):
        path = write_raster(f"{number}.tif", values, transform=transform, crs="EPSG:3857")
        labels.append(scale_bar(explore.plot_scene(path)))
    assert labels == ["200 m", "100 m"]


def test_bands_are_chosen_by_name(scene_file: Path) -> None:
    scene = explore.open_scene(scene_file).scene.load()
    image = scene_rgba(scene, ["nir", "red", "green"])
    for number, band in enumerate(("nir", "red", "green")):
        values = scene.sel(band=band).values
        low, high = np.nanpercentile(values, [2, 98])
        expected = np.clip((values - low) / (high - low), 0, 1) * 255
        valid = np.isfinite(values)
        np.testing.assert_allclose(image[..., number][valid], expected[valid], atol=1.01)
    assert (image[:5, :5, 3] == 0).all()
    with pytest.raises(BandError, match="swir cannot be drawn: give one or three of red, green"):
        explore.plot_scene(scene_file, bands=["swir"])


def test_scene_without_a_valid_pixel_is_drawn_empty(write_raster: Any) -> None:
    path = write_raster("none.tif", np.zeros((8, 8), np.uint8), nodata=0)
    image = drawn(explore.plot_scene(path))
    assert image.shape[2] == 3


def test_probability_of_an_unknown_class_is_refused(write_raster: Any) -> None:
    path = write_raster("p.tif", np.full((2, 8, 8), 0.5, np.float32), bands=("land", "water"))
    explore.plot_probability(path, "water").figure.canvas.draw()
    with pytest.raises(BandError, match="no class 'lake': choose of land, water"):
        explore.plot_probability(path, "lake")


def test_polygons_lie_over_the_scene_they_are_drawn_on(scene_file: Path) -> None:
    frame = gpd.GeoDataFrame(
        {"class": ["field"]}, geometry=[shapely.box(500_200, 4_999_700, 500_400, 4_999_900)],
        crs=32631,
    ).to_crs(4326)  # fmt: skip
    ax = explore.plot_scene(scene_file)
    before = ax.get_xlim()
    explore.plot_polygons(frame, column="class", colors={"field": "#ff0000"}, crs=32631, ax=ax)
    assert ax.get_xlim() == before
    assert colour_at(ax, 500_300, 4_999_800) == (255, 0, 0)
    assert texts(ax) == ["field"]


def test_polygons_are_filled_by_number_or_drawn_as_outlines(tmp_path: Path) -> None:
    frame = gpd.GeoDataFrame(
        {"area_m2": [1.0, 2.0]},
        geometry=[shapely.box(0, 0, 1, 1), shapely.box(1, 0, 2, 1)],
        crs=4326,
    )
    frame.to_file(tmp_path / "p.gpkg")
    assert len(explore.plot_polygons(tmp_path / "p.gpkg", column="area_m2").figure.axes) == 2
    assert len(explore.plot_polygons(frame).figure.axes) == 1
    with pytest.raises(LabelError, match="no column 'crop': they have area_m2"):
        explore.plot_polygons(frame, column="crop")


def test_change_is_drawn_with_hectares(write_raster: Any) -> None:
    before = np.zeros((20, 20), np.uint8)
    after = before.copy()
    after[:10] = 1
    names = {0: "background", 1: "field"}
    one = write_raster("a.tif", before, nodata=255, names=names)
    two = write_raster("b.tif", after, nodata=255, names=names)
    changed = explore.change(one, two)
    ax = explore.plot_change(changed)
    assert texts(ax) == ["unchanged", "background → field, 2.0 ha"]
    assert colour_at(ax, 500_100, 4_999_950) == (0xE6, 0x9F, 0x00)
    matrix = explore.plot_transitions(changed)
    assert [text.get_text() for text in matrix.texts] == ["2.0", "2.0", "0.0", "0.0"]


def test_a_file_is_drawn_from_few_pixels(write_raster: Any, monkeypatch: Any) -> None:
    from geoconvlora.explore import plots

    monkeypatch.setattr(plots, "MAX_SIDE", 16)
    path = write_raster("s.tif", np.arange(64 * 64, dtype=np.uint16).reshape(64, 64))
    (image,) = explore.plot_scene(path).images
    assert image.get_array().shape[:2] == (16, 16)
    (image,) = explore.plot_scene(explore.open_scene(path)).images
    assert image.get_array().shape[:2] == (16, 16)


def test_classes_of_a_prediction_in_memory_are_drawn(class_file: Path) -> None:
    classes = explore.open_classes(class_file).classes.load()
    # As predict_array names them, without the tag.
    del classes.attrs["GEOCONVLORA_CLASSES"]
    assert classes_rgba(classes)[20, 30].tolist() == [0x7F, 0xBF, 0x3F, 255]
    ax = explore.plot_classes(classes.to_dataset())
    assert texts(ax) == ["background", "field", "tall_forest"]
    assert geoconvlora.explore is explore
