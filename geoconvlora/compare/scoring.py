"""A trained model's scores on the held-out tiles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from geoconvlora.errors import LabelError
from geoconvlora.evaluate import (
    boundary_counts,
    boundary_f1,
    class_dice,
    class_iou,
    confusion,
    mean_of_present,
)
from geoconvlora.training.normalise import NormalisedPool
from geoconvlora.training.tile_pool import TilePair, TileValPool
from geoconvlora.weights import Model
from geoconvlora.weights.card import Frozen


class Scores(Frozen):
    """Pooled over all labelled pixels of all tiles; classes that nobody has are left out."""

    miou: float
    """Mean over classes, background included, of the intersection over union."""
    dice: float
    """Mean over classes of the Dice coefficient."""
    boundary_f1: float | None
    """Mean over classes of the boundary F1; None where no tile has a boundary."""
    class_iou: dict[str, float]
    """By class name."""


def score(
    model: Model,
    tiles: Sequence[TilePair],
    *,
    batch_size: int,
    device: torch.device,
    tolerance_px: float,
) -> Scores:
    """Predict tiles, each crop of the model's tile size by itself, and compare with the labels.

    Args:
        model: On the device.
        tiles: Images and labels.
        batch_size: Crops that the network sees at once.
        device: Where the model is.
        tolerance_px: Of the boundary F1.

    Raises:
        LabelError: No pixel is labelled.

    Example:
        >>> score(model, pairs, batch_size=4, device=torch.device("cpu"), tolerance_px=2).miou
        ... # doctest: +SKIP
        0.71
    """
    card = model.card
    pool = NormalisedPool(TileValPool(tiles, card.scaling, card.tile_size), card.bands)
    classes = len(card.classes)
    pixels = np.zeros((classes, classes), np.int64)
    outlines = np.zeros((classes, 4), np.int64)
    for first in range(0, len(pool), batch_size):
        keys = range(first, min(first + batch_size, len(pool)))
        samples = [pool.draw(key).to_torch() for key in keys]
        images = torch.stack([sample["image"] for sample in samples]).to(device)
        with torch.inference_mode():
            found = model.network(images).argmax(dim=1).cpu().numpy()
        for predicted, sample in zip(found, samples, strict=True):
            truth = sample["mask"].numpy()
            pixels += confusion(predicted, truth, classes)
            outlines += boundary_counts(predicted, truth, classes, tolerance_px=tolerance_px)
    if not pixels.any():
        raise LabelError("no pixel of the test tiles is labelled: choose others")
    iou, edges = class_iou(pixels), boundary_f1(outlines)
    return Scores(
        miou=mean_of_present(iou),
        dice=mean_of_present(class_dice(pixels)),
        boundary_f1=None if np.isnan(edges).all() else mean_of_present(edges),
        class_iou={c.name: float(v) for c, v in zip(card.classes, iou, strict=True) if v == v},
    )
