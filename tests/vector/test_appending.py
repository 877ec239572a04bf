from __future__ import annotations

import sqlite3
from contextlib import closing

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

from geoconvlora.errors import OutputError
from geoconvlora.vector import PolygonWriter, polygonize

GRID = GeoBox((8, 6), Affine(10, 0, 500000, 0, -10, 5000000), "EPSG:32631")
VALUES = np.repeat([[1, 2, 2, 3, 3, 3]], 8, axis=0).astype(np.uint8)


@pytest.fixture
def there(tmp_path):
    """A GeoPackage with a layer ``map`` of three polygons."""
    return polygonize(VALUES, tmp_path / "o.gpkg", geobox=GRID, layer="map").path


def _read(path, layer="map"):
    return gpd.read_file(path, layer=layer)


def _layers(path):
    return sorted(name for name, _ in pyogrio.list_layers(path) if name != "layer_styles")


def test_rows_are_added_and_ids_go_on(there):
    first = _read(there)
    result = polygonize(VALUES[:, ::-1], there, geobox=GRID, layer="map", append=True)
    both = _read(there)
    assert result.polygons == 3
    assert both["id"].tolist() == [1, 2, 3, 4, 5, 6]
    assert both[:3].geom_equals(first).all()
    # The index knows the new ones: they are found by place.
    east = (500050, 4999920, 500060, 5000000)
    assert len(gpd.read_file(there, layer="map", bbox=tuple(np.add(east, [1, 1, -1, -1])))) == 2


def test_another_layer_is_added_and_the_first_stays(there):
    before = _read(there)
    polygonize(VALUES, there, geobox=GRID, layer="more", append=True)
    assert _layers(there) == ["map", "more"]
    assert _read(there).equals(before)
    assert _read(there, "more")["id"].tolist() == [1, 2, 3]


def test_one_layer_is_replaced_and_the_others_stay(there):
    polygonize(VALUES, there, geobox=GRID, layer="more", append=True)
    polygonize(VALUES[:, :2], there, geobox=GRID[:, :2], layer="map", append=True, overwrite=True)
    assert _layers(there) == ["map", "more"]
    assert (len(_read(there)), len(_read(there, "more"))) == (2, 3)


def test_appending_to_nothing_makes_the_file(tmp_path):
    path = polygonize(VALUES, tmp_path / "new.gpkg", geobox=GRID, append=True).path
    assert len(_read(path, "classes")) == 3


def test_an_interrupted_append_leaves_the_old_file(there):
    before = there.read_bytes()
    table = _read(there)

    def work() -> None:
        with PolygonWriter(there, GRID.crs.proj, layer="map", append=True) as writer:
            for _ in range(3):
                writer.write(table)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    assert there.read_bytes() == before
    assert [path.name for path in there.parent.iterdir()] == [there.name]


def test_an_append_that_fails_in_gdal_leaves_the_old_file(there, monkeypatch):
    before = there.read_bytes()

    def fail(*_: object, **__: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("geoconvlora.vector.sinks.pyogrio.write_arrow", fail)
    with pytest.raises(OutputError, match="No space left"):
        polygonize(VALUES, there, geobox=GRID, layer="map", append=True)
    assert there.read_bytes() == before
    assert [path.name for path in there.parent.iterdir()] == [there.name]


@pytest.mark.parametrize("settings", [{"append": True}, {"overwrite": True}])
def test_a_file_with_changes_of_another_program_beside_it_is_left_alone(there, settings):
    with closing(sqlite3.connect(there)) as other:
        other.execute("PRAGMA journal_mode=WAL")
        other.execute("CREATE TABLE note (text TEXT)")
        other.commit()
        with pytest.raises(OutputError, match="in use by another program"):
            polygonize(VALUES, there, geobox=GRID, layer="map", **settings)
    polygonize(VALUES, there, geobox=GRID, layer="map", **settings)
    assert len(_read(there)) == (6 if "append" in settings else 3)


def test_rows_that_do_not_fit_the_layer_are_refused(there):
    before = there.read_bytes()
    elsewhere = GeoBox(VALUES.shape, GRID.affine, "EPSG:32632")
    with pytest.raises(OutputError, match="another CRS"):
        polygonize(VALUES, there, geobox=elsewhere, layer="map", append=True)
    with pytest.raises(OutputError, match="no column 'area'"):
        polygonize(VALUES, there, geobox=GRID, layer="map", append=True, fiboa=True)
    assert there.read_bytes() == before
    assert [path.name for path in there.parent.iterdir()] == [there.name]


def test_only_a_geopackage_can_be_added_to(tmp_path):
    with pytest.raises(OutputError, match="only a GeoPackage"):
        polygonize(VALUES, tmp_path / "o.fgb", geobox=GRID, append=True)
    (tmp_path / "no.gpkg").write_text("no database")
    with pytest.raises(OutputError, match=r"no\.gpkg"):
        polygonize(VALUES, tmp_path / "no.gpkg", geobox=GRID, append=True)
    assert (tmp_path / "no.gpkg").read_text() == "no database"
