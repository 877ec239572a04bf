"""Layers of a GeoPackage that is there already."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pyogrio
import pyproj


@dataclass(frozen=True)
class Layer:
    """A layer that polygons are to be added to.

    Attributes:
        columns: Names, without geometry and feature id.
        crs: As pyogrio gives it.
        geometry_type: Such as ``Polygon``.
        last_id: Largest number in the column ``id``; 0 without.
    """

    columns: tuple[str, ...]
    crs: str | None
    geometry_type: str
    last_id: int

    def has_crs(self, crs: object) -> bool:
        """Whether its coordinates mean the same as those of ``crs``."""
        if self.crs is None:
            return False
        return bool(pyproj.CRS(self.crs).equals(pyproj.CRS(crs), ignore_axis_order=True))


def is_reserved(name: str) -> bool:
    """Whether a layer's name is kept for tables of GeoPackage, of SQLite or of styles."""
    return name.lower().startswith(("gpkg", "sqlite_")) or name.lower() == "layer_styles"


def copy_of(geopackage: Path, to: Path) -> None:
    """Copy a GeoPackage as it is now, with what another program has not yet put into the file.

    Raises:
        sqlite3.Error: It is no database, or cannot be read or written.
    """
    source = f"file:{quote(str(geopackage.absolute()))}?mode=ro"
    with (
        closing(sqlite3.connect(source, uri=True)) as original,
        closing(sqlite3.connect(to)) as copy,
    ):
        original.backup(copy)


def quoted(name: str) -> str:
    """Return a table's name as SQL has it."""
    return '"' + name.replace('"', '""') + '"'


def find_layer(geopackage: Path, name: str) -> Layer | None:
    """Look a layer up; None where the file has none of this name."""
    if name not in {layer for layer, _ in pyogrio.list_layers(geopackage)}:
        return None
    info = pyogrio.read_info(geopackage, layer=name)
    columns = tuple(map(str, info["fields"]))
    last_id = 0
    if "id" in columns:
        with closing(sqlite3.connect(geopackage)) as database:
            query = f"SELECT max(CAST(id AS INTEGER)) FROM {quoted(name)}"
            last_id = database.execute(query).fetchone()[0] or 0
    return Layer(columns, info["crs"], info["geometry_type"], last_id)
