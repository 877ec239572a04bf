import csv
from pathlib import Path
from typing import Any

import pytest
from compare_files import tree

from geoconvlora.compare import CompareConfig
from geoconvlora.compare.cost import Cost
from geoconvlora.compare.plot import plot_png
from geoconvlora.compare.scoring import Scores
from geoconvlora.compare.table import (
    RunResult,
    runs_csv,
    summarise,
    table_csv,
    table_markdown,
)

COST = Cost(
    encoder_parameters=10,
    trainable_parameters=1_000,
    step_s=0.5,
    step_memory_mib=100,
    inference_s_per_mpx=0.25,
)


def result(row: str, seed: int, miou: float, fraction: float = 1.0, **changes: Any) -> RunResult:
    scores = {"miou": miou, "dice": miou, "boundary_f1": miou, "class_iou": {"field": miou}}
    return RunResult(
        row=row,
        fraction=fraction,
        seed=seed,
        train_tiles=round(60 * fraction),
        best_val_miou=0.9,
        scores=Scores.model_validate(scores | changes),
        cost=COST.model_copy(update={"step_s": 0.5 + seed}),
        train_s=1.0,
    )


@pytest.fixture
def config(tmp_path: Path) -> CompareConfig:
    return CompareConfig.model_validate(tree(tmp_path, fractions=[0.5, 1.0]))


@pytest.fixture
def results(config: CompareConfig) -> list[RunResult]:
    """Row, fraction and seed each add their own to the score."""
    return [
        result(
            key.row,
            key.seed,
            0.5 + 0.1 * (key.row == "conv-lora-r2") + 0.2 * key.fraction + 0.02 * key.seed,
            key.fraction,
        )
        for key in config.run_keys()
    ]


def test_lines_are_means_over_seeds_in_the_order_of_the_configuration(
    config: CompareConfig, results: list[RunResult]
) -> None:
    rows = summarise(config, results)
    assert [(row.name, row.fraction) for row in rows] == [
        ("decoder-only", 0.5),
        ("conv-lora-r2", 0.5),
        ("decoder-only", 1.0),
        ("conv-lora-r2", 1.0),
    ]
    assert [row.miou_mean for row in rows] == pytest.approx([0.61, 0.71, 0.71, 0.81])
    assert [row.miou_std for row in rows] == pytest.approx([0.02 / 2**0.5] * 4)
    assert rows[0].step_s == 1.0


def test_order_in_which_runs_finished_changes_no_byte(
    config: CompareConfig, results: list[RunResult]
) -> None:
    one, other = summarise(config, results), summarise(config, results[::-1])
    assert table_csv(one) == table_csv(other)
    assert plot_png(one) == plot_png(other)


def test_single_seed_has_no_deviation_and_flat_maps_no_boundary(tmp_path: Path) -> None:
    config = CompareConfig.model_validate(tree(tmp_path, seeds=[4]))
    runs = [result(row.name, 4, 0.5, boundary_f1=None) for row in config.methods]
    rows = summarise(config, runs)
    assert (rows[0].miou_std, rows[0].boundary_f1_mean) == (None, None)
    text = table_markdown(config, rows, test_tiles=7)
    assert "| decoder-only | 60 | 0.900 | 0.500 | 0.500 | - | 10 | 1,000 |" in text
    assert "7 test tiles" in text
    assert plot_png(rows).startswith(b"\x89PNG")


def test_settings_and_classes_are_columns(config: CompareConfig, results: list[RunResult]) -> None:
    lines = list(csv.DictReader(table_csv(summarise(config, results)).splitlines()))
    assert lines[1]["settings"] == "rank=2 experts=2"
    runs = list(csv.DictReader(runs_csv(results).splitlines()))
    assert len(runs) == 8
    assert runs[0]["iou_field"] == runs[0]["miou"]
