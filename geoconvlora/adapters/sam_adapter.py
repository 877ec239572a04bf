"""SAM-Adapter: prompts from the image's high frequencies, added to every block's input.

Chen et al., "SAM Fails to Segment Anything? SAM-Adapter", 2023.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from geoconvlora.adapters.base import Method
from geoconvlora.sam.adaptable import AdaptableEncoder, BlockPrompter
from geoconvlora.sam.sizes import PATCH

LOW_FREQUENCIES = 0.25
"""Share of the spectrum, the lowest part of it, that the high-pass filter takes out."""


class SAMAdapter(Method):
    """Features of the patch embedding and of the high-passed image, to a prompt for each block.

    Attributes:
        ratio: The features are d / ratio wide.
    """

    name: ClassVar[str] = "sam-adapter"

    ratio: int = Field(default=32, ge=1)

    def inject(self, encoder: AdaptableEncoder) -> None:
        """Give the encoder a prompter."""
        encoder.prompter = HighFrequencyPrompter(encoder, self.ratio)

    def trains(self, name: str) -> bool:
        """The prompter."""
        return name.startswith("prompter.")


class HighFrequencyPrompter(BlockPrompter):
    """``prompt_i = W GELU(W_i (F_hf + F_pe))`` with W shared by all blocks, zero at the start."""

    def __init__(self, encoder: AdaptableEncoder, ratio: int) -> None:
        super().__init__()
        size = encoder.size
        width = max(1, size.width // ratio)
        self.embedded = nn.Linear(size.width, width)
        self.high_pass = nn.Conv2d(encoder.bands, width, PATCH, stride=PATCH)
        self.tuners = nn.ModuleList(nn.Linear(width, width) for _ in range(size.depth))
        self.shared = nn.Linear(width, size.width)
        for layer in (self.embedded, *self.tuners):
            nn.init.trunc_normal_(layer.weight, std=0.02)
            nn.init.zeros_(layer.bias)
        nn.init.zeros_(self.shared.weight)
        nn.init.zeros_(self.shared.bias)

    def features(self, images: Tensor, embedded: Tensor) -> Tensor:
        """Images (B, bands, H, W) and embedded patches (B, h, w, d) to (B, h, w, d / ratio)."""
        high = self.high_pass(high_frequencies(images)).permute(0, 2, 3, 1)
        return high + self.embedded(embedded)  # type: ignore[no-any-return]

    def prompt(self, block: int, features: Tensor) -> Tensor:
        """What is added to the block's input, (B, h, w, d)."""
        return self.shared(F.gelu(self.tuners[block](features)))  # type: ignore[no-any-return]


def high_frequencies(images: Tensor) -> Tensor:
    """Take the lowest quarter of each band's spectrum out; absolute values, (..., H, W)."""
    height, width = images.shape[-2:]
    with torch.autocast(images.device.type, enabled=False):
        spectrum = torch.fft.fftshift(torch.fft.fft2(images.float()), dim=(-2, -1))
        half = int(math.sqrt(height * width * LOW_FREQUENCIES) // 2)
        rows, columns = height // 2, width // 2
        keep = torch.ones((height, width), device=images.device)
        keep[max(0, rows - half) : rows + half, max(0, columns - half) : columns + half] = 0
        passed: Tensor = torch.fft.ifft2(torch.fft.ifftshift(spectrum * keep, dim=(-2, -1)))
        return passed.real.abs().to(images.dtype)
