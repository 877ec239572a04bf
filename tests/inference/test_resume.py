from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from networks import Failing, convolution

from geoconvlora.errors import ConfigError, OutputError
from geoconvlora.inference import predict
from geoconvlora.inference.spool import folder_of

FOLDERS = (Path(__file__).parent, *Path(__file__).parents[1:3])


def outputs(folder: Path) -> dict[str, object]:
    return {
        "out": [folder / "c.tif", folder / "c.gpkg"],
        "probs": folder / "p.tif",
        "uncertainty": folder / "u.tif",
    }


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file() and p.suffix != ".md"}


@pytest.fixture
def broken(make_model, write_scene, patchwork, tmp_path):
    """A run that failed at its sixth batch of eight: scene, folder, what it should have written."""
    scene = write_scene(np.where(patchwork > 240, 0, patchwork), nodata=0)
    folder, whole = tmp_path / "out", tmp_path / "whole"
    folder.mkdir(), whole.mkdir()
    predict(scene, **outputs(whole), model=make_model(convolution()))
    network = Failing(convolution(), 5, ValueError)
    with pytest.raises(ValueError, match="as asked for"):
        predict(scene, **outputs(folder), model=make_model(network), resume=True)
    return scene, folder, contents(whole)


def resumed(make_model, scene: Path, folder: Path, **options: object) -> int:
    network = Failing(convolution(), 1000, ValueError)
    predict(scene, **outputs(folder), model=make_model(network), resume=True, **options)
    return 1000 - network.calls


@pytest.mark.parametrize("band_rows", [None, 7])
def test_resumed_run_has_the_same_bytes_and_maps_nothing_twice(
    make_model, broken, band_rows
) -> None:
    scene, folder, whole = broken
    assert len(list(folder.glob(".c.gpkg.run/*.strip"))) == 2
    assert resumed(make_model, scene, folder, band_rows=band_rows) == 2 * 2
    assert contents(folder) == whole
    assert {p.name for p in folder.iterdir()} == whole.keys()


def test_without_resume_or_overwrite_an_unfinished_run_is_refused(make_model, broken) -> None:
    scene, folder, _ = broken
    with pytest.raises(OutputError, match=r"an unfinished run .* --resume, or .* --overwrite"):
        predict(scene, **outputs(folder), model=make_model(convolution()))
    assert [p.name for p in folder.iterdir()] == [".c.gpkg.run"]


def test_overwrite_starts_again(make_model, broken) -> None:
    scene, folder, whole = broken
    model = make_model(convolution())
    predict(scene, **outputs(folder), model=model, overwrite=True, tta="flips")
    predict(scene, **outputs(folder), model=model, overwrite=True)
    assert contents(folder) == whole
    assert {p.name for p in folder.iterdir()} == whole.keys()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"tile_size": 64}, "tile size was 32, is 64"),
        ({"overlap": 4}, "overlap was 8, is 4"),
        ({"batch_size": 1}, "batch size was 4, is 1"),
        ({"blend": "linear"}, "blend was cosine, is linear"),
        ({"tta": "flips"}, "test-time augmentation was none, is flips"),
        ({"nodata": 7}, r"nodata was 0.*, is 7"),
        ({"bands": (3, 2, 1)}, "bands was 1,2,3, is 3,2,1"),
        ({"bounds": (600_000, 5_599_500, 600_500, 5_600_000)}, "area was whole scene"),
        ({"probs_dtype": "uint8"}, "probabilities was float32, is uint8"),
    ],
)
def test_other_options_are_refused_with_what_changed(make_model, broken, changes, says) -> None:
    scene, folder, _ = broken
    network = Failing(convolution(), 1000, ValueError)
    with pytest.raises(ConfigError, match=rf"cannot be resumed.*{says}"):
        predict(scene, **outputs(folder), model=make_model(network), resume=True, **changes)
    assert network.calls == 1000
    assert list(folder.glob(".c.gpkg.run/*.strip"))


def test_changed_scene_is_refused(make_model, broken, write_scene, patchwork) -> None:
    scene, folder, _ = broken
    os.utime(scene, ns=(0, 0))
    with pytest.raises(ConfigError, match=r"scene was scene.tif \d+ \d+, is scene.tif \d+ 0"):
        resumed(make_model, scene, folder)


def test_other_weights_are_refused(make_model, broken) -> None:
    scene, folder, _ = broken
    network = Failing(convolution(), 1000, ValueError)
    network.network[0].bias.data += 1
    with pytest.raises(ConfigError, match="model was pointwise"):
        predict(scene, **outputs(folder), model=make_model(network), resume=True)


def test_strips_without_their_manifest_are_not_trusted(make_model, broken) -> None:
    scene, folder, whole = broken
    (folder_of(folder / "c.gpkg") / "manifest.json").unlink()
    assert resumed(make_model, scene, folder) == 8
    assert contents(folder) == whole


def test_resume_begins_where_nothing_was_begun(
    make_model, write_scene, patchwork, tmp_path
) -> None:
    scene = write_scene(patchwork)
    predict(scene, tmp_path / "c.tif", model=make_model(), resume=True)
    assert {p.name for p in tmp_path.iterdir()} == {"scene.tif", "c.tif"}


def test_resume_does_not_replace_a_finished_output(
    make_model, write_scene, patchwork, tmp_path
) -> None:
    (tmp_path / "c.tif").write_text("mine")
    with pytest.raises(OutputError, match="exists"):
        predict(write_scene(patchwork), tmp_path / "c.tif", model=make_model(), resume=True)
    assert (tmp_path / "c.tif").read_text() == "mine"


def test_two_runs_to_one_output_do_not_meet(make_model, write_scene, patchwork, tmp_path) -> None:
    scene = write_scene(patchwork)

    class Second(Failing):
        def forward(self, images):
            with pytest.raises(OutputError, match="being written by another run"):
                predict(scene, tmp_path / "c.tif", model=make_model(), overwrite=True)
            return super().forward(images)

    predict(scene, tmp_path / "c.tif", model=make_model(Second(convolution(), 1000, ValueError)))
    assert {p.name for p in tmp_path.iterdir()} == {"scene.tif", "c.tif"}


@pytest.mark.parametrize("resume", [False, True])
def test_output_folder_removed_meanwhile_is_one_error(
    make_model, write_scene, patchwork, tmp_path, resume
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()

    class Removing(Failing):
        def forward(self, images):
            shutil.rmtree(folder, ignore_errors=True)
            return super().forward(images)

    model = make_model(Removing(convolution(), 1000, ValueError))
    with pytest.raises(OutputError, match="is the disk full or the folder gone"):
        predict(write_scene(patchwork), **outputs(folder), model=model, resume=resume)
    assert not folder.exists()


def test_damaged_strip_is_one_error(make_model, broken) -> None:
    scene, folder, _ = broken
    strip = folder_of(folder / "c.gpkg") / "000001.strip"
    strip.write_bytes(strip.read_bytes()[:-5])
    with pytest.raises(OutputError, match=r"000001.strip is gone or damaged"):
        resumed(make_model, scene, folder)


@pytest.mark.slow
def test_killed_at_random_moments_and_resumed_gives_the_same_bytes(
    write_scene, patchwork, tmp_path
) -> None:
    """GEOCONVLORA_KILLS says how many times; each is a kill -9 and a run that goes on from it."""
    write_scene(np.where(patchwork > 240, 0, patchwork), nodata=0)
    done = subprocess.run(
        [
            sys.executable,
            Path(__file__).parent / "kills.py",
            tmp_path,
            os.environ.get("GEOCONVLORA_KILLS", "5"),
        ],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, FOLDERS))},
    )
    assert done.returncode == 0, done.stderr
    reports = [json.loads(line) for line in done.stdout.splitlines()]
    assert all(report["same"] and not report["left"] for report in reports), done.stdout
    for report in reports:
        batches_of_a_row = 2
        again = report["whole_calls"] - batches_of_a_row * report["strips"]
        assert report["calls"] <= again
