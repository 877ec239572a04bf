from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from cli_inputs import ROOT, make_card, write_card, write_scene
from rasterio.transform import Affine
from typer.testing import CliRunner

from geoconvlora.adapters import attach
from geoconvlora.cli import app
from geoconvlora.sam import build_segmenter
from geoconvlora.weights import save_base, save_model, sha256_of
from geoconvlora.weights.card import BaseWeights


def test_scene_becomes_polygons_classes_and_probabilities(run, scene, model_file, tmp_path) -> None:
    done = run(
        *("predict", scene, "-m", model_file, "-o", "map.gpkg", "-o", "map.tif"),
        *("--probs", "p.tif", "--device", "cpu", "--json"),
    )
    assert (done.returncode, done.stderr) == (0, "")
    result = json.loads(done.stdout)
    layer = gpd.read_file(tmp_path / "map.gpkg")
    assert len(layer) == result["polygons"]
    assert set(layer["model_sha256"]) == {sha256_of(model_file)}
    assert result["valid_fraction"] == 1 - 20 * 50 / 8000
    with rasterio.open(tmp_path / "map.tif") as classes, rasterio.open(tmp_path / "p.tif") as probs:
        valid = classes.read(1) != 255
        np.testing.assert_allclose(np.nansum(probs.read(), axis=0), valid, atol=2 / 65535)
        assert (~valid).sum() == 20 * 50
    assert {p.name for p in tmp_path.iterdir()} == {"scene.tif", "map.gpkg", "map.tif", "p.tif"}


def test_part_of_a_scene_with_every_extra(run, scene, model_file, tmp_path) -> None:
    done = run(
        *("predict", scene, "-m", model_file, "-o", "map.tif", "--probs", "p.tif", "-q"),
        *("--probs-dtype", "uint8", "--uncertainty", "u.tif", "--device", "cpu"),
        *("--blend", "crop", "--tta", "flips", "--resume"),
        *("--bounds", "600600,5599300,600900,5599600"),
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    for name in ("map.tif", "p.tif", "u.tif"):
        with rasterio.open(tmp_path / name) as dataset:
            assert tuple(dataset.bounds) == (600_600, 5_599_300, 600_900, 5_599_600)
            assert set(dataset.dtypes) == {"uint8"}
    assert {p.name for p in tmp_path.iterdir()} == {"scene.tif", "map.tif", "p.tif", "u.tif"}


REFUSALS = {
    "missing scene": (["none.tif"], "none.tif does not exist"),
    "empty scene": (["empty.tif"], "empty.tif is empty"),
    "text as scene": (["text.tif"], "cannot be opened as a raster"),
    "no CRS": (["nocrs.tif"], "nocrs.tif has no CRS"),
    "too few bands": (["two.tif"], "two.tif has 2 bands; the model wants 3 (red, green, blue)"),
    "band that is not there": (["scene.tif", "--bands", "1,2,9"], "no band 9"),
    "bands that are no numbers": (["scene.tif", "--bands", "red"], "--bands red"),
    "existing output": (["scene.tif", "-o", "there.gpkg"], "there.gpkg exists"),
    "missing folder": (["scene.tif", "-o", "no/map.gpkg"], "the folder no does not exist"),
    "unknown suffix": (["scene.tif", "-o", "map.shp"], ".gpkg .fgb .parquet .geojson"),
    "unknown class": (["scene.tif", "--classes", "sea"], "sea"),
    "odd tile size": (["scene.tif", "--tile-size", "50"], "multiple of 16"),
    "huge tile size": (["scene.tif", "--tile-size", "160000"], "160000 is more than 4096"),
    "missing base weights": (
        ["scene.tif", "-m", "based.safetensors"],
        "base weights away.safetensors are not on this computer: give the path of the file with",
    ),
    "other base weights": (
        ["scene.tif", "-m", "based.safetensors", "--base", "card.safetensors"],
        "based.safetensors is for the base weights away.safetensors with sha256 0000000000000000",
    ),
    "one scene twice": (["scene.tif", "scene.tif"], "scene.tif is given twice"),
    "area beside two scenes": (
        ["scene.tif", "other.tif", "--bounds", "0,0,1,1"],
        "the box 0,0,1,1 does not reach the scenes",
    ),
    "cluster and workers": (
        ["scene.tif", "--dask", "tcp://127.0.0.1:9", "--workers", "2"],
        "give one of them",
    ),
    "unknown blend": (["scene.tif", "--blend", "magic"], "blend 'magic' is unknown: give cosine"),
    "bounds that are no numbers": (["scene.tif", "--bounds", "a,b"], "--bounds a,b"),
    "bounds elsewhere": (["scene.tif", "--bounds", "1,2,3,4"], "the box 1,2,3,4 does not reach"),
    "missing area": (["scene.tif", "--aoi", "no.gpkg"], "no.gpkg does not exist"),
}


# One process for all: each call of the command line starts and fails as if it were alone.
CALL_EACH = """
import contextlib, io, json, sys
from geoconvlora.cli import main

for arguments in json.load(sys.stdin):
    sys.argv = ["geoconvlora", *arguments]
    code, out, err = 0, io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as leaving:
            code = leaving.code
    heavy = sorted({"torch", "torchgeo", "lightning"} & set(sys.modules))
    print(json.dumps([code, out.getvalue(), err.getvalue(), heavy]))
"""


@dataclass(frozen=True)
class Refusals:
    outcomes: dict[str, list[Any]]
    before: dict[Path, int]
    after: dict[Path, int]


@pytest.fixture(scope="module")
def refusals(tmp_path_factory: pytest.TempPathFactory) -> Refusals:
    folder = tmp_path_factory.mktemp("refusals")
    (folder / "empty.tif").touch()
    (folder / "text.tif").write_text("hello")
    (folder / "there.gpkg").write_text("mine")
    write_scene(folder / "scene.tif")
    write_scene(folder / "other.tif")
    write_scene(folder / "two.tif", bands=2)
    write_scene(folder / "nocrs.tif", crs=None)
    write_card(folder / "card.safetensors")
    base = BaseWeights(name="away.safetensors", size="vit_t", sha256="0" * 64)
    write_card(folder / "based.safetensors", base=base)
    calls = [
        ["predict", *arguments]
        + ([] if "-m" in arguments else ["-m", "card.safetensors"])
        + ([] if "-o" in arguments else ["-o", "map.gpkg"])
        for arguments, _ in REFUSALS.values()
    ]
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    done = subprocess.run(
        [sys.executable, "-c", CALL_EACH],
        input=json.dumps(calls),
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    return Refusals(
        dict(zip(REFUSALS, map(json.loads, done.stdout.splitlines()), strict=True)),
        before,
        {path: path.stat().st_mtime_ns for path in folder.iterdir()},
    )


@pytest.mark.parametrize("case", REFUSALS)
def test_refusal_is_exit_2_and_one_line_before_torch(refusals: Refusals, case: str) -> None:
    code, out, err, heavy = refusals.outcomes[case]
    assert (code, out, heavy) == (2, "", [])
    assert err.count("\n") == 1
    assert err.startswith("Error: ")
    assert REFUSALS[case][1] in err


def test_refusals_write_nothing(refusals: Refusals) -> None:
    assert refusals.after == refusals.before


def test_base_weights_lie_where_the_user_says(run, scene, tmp_path) -> None:
    (tmp_path / "elsewhere").mkdir()
    network = build_segmenter("vit_t", classes=2)
    base = save_base(tmp_path / "elsewhere" / "mine.safetensors", network)
    attach(network.encoder, "lora")
    named = BaseWeights(name="base.safetensors", size="vit_t", sha256=sha256_of(base))
    save_model(tmp_path / "m.safetensors", network, make_card(method="lora", base=named))
    done = run("predict", scene, "-o", "map.tif", "-m", "m.safetensors", "--base", base, "-q")
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "map.tif").exists()


def test_damaged_model_is_refused(run, scene, tmp_path) -> None:
    (tmp_path / "bad.safetensors").write_bytes(b"\x00" * 100)
    done = run("predict", scene, "-o", "map.gpkg", "-m", "bad.safetensors")
    assert done.returncode == 2
    assert "bad.safetensors" in done.stderr
    assert not (tmp_path / "map.gpkg").exists()


def test_scene_cut_short_is_refused_and_leaves_nothing(run, scene, card_file, tmp_path) -> None:
    with scene.open("r+b") as file:
        file.truncate(scene.stat().st_size - 4000)
    done = run("predict", scene, "-o", "map.gpkg", "-o", "map.tif", "-m", card_file())
    assert done.returncode == 2
    assert "scene.tif cannot be read at rows" in done.stderr
    assert {p.name for p in tmp_path.iterdir()} == {"scene.tif", "card.safetensors"}


def test_scene_without_data_is_a_warning_and_an_empty_layer(run, model_file, tmp_path) -> None:
    with rasterio.open(
        tmp_path / "void.tif",
        "w",
        driver="GTiff",
        count=3,
        height=40,
        width=40,
        dtype="uint8",
        nodata=0,
        crs="EPSG:32631",
        transform=Affine(10, 0, 600_000, 0, -10, 5_600_000),
    ):
        pass
    done = run("predict", "void.tif", "-o", "map.gpkg", "-m", model_file, "-q")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "Warning: void.tif has no valid pixel: the outputs hold nothing\n"
    assert len(gpd.read_file(tmp_path / "map.gpkg")) == 0


def test_dry_run_says_what_it_would_write(run, scene, card_file, tmp_path) -> None:
    card = card_file()
    done = run("predict", scene, "-o", "map.gpkg", "-m", card, "--dry-run")
    assert (done.returncode, done.stdout) == (0, "would write map.gpkg\n")
    assert not (tmp_path / "map.gpkg").exists()


def test_help_says_the_defaults_of_tiles() -> None:
    done = CliRunner().invoke(app, ["predict", "--help"])
    text = " ".join(done.output.split())
    assert "default: model's" in text
    assert "default: a quarter" in text
