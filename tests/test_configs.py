"""The configurations that come with the project: each parses, and runs where its data is."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from geoconvlora.errors import ModelFileError
from geoconvlora.synthetic import write_sample
from geoconvlora.training.config import TrainConfig
from geoconvlora.training.config_file import load_config
from geoconvlora.training.run import train
from geoconvlora.weights.catalogue import bundled_models

ROOT = Path(__file__).parents[1]
CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))
GOING_ON = {
    "landcover": ("landcover-places.safetensors", "landcover"),
    "fields_two_sizes": ("fields.safetensors", "fields"),
    "fields_lakes": ("fields-mean.safetensors", "fields"),
}
"""Configurations that go on from what another one writes, and the bundled model of its kind."""
SCRIPTS = {
    "fields": [("field_scenes.py", "", "field_scenes", "--field-free")],
    "landcover_places": [
        ("dubai_tiles.py", "landcover_dubai_rgb", "dubai_places", "--side", "4096"),
        ("infrared_labels.py", "", "infrared_tiles"),
    ],
}
"""What lays a configuration's data out: scripts, their sources, what they write, options."""
DATA = ROOT.parent / "shared" / "data" / "train"


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_configuration_parses_and_says_how_it_is_run(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if path.stem in GOING_ON:
        start, bundled = GOING_ON[path.stem]
        with pytest.raises(ModelFileError, match=start):
            load_config(path)
        # The bundled model is of the same network, so it can stand for the start.
        shutil.copy(bundled_models()[bundled], start)
    assert isinstance(load_config(path), TrainConfig)
    assert f"geoconvlora train configs/{path.name}" in path.read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.skipif(not DATA.is_dir(), reason="needs the data beside the checkout")
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", ["fields_sentinel2", "buildings_drone", *SCRIPTS])
def test_job_finds_its_data_and_builds_its_network(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load_config(ROOT / "configs" / f"{name}.yaml")
    if name in SCRIPTS:
        for script, source, out_folder, *options in SCRIPTS[name]:
            path = ROOT / "scripts" / script
            command = [sys.executable, path, DATA / source, out_folder, *options]
            subprocess.run(command, check=True, timeout=200, cwd=tmp_path)
        monkeypatch.chdir(tmp_path)
    else:
        monkeypatch.chdir(ROOT)
    out = tmp_path / "model.safetensors"
    train(config.model_copy(update={"out": out, "num_workers": 0}), dry_run=True)
    assert not out.exists()


def test_example_runs_on_the_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_sample("demo", size=256)
    config = load_config(ROOT / "configs" / "scene_example.yaml")
    train(config.model_copy(update={"num_workers": 0}), dry_run=True)
