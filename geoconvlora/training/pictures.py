"""A run in pictures: learning curves, and samples with their labels and predictions."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from torch import nn

from geoconvlora.training.samples import Pool, Sample
from geoconvlora.training.whole_file import write_whole
from geoconvlora.weights.card import ClassInfo

_NOT_LABELLED = (1.0, 1.0, 1.0)


def draw_curves(metrics: Path, out: Path) -> None:
    """Draw losses and scores over the epochs.

    Args:
        metrics: A run's ``metrics.csv``.
        out: PNG file to write.
    """
    with metrics.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    epochs = [int(row["epoch"]) + 1 for row in rows]
    figure = Figure(figsize=(11, 4), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    named = {"val_mIoU": "mean", **{k: k.removeprefix("val_IoU_") for k in rows[0] if "IoU_" in k}}
    curves: list[tuple[Axes, str, dict[str, str]]] = [
        (left, "loss", {"train_loss": "training", "val_loss": "validation"}),
        (middle, "IoU, validation", named),
        (right, "learning rate", {"lr": "largest"}),
    ]
    for axes, title, columns in curves:
        for column, label in columns.items():
            values = [float(row[column]) for row in rows]
            width = 2.0 if label in {"mean", "validation"} else 1.2
            axes.plot(epochs, values, marker=".", label=label, linewidth=width)
        axes.set_title(title)
        axes.set_xlabel("epoch")
        axes.grid(alpha=0.3)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    for axes in (left, middle):
        axes.legend(fontsize="small")
    middle.set_ylim(0, 1)
    write_whole(out, _png(figure))


def draw_samples(
    network: nn.Module, pool: Pool, classes: Sequence[ClassInfo], out: Path, *, count: int = 6
) -> None:
    """Draw samples beside their labels and what the network makes of them.

    Args:
        network: Normalised images (B, C, H, W) to logits (B, K, H, W); in evaluation mode.
        pool: Normalised samples; the drawn ones are spread evenly.
        classes: Names and colours.
        out: PNG file to write.
        count: Samples at most.
    """
    keys = np.unique(np.linspace(0, len(pool) - 1, min(count, len(pool))).round().astype(int))
    figure = Figure(figsize=(7.2, 2.4 * len(keys) + 0.8), layout="constrained")
    grid = figure.subplots(len(keys), 3, squeeze=False)
    for row, key in zip(grid, keys, strict=True):
        sample = pool.draw(int(key))
        found = _predict(network, sample)
        label = np.where(sample.valid, sample.mask, 255)
        for axes, picture in zip(
            row, (_image(sample), _colours(label, classes), _colours(found, classes)), strict=True
        ):
            axes.imshow(picture, interpolation="nearest")
            axes.set_axis_off()
    for axes, title in zip(grid[0], ("image", "label", "prediction"), strict=True):
        axes.set_title(title)
    handles = [Patch(facecolor=c.color, edgecolor="#888888", label=c.name) for c in classes]
    handles.append(Patch(facecolor=_NOT_LABELLED, edgecolor="#888888", label="not labelled"))
    figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize="small")
    write_whole(out, _png(figure))


def _predict(network: nn.Module, sample: Sample) -> NDArray[np.uint8]:
    """Classes (H, W), 255 where the image has no data."""
    device = next(network.parameters()).device
    with torch.inference_mode():
        logits = network(torch.from_numpy(sample.image)[None].to(device))
    found = logits[0].argmax(dim=0).cpu().numpy().astype(np.uint8)
    return np.where(sample.valid, found, np.uint8(255))


def _image(sample: Sample) -> NDArray[np.float64]:
    """The first three bands, or the first as grey, from the 2nd to the 98th percentile."""
    bands = [0, 1, 2] if len(sample.image) >= 3 else [0, 0, 0]
    picture = np.ones((*sample.valid.shape, 3))
    for place, band in enumerate(bands):
        values = sample.image[band].astype(float)
        inside = values[sample.valid]
        low, high = np.percentile(inside, (2, 98)) if inside.size else (0.0, 1.0)
        stretched = np.clip((values - low) / max(high - low, 1e-6), 0, 1)
        picture[..., place] = np.where(sample.valid, stretched, 1.0)
    return picture


def _colours(ids: NDArray[np.uint8], classes: Sequence[ClassInfo]) -> NDArray[np.float64]:
    """Class ids (H, W) as colours (H, W, 3); what is no class is white."""
    table = np.tile(np.array(_NOT_LABELLED), (256, 1))
    for one in classes:
        table[one.id] = to_rgb(one.color)
    return table[ids]


def _png(figure: Figure) -> bytes:
    FigureCanvasAgg(figure)
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=110)
    return png.getvalue()
