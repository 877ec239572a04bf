"""From the results of runs to the table: one line for each row and fraction, over seeds."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

from geoconvlora.compare.config import CompareConfig
from geoconvlora.compare.cost import Cost
from geoconvlora.compare.scoring import Scores
from geoconvlora.weights.card import Frozen


class RunResult(Frozen):
    """What one run gave."""

    row: str
    fraction: float
    seed: int
    train_tiles: int
    best_val_miou: float
    """Of the epoch that was chosen by it."""
    scores: Scores
    """Of that epoch on the test tiles."""
    cost: Cost
    train_s: float
    """Of all epochs, validation included."""


class TableRow(Frozen):
    """One line of the table; deviations are those of a sample, None for a single seed."""

    name: str
    method: str
    settings: dict[str, Any]
    fraction: float
    train_tiles: int
    seeds: int
    val_miou_mean: float
    """Of the epoch that was chosen by it: kind to every row."""
    val_miou_std: float | None
    miou_mean: float
    miou_std: float | None
    dice_mean: float
    dice_std: float | None
    boundary_f1_mean: float | None
    boundary_f1_std: float | None
    encoder_parameters: int
    trainable_parameters: int
    step_s: float
    """Median over the runs, as the next two."""
    step_memory_mib: float
    inference_s_per_mpx: float


def summarise(config: CompareConfig, results: Sequence[RunResult]) -> tuple[TableRow, ...]:
    """Lines in the order of the configuration, fraction by fraction.

    Args:
        config: The comparison.
        results: Of all its runs, in any order.

    Example:
        >>> summarise(config, results)[0].miou_mean  # doctest: +SKIP
        0.62
    """
    lines = []
    for fraction in config.fractions:
        for row in config.methods:
            runs = [r for r in results if (r.row, r.fraction) == (row.name, fraction)]
            runs.sort(key=lambda run: config.seeds.index(run.seed))
            validation = _spread([run.best_val_miou for run in runs])
            miou = _spread([run.scores.miou for run in runs])
            dice = _spread([run.scores.dice for run in runs])
            edges = [run.scores.boundary_f1 for run in runs]
            edge = _spread([value for value in edges if value is not None])
            lines.append(
                TableRow(
                    name=row.name,
                    method=row.method,
                    settings=row.settings,
                    fraction=fraction,
                    train_tiles=runs[0].train_tiles,
                    seeds=len(runs),
                    val_miou_mean=mean(run.best_val_miou for run in runs),
                    val_miou_std=validation[1],
                    miou_mean=mean(run.scores.miou for run in runs),
                    miou_std=miou[1],
                    dice_mean=mean(run.scores.dice for run in runs),
                    dice_std=dice[1],
                    boundary_f1_mean=edge[0],
                    boundary_f1_std=edge[1],
                    encoder_parameters=runs[0].cost.encoder_parameters,
                    trainable_parameters=runs[0].cost.trainable_parameters,
                    step_s=median(run.cost.step_s for run in runs),
                    step_memory_mib=median(run.cost.step_memory_mib for run in runs),
                    inference_s_per_mpx=median(run.cost.inference_s_per_mpx for run in runs),
                )
            )
    return tuple(lines)


def table_csv(rows: Sequence[TableRow]) -> str:
    """One line for each row and fraction, numbers in full."""
    lines = []
    for row in rows:
        settings = " ".join(f"{k}={v}" for k, v in row.settings.items())
        lines.append({**row.model_dump(), "settings": settings})
    return _csv(lines)


def runs_csv(results: Sequence[RunResult]) -> str:
    """One line for each run, with the IoU of each class that occurs."""
    classes = dict.fromkeys(name for run in results for name in run.scores.class_iou)
    lines = []
    for run in results:
        line = run.model_dump(exclude={"scores", "cost"})
        line |= run.scores.model_dump(exclude={"class_iou"})
        line |= {f"iou_{name}": run.scores.class_iou.get(name) for name in classes}
        lines.append(line | run.cost.model_dump())
    return _csv(lines)


def table_markdown(config: CompareConfig, rows: Sequence[TableRow], *, test_tiles: int) -> str:
    """A table to read, and what its numbers mean."""
    head = (
        "| | tiles | val mIoU | mIoU | Dice | boundary F1 | trains in encoder | trains in all "
        "| step s | step MiB | inference s/Mpx |"
    )
    lines = [head, "|---|" + "---:|" * (head.count("|") - 2)]
    for row in rows:
        cells = [
            row.name,
            f"{row.train_tiles:,}",
            with_spread(row.val_miou_mean, row.val_miou_std),
            with_spread(row.miou_mean, row.miou_std),
            with_spread(row.dice_mean, row.dice_std),
            with_spread(row.boundary_f1_mean, row.boundary_f1_std),
            f"{row.encoder_parameters:,}",
            f"{row.trainable_parameters:,}",
            f"{row.step_s:.3g}",
            f"{row.step_memory_mib:,.0f}",
            f"{row.inference_s_per_mpx:.3g}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n\n" + _notes(config, test_tiles)


def _notes(config: CompareConfig, test_tiles: int) -> str:
    """What the numbers of the table mean."""
    common, optim = config.train, config.train.optim
    side = common.tile_size
    notes = (
        f"Scores are of {test_tiles:,} test tiles that no run saw, mean ± sample standard "
        f"deviation over {len(config.seeds)} seed(s); val mIoU is that of the validation tiles, by "
        "which the epoch was chosen. "
        f"mIoU and Dice are means over all {len(common.classes)} classes, background included, "
        "of one confusion matrix pooled over the tiles, without pixels labelled 255. Boundary F1 "
        f"counts outlines within {config.boundary_tolerance_px:g} pixels, pooled too.",
        f"All rows start from {Path(common.model.base or '').name} and have {optim.epochs} "
        f"epochs with batches of {optim.batch_size} x {optim.accumulate}.",
        f"Step: one batch of {optim.batch_size} forward, backward and update, without loading. "
        "Its memory is what tensors take at the peak, the network's and the optimiser's included: "
        "torch's account on CUDA, what operators return elsewhere; not the process's. Inference: "
        f"the network forward in float32, for a million pixels in tiles of {side} x {side}. "
        "Times and memory are medians over runs.",
    )
    return "\n\n".join(notes) + "\n"


def _spread(values: Sequence[float]) -> tuple[float | None, float | None]:
    """Mean and sample standard deviation, where there is one."""
    return (mean(values) if values else None, stdev(values) if len(values) > 1 else None)


def with_spread(centre: float | None, spread: float | None) -> str:
    """Mean ± deviation, as tables show them."""
    if centre is None:
        return "-"
    return f"{centre:.3f}" if spread is None else f"{centre:.3f} ± {spread:.3f}"


def _csv(lines: Sequence[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(lines[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()
