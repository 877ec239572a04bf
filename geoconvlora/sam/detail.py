"""A light convolutional stem whose high-resolution features join the decoder's upscaling.

SAM's output is four times coarser than its input and its patches are sixteen pixels wide; fields
and roads of a few pixels need more. Not part of the paper: an option of the decoder. No convolution
runs at the image's own resolution, where a laptop would spend half its time: channels are
unfolded into pixels last, when only the masks are left.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_weights

from geoconvlora.sam.steady import steady_product

WIDTHS = (32, 48, 64)
"""Channels at half, quarter and eighth resolution."""

FEATURES = 16
"""Channels of the upscaled embedding, which masks are made of."""

SUBPIXELS = 4
"""Pixels of the image below one position at half resolution."""


class _Convolution(nn.Sequential):
    """Convolution, batch norm, ReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        # Batch statistics keep the contrast between positions, which a norm over channels takes
        # away; at prediction they are constants, so tiles do not depend on what else is in them.
        super().__init__(
            nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(outputs, momentum=0.05),
            nn.ReLU(inplace=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        if self.training or torch.is_grad_enabled():
            return super().forward(x)  # type: ignore[no-untyped-call, no-any-return]
        # At prediction the norm is a factor and a shift: part of the convolution.
        convolution, norm = cast("tuple[nn.Conv2d, nn.BatchNorm2d]", (self[0], self[1]))
        mean, variance = norm.running_mean, norm.running_var
        assert mean is not None
        assert variance is not None
        weight, bias = fuse_conv_bn_weights(
            convolution.weight, None, mean, variance, norm.eps, norm.weight, norm.bias
        )
        return F.conv2d(x, weight, bias, convolution.stride, convolution.padding).relu_()


class DetailStem(nn.Module):
    """Features of the image at half, quarter and eighth resolution."""

    def __init__(self, bands: int) -> None:
        super().__init__()
        self.levels = nn.ModuleList(
            nn.Sequential(_Convolution(a, b, stride=2), _Convolution(b, b))
            for a, b in zip((bands, *WIDTHS[:-1]), WIDTHS, strict=True)
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        """Images (B, bands, H, W) to three maps, finest first."""
        # Few channels of many pixels: side by side in memory they are convolved a third faster.
        images = images.contiguous(memory_format=torch.channels_last)
        maps = []
        for level in self.levels:
            images = level(images)
            maps.append(images)
        return maps


class DetailUpscaling(nn.Module):
    """From the token grid to the image's own grid, joined by the stem's features on the way."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        widths = WIDTHS[::-1]
        self.projections = nn.ModuleList(
            nn.Conv2d(a, b, 1) for a, b in zip((inputs, *widths[:-1]), widths, strict=True)
        )
        self.refinements = nn.ModuleList(_Convolution(width, width) for width in widths)
        self.unfold = nn.Conv2d(WIDTHS[0], FEATURES * SUBPIXELS, 1)

    def forward(self, x: Tensor, details: list[Tensor], weights: Tensor) -> Tensor:
        """Upscale (B, C, H/16, W/16) and weigh the features (B, Q, FEATURES) to masks (B, Q, H, W).

        Unfolding features and weighing them is one linear map; made of both beforehand, it costs a
        fraction of the two.
        """
        levels = zip(self.projections, self.refinements, reversed(details), strict=True)
        for project, refine, detail in levels:
            x = F.interpolate(project(x), size=detail.shape[-2:], mode="bilinear")
            x = refine(x + detail)
        batch, channels, rows, columns = x.shape
        unfolding = self.unfold.weight.view(FEATURES, -1)
        shift = self.unfold.bias
        assert shift is not None
        # What is rounded here is rounded in the logits.
        with torch.autocast(x.device.type, enabled=False):
            queries = weights.float()
            both = steady_product(queries, unfolding).view(batch, -1, channels)
            shifts = steady_product(queries, shift.view(FEATURES, -1)).view(batch, -1, 1)
            masks = torch.baddbmm(shifts, both, x.flatten(2).float())
        masks = masks.view(batch, -1, rows, columns)
        return F.pixel_shuffle(masks, math.isqrt(SUBPIXELS))
