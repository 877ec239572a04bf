"""How QGIS shows a layer at once: a style in the GeoPackage's table ``layer_styles``."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from xml.etree import ElementTree as Xml

PALETTE = (
    "#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7", "#999999",
)  # fmt: skip
"""Okabe and Ito's colours, which people with any colour vision can tell apart; for classes that
have none of their own."""

MAX_STYLED = 4096
"""Layers of more classes get no style: nobody could read it, and it takes long to make."""

_OPACITY = 160
_DOCTYPE = "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"

# The table as QGIS makes it, so that QGIS finds and edits it.
_TABLE = """
CREATE TABLE IF NOT EXISTS layer_styles (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, f_table_catalog TEXT(256),
    f_table_schema TEXT(256), f_table_name TEXT(256), f_geometry_column TEXT(256),
    styleName TEXT(30), styleQML TEXT, styleSLD TEXT, useAsDefault BOOLEAN, description TEXT,
    owner TEXT(30), ui TEXT(30), update_time DATETIME DEFAULT CURRENT_TIMESTAMP)
"""
_CONTENTS = """
INSERT OR IGNORE INTO gpkg_contents (table_name, data_type, identifier, last_change)
VALUES ('layer_styles', 'attributes', 'layer_styles', '1970-01-01T00:00:00.000Z')
"""
_STYLE = """
INSERT INTO layer_styles (f_table_catalog, f_table_schema, f_table_name, f_geometry_column,
    styleName, styleQML, useAsDefault, description, owner, update_time)
VALUES ('', '', ?, ?, 'classes', ?, 1, 'Colours of the classes', '', '1970-01-01T00:00:00.000Z')
"""


def qml(column: str, classes: Iterable[str], colors: Mapping[str, str]) -> str:
    """A style with one category a class.

    Args:
        column: Column of class names.
        classes: Names, in the order of the legend.
        colors: ``#rrggbb`` by name; classes without one get one of :data:`PALETTE`.

    Returns:
        The text of a ``.qml`` file.

    Example:
        >>> "0,0,255" in qml("class", ["water"], {"water": "#0000ff"})
        True
    """
    root = Xml.Element("qgis", version="3.22.0", styleCategories="Symbology")
    renderer = Xml.SubElement(
        root,
        "renderer-v2",
        type="categorizedSymbol",
        attr=column,
        symbollevels="0",
        enableorderby="0",
        forceraster="0",
    )
    categories = Xml.SubElement(renderer, "categories")
    symbols = Xml.SubElement(renderer, "symbols")
    for number, name in enumerate(classes):
        symbol = str(number)
        Xml.SubElement(categories, "category", render="true", value=name, symbol=symbol, label=name)
        fill = Xml.SubElement(
            symbols, "symbol", type="fill", name=symbol, alpha="1", clip_to_extent="1"
        )
        layer = Xml.SubElement(
            fill, "layer", {"class": "SimpleFill", "enabled": "1", "locked": "0", "pass": "0"}
        )
        color = colors.get(name, PALETTE[number % len(PALETTE)])
        red, green, blue = bytes.fromhex(color[1:])
        settings = {
            "color": f"{red},{green},{blue},{_OPACITY}",
            "outline_color": f"{red * 2 // 3},{green * 2 // 3},{blue * 2 // 3},255",
            "outline_style": "solid",
            "outline_width": "0.26",
            "outline_width_unit": "MM",
            "style": "solid",
        }
        options = Xml.SubElement(layer, "Option", type="Map")
        for key, value in settings.items():
            # Versions of QGIS before 3.20 read the former, later ones the latter.
            Xml.SubElement(layer, "prop", k=key, v=value)
            Xml.SubElement(options, "Option", name=key, type="QString", value=value)
    Xml.SubElement(root, "layerGeometryType").text = "2"
    return _DOCTYPE + Xml.tostring(root, encoding="unicode")


def add_default_style(geopackage: Path, layer: str, style: str) -> None:
    """Make a style the default of a layer, instead of the default that it had.

    Raises:
        sqlite3.Error: The file cannot be written.
    """
    with closing(sqlite3.connect(geopackage)) as database, database:
        (column,) = database.execute(
            "SELECT column_name FROM gpkg_geometry_columns WHERE table_name = ?", (layer,)
        ).fetchone()
        database.execute(_TABLE)
        database.execute(_CONTENTS)
        database.execute("DELETE FROM layer_styles WHERE f_table_name = ?", (layer,))
        database.execute(_STYLE, (layer, column, style))
