from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from rasterio.dtypes import dtype_fwd
from rasterio.transform import Affine
from rasterio.vrt import WarpedVRT

from geoconvlora.errors import SceneError
from geoconvlora.scenes import Window, open_scene
from geoconvlora.scenes.inputs import raster_names, short_name
from geoconvlora.scenes.stack import GDAL_TYPES

VALUES = np.arange(4 * 20 * 30, dtype=np.uint8).reshape(4, 20, 30)


def names(*inputs: Path | str) -> list[str]:
    return [Path(name).name for name in raster_names(inputs)]


@pytest.fixture
def folder(write_raster, tmp_path: Path) -> Path:
    """Rasters and other things."""
    for name in ("b.tif", "a.tif", "c.TIFF"):
        write_raster(VALUES, name=name)
    (tmp_path / "notes.csv").write_text("x")
    (tmp_path / ".hidden.tif").write_text("x")
    (tmp_path / "a.tif.aux.xml").write_text("x")
    return tmp_path


def test_folder_stands_for_its_rasters_in_order(folder: Path) -> None:
    assert names(folder) == ["a.tif", "b.tif", "c.TIFF"]


def test_glob_stands_for_what_it_matches(folder: Path, monkeypatch) -> None:
    assert names(folder / "[ab].tif") == ["a.tif", "b.tif"]
    monkeypatch.chdir(folder)
    assert raster_names(["*.tif"]) == [".hidden.tif", "a.tif", "b.tif"]
    with pytest.raises(SceneError, match=r"\*\.png matches no file"):
        raster_names(["*.png"])


def test_file_whose_name_is_a_pattern_is_that_file(write_raster) -> None:
    path = write_raster(VALUES, name="a[1].tif")
    assert raster_names([path]) == [str(path)]


def test_list_names_rasters_beside_it(folder: Path) -> None:
    listing = folder / "list.txt"
    listing.write_text("# two of them\nb.tif\n\n/far/away.tif\nhttps://example.org/x.tif\n")
    assert raster_names([listing]) == [
        *(str(folder / "b.tif"), "/far/away.tif", "https://example.org/x.tif")
    ]
    listing.write_text("# none\n")
    with pytest.raises(SceneError, match="lists no raster"):
        raster_names([listing])


def test_list_may_begin_with_a_byte_order_mark(folder: Path) -> None:
    listing = folder / "list.txt"
    listing.write_text("b.tif\na.tif\n", encoding="utf-8-sig")
    assert names(listing) == ["b.tif", "a.tif"]


def test_other_names_stay_what_they_are() -> None:
    odd = ["no.tif", "s3://bucket/a.tif", "/vsizip/a.zip/b.tif", "NETCDF:a.nc:x"]
    assert raster_names(odd) == odd


def test_names_are_short() -> None:
    assert short_name("https://example.org/scene.tif?key=1") == "scene"
    assert short_name("items.json#S2A_7") == "S2A_7"
    assert short_name("a/b.c.tif") == "b.c"


def write_item(path: Path, assets: dict[str, Any], **more: Any) -> Path:
    item = {"type": "Feature", "stac_version": "1.0.0", "id": path.stem, "assets": assets, **more}
    path.write_text(json.dumps(item))
    return path


def band_asset(href: str, name: str, **more: Any) -> dict[str, Any]:
    return {"href": href, "roles": ["data"], "eo:bands": [{"common_name": name}], **more}


@pytest.fixture
def item(write_raster, tmp_path: Path) -> Path:
    """Three bands of 10 m and one of 20 m, each in a file of its own, and other assets."""
    for band, name in enumerate(("B02", "B03", "B04")):
        write_raster(VALUES[band : band + 1], name=f"{name}.tif", nodata=0)
    coarse = Affine(20, 0, 600_000, 0, -20, 5_600_000)
    write_raster(VALUES[3:, ::2, ::2], name="B05.tif", transform=coarse)
    return write_item(
        tmp_path / "item.json",
        {
            "blue": band_asset("./B02.tif", "blue"),
            "green": band_asset("B03.tif", "green"),
            "red": {"href": "B04.tif", "roles": ["data"], "bands": [{"eo:common_name": "red"}]},
            "edge": band_asset("B05.tif", "rededge"),
            "red-jp2": band_asset("B04.jp2", "red", type="image/jp2") | {"href": "B04.tif"},
            "thumbnail": {"href": "https://example.org/t.png", "roles": ["thumbnail"]},
            "metadata": {"href": "../m.xml", "roles": ["metadata"]},
        },
    )


def test_item_is_a_scene_with_its_assets_as_bands(item: Path) -> None:
    with open_scene(item, wanted=["red", "green", "blue"]) as scene:
        assert scene.name == "item"
        assert scene.band_names == ("red", "green", "blue")
        assert scene.gsd_m == pytest.approx(10, rel=1e-3)
        pixels = scene.read(Window(0, 0, 20, 30))
    expected = VALUES[[2, 1, 0]]
    valid = (expected != 0).all(axis=0)
    np.testing.assert_array_equal(pixels.valid, valid)
    np.testing.assert_array_equal(pixels.values, np.where(valid, expected, 0))


def test_coarser_asset_is_repeated(item: Path) -> None:
    with open_scene(item, wanted=["rededge"]) as scene:
        found = scene.read(Window(0, 0, 20, 30)).values[0]
    np.testing.assert_array_equal(found, VALUES[3, ::2, ::2].repeat(2, axis=0).repeat(2, axis=1))


def test_masks_of_assets_mask(item: Path, write_raster) -> None:
    fine, coarse = np.ones((20, 30), bool), np.ones((10, 15), bool)
    fine[:5] = coarse[:, 10:] = False
    write_raster(VALUES[:1] + 1, name="B02.tif", mask=fine)
    transform = Affine(20, 0, 600_000, 0, -20, 5_600_000)
    write_raster(VALUES[3:, ::2, ::2] + 1, name="B05.tif", mask=coarse, transform=transform)
    repeated = coarse.repeat(2, axis=0).repeat(2, axis=1)
    for wanted, valid in (
        (["blue"], fine),
        (["rededge"], repeated),
        (["blue", "rededge"], fine & repeated),
        (["green"], VALUES[1] != 0),
    ):
        with open_scene(item, wanted=wanted) as scene:
            np.testing.assert_array_equal(scene.read(Window(0, 0, 20, 30)).valid, valid)


def test_assets_may_be_of_every_type_that_rasters_have() -> None:
    real = {name for name in dtype_fwd.values() if name and "complex" not in name}
    assert real | {"float16"} <= set(GDAL_TYPES)


def test_asset_of_another_place_is_left_out(item: Path, write_raster) -> None:
    write_raster(VALUES[3:], name="B05.tif", transform=Affine(10, 0, 0, 0, -10, 0))
    with pytest.warns(UserWarning, match="'edge' lies elsewhere"):
        scene = open_scene(item)
    with scene:
        assert "rededge" not in scene.band_names


def test_item_with_one_raster_is_that_raster(write_raster, tmp_path: Path) -> None:
    mask = np.ones((20, 30), bool)
    mask[:5] = False
    write_raster(VALUES[:3], mask=mask, descriptions=("red", "green", "blue"))
    path = write_item(
        tmp_path / "i.json",
        {"image": {"href": "scene.tif", "type": "image/tiff; application=geotiff"}},
    )
    with open_scene(path, wanted=["red", "green", "blue"]) as scene:
        np.testing.assert_array_equal(scene.read(Window(0, 0, 20, 30)).valid, mask)


def test_collection_and_catalogue_stand_for_their_items(item: Path, tmp_path: Path) -> None:
    feature = json.loads(item.read_text())
    collection = tmp_path / "items.json"
    features = [{**feature, "id": name} for name in ("x", "y")]
    collection.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    found = raster_names([collection])
    assert [short_name(name) for name in found] == ["x", "y"]
    with open_scene(found[1], wanted=["red", "green", "blue"]) as scene:
        assert scene.name == "y"

    child = {"type": "Catalog", "links": [{"rel": "item", "href": "item.json"}]}
    (tmp_path / "child.json").write_text(
        json.dumps({**child, "links": [*child["links"], {"rel": "child", "href": "root.json"}]})
    )
    (tmp_path / "root.json").write_text(
        json.dumps({"type": "Catalog", "links": [{"rel": "child", "href": "./child.json"}]})
    )
    assert names(tmp_path / "root.json") == ["item.json"]


@pytest.mark.parametrize(
    ("href", "says"),
    [
        ("../outside.tif", "outside the folder"),
        ("{outside}", "outside the folder"),
        ("link.tif", "outside the folder"),
        ("file:///etc/passwd", "outside the folder"),
        ("/vsicurl/https://example.org/a.tif", "outside the folder"),
        ("https://example.org/a.tif", "stac\\+remote:"),
        ("s3://bucket/a.tif", "stac\\+remote:"),
        ("none.tif", "does not exist"),
        (7, "has no href"),
    ],
)
def test_asset_that_leads_elsewhere_is_refused(tmp_path: Path, write_raster, href, says) -> None:
    outside = write_raster(VALUES[:1], name="outside.tif")
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "link.tif").symlink_to(outside)
    if isinstance(href, str):
        href = href.format(outside=outside)
    path = write_item(inner / "item.json", {"a": {"href": href, "roles": ["data"]}})
    with pytest.raises(SceneError, match=says):
        open_scene(path)


@pytest.mark.parametrize(
    "content",
    [
        '{"type": "Feature", "assets"',
        "[1, 2]",
        '{"type": "FeatureCollection", "features": []}',
        '{"type": "FeatureCollection", "features": [{"type": "Feature", "geometry": null}]}',
        '{"type": "Catalog", "links": [{"rel": "child", "href": "../up.json"}]}',
        '{"type": "Catalog", "links": [{"rel": "child"}]}',
        '{"type": "Topology"}',
        "[" * 100_000,
        "\x00",
    ],
)
def test_json_that_holds_no_scene_is_refused(tmp_path: Path, content) -> None:
    path = tmp_path / "odd.json"
    path.write_text(content)
    with pytest.raises(SceneError, match=r"odd\.json"):
        raster_names([path])


def test_vrt_is_a_raster(write_raster, tmp_path: Path) -> None:
    source = write_raster(VALUES[:3])
    with rasterio.open(source) as dataset, WarpedVRT(dataset) as vrt:
        rasterio.shutil.copy(vrt, tmp_path / "scene.vrt", driver="VRT")
    assert names(tmp_path) == ["scene.tif", "scene.vrt"]
    with open_scene(tmp_path / "scene.vrt") as scene:
        np.testing.assert_array_equal(scene.read(Window(0, 0, 20, 30)).values, VALUES[:3])
