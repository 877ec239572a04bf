import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from compare_files import scores, tree, write_config, write_tiles

from geoconvlora.compare import CompareConfig, CompareResult, compare
from geoconvlora.errors import ConfigError, LabelError, OutputError, WeightsError
from geoconvlora.weights import read_card

ROOT = Path(__file__).parents[2]

# Half a minute where nobody else works; the usual limit is too short on a busy machine.
pytestmark = pytest.mark.timeout(900)


def test_every_row_has_scores_parameters_and_cost(unbroken: CompareResult) -> None:
    only, conv = unbroken.rows
    assert (unbroken.runs, unbroken.trained) == (4, 4)
    assert [row.name for row in unbroken.rows] == ["decoder-only", "conv-lora-r2"]
    assert (only.encoder_parameters, only.seeds, only.train_tiles) == (0, 2, 6)
    # Twelve blocks of width 192: A and B, two experts, gate and noise.
    per_block = 2 * 4 * 192 + 2 * (9 * 4 + 2) + 2 * 2 * 2
    assert conv.encoder_parameters == 12 * per_block
    decoder = only.trainable_parameters
    assert conv.trainable_parameters == decoder + conv.encoder_parameters
    for row in unbroken.rows:
        assert 0 < row.miou_mean <= row.dice_mean <= 1
        assert row.miou_std is not None
        assert min(row.step_s, row.step_memory_mib, row.inference_s_per_mpx) > 0
    # Gradients reach the first block for the adapter, and stop at the decoder without one.
    assert conv.step_memory_mib > only.step_memory_mib


def test_folder_holds_tables_plot_and_model_files(unbroken: CompareResult) -> None:
    folder = unbroken.folder
    names = {path.name for path in folder.iterdir()}
    tables = {"table.csv", "table.md", "plot.png", "runs.csv"}
    assert names == {"compare.yaml", "inputs.json", "runs", *tables}
    assert (folder / "plot.png").read_bytes().startswith(b"\x89PNG")
    assert "| conv-lora-r2 | 6 |" in (folder / "table.md").read_text()
    run = folder / "runs" / "conv-lora-r2" / "fraction-1" / "seed-1"
    assert {path.name for path in run.iterdir()} == {
        "model.safetensors",
        "model.run",
        "result.json",
    }
    assert not list(run.rglob("*.ckpt"))
    card = read_card(run / "model.safetensors")
    assert (card.method, card.training.seed, card.name) == ("conv-lora", 1, "conv-lora-r2")


def test_table_is_the_mean_of_the_runs(unbroken: CompareResult) -> None:
    with (unbroken.folder / "runs.csv").open(newline="") as file:
        runs = [run for run in csv.DictReader(file) if run["row"] == "decoder-only"]
    one, other = (float(run["miou"]) for run in runs)
    row = unbroken.rows[0]
    assert row.miou_mean == pytest.approx((one + other) / 2)
    assert row.miou_std == pytest.approx(abs(one - other) / 2**0.5)
    one, other = (float(run["best_val_miou"]) for run in runs)
    assert row.val_miou_mean == pytest.approx((one + other) / 2)
    assert row.val_miou_std == pytest.approx(abs(one - other) / 2**0.5)


def test_no_tile_is_in_two_parts_and_all_runs_share_them(unbroken: CompareResult) -> None:
    split = json.loads((unbroken.folder / "inputs.json").read_text())["split"]
    assert [len(split[part]) for part in ("train", "val", "test")] == [6, 2, 2]
    assert len({tile for part in split.values() for tile in part}) == 10
    for path in (unbroken.folder / "runs").rglob("model.safetensors"):
        data = read_card(path).training.config["data"]
        assert data["train_tiles"] == split["train"]
        assert data["val_tiles"] == split["val"]


@pytest.mark.slow
def test_killed_and_resumed_comparison_equals_the_unbroken_one(
    unbroken: CompareResult, config_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "killed"
    process = subprocess.Popen(
        [sys.executable, "-m", "geoconvlora", "compare", config_file, "-o", out, "-v"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        # One run is finished, and the second has finished its first epoch.
        if line.startswith("epoch 1/") and any(s.startswith("run 2/4") for s in said):
            break
    else:
        pytest.fail("".join(said))
    time.sleep(0.2)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stderr.close()
    finished = list(out.rglob("result.json"))
    assert len(finished) == 1
    before = finished[0].stat().st_mtime_ns
    assert not (out / "table.csv").exists()

    resumed = compare(config_file, out, resume=True)
    assert (resumed.runs, resumed.trained) == (4, 3)
    assert finished[0].stat().st_mtime_ns == before
    for name in ("table.csv", "runs.csv"):
        assert scores(out / name) == scores(unbroken.folder / name)


def test_run_that_was_trained_but_not_scored_is_not_trained_again(
    place: Path, tmp_path: Path
) -> None:
    config = CompareConfig.model_validate(tree(place, seeds=[0], methods=[{"method": "bitfit"}]))
    first = compare(config, tmp_path / "out")
    (run,) = first.folder.rglob("model.safetensors")
    weights = run.stat().st_mtime_ns
    (run.parent / "result.json").unlink()
    second = compare(config, tmp_path / "out", resume=True)
    assert run.stat().st_mtime_ns == weights
    assert second.rows[0].miou_mean == first.rows[0].miou_mean


def test_smaller_fractions_are_parts_of_larger_ones_with_the_same_steps(
    place: Path, tmp_path: Path
) -> None:
    changes = {"seeds": [0], "fractions": [0.5, 1.0], "methods": [{"method": "decoder-only"}]}
    result = compare(CompareConfig.model_validate(tree(place, **changes)), tmp_path / "out")
    assert [(row.fraction, row.train_tiles) for row in result.rows] == [(0.5, 3), (1.0, 6)]
    cards = [
        read_card(tmp_path / "out/runs/decoder-only" / name / "seed-0/model.safetensors")
        for name in ("fraction-0.5", "fraction-1")
    ]
    half, whole = (set(card.training.config["data"]["train_tiles"]) for card in cards)
    assert half < whole
    assert cards[0].training.samples == cards[1].training.samples


def test_rehearsal_writes_nothing(config_file: Path, tmp_path: Path) -> None:
    result = compare(config_file, tmp_path / "out", dry_run=True)
    assert (result.runs, result.rows) == (4, ())
    assert not (tmp_path / "out").exists()


def test_other_configuration_is_not_resumed(
    unbroken: CompareResult, place: Path, tmp_path: Path
) -> None:
    changed = tree(place, seeds=[0, 1, 2])
    changed["train"]["optim"]["lr"] = 1e-3
    changed["methods"][1]["settings"]["rank"] = 3
    changed["train"]["num_workers"] = 1
    with pytest.raises(ConfigError) as caught:
        compare(CompareConfig.model_validate(changed), unbroken.folder, resume=True)
    named = "methods.conv-lora-r2.settings.rank, seeds, train.optim.lr:"
    assert f"another {named}" in str(caught.value)


def test_other_tiles_are_not_resumed(tmp_path: Path, place: Path) -> None:
    write_tiles(tmp_path)
    (tmp_path / "base.safetensors").write_bytes((place / "base.safetensors").read_bytes())
    path = write_config(tmp_path, seeds=[0], methods=[{"method": "decoder-only"}])
    compare(path, tmp_path / "out")
    write_tiles(tmp_path, count=11)
    with pytest.raises(ConfigError, match="the tiles for train are not those"):
        compare(path, tmp_path / "out", resume=True)


def test_comparison_is_kept_without_overwrite(unbroken: CompareResult, config_file: Path) -> None:
    with pytest.raises(OutputError, match="--resume, or start anew"):
        compare(config_file, unbroken.folder)


def test_folder_of_something_else_is_never_replaced(config_file: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(OutputError, match="holds no comparison"):
        compare(config_file, tmp_path, overwrite=True)
    assert (tmp_path / "thesis.tex").read_text() == "precious"


def test_nothing_to_resume_is_refused(config_file: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="without --resume"):
        compare(config_file, tmp_path / "out", resume=True)


def test_setting_that_a_method_lacks_is_refused_before_training(
    place: Path, tmp_path: Path
) -> None:
    rows = [{"method": "decoder-only"}, {"name": "wide", "method": "lora", "settings": {"r": 8}}]
    with pytest.raises(ConfigError, match=r"row wide: lora setting 'r'.* known: rank, alpha"):
        compare(CompareConfig.model_validate(tree(place, methods=rows)), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_rows_that_cannot_go_on_from_the_model_are_refused_before_training(
    unbroken: CompareResult, place: Path, tmp_path: Path
) -> None:
    changed = tree(place)
    (model,) = unbroken.folder.glob("runs/conv-lora-r2/*/seed-0/model.safetensors")
    changed["train"]["init"] = str(model)
    changed["methods"].reverse()
    with pytest.raises(ConfigError, match=r"row decoder-only: model\.method is 'decoder-only'"):
        compare(CompareConfig.model_validate(changed), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("part", ["test", "val"])
def test_tile_of_two_parts_is_refused(place: Path, tmp_path: Path, part: str) -> None:
    changed = tree(place)
    folders = {"images": str(place / "images"), "labels": str(place / "labels")}
    if part == "test":
        changed["test"] = folders
    else:
        changed["train"]["data"] |= {f"val_{name}": path for name, path in folders.items()}
    with pytest.raises(ConfigError, match=r"images/\d+\.tif is for \w+ and for \w+"):
        compare(CompareConfig.model_validate(changed), tmp_path / "out")


def test_missing_base_is_refused(place: Path, tmp_path: Path) -> None:
    changed = tree(place)
    changed["train"]["model"]["base"] = "none.safetensors"
    with pytest.raises(WeightsError, match=r"none\.safetensors"):
        compare(CompareConfig.model_validate(changed), tmp_path / "out")


def test_too_few_tiles_are_refused(place: Path, tmp_path: Path) -> None:
    write_tiles(tmp_path, count=2)
    changed = tree(tmp_path)
    changed["train"]["model"]["base"] = str(place / "base.safetensors")
    with pytest.raises(LabelError, match="1 tiles are too few to part some for validation"):
        compare(CompareConfig.model_validate(changed), tmp_path / "out")
