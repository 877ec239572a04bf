"""A light convolutional stem whose high-resolution features join the decoder's upscaling.

SAM's output is four times coarser than its input and its patches are sixteen pixels wide; fields
and roads of a few pixels need more. Not part of the paper: an option of the decoder. No convolution
runs at the image's own resolution, where a laptop would spend half its time: channels are
unfolded into pixels last, when only the masks are left.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

WIDTHS = (32, 48, 64)
"""Channels at half, quarter and eighth resolution."""

FEATURES = 16
"""Channels of the upscaled embedding, which masks are made of."""

SUBPIXELS = 4
"""Pixels of the image below one position at half resolution."""


def _convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    # Batch statistics keep the contrast between positions, which a norm over channels takes away;
    # at prediction they are constants, so tiles do not depend on what else is in them.
    layer = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
    norm = nn.BatchNorm2d(outputs, momentum=0.05)
    return nn.Sequential(layer, norm, nn.ReLU(inplace=True))


class DetailStem(nn.Module):
    """Features of the image at half, quarter and eighth resolution."""

    def __init__(self, bands: int) -> None:
        super().__init__()
        self.levels = nn.ModuleList(
            nn.Sequential(_convolution(a, b, stride=2), _convolution(b, b))
            for a, b in zip((bands, *WIDTHS[:-1]), WIDTHS, strict=True)
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        """Images (B, bands, H, W) to three maps, finest first."""
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
        self.refinements = nn.ModuleList(_convolution(width, width) for width in widths)
        self.unfold = nn.Conv2d(WIDTHS[0], FEATURES * SUBPIXELS, 1)

    def forward(self, x: Tensor, details: list[Tensor]) -> Tensor:
        """Upscale (B, C, H/16, W/16) to (B, FEATURES * SUBPIXELS, H/2, W/2)."""
        levels = zip(self.projections, self.refinements, reversed(details), strict=True)
        for project, refine, detail in levels:
            x = F.interpolate(project(x), size=detail.shape[-2:], mode="bilinear")
            x = refine(x + detail)
        return self.unfold(x)  # type: ignore[no-any-return]
