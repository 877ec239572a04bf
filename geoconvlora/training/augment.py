"""Random changes to a batch: places alike for image, mask and validity, colours for the image."""

from __future__ import annotations

from typing import Any

import torch
from kornia.augmentation import (
    AugmentationSequential,
    RandomAffine,
    RandomBrightness,
    RandomContrast,
    RandomHorizontalFlip,
    RandomVerticalFlip,
)
from torch import Tensor

from geoconvlora.training.config import AugmentConfig
from geoconvlora.training.data_config import IGNORE
from geoconvlora.training.samples import TorchSample


class Augment(torch.nn.Module):
    """Flips, quarter turns, scale, brightness, contrast and dropped bands.

    All are drawn from torch's global generator. What a reduced tile does not reach is invalid.
    """

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
        self._config = config
        span = (1 / (1 + config.scale), 1 + config.scale)
        self._scale = AugmentationSequential(
            RandomAffine(degrees=0, scale=span, p=1.0), data_keys=["input", "mask", "mask"]
        )
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
        if self._config.scale:
            image, mask, valid = self._scaled(image, mask, valid)
        image = self._change_bands(image) * valid[:, None]
        if self._config.quarter_turns and image.shape[-1] == image.shape[-2]:
            turns = torch.randint(0, 4, (len(image),)).tolist()
            image, mask, valid = (_turn(layer, turns) for layer in (image, mask, valid))
        return {**batch, "image": image, "mask": mask, "valid": valid}

    def _scaled(self, image: Tensor, mask: Tensor, valid: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Enlarge or reduce; pixels are means of valid ones alone."""
        float_mask, float_valid = (layer[:, None].to(image) for layer in (mask, valid))
        weighted = torch.cat([image * float_valid, float_valid], dim=1)
        weighted, float_mask, float_valid = self._scale(weighted, float_mask, float_valid)
        valid = float_valid[:, 0] > 0.5
        image = weighted[:, :-1] / weighted[:, -1:].clamp(min=1e-6)
        return image, torch.where(valid, float_mask[:, 0].round().long(), IGNORE), valid

    def _change_bands(self, image: Tensor) -> Tensor:
        """Change each band of (B, C, H, W) by itself."""
        config, bands = self._config, image.shape[:2]
        if config.band_contrast:
            image = image * (1 + config.band_contrast * _uniform(bands, image))
        if config.band_brightness:
            image = image + config.band_brightness * _uniform(bands, image)
        if config.band_drop:
            chances = torch.rand(bands)
            dropped = (chances < config.band_drop) & (chances < chances.amax(1, keepdim=True))
            image = image.masked_fill(dropped.to(image.device)[:, :, None, None], 0)
        return image


def _uniform(bands: torch.Size, like: Tensor) -> Tensor:
    """Numbers from -1 to 1, (B, C, 1, 1)."""
    return (2 * torch.rand(bands) - 1).to(like)[:, :, None, None]


def _turn(layer: Tensor, turns: list[int]) -> Tensor:
    """Quarter turns by copying: kornia's rotation resamples, and a turn needs no resampling."""
    return torch.stack([torch.rot90(one, k, (-2, -1)) for one, k in zip(layer, turns, strict=True)])
