"""Encoder and decoder joined: normalised images to class logits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geoconvlora.sam.adaptable import AdaptableEncoder
from geoconvlora.sam.decoder import DecoderSettings, PromptFreeDecoder
from geoconvlora.sam.encoder import load_encoder


class Segmenter(nn.Module):
    """SAM without prompts, or a ViT in the encoder's place, for any number of classes.

    Attributes:
        encoder: The image encoder, perhaps adapted.
        decoder: The prompt-free decoder.
    """

    def __init__(self, encoder: AdaptableEncoder, decoder: PromptFreeDecoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    def forward(self, images: Tensor) -> Tensor:
        """Segment.

        Args:
            images: Normalised, (B, bands, H, W); H and W are multiples of 16, times the decoder's
                ``shrink``.

        Returns:
            Logits, (B, K, H, W); their softmax over K are class probabilities.
        """
        shrink = self.decoder.settings.shrink
        seen = F.avg_pool2d(images, shrink) if shrink > 1 else images
        logits: Tensor = self.decoder(self.encoder(seen), images)
        if logits.shape[-2:] == images.shape[-2:]:
            return logits
        return F.interpolate(logits, size=images.shape[-2:], mode="bilinear")

    def trainable(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Names and parameters that training changes."""
        return ((n, p) for n, p in self.named_parameters() if p.requires_grad)


def build_segmenter(
    size: str = "vit_t",
    *,
    classes: int,
    bands: int = 3,
    checkpoint: str | Path | None = None,
    decoder: Mapping[str, Any] | None = None,
) -> Segmenter:
    """Build a segmenter.

    Args:
        size: Encoder size: ``vit_t``, ``vit_b``, ``vit_l`` or ``vit_h``; or a plain ViT of timm's,
            such as ``timm/vit_small_patch16_224``.
        classes: Number of classes.
        bands: Input bands, see :func:`geoconvlora.sam.load_encoder`.
        checkpoint: Base weights, see :func:`geoconvlora.sam.load_encoder`. What the checkpoint
            holds for the decoder is taken over where its shape fits.
        decoder: Settings of the decoder, see :class:`DecoderSettings`.

    Returns:
        The segmenter in evaluation mode, all parameters trainable.

    Raises:
        ConfigError: A setting is unknown or cannot work.
        WeightsError: The checkpoint is missing, damaged or of another size.

    Example:
        >>> import torch
        >>> segmenter = build_segmenter("vit_t", classes=3, decoder={"stem": True})
        >>> segmenter(torch.zeros(1, 3, 64, 64)).shape
        torch.Size([1, 3, 64, 64])
    """
    encoder = load_encoder(size, checkpoint, bands=bands)
    head = PromptFreeDecoder(
        encoder.size, classes, bands, DecoderSettings.parse(dict(decoder or {}))
    )
    if checkpoint is not None:
        from geoconvlora.weights.checkpoint import read_checkpoint

        with torch.no_grad():
            read_checkpoint(checkpoint).start_decoder(head)
    return Segmenter(encoder, head).eval()
