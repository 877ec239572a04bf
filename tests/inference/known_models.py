"""A network whose map is known, and cards for networks; named so that no other folder has it."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from geoconvlora.weights.card import Band, BaseWeights, ClassInfo, ModelCard, Scaling


class Pointwise(nn.Module):
    """Each pixel's logits are its own bands, so a map made from it can have no seams."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[int, ...]] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.seen.append(tuple(images.shape))
        return images.clone()


def make_card(**changes: Any) -> ModelCard:
    colors = ("#000000", "#00ff00", "#ff0000")
    settings: dict[str, Any] = {
        "name": "pointwise",
        "task": "classes",
        "base": BaseWeights(name="none", size="vit_t"),
        "method": "full",
        "classes": [
            ClassInfo(id=i, name=name, color=colors[i])
            for i, name in enumerate(("ground", "crop", "road"))
        ],
        "bands": [Band(name=name, mean=0, std=1) for name in ("red", "green", "blue")],
        "scaling": Scaling(scale=0.02),
        "tile_size": 32,
    }
    return ModelCard(**{**settings, **changes})
