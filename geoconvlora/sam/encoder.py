"""SAM's image encoder for any number of bands and any image size."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, cast

from torch import Tensor, nn
from torch.nn import functional as F

from geoconvlora.errors import ConfigError, WeightsError
from geoconvlora.sam.adaptable import AdaptableBlock, AdaptableEncoder
from geoconvlora.sam.attention import RelativeAttention
from geoconvlora.sam.official import Block, ImageEncoderViT
from geoconvlora.sam.plain_vit import PREFIX, PlainViTEncoder, build_plain_vit
from geoconvlora.sam.sizes import PATCH, SIZES, EncoderSize


class EncoderBlock(AdaptableBlock, Block):
    """A transformer block whose attention cuts its own windows."""

    mlp_layers = ("lin1", "lin2")

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
        attended: Tensor = self.attn(self.norm1(x), self.window_size)
        x = attended + x
        y: Tensor = x + self.mlp(self.norm2(x))
        return y if self.beside_mlp is None else y + self.beside_mlp(x)


class ImageEncoder(AdaptableEncoder, ImageEncoderViT):
    """SAM's ViT; tensor names are those of Meta's checkpoints.

    Position tables are interpolated to the image's own token grid, linearly, as Meta's code does
    for the relative ones. More than three bands widen the patch embedding.
    """

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
        self._start_plain(size, bands, ("patch_embed.",) if bands > 3 else ())
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
        features: Any = self.prompter.features(x, tokens) if self.prompter else None
        tokens = tokens + self.positions(tokens.shape[1], tokens.shape[2])
        state: Any = self.side.start(tokens) if self.side else None
        for index, block in enumerate(self.blocks):
            if self.prompter is not None:
                tokens = tokens + self.prompter.prompt(index, features)
            tokens = self._run(block, tokens)
            if self.side is not None:
                state = self.side.step(index, state, tokens)
        if self.side is not None:
            tokens = tokens + self.side.finish(state)
        return self.neck(tokens.permute(0, 3, 1, 2))  # type: ignore[no-any-return]

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
) -> AdaptableEncoder:
    """Build an image encoder, with weights where a checkpoint is given.

    Args:
        size: ``vit_t``, ``vit_b``, ``vit_l`` or ``vit_h``; or a plain ViT of timm's, such as
            ``timm/vit_small_patch16_224``.
        checkpoint: A SAM checkpoint in Meta's format, by path or by its official name
            (``sam_vit_b_01ec64.pth``), or base weights made by this package. For a ViT of timm's, a
            file of its tensors as timm names them. None leaves the weights random.
        bands: Input bands; three or more for SAM. A ViT's are those of its checkpoint, or any
            number where that is for three.

    Returns:
        The encoder in evaluation mode; its module maps normalised images (B, bands, H, W) to
        embeddings (B, 256, H / 16, W / 16), 64 channels for ``vit_t``.

    Raises:
        ConfigError: The size is unknown, or there are fewer than three bands.
        WeightsError: The checkpoint is missing, damaged or of another size or number of bands.

    Example:
        >>> import torch
        >>> encoder = load_encoder("vit_t")
        >>> encoder(torch.zeros(1, 3, 64, 96)).shape
        torch.Size([1, 64, 4, 6])
    """
    if size.startswith(PREFIX):
        return load_plain_vit(size, checkpoint, bands).eval()
    if size not in SIZES:
        raise ConfigError(
            f"unknown encoder size {size!r}: choose one of {', '.join(SIZES)}, or a ViT of timm's "
            f"such as {PREFIX}vit_small_patch16_224"
        )
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


def load_plain_vit(name: str, checkpoint: str | Path | None, bands: int) -> PlainViTEncoder:
    """Build a ViT of timm's, see :func:`load_encoder`.

    The neck, and the last norm where the checkpoint comes without it, as some of torchgeo's do,
    are fresh: they train with every method.
    """
    encoder = build_plain_vit(name, bands)
    if checkpoint is None:
        return encoder
    from geoconvlora.weights.checkpoint import read_checkpoint

    state = read_checkpoint(checkpoint)
    start = {k: v for k, v in encoder.state_dict().items() if k.startswith(("neck.", "norm."))}
    stored = state.part("image_encoder")
    fresh = {f"{k.split('.')[0]}." for k in start if k not in stored}

    def adapt(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        held = tensors["patch_embed.proj.weight"].shape[1]
        if held not in {3, bands}:
            raise WeightsError(
                f"{state.path} is for {held} bands, not for {bands}: name the bands that it was "
                "trained on, in their order"
            )
        if held != bands:
            fresh.add("patch_embed.")
        return {**start, **widen_patch_embedding(tensors, bands)}

    state.load_into(encoder, "image_encoder", adapt=adapt)
    encoder.fresh = tuple(sorted(fresh))
    return encoder


def encoder_arguments(encoder: AdaptableEncoder) -> dict[str, Any]:
    """What :func:`load_encoder` needs to build the same encoder again.

    Raises:
        ConfigError: The encoder is a ViT that it did not build.
    """
    if isinstance(encoder, PlainViTEncoder):
        if encoder.architecture is None:
            raise ConfigError(
                "the architecture of this ViT has no name: build it with load_encoder"
            )
        return {"size": f"{PREFIX}{encoder.architecture}", "bands": encoder.bands}
    size = next(name for name, shape in SIZES.items() if shape == encoder.size)
    return {"size": size, "bands": encoder.bands}
