"""Random changes to a batch, the same for image, mask and validity."""

from __future__ import annotations

from typing import Any

import torch
from kornia.augmentation import (
    AugmentationSequential,
    RandomBrightness,
    RandomContrast,
    RandomHorizontalFlip,
    RandomVerticalFlip,
)
from torch import Tensor

from geoconvlora.training.config import AugmentConfig
from geoconvlora.training.samples import TorchSample


class Augment(torch.nn.Module):
    """Flips, quarter turns, brightness and contrast, drawn from torch's global generator."""

    def __init__(self, config: AugmentConfig) -> None:
        super().__init__()
        steps: list[Any] = []
        if config.flips:
            steps += [RandomHorizontalFlip(p=0.5), RandomVerticalFlip(p=0.5)]
        # Images are normalised, so values are not cut to kornia's range of 0 to 1.
        if config.brightness:
            span = (1 - config.brightness, 1 + config.brightness)
            steps.append(RandomBrightness(span, clip_output=False, p=1.0))
        if config.contrast:
            span = (1 - config.contrast, 1 + config.contrast)
            steps.append(RandomContrast(span, clip_output=False, p=1.0))
        self._quarter_turns = config.quarter_turns
        self._steps = (
            AugmentationSequential(*steps, data_keys=["input", "mask", "mask"]) if steps else None
        )

    @torch.no_grad()
    def forward(self, batch: TorchSample) -> TorchSample:
        """Change a batch of ``image`` (B, C, H, W), ``mask`` and ``valid`` (B, H, W)."""
        image, mask, valid = batch["image"], batch["mask"], batch["valid"]
        if self._steps is not None:
            float_mask, float_valid = (layer[:, None].to(image) for layer in (mask, valid))
            image, float_mask, float_valid = self._steps(image, float_mask, float_valid)
            mask, valid = float_mask[:, 0].round().long(), float_valid[:, 0] > 0.5
            image = image * valid[:, None]
        if self._quarter_turns and image.shape[-1] == image.shape[-2]:
            turns = torch.randint(0, 4, (len(image),)).tolist()
            image, mask, valid = (_turn(layer, turns) for layer in (image, mask, valid))
        return {**batch, "image": image, "mask": mask, "valid": valid}


def _turn(layer: Tensor, turns: list[int]) -> Tensor:
    """Quarter turns by copying: kornia's rotation resamples, and a turn needs no resampling."""
    return torch.stack([torch.rot90(one, k, (-2, -1)) for one, k in zip(layer, turns, strict=True)])
