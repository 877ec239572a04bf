"""GeoPackages whose rows we write, against those that GDAL writes."""

from __future__ import annotations

import resource
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import pytest
import shapely

from geoconvlora.errors import OutputError
from geoconvlora.vector import PolygonWriter
from geoconvlora.vector.schema import COLUMNS, NEIGHBOURS
from geoconvlora.vector.sinks import GdalSink

CRS = "EPSG:32631"
GREAT = 10_000


def _polygons(count: int) -> gpd.GeoDataFrame:
    """Triangles from the top to the bottom, with every kind of value."""
    generator = np.random.default_rng(0)
    unknown = generator.random(count) < 0.2
    values = {
        "id": np.arange(1, count + 1),
        "class": [f"côte d'eau {i % 3}" for i in range(count)],
        "class_id": np.arange(count) % 3,
        "area_m2": generator.exponential(5e4, count),
        "perimeter_m": generator.exponential(900, count),
        "confidence": np.where(unknown, np.nan, generator.random(count)),
        "min_confidence": [float("nan")] * count,
        "valid_share": [1.0] * count,
        "scene": ["it's"] * count,
        "date": [None if one else "2023-06-15T10:30:21.5" for one in unknown],
        "model": [""] * count,
        "model_sha256": [None] * count,
    }
    x = generator.uniform(5e5, 6e5, count)
    y = np.sort(generator.uniform(49e5, 5e6, count))[::-1]
    vertices = np.stack([x, y], 1)[:, None] + generator.uniform(0, 300, (count, 3, 2))
    # GDAL writes extents as text, which SQLite reads to the last bit only if there are few digits.
    vertices = vertices.round(2)
    table = pd.DataFrame(values).astype(COLUMNS)
    return gpd.GeoDataFrame(table, geometry=shapely.polygons(vertices), crs=CRS)


def _write(path: Path, polygons: gpd.GeoDataFrame, **settings: object) -> Path:
    settings = {"layer": "fields", "metadata": {"model": "m"}, **settings}
    with PolygonWriter(path, CRS, **settings) as writer:
        writer.write(polygons)
    return path


@pytest.fixture
def through_gdal(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """The same file, written by GDAL alone."""

    def write(path: Path, polygons: gpd.GeoDataFrame, **settings: object) -> Path:
        def sink(path: Path, schema: object, layer: str, **options: object) -> GdalSink:
            return GdalSink(path, schema, "GPKG", layer=layer, SPATIAL_INDEX="YES", **options)

        with monkeypatch.context() as patch:
            patch.setattr("geoconvlora.vector.writer.GeoPackageSink", sink)
            return _write(path, polygons, **settings)

    return write


def _contents(path: Path) -> dict[str, list[tuple]]:
    """Rows of all tables; of an index's nodes only which rows they hold."""
    with closing(sqlite3.connect(path)) as database:
        made = database.execute("SELECT type, name, tbl_name, sql FROM sqlite_master").fetchall()
        tables = [name for kind, name, _, _ in made if kind == "table"]
        inner = tuple(f"{t}_{part}" for t in tables for part in ("node", "rowid", "parent"))
        rows = {
            name: sorted(database.execute(f"SELECT * FROM {_quoted(name)}").fetchall(), key=repr)
            for name in tables
            if name not in inner
        }
    return {"sqlite_master": sorted(made, key=repr), **rows}


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _check(path: Path, layer: str = "fields") -> None:
    """SQLite finds nothing wrong with the file or its index, and the index has every row."""
    with closing(sqlite3.connect(path)) as database:
        index = f"rtree_{layer}_geom"
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert database.execute("SELECT rtreecheck(?)", (index,)).fetchall() == [("ok",)]
        ids = f"SELECT fid FROM {_quoted(layer)} WHERE hex(substr(geom, 4, 1)) = '03'"
        (lost,) = database.execute(
            f"SELECT count(*) FROM ({ids} EXCEPT SELECT id FROM {_quoted(index)})"
        ).fetchone()
        assert lost == 0


@pytest.mark.parametrize("count", [0, 1, 51, 52, GREAT])
def test_a_file_holds_what_gdal_would_write(tmp_path, through_gdal, count):
    polygons = _polygons(count)
    ours = _write(tmp_path / "ours.gpkg", polygons, colors={"a": "#112233"})
    gdals = through_gdal(tmp_path / "gdals.gpkg", polygons, colors={"a": "#112233"})
    assert _contents(ours) == _contents(gdals)
    _check(ours)


@pytest.mark.parametrize(
    "settings",
    [
        {"fiboa": True},
        {"neighbours": True},
        {"fiboa": True, "neighbours": True},
        {"multi": True},
        {"layer": 'l\'île "été" 地図'},
    ],
)
def test_every_kind_of_layer_holds_what_gdal_would_write(tmp_path, through_gdal, settings):
    polygons = _polygons(200)
    if "neighbours" in settings:
        polygons.insert(len(COLUMNS), NEIGHBOURS, np.arange(200) % 7)
    if "multi" in settings:
        pairs = [shapely.MultiPolygon([p, shapely.box(0, 0, 1, 1)]) for p in polygons.geometry]
        polygons = polygons.set_geometry(pairs, crs=CRS)
    ours = _write(tmp_path / "ours.gpkg", polygons, **settings)
    assert _contents(ours) == _contents(through_gdal(tmp_path / "g.gpkg", polygons, **settings))
    _check(ours, settings.get("layer", "fields"))


@pytest.mark.parametrize("kept", [0, 2, 200])
def test_missing_and_empty_polygons_are_kept_as_gdal_keeps_them(tmp_path, through_gdal, kept):
    polygons = _polygons(200)
    shapes = np.array(polygons.geometry)
    shapes[kept::2], shapes[kept + 1 :: 2] = None, shapely.Polygon()
    polygons = polygons.set_geometry(shapes, crs=CRS)
    ours = _write(tmp_path / "ours.gpkg", polygons)
    assert _contents(ours) == _contents(through_gdal(tmp_path / "gdals.gpkg", polygons))
    _check(ours)


def test_heights_are_left_out(tmp_path):
    polygons = _polygons(5)
    high = polygons.set_geometry(shapely.force_3d(polygons.geometry, 7.0), crs=CRS)
    flat, written = (_write(tmp_path / n, p) for n, p in (("a.gpkg", polygons), ("b.gpkg", high)))
    assert flat.read_bytes() == written.read_bytes()


def test_rows_with_large_polygons_are_read_back(tmp_path):
    polygons = _polygons(9)
    round_ = shapely.buffer(shapely.points([(5e5, 5e6)] * 9), 500, quad_segs=5000)
    polygons = polygons.set_geometry(round_, crs=CRS)
    path = _write(tmp_path / "f.gpkg", polygons)
    assert gpd.read_file(path, layer="fields").geom_equals(polygons).all()
    _check(path)


def test_gdal_finds_by_place_what_lies_there(tmp_path):
    polygons = _polygons(GREAT)
    path = _write(tmp_path / "f.gpkg", polygons)
    for x, y in np.random.default_rng(1).uniform([5e5, 49e5], [59e4, 499e4], (20, 2)):
        place = (x, y, x + 5000, y + 5000)
        found = pyogrio.read_dataframe(path, layer="fields", bbox=place)
        there = polygons.intersects(shapely.box(*place))
        assert sorted(found["id"]) == polygons["id"][there].tolist()
        assert len(found)


def test_the_same_rows_make_the_same_bytes(tmp_path):
    polygons = _polygons(GREAT)
    one, two = (_write(tmp_path / name, polygons) for name in ("one.gpkg", "two.gpkg"))
    assert one.read_bytes() == two.read_bytes()


def test_gdal_adds_rows_and_the_index_and_the_count_follow(tmp_path):
    path = _write(tmp_path / "f.gpkg", _polygons(3000))
    _write(path, _polygons(2000), append=True)
    _check(path)
    info = pyogrio.read_info(path, layer="fields", force_feature_count=True)
    assert info["features"] == 5000
    with closing(sqlite3.connect(path)) as database:
        counted = database.execute("SELECT feature_count FROM gpkg_ogr_contents").fetchall()
        last = database.execute("SELECT max(fid) FROM fields").fetchall()
    assert counted == [(5000,)]
    assert last == [(5000,)]


def test_rows_that_are_changed_and_deleted_are_so_in_the_index(tmp_path):
    path = _write(tmp_path / "f.gpkg", _polygons(3000))
    with closing(sqlite3.connect(path)) as database, database:
        for side, name in enumerate(("MinX", "MaxX", "MinY", "MaxY")):
            database.create_function(
                f"ST_{name}", 1, lambda blob, side=side: np.frombuffer(blob[8:40], "<f8")[side]
            )
        database.create_function("ST_IsEmpty", 1, lambda blob: blob[3] >> 4 & 1)
        database.execute("DELETE FROM fields WHERE fid % 3 = 0")
        database.execute(
            "UPDATE fields SET geom = (SELECT geom FROM fields WHERE fid = 1) WHERE fid % 3 = 1"
        )
        (counted,) = database.execute("SELECT feature_count FROM gpkg_ogr_contents").fetchone()
    assert counted == 2000
    _check(path)
    first = gpd.read_file(path, layer="fields", rows=1)
    assert len(gpd.read_file(path, layer="fields", bbox=tuple(first.total_bounds))) >= 1000


def test_a_full_disk_is_one_clear_error_and_leaves_nothing(tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    polygons = _polygons(GREAT)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, before[1]))
    try:
        with pytest.raises(OutputError, match=r"f\.gpkg could not be written .*disk full"):
            _write(tmp_path / "f.gpkg", polygons)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("pragma", ["page_size=65536", "auto_vacuum=FULL", "auto_vacuum=NONE"])
def test_files_are_the_same_whatever_the_user_has_gdal_do(
    pragma: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    polygons = _polygons(2_000)
    usual = _write(tmp_path / "usual.gpkg", polygons).read_bytes()
    monkeypatch.setenv("OGR_SQLITE_PRAGMA", pragma)
    assert _write(tmp_path / "other.gpkg", polygons).read_bytes() == usual


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_layer_that_gdal_does_not_make_is_one_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("geoconvlora.vector.writer.is_reserved", lambda name: False)
    with pytest.raises(OutputError, match="no layer 'sqlite_x'"):
        _write(tmp_path / "x.gpkg", _polygons(3), layer="sqlite_x")
    assert not list(tmp_path.iterdir())
