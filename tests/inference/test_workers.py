"""Each worker is a process that imports torch, so these tests share their runs."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import numpy as np
import pytest
from networks import Dying, Failing, convolution

from geoconvlora.errors import SceneError, WorkerError
from geoconvlora.inference import predict, workers


def outputs(folder: Path) -> dict[str, object]:
    return {
        "out": [folder / "c.tif", folder / "c.gpkg"],
        "probs": folder / "p.tif",
        "uncertainty": folder / "u.tif",
    }


@pytest.mark.slow
def test_workers_change_no_byte_and_one_that_is_killed_is_replaced(
    make_model, write_scene, patchwork, tmp_path
) -> None:
    scene = write_scene(np.where(patchwork > 240, 0, patchwork), nodata=0)
    one, two, flag = tmp_path / "one", tmp_path / "two", tmp_path / "flag"
    one.mkdir(), two.mkdir()
    predict(scene, **outputs(one), model=make_model(Dying(convolution(), flag)))
    flag.touch()
    predict(scene, **outputs(two), model=make_model(Dying(convolution(), flag)), workers=2)
    assert not flag.exists()
    for path in one.iterdir():
        assert (two / path.name).read_bytes() == path.read_bytes()
    assert len(list(two.iterdir())) == 4
    assert multiprocessing.active_children() == []


@pytest.mark.slow
def test_workers_that_die_again_and_again_are_one_error(
    make_model, write_scene, patchwork, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(workers, "_TRIES", 1)
    flag = tmp_path / "flag"
    flag.touch()
    model = make_model(Dying(convolution(), flag, again=True))
    with pytest.raises(WorkerError, match=r"died 1 times .*exit code -9"):
        predict(write_scene(patchwork), tmp_path / "c.tif", model=model, workers=2)
    assert {path.name for path in tmp_path.iterdir()} == {"scene.tif", "flag"}
    assert multiprocessing.active_children() == []


@pytest.mark.slow
def test_what_a_worker_meets_is_raised_here(make_model, write_scene, patchwork, tmp_path) -> None:
    model = make_model(Failing(convolution(), 1, SceneError))
    with pytest.raises(SceneError, match="as asked for"):
        predict(write_scene(patchwork), tmp_path / "c.tif", model=model, workers=2)
    assert {path.name for path in tmp_path.iterdir()} == {"scene.tif"}
