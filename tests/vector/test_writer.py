from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, closing
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import pytest
import shapely

from geoconvlora.errors import OutputError
from geoconvlora.naming import MAX_NAME_BYTES
from geoconvlora.vector import PolygonWriter
from geoconvlora.vector.schema import COLUMNS

CRS = "EPSG:32631"
FORMATS = [".gpkg", ".fgb", ".geojson", ".parquet"]


def _polygons(count: int = 3) -> gpd.GeoDataFrame:
    values = {
        "id": np.arange(1, count + 1),
        "class": ["field"] * count,
        "class_id": [1] * count,
        "area_m2": np.arange(count) * 100.5,
        "perimeter_m": np.arange(count) * 40.25,
        "confidence": [float("nan") if i == 1 else 0.5 for i in range(count)],
        "min_confidence": [float("nan") if i == 1 else 0.25 for i in range(count)],
        "valid_share": np.linspace(0.5, 1, count),
        "scene": ["s"] * count,
        "date": ["2023-06-15T10:30:21Z"] * count,
        "model": ["m"] * count,
        "model_sha256": ["ab12"] * count,
    }
    boxes = [shapely.box(500000 + i * 10, 5e6, 500010 + i * 10, 5000010) for i in range(count)]
    return gpd.GeoDataFrame(pd.DataFrame(values).astype(COLUMNS), geometry=np.array(boxes), crs=CRS)


def _write(path: Path, *tables: gpd.GeoDataFrame, **settings: object) -> Path:
    with PolygonWriter(path, CRS, layer="fields", **settings) as writer:
        for table in tables:
            writer.write(table)
    return path


def _read(path: Path) -> gpd.GeoDataFrame:
    if path.suffix == ".parquet":
        return gpd.read_parquet(path)
    # GDAL reads dates of GeoJSON, which has no type for them, as moments unless told otherwise.
    return gpd.read_file(path, **({"DATE_AS_STRING": "YES"} if path.suffix == ".geojson" else {}))


def _left_over(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


@pytest.mark.parametrize("suffix", FORMATS)
def test_what_is_written_is_read_back(tmp_path, suffix):
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    expected = _polygons()
    got = _read(_write(tmp_path / f"f{suffix}", expected[:2], expected[2:]))
    got = got.sort_values("id", ignore_index=True)
    for name in COLUMNS:
        np.testing.assert_array_equal(got[name].to_numpy(), expected[name].to_numpy())
    assert got.crs == ("EPSG:4326" if suffix == ".geojson" else CRS)
    assert got.to_crs(CRS).geom_equals_exact(expected, 0.05).all()
    assert set(got.geom_type) == {"Polygon"}
    assert _left_over(tmp_path) == [f"f{suffix}"]


@pytest.mark.parametrize("suffix", FORMATS)
def test_the_longest_name_is_written_and_a_longer_one_refused(tmp_path, suffix):
    stem = "é" * ((MAX_NAME_BYTES - len(suffix)) // 2)
    path = _write(tmp_path / f"{stem}{suffix}", _polygons())
    assert _left_over(tmp_path) == [path.name]
    for longer in ("éé", "é" * 100):
        with pytest.raises(OutputError, match="choose one of"):
            _write(tmp_path / f"{stem}{longer}{suffix}", _polygons())
    with pytest.raises(OutputError, match="too long for any file system"):
        _write(tmp_path / ("f" * 256) / f"f{suffix}", _polygons())


@pytest.mark.parametrize("suffix", [".gpkg", ".fgb", ".parquet"])
def test_an_empty_layer_has_the_schema_and_the_crs(tmp_path, suffix):
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    got = _read(_write(tmp_path / f"f{suffix}"))
    assert len(got) == 0
    assert [c for c in got.columns if c != "geometry"] == list(COLUMNS)
    assert got.crs == CRS


def test_an_empty_geojson_is_a_feature_collection(tmp_path):
    assert len(_read(_write(tmp_path / "f.geojson"))) == 0


def test_geopackage_has_index_types_and_metadata(tmp_path):
    path = _write(tmp_path / "f.gpkg", _polygons(), metadata={"model": "m"}, instances=False)
    info = pyogrio.read_info(path, layer="fields")
    assert info["geometry_type"] == "Polygon"
    assert info["layer_metadata"] == {"model": "m", "task": "classes"}
    kinds = ["OFTInteger64", "OFTString", "OFTInteger64", *["OFTReal"] * 5, *["OFTString"] * 4]
    assert info["ogr_types"] == kinds
    with sqlite3.connect(path) as database:
        (count,) = database.execute("select count(*) from rtree_fields_geom").fetchone()
        (extension,) = database.execute("select extension_name from gpkg_extensions").fetchone()
    database.close()
    assert (count, extension) == (3, "gpkg_rtree_index")


def test_bytes_do_not_depend_on_how_polygons_were_fed(tmp_path):
    polygons = _polygons(50)
    one = _write(tmp_path / "one.gpkg", polygons)
    pieces = [polygons[i : i + 7] for i in range(0, 50, 7)]
    many = _write(tmp_path / "many.gpkg", polygons[:0], *pieces)
    assert one.read_bytes() == many.read_bytes()


def test_files_written_together_do_not_tell_the_time(tmp_path):
    before = pyogrio.get_gdal_config_option("OGR_CURRENT_DATE")
    names = ["a.gpkg", "b.gpkg", "c.gpkg"]
    with ExitStack() as stack:
        for name in names:
            writer = PolygonWriter(tmp_path / name, CRS, layer="fields")
            stack.enter_context(writer).write(_polygons())
    assert len({(tmp_path / name).read_bytes() for name in names}) == 1
    with closing(sqlite3.connect(tmp_path / "c.gpkg")) as database:
        changes = database.execute("SELECT last_change FROM gpkg_contents").fetchall()
    assert set(changes) == {("1970-01-01T00:00:00.000Z",)}
    assert pyogrio.get_gdal_config_option("OGR_CURRENT_DATE") == before


@pytest.mark.parametrize("suffix", [".gpkg", ".fgb"])
def test_nothing_is_left_when_the_work_fails(tmp_path, suffix):
    def work() -> None:
        with PolygonWriter(tmp_path / f"f{suffix}", CRS, layer="fields") as writer:
            writer.write(_polygons())
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        work()
    assert _left_over(tmp_path) == []


@pytest.mark.parametrize("suffix", [".gpkg", ".fgb", ".geojson"])
def test_nothing_is_left_by_an_interrupt_while_the_thread_begins(tmp_path, monkeypatch, suffix):
    """It comes where one is most likely: where a thread that started another waits for it."""
    begin, wait = threading.Thread._bootstrap_inner, threading.Event.wait
    begun, interrupts = [], []

    def late(thread):
        begun.append(thread)
        time.sleep(0.2)
        begin(thread)

    def interrupted(event, timeout=None):
        if timeout is None and not interrupts:
            interrupts.append(event)
            raise KeyboardInterrupt
        return wait(event, timeout)

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "_bootstrap_inner", late)
        patched.setattr(threading.Event, "wait", interrupted)
        with (
            pytest.raises(KeyboardInterrupt),
            PolygonWriter(tmp_path / f"a{suffix}", "EPSG:32631", layer="a"),
        ):
            pass
        while not begun:
            time.sleep(0.01)
        for thread in begun:
            wait(thread._started)
            thread.join()
    assert list(tmp_path.iterdir()) == []


def test_the_old_file_stays_when_the_work_fails(tmp_path):
    path = tmp_path / "f.gpkg"
    path.write_text("old")
    with pytest.raises(RuntimeError), PolygonWriter(path, CRS, layer="fields", overwrite=True):
        raise RuntimeError("stop")
    assert path.read_text() == "old"


def test_overwriting_replaces_the_file(tmp_path):
    path = _write(tmp_path / "f.gpkg", _polygons(5))
    _write(path, _polygons(2), overwrite=True)
    assert len(_read(path)) == 2


def test_a_folder_that_disappears_is_one_clear_error(tmp_path):
    folder = tmp_path / "gone"
    folder.mkdir()
    writer = PolygonWriter(folder / "f.gpkg", CRS, layer="fields")
    folder.rmdir()
    with pytest.raises(OutputError, match=r"f\.gpkg could not be written"), writer:
        writer.write(_polygons())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("there.gpkg", "exists already.*--overwrite"),
        ("missing/f.gpkg", "does not exist"),
        ("f.shp", "polygons are written as"),
        ("folder.gpkg", "is a folder"),
    ],
)
def test_targets_that_cannot_work_are_refused_at_once(tmp_path, name, message):
    (tmp_path / "there.gpkg").touch()
    (tmp_path / "folder.gpkg").mkdir()
    with pytest.raises(OutputError, match=message):
        PolygonWriter(tmp_path / name, CRS, layer="fields")


@pytest.mark.parametrize("layer", ["gpkg_x", "GPKG", "layer_styles", "Layer_Styles", "sqlite_x"])
@pytest.mark.parametrize("append", [False, True])
def test_names_that_geopackages_keep_are_refused_at_once(tmp_path, layer, append):
    with pytest.raises(OutputError, match=f"cannot have a layer '{layer}'.*choose another$"):
        PolygonWriter(tmp_path / "f.gpkg", CRS, layer=layer, append=append)
    PolygonWriter(tmp_path / "f.fgb", CRS, layer=layer)


def test_geojson_of_another_body_is_refused(tmp_path: Path) -> None:
    moon = "+proj=longlat +R=1737400 +type=crs"
    with pytest.raises(OutputError, match=r"f\.geojson cannot be GeoJSON, .* write a \.gpkg"):
        PolygonWriter(tmp_path / "f.geojson", moon, layer="fields")
    with PolygonWriter(tmp_path / "f.gpkg", moon, layer="fields") as writer:
        writer.write(_polygons())
    assert pyogrio.read_info(tmp_path / "f.gpkg")["features"] == 3


def test_a_place_outside_of_the_projection_is_not_blamed_on_the_disk(tmp_path):
    polygons = _polygons()
    polygons.geometry = shapely.transform(polygons.geometry.array, lambda xy: xy + 5e6)
    geostationary = "+proj=geos +h=35785831 +type=crs"
    with (
        pytest.raises(OutputError, match=r"could not be written \(.*\)$"),
        PolygonWriter(tmp_path / "f.geojson", geostationary, layer="fields") as writer,
    ):
        writer.write(polygons.set_crs(geostationary, allow_override=True))
    assert _left_over(tmp_path) == []


FILL = """
import resource, signal, sys
import geopandas as gpd
from geoconvlora.errors import OutputError
from geoconvlora.vector import PolygonWriter

polygons = gpd.read_parquet(sys.argv[1])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
for path in sys.argv[2:]:
    try:
        with PolygonWriter(path, "EPSG:32631", layer="fields") as writer:
            writer.write(polygons)
    except OutputError as error:
        assert str(error).endswith("is the disk full or the folder gone?"), error
    else:
        raise SystemExit(f"{path} was written")
"""


def test_no_room_is_said_of_every_format(tmp_path):
    source = _write(tmp_path / "source.parquet", _polygons(5000))
    files = [tmp_path / f"f{suffix}" for suffix in FORMATS]
    code = [sys.executable, "-c", FILL, source, *files]
    done = subprocess.run(code, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert _left_over(tmp_path) == ["source.parquet"]
