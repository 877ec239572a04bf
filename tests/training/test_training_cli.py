import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import shapely
import yaml
from training_files import write_polygons, write_raster
from typer.testing import CliRunner

from geoconvlora.cli import app
from geoconvlora.errors import ConfigError, LabelError
from geoconvlora.sam import build_segmenter
from geoconvlora.weights import read_card, save_base

runner = CliRunner()


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return save_base(tmp_path / "tiny.safetensors", build_segmenter("vit_t", classes=2))


def run(*arguments: object) -> str:
    result = runner.invoke(app, ["train", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_tiles_train_without_a_configuration(tiles: Path, base: Path) -> None:
    out = tiles / "model.safetensors"
    data = ["--images", tiles / "images", "--labels", tiles / "labels"]
    short = ["--epochs", 1, "--batch-size", 2, "--num-workers", 0, "--device", "cpu", "--seed", 0]
    text = run(*data, *short, "--base", base, "--out", out)
    assert f"wrote {out}" in text
    assert "val_mIoU" in text
    card = read_card(out)
    assert (card.method, card.training.seed) == ("conv-lora", 0)
    assert [c.name for c in card.classes] == ["background", "class 1"]


def test_option_beats_the_configuration_which_is_saved_merged(tiles: Path, base: Path) -> None:
    config = {
        "model": {"base": str(base), "method": "conv-lora"},
        "classes": [
            {"id": 0, "name": "other", "color": "#000000"},
            {"id": 1, "name": "field", "color": "#00ff00"},
        ],
        "tile_size": 64,
        "data": {
            "kind": "tiles",
            "images": str(tiles / "images"),
            "labels": str(tiles / "labels"),
        },
        "optim": {"epochs": 2, "batch_size": 3},
        "num_workers": 0,
        "device": "cpu",
        "out": str(tiles / "model.safetensors"),
    }
    path = tiles / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    first = run(path, "--method", "decoder-only", "--max-minutes", 1e-6)
    assert "--resume" in first
    assert not (tiles / "model.safetensors").exists()
    merged = yaml.safe_load((tiles / "model.run" / "config.yaml").read_text())
    assert merged["model"]["method"] == "decoder-only"
    run("--resume", "--out", tiles / "model.safetensors", "--quiet")
    assert read_card(tiles / "model.safetensors").method == "decoder-only"


def test_polygons_without_a_column_are_objects(tmp_path: Path, base: Path) -> None:
    rng = np.random.default_rng(0)
    write_raster(tmp_path / "scene.tif", rng.integers(0, 255, (3, 200, 200)).astype(np.uint8))
    box = shapely.box(500_100, 5_598_500, 501_500, 5_599_900)
    write_polygons(tmp_path / "fields.gpkg", [box])
    labels = ["--images", tmp_path / "scene.tif", "--labels", tmp_path / "fields.gpkg"]
    text = run(*labels, "--base", base, "--out", tmp_path / "model.safetensors", "--dry-run")
    assert "would write" in text
    assert not (tmp_path / "model.safetensors").exists()


def test_missing_labels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match=r"none\.gpkg"):
        run("--images", tmp_path, "--labels", tmp_path / "none.gpkg", "--out", "m.safetensors")


@pytest.mark.parametrize(
    "arguments", [[], ["--images", "x.tif"], ["--label-column", "kind"], ["--resume"]]
)
def test_too_little_to_train_on_is_refused(arguments: list[str]) -> None:
    with pytest.raises(ConfigError, match="--images"):
        run(*arguments)


def test_refusal_is_one_line_with_exit_code_2_and_without_torch(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("model: {size: vit_t, method: full}\n")
    code = (
        "import sys\n"
        "from geoconvlora.cli import main\n"
        f"sys.argv = ['geoconvlora', 'train', {str(path)!r}]\n"
        "try:\n"
        "    main()\n"
        "finally:\n"
        "    assert 'torch' not in sys.modules\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True
    )
    assert ended.returncode == 2
    assert re.search(r"config\.yaml: data: is missing", ended.stderr)
    assert "Traceback" not in ended.stderr
