"""Scenes from a server on this computer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio
from raster_server import Server, broken_off, serving, silent, sometimes, unavailable
from rasterio.transform import Affine

from geoconvlora.errors import SceneError
from geoconvlora.scenes import Window, open_scene
from geoconvlora.scenes.inputs import raster_names
from geoconvlora.scenes.remote import gdal_name, is_remote

SIDE = 1024
VALUES = np.random.default_rng(0).integers(1, 250, (3, SIDE, SIDE), dtype=np.uint8)
EVER = range(10_000)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("served")
    with rasterio.open(
        path / "scene.tif",
        "w",
        driver="COG",
        count=3,
        height=SIDE,
        width=SIDE,
        dtype="uint8",
        crs="EPSG:32631",
        transform=Affine(10, 0, 600_000, 0, -10, 5_600_000),
        blocksize=256,
    ) as dataset:
        dataset.write(VALUES)
    return path


@pytest.fixture
def server(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("GDAL_HTTP_TIMEOUT", "1")
    monkeypatch.setenv("GDAL_HTTP_RETRY_DELAY", "0.05")
    with serving(folder) as running:
        yield running


def read_all(url: str) -> np.ndarray:
    with open_scene(url) as scene:
        bands = [scene.read(Window(row, 0, 256, SIDE)).values for row in range(0, SIDE, 256)]
    return np.concatenate(bands, axis=1)


def test_scene_takes_few_requests_and_none_for_files_beside_it(server: Server) -> None:
    np.testing.assert_array_equal(read_all(server.url("scene.tif")), VALUES)
    assert len(server.requests) <= 5
    assert {request.split()[1] for request in server.requests} == {"scene.tif"}


@pytest.mark.parametrize(
    "fault",
    [
        sometimes(unavailable, range(1, 3)),
        sometimes(unavailable, {3, 4}),
        sometimes(broken_off, {2}),
        sometimes(broken_off, {3}),
        sometimes(silent, {3}),
    ],
    ids=["503 on opening", "503 on reading", "cut header", "cut body", "no answer"],
)
def test_fault_that_passes_changes_nothing(server: Server, fault) -> None:
    server.fault = fault
    np.testing.assert_array_equal(read_all(server.url("scene.tif")), VALUES)


@pytest.mark.parametrize(
    "fault",
    [unavailable, silent, sometimes(broken_off, EVER[3:]), sometimes(silent, EVER[3:])],
    ids=["503", "no answer", "cut bodies", "no more answers"],
)
def test_fault_that_stays_is_one_error_that_names_the_scene(
    server: Server, fault, monkeypatch
) -> None:
    monkeypatch.setenv("GDAL_HTTP_MAX_RETRY", "1")
    monkeypatch.setenv("GDAL_HTTP_TIMEOUT", "0.3")
    server.fault = fault
    with pytest.raises(SceneError, match=r"http://127.*scene\.tif cannot be .*server does not"):
        read_all(server.url("scene.tif"))


def test_missing_scene_is_refused(server: Server) -> None:
    with pytest.raises(SceneError, match=r"none\.tif cannot be opened"):
        open_scene(server.url("none.tif"))


def test_item_goes_to_the_network_only_when_told_to(server: Server, tmp_path: Path) -> None:
    asset = {"href": server.url("scene.tif"), "roles": ["data"]}
    item = tmp_path / "item.json"
    item.write_text(json.dumps({"type": "Feature", "id": "i", "assets": {"all": asset}}))
    with pytest.raises(SceneError, match="is on the network"):
        open_scene(item)
    assert server.requests == []
    (name,) = raster_names([f"stac+remote:{item}"])
    with open_scene(name) as scene:
        np.testing.assert_array_equal(scene.read(Window(0, 0, 9, 9)).values, VALUES[:, :9, :9])


def test_names_of_the_network_are_told_from_files() -> None:
    assert gdal_name("s3://bucket/a.tif") == "/vsis3/bucket/a.tif"
    assert gdal_name("https://h/a.tif?b=c") == "/vsicurl/https://h/a.tif?b=c"
    assert [is_remote(name) for name in ("/vsizip/a.zip", "C:/a.tif", "NETCDF:a.nc:b")] == [
        *(False, False, False)
    ]
    assert is_remote("/vsis3/bucket/a.tif")
