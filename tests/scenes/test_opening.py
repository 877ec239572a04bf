from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.control import GroundControlPoint
from rasterio.transform import Affine

from geoconvlora.errors import SceneError
from geoconvlora.scenes import Window, open_scene
from geoconvlora.scenes.report import describe_scene

RAMP = np.arange(3 * 20 * 30, dtype=np.uint8).reshape(3, 20, 30)


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SceneError, match=r"no\.tif does not exist"):
        open_scene(tmp_path / "no.tif")


def test_empty_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "empty.tif"
    path.touch()
    with pytest.raises(SceneError, match="is empty"):
        open_scene(path)


@pytest.mark.parametrize("content", [b"id,x\n1,2\n", b"II*\x00" + b"\xff" * 60])
def test_file_that_is_no_raster_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "table.tif"
    path.write_bytes(content)
    with pytest.raises(SceneError, match="cannot be opened as a raster"):
        open_scene(path)


def test_truncated_file_names_itself_and_the_window(write_raster) -> None:
    path = write_raster(np.random.default_rng(0).integers(0, 255, (3, 200, 300), dtype=np.uint8))
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    with (
        open_scene(path) as scene,
        pytest.raises(SceneError, match=r"scene.tif cannot be read at rows 150 to 199"),
    ):
        scene.read(Window(150, 0, 60, 300))


def test_raster_without_crs_is_refused_with_the_mend(write_raster) -> None:
    with pytest.raises(SceneError, match="has no CRS: georeference it first"):
        open_scene(write_raster(RAMP, crs=None))


def test_raster_with_crs_but_no_geotransform_is_refused(write_raster) -> None:
    with (
        pytest.warns(rasterio.errors.NotGeoreferencedWarning),
        pytest.raises(SceneError, match="no usable geotransform"),
    ):
        open_scene(write_raster(RAMP, transform=Affine.identity()))


def test_ground_control_points_alone_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "gcps.tif"
    points = [GroundControlPoint(r, c, c * 10.0, -r * 10.0) for r, c in [(0, 0), (0, 9), (9, 0)]]
    with pytest.warns(rasterio.errors.NotGeoreferencedWarning):
        dataset = rasterio.open(
            path, "w", driver="GTiff", height=20, width=30, count=1, dtype="uint8"
        )
    with dataset:
        dataset.gcps = (points, "EPSG:32631")
        dataset.write(RAMP[:1])
    with pytest.raises(SceneError, match="ground control points only; warp it"):
        open_scene(path)


def test_local_coordinate_system_is_refused(write_raster) -> None:
    local = 'LOCAL_CS["site",UNIT["metre",1],AXIS["x",EAST],AXIS["y",NORTH]]'
    with pytest.raises(SceneError, match="local coordinate system"):
        open_scene(write_raster(RAMP, crs=rasterio.crs.CRS.from_wkt(local)))


def test_complex_numbers_are_refused(write_raster) -> None:
    with pytest.raises(SceneError, match="complex"):
        open_scene(write_raster(RAMP.astype(np.complex64)))


def test_paletted_picture_is_refused(write_raster) -> None:
    path = write_raster(RAMP[:1])
    with rasterio.open(path, "r+") as dataset:
        dataset.write_colormap(1, {0: (255, 0, 0, 255)})
    with pytest.raises(SceneError, match="paletted"):
        open_scene(path, wanted=["red"])


def test_class_raster_with_colours_is_described(write_raster) -> None:
    path = write_raster(RAMP[:1])
    with rasterio.open(path, "r+") as dataset:
        dataset.write_colormap(1, {0: (255, 0, 0, 255)})
    assert describe_scene(str(path)).bands[0].color == "palette"


def test_sparse_file_that_claims_what_it_cannot_hold_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "huge.tif"
    rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=60_000,
        width=60_000,
        count=1,
        dtype="uint8",
        crs="EPSG:32631",
        transform=Affine(10, 0, 0, 0, -10, 0),
        tiled=True,
        blockxsize=8192,
        blockysize=8192,
        sparse_ok=True,
    ).close()
    with pytest.raises(SceneError, match="claims 60000 x 60000 pixels in a file of"):
        open_scene(path)


def test_plain_picture_without_place_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    with pytest.warns(rasterio.errors.NotGeoreferencedWarning):
        dataset = rasterio.open(
            path, "w", driver="PNG", height=20, width=30, count=3, dtype="uint8"
        )
    with dataset:
        dataset.write(RAMP)
    with pytest.raises(SceneError, match="has no CRS"):
        open_scene(path)
