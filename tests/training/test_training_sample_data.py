"""From `geoconvlora sample` to a model and its map, by the command line alone."""

from pathlib import Path

import geopandas as gpd
import pytest
from typer.testing import CliRunner

from geoconvlora.cli import app
from geoconvlora.weights import read_card

runner = CliRunner()


def run(*arguments: object) -> str:
    result = runner.invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.slow
def test_sample_scene_trains_from_its_polygons_and_is_predicted(tmp_path: Path) -> None:
    demo, out = tmp_path / "demo", tmp_path / "model.safetensors"
    run("sample", demo, "--size", 256, "--bands", 3)
    # Degrees, as labels often are.
    gpd.read_file(demo / "fields.gpkg").to_crs("EPSG:4326").to_parquet(demo / "fields.parquet")
    config = tmp_path / "config.yaml"
    config.write_text(
        f"""
model: {{size: vit_t, method: full}}
task: instances
instances: {{interior: 1, boundary: 2}}
classes:
  - {{id: 0, name: background, color: "#000000"}}
  - {{id: 1, name: field, color: "#00ff00"}}
  - {{id: 2, name: boundary, color: "#ffffff"}}
scaling: {{kind: percentile}}
tile_size: 64
data:
  kind: scenes
  sampling: balanced
  samples_per_epoch: 6
  val_samples: 4
  scenes: [{{image: none.tif, labels: none.gpkg}}]
optim: {{epochs: 1, batch_size: 2}}
num_workers: 0
device: cpu
out: {out}
"""
    )
    data = ["--images", demo / "scene.tif", "--labels", demo / "fields.parquet"]
    assert f"wrote {out}" in run("train", config, *data)
    folder = tmp_path / "model.run"
    parts = gpd.read_file(folder / "split.gpkg", layer="split")
    assert set(parts["part"]) == {"train", "val", "test"}
    assert {"split.png", "split.json"} <= {path.name for path in folder.iterdir()}
    assert [band.name for band in read_card(out).bands] == ["red", "green", "blue"]
    maps = tmp_path / "classes.tif"
    run("predict", demo / "scene.tif", "--model", out, "--out", maps, "--device", "cpu")
    assert maps.exists()
