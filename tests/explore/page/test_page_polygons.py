from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pyproj
import pytest
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox

from geoconvlora.errors import LabelError
from geoconvlora.explore.page.attributes import as_columns
from geoconvlora.explore.page.grid import PageGrid, Plane
from geoconvlora.explore.page.layers import polygon_colors, polygon_layer
from geoconvlora.explore.page.polygon_file import open_polygons
from geoconvlora.explore.page.polygons import read_polygons, simplified
from geoconvlora.vector import Ruler, polygonize

UTM = pyproj.CRS(32631)
PAGE = Plane(UTM)
SITE = 'LOCAL_CS["site",UNIT["foot",0.3048],AXIS["x",EAST],AXIS["y",NORTH]]'


def squares(count: int, **columns: object) -> gpd.GeoDataFrame:
    """Squares whose sides grow by a metre from 10 m on."""
    boxes = [shapely.box(5e5 + 200 * i, 0, 5e5 + 200 * i + 10 + i, 10 + i) for i in range(count)]
    return gpd.GeoDataFrame({"id": range(count), **columns}, geometry=boxes, crs=UTM)


def written(frame: gpd.GeoDataFrame, path: Path) -> Path:
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_file(path)
    return path


@pytest.mark.parametrize("suffix", [".gpkg", ".fgb", ".parquet", ".shp"])
def test_the_largest_are_kept_and_totals_are_of_all(tmp_path: Path, suffix: str) -> None:
    frame = squares(20, **{"class": ["field", "meadow"] * 10})
    shown = read_polygons(open_polygons(written(frame, tmp_path / f"a{suffix}")), PAGE, limit=5)
    assert shown.attributes["id"].to_pylist() == [19, 18, 17, 16, 15]
    areas = Ruler(UTM).areas(np.asarray(frame.geometry.array))
    assert {total.name: total.count for total in shown.totals} == {"field": 10, "meadow": 10}
    assert sum(t.area_m2 for t in shown.totals) == pytest.approx(areas.sum())
    assert shown.attributes["area_m2"].to_pylist() == pytest.approx(areas[:14:-1])
    (note,) = shown.notes
    assert "the 5 largest of 20 polygons" in note


def test_very_many_classes_are_counted_together(tmp_path: Path) -> None:
    frame = squares(100, **{"class": [f"crop {i}" for i in range(100)]})
    shown = read_polygons(open_polygons(written(frame, tmp_path / "a.parquet")), PAGE, limit=99)
    assert len(shown.totals) == 60
    assert (shown.totals[0].name, shown.totals[-1].name) == ("crop 99", "other classes")
    assert sum(total.count for total in shown.totals) == 100
    grid = PageGrid.around(UTM, shown.bounds, [])
    layer = polygon_layer(shown, grid, polygon_colors(shown, {}, 0))
    assert layer["classes"][:2] == [0, 1]
    assert layer["classes"][-1] == 59


def test_a_column_of_areas_is_believed(tmp_path: Path) -> None:
    frame = squares(3, area_m2=[5.0, 7.0, np.nan])
    shown = read_polygons(open_polygons(written(frame, tmp_path / "a.gpkg")), PAGE, limit=9)
    assert shown.attributes["id"].to_pylist() == [1, 0, 2]
    assert shown.totals[0].area_m2 == 12.0
    assert shown.notes == ()


def test_polygons_come_to_the_crs_of_the_page(tmp_path: Path) -> None:
    frame = squares(4)
    path = written(frame.to_crs(4326), tmp_path / "a.geojson")
    shown = read_polygons(open_polygons(path), PAGE, limit=9)
    ours = sorted(shown.polygons, key=lambda box: box.area)
    assert max(map(shapely.hausdorff_distance, ours, frame.geometry.array)) < 0.01


def test_features_without_area_are_left_out_and_counted(tmp_path: Path) -> None:
    frame = squares(3)
    frame.loc[1, "geometry"] = shapely.Point(0, 0)
    frame.loc[2, "geometry"] = None
    shown = read_polygons(open_polygons(written(frame, tmp_path / "a.parquet")), PAGE, limit=9)
    assert len(shown.polygons) == 1
    assert shown.notes == ("a.parquet: 2 features without area or place are not shown",)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (gpd.GeoDataFrame(geometry=[shapely.Point(0, 0)], crs=UTM), "only polygons can be shown"),
        (gpd.GeoDataFrame(geometry=[shapely.box(0, 0, 1, 1)]), "has no CRS"),
        (squares(0), "holds no polygon"),
    ],
)
@pytest.mark.filterwarnings("ignore:'crs' was not provided")
def test_what_cannot_be_shown_is_refused(
    tmp_path: Path, frame: gpd.GeoDataFrame, message: str
) -> None:
    path = written(frame, tmp_path / "a.gpkg")
    with pytest.raises(LabelError, match=message):
        read_polygons(open_polygons(path), PAGE, limit=9)


def test_a_table_is_no_polygons(tmp_path: Path) -> None:
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(LabelError, match="table without geometries"):
        open_polygons(tmp_path / "a.parquet")


def wavy_neighbours() -> gpd.GeoDataFrame:
    """Two polygons with a common border of 200 vertices that wiggles."""
    y = np.linspace(0, 1000, 200)
    border = np.stack([5e5 + 30 * np.sin(y / 40), y], axis=1)
    left = shapely.Polygon([*border, (4.99e5, 1000), (4.99e5, 0)])
    right = shapely.Polygon([*border, (5.01e5, 1000), (5.01e5, 0)])
    return gpd.GeoDataFrame({"id": [1, 2]}, geometry=[left, right], crs=UTM)


def test_neighbours_stay_neighbours_when_simplified(tmp_path: Path) -> None:
    path = written(wavy_neighbours(), tmp_path / "a.gpkg")
    shown = read_polygons(open_polygons(path), PAGE, limit=9)
    fewer = simplified(shown, pixel=10.0, vertices=200)
    assert fewer.vertices <= 200
    assert shapely.coverage_is_valid(fewer.polygons)
    assert shapely.union_all(fewer.polygons).area == pytest.approx(2e6, rel=0.01)
    (note,) = fewer.notes
    assert "simplified by up to" in note


def test_polygons_go_where_simplifying_is_not_enough(tmp_path: Path) -> None:
    path = written(squares(10), tmp_path / "a.gpkg")
    shown = read_polygons(open_polygons(path), PAGE, limit=9)
    fewer = simplified(shown, pixel=0.1, vertices=25)
    assert len(fewer.polygons) == 5
    assert "the 5 largest of 10" in fewer.notes[0]


def test_columns_are_short_and_say_the_same(tmp_path: Path) -> None:
    frame = squares(4, model="m", share=[1 / 3, None, 2.0, np.inf], kind=["a", "a", None, "a"],
                    long="x" * 999)  # fmt: skip
    path = written(frame, tmp_path / "a.parquet")
    shown = read_polygons(open_polygons(path), PAGE, limit=9)
    columns = {column["name"]: column for column in as_columns(shown.attributes)}
    assert columns["model"]["same"] == "m"
    assert columns["share"]["values"] == [None, 2, None, 0.3333333]
    assert (columns["kind"]["texts"], columns["kind"]["codes"]) == (["a"], [0, -1, 0, 0])
    assert columns["long"]["same"] == "x" * 199 + "…"


def test_geoparquet_of_this_package_is_read(tmp_path: Path) -> None:
    grid = GeoBox((4, 4), Affine(10, 0, 500_000, 0, -10, 5_000_000), "EPSG:32631")
    path = tmp_path / "a.parquet"
    polygonize(np.ones((4, 4), np.uint8), path, geobox=grid)
    shown = read_polygons(open_polygons(path), PAGE, limit=9)
    assert shown.attributes["class"].to_pylist() == ["class_1"]
    assert shown.bounds == (500_000, 4_999_960, 500_040, 5_000_000)


@pytest.mark.parametrize("crs", ["IAU_2015:49900", pyproj.CRS.from_wkt(SITE)], ids=["mars", "site"])
def test_polygons_of_another_world_are_refused(tmp_path: Path, crs: object) -> None:
    frame = squares(2).set_crs(crs, allow_override=True)
    frame.geometry = shapely.transform(frame.geometry.array, lambda xy: xy * 1e-5)
    file = open_polygons(written(frame, tmp_path / "a.parquet"))
    assert len(read_polygons(file, Plane(file.crs), limit=9).polygons) == 2
    with pytest.raises(LabelError, match="no transformation leads to WGS 84 / UTM zone 31N"):
        read_polygons(file, PAGE, limit=9)


def test_a_geopackage_of_no_known_crs_is_refused(tmp_path: Path) -> None:
    path = written(squares(2), tmp_path / "a.gpkg")
    with closing(sqlite3.connect(path)) as database, database:
        for table in ("gpkg_contents", "gpkg_geometry_columns"):
            database.execute(f"UPDATE {table} SET srs_id = -1")
    with pytest.raises(LabelError, match="no transformation leads to WGS 84 / UTM zone 31N"):
        read_polygons(open_polygons(path), PAGE, limit=9)


@pytest.mark.parametrize("suffix", [".gpkg", ".fgb", ".parquet"])
@pytest.mark.parametrize("name", ["geometry", "wkb_geometry"])
def test_an_attribute_may_be_called_as_a_column_of_geometries(
    tmp_path: Path, suffix: str, name: str
) -> None:
    frame = squares(2).rename_geometry("shape")
    frame[name] = ["a", "b"]
    shown = read_polygons(open_polygons(written(frame, tmp_path / f"a{suffix}")), PAGE, limit=9)
    assert shown.attributes[name].to_pylist() == ["b", "a"]
    assert len(shown.polygons) == 2


@pytest.mark.parametrize("suffix", [".gpkg", ".parquet"])
def test_a_column_of_areas_that_holds_no_numbers_is_not_believed(
    tmp_path: Path, suffix: str
) -> None:
    frame = squares(3, area_m2=pd.to_datetime(["2024-05-01"] * 3).date)
    shown = read_polygons(open_polygons(written(frame, tmp_path / f"a{suffix}")), PAGE, limit=9)
    assert shown.attributes["area_m2"].to_pylist() == pytest.approx([144, 121, 100], rel=2e-3)


def test_curves_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('id,WKT\n1,"CURVEPOLYGON (CIRCULARSTRING (0 0, 1 1, 2 0, 1 -1, 0 0))"\n')
    path.with_suffix(".prj").write_text(UTM.to_wkt())
    with pytest.raises(LabelError, match="holds curves: make straight edges of them first"):
        read_polygons(open_polygons(path), PAGE, limit=9)
