"""A cluster on loopback, whose workers are processes that import torch: the tests share one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
import rasterio
from known_models import make_card
from networks import Dying, Failing, convolution

from geoconvlora import __version__
from geoconvlora.errors import ConfigError, ModelFileError, SceneError, WorkerError
from geoconvlora.inference import predict
from geoconvlora.inference.cluster_rows import NamedModel, PickledModel, hardware_of_worker
from geoconvlora.weights import Model

distributed = pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 1}),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None
        ) as cluster,
    ):
        yield cluster.scheduler_address


def outputs(folder: Path) -> dict[str, Any]:
    folder.mkdir()
    return {
        "out": [folder / "c.tif", folder / "c.gpkg"],
        "probs": folder / "p.tif",
        "uncertainty": folder / "u.tif",
    }


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.slow
def test_cluster_changes_no_byte_and_loses_one_row_with_a_worker(
    address, write_scene, patchwork, tmp_path, monkeypatch
) -> None:
    write_scene(np.where(patchwork > 240, 0, patchwork), nodata=0)
    monkeypatch.chdir(tmp_path)  # workers have another working folder
    flag = tmp_path / "flag"
    model = Model(make_card(), Dying(convolution(), flag))
    predict("scene.tif", **outputs(tmp_path / "here"), model=model)
    flag.touch()
    predict("scene.tif", **outputs(tmp_path / "there"), model=model, dask=address)
    assert not flag.exists()
    here = contents(tmp_path / "here")
    assert contents(tmp_path / "there") == here
    assert len(here) == 4


@pytest.mark.slow
def test_cluster_maps_several_scenes_with_a_bundled_model_to_the_same_bytes(
    address, tmp_path, monkeypatch
) -> None:
    draw = np.random.default_rng(3)
    for number in range(3):
        values = draw.integers(300, 3000, (4, 60, 40), dtype=np.uint16)
        with rasterio.open(
            tmp_path / f"{number}.tif",
            "w",
            driver="GTiff",
            count=4,
            height=60,
            width=40,
            dtype="uint16",
            crs="EPSG:32631",
            transform=rasterio.Affine(10, 0, 6e5 + 300 * number, 0, -10, 5.6e6),
        ) as dataset:
            dataset.write(values)
            for band, name in enumerate(("blue", "green", "red", "nir"), start=1):
                dataset.set_band_description(band, name)
    monkeypatch.chdir(tmp_path)
    scenes, options = ["0.tif", "1.tif", "2.tif"], {"tile_size": 64, "overlap": 16}
    for folder, how in (("here", {}), ("there", {"dask": address})):
        Path(folder).mkdir()
        out = [f"{folder}/c.tif", f"{folder}/c.gpkg"]
        predict(scenes, out, probs=f"{folder}/p.tif", **options, **how)
    assert contents(tmp_path / "there") == contents(tmp_path / "here")


@pytest.mark.slow
def test_what_a_worker_of_a_cluster_meets_is_raised_here(
    address, make_model, write_scene, patchwork, tmp_path
) -> None:
    model = make_model(Failing(convolution(), 1, SceneError))
    with pytest.raises(SceneError, match="as asked for"):
        predict(write_scene(patchwork), tmp_path / "c.tif", model=model, dask=address)
    assert {path.name for path in tmp_path.iterdir()} == {"scene.tif"}


@pytest.mark.slow
def test_workers_of_a_cluster_that_die_again_and_again_are_one_error(
    address, make_model, write_scene, patchwork, tmp_path
) -> None:
    flag = tmp_path / "flag"
    flag.touch()
    model = make_model(Dying(convolution(), flag, again=True))
    with pytest.raises(WorkerError, match="died again and again"):
        predict(write_scene(patchwork), tmp_path / "c.tif", model=model, dask=address)
    assert {path.name for path in tmp_path.iterdir()} == {"scene.tif", "flag"}


def test_address_where_nobody_answers_is_refused(
    make_model, write_scene, patchwork, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr("geoconvlora.inference.cluster._CONNECT_S", 0.5)
    scene = write_scene(patchwork)
    with pytest.raises(ConfigError, match=r"no scheduler answers at tcp://127\.0\.0\.1:9"):
        predict(scene, tmp_path / "c.tif", model=make_model(), dask="tcp://127.0.0.1:9")
    assert list(tmp_path.iterdir()) == [scene]


def test_workers_and_a_cluster_are_not_both_taken(
    make_model, write_scene, patchwork, tmp_path
) -> None:
    with pytest.raises(ConfigError, match="give one of them"):
        predict(
            write_scene(patchwork),
            tmp_path / "c.tif",
            model=make_model(),
            dask="tcp://127.0.0.1:9",
            workers=2,
        )


def test_worker_without_the_folder_or_with_another_version_takes_no_part(tmp_path) -> None:
    token = tmp_path / "token"
    with pytest.raises(ConfigError, match=f"does not see the folder {tmp_path}"):
        hardware_of_worker(token, __version__, "cpu", "32", 0)
    token.touch()
    with pytest.raises(ConfigError, match=r"started with 0\.0\.0: install the same"):
        hardware_of_worker(token, "0.0.0", "cpu", "32", 0)
    assert str(hardware_of_worker(token, __version__, "cpu", "32", 0)) == "cpu"


def test_model_that_is_another_one_on_a_worker_is_refused(tmp_path) -> None:
    with pytest.raises(ModelFileError, match="fields is another model on"):
        NamedModel("fields", None, "fields 0 1").load()
    (tmp_path / "model").write_bytes(b"something")
    with pytest.raises(ModelFileError, match="was changed while"):
        PickledModel(tmp_path / "model", "0").load()
