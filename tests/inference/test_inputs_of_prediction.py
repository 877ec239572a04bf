"""Scenes that are not one file, through the whole of prediction."""

from __future__ import annotations

import json
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from networks import convolution

from geoconvlora.errors import SceneError
from geoconvlora.inference import predict


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as dataset:
        return dataset.read()


@pytest.fixture
def item(write_scene, patchwork, tmp_path: Path) -> Path:
    """A STAC item with a file for each band."""
    assets = {}
    for name, band in zip(("red", "green", "blue"), patchwork, strict=True):
        write_scene(band[None], name=f"{name}.tif")
        assets[name] = {"href": f"{name}.tif", "roles": ["data"]}
    path = tmp_path / "item.json"
    path.write_text(json.dumps({"type": "Feature", "id": "tile-7", "assets": assets}))
    return path


def test_item_gives_the_map_of_the_same_bands_in_one_file(
    make_model, write_scene, patchwork, item, tmp_path
) -> None:
    scene = write_scene(patchwork, name="together.tif")
    for source, name in ((scene, "a"), (item, "b")):
        outputs = [tmp_path / f"{name}.tif", tmp_path / f"{name}.gpkg"]
        predict(source, outputs, model=make_model(), probs=tmp_path / f"{name}-p.tif")
    for suffix in (".tif", "-p.tif"):
        assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()
    assert set(gpd.read_file(tmp_path / "b.gpkg")["scene"]) == {"item"}


@pytest.mark.slow
def test_item_may_be_mapped_by_several_processes(make_model, item, tmp_path) -> None:
    for workers in (1, 2):
        out = tmp_path / f"{workers}.tif"
        predict(item, out, model=make_model(convolution()), workers=workers, device="cpu")
    assert (tmp_path / "1.tif").read_bytes() == (tmp_path / "2.tif").read_bytes()


def test_collection_of_items_is_several_scenes(make_model, item, tmp_path) -> None:
    one = json.loads(item.read_text())
    features = [{**one, "id": name} for name in ("x", "y")]
    path = tmp_path / "items.json"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    result = predict(path, tmp_path / "c.gpkg", model=make_model())
    assert result.scene == "x,y"
    assert set(gpd.read_file(tmp_path / "c.gpkg")["scene"]) == {"x,y"}


def test_folder_with_one_scene_is_that_scene(make_model, write_scene, patchwork, tmp_path) -> None:
    folder = tmp_path / "scenes"
    folder.mkdir()
    write_scene(patchwork, name="scenes/one.tif")
    result = predict(folder, tmp_path / "c.tif", model=make_model())
    assert result.scene == str(folder / "one.tif")


def test_output_may_not_replace_a_scene_of_a_list(make_model, write_scene, patchwork, tmp_path):
    scene = write_scene(patchwork, name="one.tif")
    before = scene.read_bytes()
    (tmp_path / "list.txt").write_text("one.tif\n")
    with pytest.raises(Exception, match="named twice, as input or output"):
        predict(tmp_path / "list.txt", scene, model=make_model(), overwrite=True)
    assert scene.read_bytes() == before


def test_item_that_leads_elsewhere_is_refused(make_model, tmp_path) -> None:
    path = tmp_path / "item.json"
    asset = {"href": "/etc/hostname", "roles": ["data"]}
    path.write_text(json.dumps({"type": "Feature", "id": "i", "assets": {"a": asset}}))
    with pytest.raises(SceneError, match="outside the folder"):
        predict(path, tmp_path / "c.tif", model=make_model())
