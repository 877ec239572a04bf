from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from xml.etree import ElementTree as Xml

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

from geoconvlora.vector import polygonize
from geoconvlora.vector.styles import PALETTE, qml

GRID = GeoBox((8, 6), Affine(10, 0, 500000, 0, -10, 5000000), "EPSG:32631")
VALUES = np.repeat([[1, 2, 2, 3, 3, 3]], 8, axis=0).astype(np.uint8)


def _colors(style: str) -> dict[str, str]:
    """Fill colour by category, as QGIS reads it."""
    root = Xml.fromstring(style)
    renderer = root.find("renderer-v2")
    assert renderer.get("type") == "categorizedSymbol"
    fills = {
        symbol.get("name"): symbol.find("layer/Option/Option[@name='color']").get("value")
        for symbol in renderer.find("symbols")
    }
    return {c.get("value"): fills[c.get("symbol")] for c in renderer.find("categories")}


def test_a_style_has_a_category_of_its_colour_for_every_class():
    style = qml("class", ["water", "wood & <field>"], {"water": "#0000ff"})
    second = ",".join(map(str, bytes.fromhex(PALETTE[1][1:])))
    assert style.startswith("<!DOCTYPE qgis")
    assert _colors(style) == {"water": "0,0,255,160", "wood & <field>": f"{second},160"}


def test_a_geopackage_opens_with_a_default_style(tmp_path):
    path = polygonize(VALUES, tmp_path / "o.gpkg", geobox=GRID, layer="map").path
    styles = pyogrio.read_dataframe(path, layer="layer_styles")
    (style,) = styles.itertuples()
    assert (style.f_table_name, style.f_geometry_column, bool(style.useAsDefault)) == (
        "map",
        "geom",
        True,
    )
    assert set(_colors(style.styleQML)) == {"class_1", "class_2", "class_3"}
    assert len(gpd.read_file(path)) == 3


def test_the_style_has_the_colours_of_the_class_table(write_raster, tmp_path):
    table = '[{"id": 1, "name": "water", "color": "#0000ff"}]'
    path = write_raster(VALUES, tags={"GEOCONVLORA_CLASSES": table})
    style = pyogrio.read_dataframe(
        polygonize(path, tmp_path / "o.gpkg").path, layer="layer_styles"
    )["styleQML"][0]
    assert _colors(style)["water"] == "0,0,255,160"


def test_every_layer_keeps_one_style_of_its_own(tmp_path):
    path = tmp_path / "o.gpkg"
    for layer in ("one", "two"):
        polygonize(VALUES, path, geobox=GRID, layer=layer, append=True)
    polygonize(VALUES, path, geobox=GRID, layer="two", append=True, overwrite=True)
    styles = pyogrio.read_dataframe(path, layer="layer_styles")
    assert sorted(styles["f_table_name"]) == ["one", "two"]
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.mark.parametrize("suffix", [".fgb", ".parquet", ".geojson"])
def test_other_formats_have_no_style_and_need_none(tmp_path, suffix):
    assert polygonize(VALUES, tmp_path / f"o{suffix}", geobox=GRID).polygons == 3


def test_a_colour_that_is_none_is_replaced(write_raster, tmp_path):
    tag = json.dumps([{"id": 1, "name": "water", "color": "red"}])
    path = write_raster(np.ones((4, 4), np.uint8), tags={"GEOCONVLORA_CLASSES": tag})
    polygonize(path, tmp_path / "o.gpkg")
    styles = pyogrio.read_dataframe(tmp_path / "o.gpkg", layer="layer_styles")
    red, green, blue = bytes.fromhex(PALETTE[0][1:])
    assert f"{red},{green},{blue}" in styles["styleQML"][0]
