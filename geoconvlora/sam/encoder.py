"""SAM's image encoder for any number of bands and any image size."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from segment_anything.modeling.image_encoder import Block, ImageEncoderViT
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from geoconvlora.errors import ConfigError
from geoconvlora.sam.attention import RelativeAttention
from geoconvlora.sam.sizes import PATCH, SIZES, EncoderSize

if TYPE_CHECKING:
    from geoconvlora.adapters.base import Method


class BlockPrompter(nn.Module):
    """Something that an adaptation method adds to the input of every block."""

    def features(self, images: Tensor, embedded: Tensor) -> Tensor:
        """What all prompts are made of: images (B, bands, H, W), embedded patches (B, h, w, C)."""
        raise NotImplementedError

    def prompt(self, block: int, features: Tensor) -> Tensor:
        """What is added to the block's input, (B, h, w, C)."""
        raise NotImplementedError


class SideNetwork(nn.Module):
    """A network beside the encoder that reads the tokens of every block."""

    def start(self, tokens: Tensor) -> Tensor:
        """Its first state, from the tokens that enter the first block, (B, h, w, C)."""
        raise NotImplementedError

    def step(self, block: int, state: Tensor, tokens: Tensor) -> Tensor:
        """Its next state, from the tokens that the block has made."""
        raise NotImplementedError

    def finish(self, state: Tensor) -> Tensor:
        """What is added to the last tokens, (B, h, w, C)."""
        raise NotImplementedError


class EncoderBlock(Block):
    """A transformer block whose attention cuts its own windows.

    Attributes:
        beside_mlp: Of an adaptation method: its output, from the same tokens, is added to the
            MLP's.
    """

    beside_mlp: nn.Module | None

    def __init__(self, size: EncoderSize, index: int, *, relative: bool = True) -> None:
        tokens = size.image // PATCH
        window = 0 if index in size.global_blocks else size.window
        super().__init__(
            dim=size.width,
            num_heads=size.heads,
            norm_layer=partial(nn.LayerNorm, eps=1e-6),
            use_rel_pos=relative,
            window_size=window,
            input_size=(tokens, tokens),
        )
        side = window or tokens
        self.attn = RelativeAttention(
            size.width, num_heads=size.heads, use_rel_pos=relative, input_size=(side, side)
        )
        self.beside_mlp = None

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens (B, H, W, C) to tokens of the same shape."""
        attended = self.attn(self.norm1(x), self.window_size)
        x = attended + x
        y = x + self.mlp(self.norm2(x))
        return y if self.beside_mlp is None else y + self.beside_mlp(x)


class ImageEncoder(ImageEncoderViT):
    """SAM's ViT; tensor names are those of Meta's checkpoints.

    Position tables are interpolated to the image's own token grid, linearly, as Meta's code does
    for the relative ones. More than three bands widen the patch embedding.

    Attributes:
        size: Its shape.
        bands: Number of input bands.
        recompute: Whether blocks are recomputed in the backward pass, to save memory.
        method: What it was adapted by; None for a plain encoder.
        prompter: Of an adaptation method: adds to the input of every block.
        side: Of an adaptation method: reads every block's tokens and adds to the last.
    """

    size: EncoderSize
    bands: int
    recompute: bool
    method: Method | None
    prompter: BlockPrompter | None
    side: SideNetwork | None

    def __init__(self, size: EncoderSize, bands: int = 3) -> None:
        super().__init__(
            img_size=size.image,
            patch_size=PATCH,
            in_chans=bands,
            embed_dim=size.width,
            depth=0,
            num_heads=size.heads,
            out_chans=size.neck,
        )
        self.size = size
        self.bands = bands
        self.recompute = False
        self.method = None
        self.prompter = None
        self.side = None
        self.blocks = nn.ModuleList(EncoderBlock(size, index) for index in range(size.depth))

    def forward(self, x: Tensor) -> Tensor:
        """Encode images.

        Args:
            x: Normalised images, (B, bands, H, W); H and W are multiples of 16.

        Returns:
            Embeddings, (B, neck, H / 16, W / 16).
        """
        if x.shape[-2] % PATCH or x.shape[-1] % PATCH:
            raise ConfigError(
                f"images of {x.shape[-2]} x {x.shape[-1]} pixels do not fit patches of {PATCH}: "
                f"pad them to multiples of {PATCH}"
            )
        tokens = self.patch_embed(x)
        features = self.prompter.features(x, tokens) if self.prompter else None
        tokens = tokens + self.positions(tokens.shape[1], tokens.shape[2])
        state = self.side.start(tokens) if self.side else None
        for index, block in enumerate(self.blocks):
            if self.prompter is not None:
                tokens = tokens + self.prompter.prompt(index, features)
            tokens = self._run(block, tokens)
            if self.side is not None:
                state = self.side.step(index, state, tokens)
        if self.side is not None:
            tokens = tokens + self.side.finish(state)
        return self.neck(tokens.permute(0, 3, 1, 2))  # type: ignore[no-any-return]

    def _run(self, block: nn.Module, tokens: Tensor) -> Tensor:
        if self.recompute and torch.is_grad_enabled():
            return checkpoint(block, tokens, use_reentrant=False)  # type: ignore[no-any-return]
        return block(tokens)  # type: ignore[no-any-return]

    def positions(self, rows: int, columns: int) -> Tensor:
        """Absolute positions on a grid of tokens, (1, rows, columns, C)."""
        table = cast("Tensor", self.pos_embed)
        if table.shape[1:3] == (rows, columns):
            return table
        resized = F.interpolate(table.permute(0, 3, 1, 2), size=(rows, columns), mode="bilinear")
        return resized.permute(0, 2, 3, 1)

    def initialise(self) -> None:
        """Give an encoder that is trained from scratch the usual ViT start."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
        nn.init.trunc_normal_(cast("Tensor", self.pos_embed), std=0.02)


def widen_patch_embedding(tensors: dict[str, Tensor], bands: int) -> dict[str, Tensor]:
    """Grow a three-band patch embedding to ``bands`` bands.

    Each band gets the mean of the RGB filters, scaled so that equal bands give the response that
    grey gives the original.
    """
    weight = tensors["patch_embed.proj.weight"]
    if weight.shape[1] == bands:
        return tensors
    mean = weight.mean(dim=1, keepdim=True) * (weight.shape[1] / bands)
    return {**tensors, "patch_embed.proj.weight": mean.repeat(1, bands, 1, 1)}


def load_encoder(
    size: str, checkpoint: str | Path | None = None, *, bands: int = 3
) -> ImageEncoder:
    """Build an image encoder, with weights where a checkpoint is given.

    Args:
        size: ``vit_t``, ``vit_b``, ``vit_l`` or ``vit_h``.
        checkpoint: A SAM checkpoint in Meta's format, by path or by its official name
            (``sam_vit_b_01ec64.pth``), or base weights made by this package. None leaves the
            weights random.
        bands: Input bands; three or more.

    Returns:
        The encoder in evaluation mode; its module maps normalised images (B, bands, H, W) to
        embeddings (B, 256, H / 16, W / 16), 64 channels for ``vit_t``.

    Raises:
        ConfigError: The size is unknown, or there are fewer than three bands.
        WeightsError: The checkpoint is missing, damaged or of another size.

    Example:
        >>> import torch
        >>> encoder = load_encoder("vit_t")
        >>> encoder(torch.zeros(1, 3, 64, 96)).shape
        torch.Size([1, 64, 4, 6])
    """
    if size not in SIZES:
        raise ConfigError(f"unknown encoder size {size!r}: choose one of {', '.join(SIZES)}")
    if bands < 3:
        raise ConfigError(f"the encoder takes 3 bands or more, not {bands}")
    encoder = ImageEncoder(SIZES[size], bands)
    if checkpoint is None:
        encoder.initialise()
    else:
        from geoconvlora.weights.checkpoint import read_checkpoint

        state = read_checkpoint(checkpoint)
        state.load_into(encoder, "image_encoder", adapt=partial(widen_patch_embedding, bands=bands))
    encoder.eval()
    return encoder


def encoder_arguments(encoder: ImageEncoder) -> dict[str, Any]:
    """What :func:`load_encoder` needs to build the same encoder again."""
    size = next(name for name, shape in SIZES.items() if shape == encoder.size)
    return {"size": size, "bands": encoder.bands}
