"""The four sizes of the image encoder: Meta's three, and a compact one for laptops."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SizeName = Literal["vit_t", "vit_b", "vit_l", "vit_h"]

PATCH = 16
"""Side of a patch in pixels, in all sizes."""


@dataclass(frozen=True)
class EncoderSize:
    """Shape of an image encoder.

    Attributes:
        width: Channels of a token.
        depth: Number of transformer blocks.
        heads: Attention heads.
        global_blocks: Blocks that attend over the whole map; the others over windows.
        window: Side of an attention window in tokens.
        neck: Channels of the encoder's output.
        image: Side in pixels of the square image that the position tables are made for.
        decoder_heads: Heads of the decoder's two-way transformer.
        decoder_mlp: Hidden width of its MLPs.
    """

    width: int
    depth: int
    heads: int
    global_blocks: tuple[int, ...]
    window: int = 14
    neck: int = 256
    image: int = 1024
    decoder_heads: int = 8
    decoder_mlp: int = 2048


SIZES: dict[str, EncoderSize] = {
    "vit_t": EncoderSize(
        width=192,
        depth=12,
        heads=3,
        global_blocks=(2, 5, 8, 11),
        window=8,
        neck=64,
        image=256,
        decoder_heads=4,
        decoder_mlp=256,
    ),
    "vit_b": EncoderSize(width=768, depth=12, heads=12, global_blocks=(2, 5, 8, 11)),
    "vit_l": EncoderSize(width=1024, depth=24, heads=16, global_blocks=(5, 11, 17, 23)),
    "vit_h": EncoderSize(width=1280, depth=32, heads=16, global_blocks=(7, 15, 23, 31)),
}
