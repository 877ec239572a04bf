from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from view_inputs import HOSTILE, write_raster

from geoconvlora.errors import ConfigError, OutputError
from geoconvlora.explore.page import building, view

NAMES = ("scene.tif", "classes.tif", "probabilities.tif", "fields.gpkg")


def content(page: Path) -> dict[str, Any]:
    text = page.read_text(encoding="utf-8")
    (found,) = text.split('<script type="application/json" id="content">')[1:]
    return json.loads(found.split("</script>")[0])


def test_layers_lie_in_one_order_whatever_that_of_the_files(folder: Path, tmp_path: Path) -> None:
    files = [folder / name for name in NAMES]
    done = view(files, tmp_path / "a.html")
    view(files[::-1], tmp_path / "b.html")
    assert done.layers == ("scene.tif", "classes.tif", "probabilities.tif: field", "fields.gpkg")
    assert done.bytes == (tmp_path / "a.html").stat().st_size
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_everything_lies_in_the_crs_of_the_scene(folder: Path, tmp_path: Path) -> None:
    view([folder / "fields.gpkg", folder / "scene.tif"], tmp_path / "a.html")
    found = content(tmp_path / "a.html")
    assert found["crs"] == "EPSG:32631"
    assert found["bounds"] == [500_000, 5_599_360, 500_640, 5_600_000]
    # A pixel of the scene is one of the screen at zoom 0, to a part in a thousand.
    assert found["unit"] == pytest.approx([10, 10], rel=0.002)


def test_text_of_files_cannot_end_the_script(folder: Path, tmp_path: Path) -> None:
    view([folder / "fields.gpkg"], tmp_path / "a.html")
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert HOSTILE not in page
    assert page.count("</script>") == 3
    (layer,) = content(tmp_path / "a.html")["layers"]
    note = next(column for column in layer["columns"] if column["name"] == "note")
    assert HOSTILE in note["values"]


def test_pictures_shrink_until_the_page_is_small_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(building, "MAX_BYTES", 600_000)
    noise = np.random.default_rng(0).integers(0, 2**16, (3, 800, 1000), np.uint16)
    done = view([write_raster(tmp_path / "noise.tif", noise)], tmp_path / "a.html")
    assert 300_000 < done.bytes < 600_000
    (note,) = done.notes
    assert note.startswith("noise.tif: shown at ")
    assert note.endswith(" of 1,000 x 800 pixels")
    assert content(tmp_path / "a.html")["notes"] == [note]


def test_polygons_over_the_limit_are_left_out_and_it_is_said(folder: Path, tmp_path: Path) -> None:
    done = view([folder / "fields.gpkg"], tmp_path / "a.html", max_polygons=2)
    assert done.polygons == 2
    assert "the 2 largest of 6 polygons" in done.notes[0]
    assert "20,000 m² on" in done.notes[0]


def test_polygons_whose_attributes_are_too_long_are_fewer(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(building, "_POLYGON_BYTES", 800)
    assert view([folder / "fields.gpkg"], tmp_path / "a.html").polygons < 6


def test_nothing_to_show_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing to show"):
        view([], tmp_path / "a.html")


def test_a_page_that_exists_stays_as_it_is(folder: Path, tmp_path: Path) -> None:
    page = tmp_path / "a.html"
    page.write_text("mine")
    with pytest.raises(OutputError, match="exists already"):
        view([folder / "scene.tif"], page)
    assert page.read_text() == "mine"


def test_an_error_leaves_nothing_behind(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(Exception, match="does not exist"):
        view([folder / "scene.tif", folder / "gone.gpkg"], tmp_path / "a.html")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def across(tmp_path: Path) -> Path:
    """A scene of 179.5 to 180.5 degrees, a field in UTM, and one cut in two at 180 degrees."""
    scene = np.random.default_rng(0).integers(0, 255, (3, 100, 100), np.uint8)
    place = {"crs": "EPSG:4326", "transform": Affine(0.01, 0, 179.5, 0, -0.01, -16)}
    write_raster(tmp_path / "scene.tif", scene, **place)
    fields = shapely.box(800_000, 8_170_000, 840_000, 8_190_000)
    gpd.GeoDataFrame(geometry=[fields], crs=32760).to_file(tmp_path / "utm.gpkg")
    halves = shapely.MultiPolygon(
        [shapely.box(179.75, -16.5, 180, -16.25), shapely.box(-180, -16.5, -179.75, -16.25)]
    )
    gpd.GeoDataFrame(geometry=[halves], crs=4326).to_file(tmp_path / "cut.geojson")
    return tmp_path


@pytest.mark.parametrize(
    ("names", "left", "right"),
    [
        (["scene.tif", "utm.gpkg", "cut.geojson"], 179.5, 180.5),
        (["cut.geojson", "utm.gpkg"], 179.75, 180.25),
    ],
)
def test_polygons_across_the_180th_meridian_are_in_one_place(
    across: Path, names: list[str], left: float, right: float
) -> None:
    view([across / name for name in names], across / "a.html")
    bounds = content(across / "a.html")["bounds"]
    assert bounds[::2] == pytest.approx([left, right], abs=0.001)
