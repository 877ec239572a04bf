from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pyproj
import pytest
import shapely
from affine import Affine

from geoconvlora import explore
from geoconvlora.errors import ConfigError
from geoconvlora.explore.interactive import _small_upright

pytest.importorskip("bokeh", reason="Bokeh is not installed: pip install 'geoconvlora[notebooks]'")


@pytest.fixture
def fields() -> gpd.GeoDataFrame:
    hole = shapely.box(500_150, 4_999_750, 500_180, 4_999_780)
    shapes = [
        shapely.box(500_100, 4_999_700, 500_300, 4_999_900) - hole,
        shapely.MultiPolygon(
            [shapely.box(500_400, 4_999_700, 500_450, 4_999_750),
             shapely.box(500_500, 4_999_700, 500_550, 4_999_750)]
        ),
    ]  # fmt: skip
    return gpd.GeoDataFrame(
        {"class": ["field", "<b>"], "area_m2": [39_100.0, np.nan]}, geometry=shapes, crs=32631
    )


def source_of(made: explore.InteractiveMap) -> Any:
    from bokeh.models import ColumnDataSource

    return next(
        each for each in made.layout.references()
        if isinstance(each, ColumnDataSource) and "xs_" in each.data
    )  # fmt: skip


def test_page_has_everything_in_itself(
    scene_file: Path, class_file: Path, fields: gpd.GeoDataFrame, tmp_path: Path
) -> None:
    made = explore.interactive_map(scene_file, class_file, polygons=fields)
    page = made.save(tmp_path / "map.html").read_text(encoding="utf-8")
    assert "data:image/webp;base64," in page
    assert not re.search(r"<(script|link)[^>]+(src|href)=", page)
    for layer in ("scene", "classes", "polygons"):
        assert f"opacity of {layer}" in page
    assert [file.name for file in tmp_path.glob("*.html*")] == ["map.html"]
    assert "srcdoc=" in made._repr_html_()


def test_polygons_lie_in_metres_from_the_corner_with_holes_and_parts(
    scene_file: Path, fields: gpd.GeoDataFrame
) -> None:
    data = source_of(explore.interactive_map(scene_file, polygons=fields.to_crs(4326))).data
    assert len(data["xs_"]) == 3
    (outer, hole) = data["xs_"][0][0]
    assert (min(outer), max(outer)) == pytest.approx((100, 300), abs=0.2)
    assert (min(hole), max(hole)) == pytest.approx((150, 180), abs=0.2)
    assert data["class"] == ["field", "<b>", "<b>"]
    assert data["area_m2"] == ["39,100.0", "-", "-"]


def test_rasters_of_other_crss_are_warped(class_file: Path, write_raster: Any) -> None:
    lon_lat = Affine(0.0002, 0, 2.999, 0, -0.0002, 45.156)
    values = np.full((3, 40, 60), 9, np.uint8)
    values[:, :20] = 200
    scene = write_raster("lonlat.tif", values, crs="EPSG:4326", transform=lon_lat)
    there = explore.open_classes(class_file).classes
    upright = _small_upright(explore.open_scene(scene).scene, there.odc.geobox.crs, 100)
    assert upright.odc.geobox.crs.epsg == 32631
    assert upright.band.values.tolist() == explore.open_scene(scene).band.values.tolist()
    to_lon_lat = pyproj.Transformer.from_crs(32631, 4326, always_xy=True)
    for y in (5, 25):
        x, _ = pyproj.Transformer.from_crs(4326, 32631, always_xy=True).transform(3.005, 45.15)
        north = float(upright.y[y])
        column, row = ~lon_lat @ to_lon_lat.transform(x, north)
        near = upright.sel(y=north, x=x, method="nearest").values
        assert near.tolist() == values[:, int(row), int(column)].tolist()
    page = explore.interactive_map(classes=class_file, scene=scene)
    assert page.layout is not None


def test_without_rasters_polygons_are_the_map(fields: gpd.GeoDataFrame) -> None:
    data = source_of(explore.interactive_map(polygons=fields)).data
    assert min(map(min, data["xs_"][0][0])) == 0


def test_too_many_polygons_are_said_to_be_left_out(
    fields: gpd.GeoDataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    from geoconvlora.explore import interactive

    monkeypatch.setattr(interactive, "_MOST_POLYGONS", 1)
    made = explore.interactive_map(polygons=fields)
    assert made.reduced == ("polygons to the 1 largest of 2",)
    assert source_of(made).data["class"] == ["field"]


def test_nothing_to_draw_is_refused() -> None:
    with pytest.raises(ConfigError, match="wants a scene, classes, probabilities or polygons"):
        explore.interactive_map()


def test_missing_bokeh_is_named_with_the_way_to_get_it(
    fields: gpd.GeoDataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "bokeh.layouts", None)
    with pytest.raises(ConfigError, match=r"pip install 'geoconvlora\[notebooks\]'"):
        explore.interactive_map(polygons=fields)
