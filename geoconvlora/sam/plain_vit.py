"""Any plain ViT of timm's in the place of SAM's encoder, for weights trained on other sensors.

torchgeo's ``vit_small_patch16_224`` and its kin are such models, with weights for the 13 bands of
Sentinel-2 among others. Tokens that are no place of the image, such as the class token, come before
the map's: they take part in attention as they did when the weights were made, every method's
pointwise layers act on them too, and only what needs a map (convolution experts, prompts made of
the image, a side network) leaves them alone. They are dropped before the neck.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geoconvlora.errors import ConfigError
from geoconvlora.sam.adaptable import AdaptableBlock, AdaptableEncoder
from geoconvlora.sam.official import LayerNorm2d
from geoconvlora.sam.sizes import PATCH, EncoderSize

PREFIX = "timm/"
"""How the names of these architectures begin: ``timm/vit_small_patch16_224``."""

PLAIN_BLOCK = ("norm1", "attn", "ls1", "drop_path1", "norm2", "mlp", "ls2", "drop_path2")
PLAIN_ATTENTION = ("qkv", "q_norm", "k_norm", "attn_drop", "proj", "proj_drop")


class PlainViTEncoder(AdaptableEncoder):
    """A timm ``VisionTransformer`` with a neck like SAM's; tensor names are timm's, and ``neck.``.

    The model is taken over: its layers become the encoder's, so use the encoder from then on;
    :meth:`forward_features` gives what the model's own gave. The classifier is left behind. The
    position table is interpolated to the image's own token grid as timm does it, bicubically.

    Supported are classes of ``timm.models.vision_transformer`` made of pre-norm blocks with one
    fused qkv and a two-layer MLP, with patches of 16 pixels (decoder and detail stem are made for
    them); with or without class, register and position tokens, layer scale and qk norms.

    Attributes:
        architecture: Name of the model in timm's registry; None where it is not known.

    Example:
        >>> import timm, torch
        >>> vit = timm.create_model("vit_tiny_patch16_224", in_chans=13, depth=2)
        >>> PlainViTEncoder(vit)(torch.zeros(1, 13, 64, 96)).shape
        torch.Size([1, 256, 4, 6])
    """

    cls_token: nn.Parameter | None
    reg_token: nn.Parameter | None
    pos_embed: nn.Parameter | None

    def __init__(self, vit: nn.Module, architecture: str | None = None) -> None:
        """Take a model over.

        Args:
            vit: A timm ``VisionTransformer``.
            architecture: Its name in timm's registry.

        Raises:
            ConfigError: It is no plain ViT, or its patches are not 16 pixels.
        """
        super().__init__()
        _check(vit)
        model: Any = vit
        size = EncoderSize(
            width=model.embed_dim,
            depth=len(model.blocks),
            heads=model.blocks[0].attn.num_heads,
            global_blocks=tuple(range(len(model.blocks))),
            image=max(model.patch_embed.grid_size) * PATCH,
        )
        self._start_plain(size, model.patch_embed.proj.in_channels, ("neck.",))
        self.architecture = architecture
        self.grid: tuple[int, int] = model.patch_embed.grid_size
        self.no_embed_class: bool = model.no_embed_class
        self.patch_embed = PlainPatchEmbed(model.patch_embed)
        self.cls_token, self.reg_token = model.cls_token, model.reg_token
        self.pos_embed, self.pos_drop = model.pos_embed, model.pos_drop
        self.norm_pre, self.norm = model.norm_pre, model.norm
        self.blocks = nn.ModuleList(PlainBlock(block) for block in model.blocks)
        self.neck = nn.Sequential(
            nn.Conv2d(size.width, size.neck, 1, bias=False),
            LayerNorm2d(size.neck),
            nn.Conv2d(size.neck, size.neck, 3, padding=1, bias=False),
            LayerNorm2d(size.neck),
        ).to(model.patch_embed.proj.weight)
        self.train(vit.training)

    def forward(self, x: Tensor) -> Tensor:
        """Encode images.

        Args:
            x: Normalised images, (B, bands, H, W); H and W are multiples of 16.

        Returns:
            Embeddings, (B, 256, H / 16, W / 16).
        """
        rows, columns = x.shape[-2] // PATCH, x.shape[-1] // PATCH
        tokens = _on_map(self.forward_features(x), (rows, columns))
        return self.neck(tokens.permute(0, 3, 1, 2))  # type: ignore[no-any-return]

    def forward_features(self, x: Tensor) -> Tensor:
        """Tokens after the last norm, as timm's method of this name gives them.

        Args:
            x: Normalised images, (B, bands, H, W); H and W are multiples of 16.

        Returns:
            Tokens, (B, p + h w, C), the p class and register tokens first.
        """
        if x.shape[-2] % PATCH or x.shape[-1] % PATCH:
            raise ConfigError(
                f"images of {x.shape[-2]} x {x.shape[-1]} pixels do not fit patches of {PATCH}: "
                f"pad them to multiples of {PATCH}"
            )
        embedded = self.patch_embed(x)
        grid = (embedded.shape[1], embedded.shape[2])
        features: Any = self.prompter.features(x, embedded) if self.prompter else None
        tokens = self.norm_pre(self._with_positions(embedded))
        state: Any = self.side.start(_on_map(tokens, grid)) if self.side else None
        for index, block in enumerate(self.blocks):
            if self.prompter is not None:
                tokens = _add_to_map(tokens, self.prompter.prompt(index, features))
            tokens = self._run(block, tokens, grid)
            if self.side is not None:
                state = self.side.step(index, state, _on_map(tokens, grid))
        if self.side is not None:
            tokens = _add_to_map(tokens, self.side.finish(state))
        return self.norm(tokens)  # type: ignore[no-any-return]

    def _with_positions(self, embedded: Tensor) -> Tensor:
        """Embedded patches (B, h, w, C) to tokens (B, p + h w, C)."""
        batch, rows, columns, _ = embedded.shape
        tokens = embedded.flatten(1, 2)
        own = (self.cls_token, self.reg_token)
        prefix = [token.expand(batch, -1, -1) for token in own if token is not None]
        if self.pos_embed is None:
            return torch.cat([*prefix, tokens], dim=1)
        count = 0 if self.no_embed_class else sum(t.shape[1] for t in prefix)
        table = self._positions(rows, columns, count)
        if self.no_embed_class:
            tokens = torch.cat([*prefix, tokens + table], dim=1)
        else:
            tokens = torch.cat([*prefix, tokens], dim=1) + table
        return self.pos_drop(tokens)  # type: ignore[no-any-return]

    def _positions(self, rows: int, columns: int, prefix: int) -> Tensor:
        """Absolute positions of ``prefix`` tokens and a grid, (1, prefix + rows columns, C)."""
        if (rows, columns) == self.grid:
            return cast("Tensor", self.pos_embed)
        from timm.layers import resample_abs_pos_embed

        table: Tensor = resample_abs_pos_embed(
            self.pos_embed, [rows, columns], list(self.grid), num_prefix_tokens=prefix
        )
        return table


class PlainPatchEmbed(nn.Module):
    """timm's patch embedding for images of any size."""

    def __init__(self, embed: nn.Module) -> None:
        super().__init__()
        self.proj = cast("nn.Conv2d", embed.proj)
        self.norm = cast("nn.Module", embed.norm)

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, bands, H, W) to patches (B, h, w, C)."""
        patches: Tensor = self.norm(self.proj(x).permute(0, 2, 3, 1))
        return patches


class PlainBlock(AdaptableBlock):
    """timm's block, its tokens' map known to its attention.

    A branch beside the MLP is added after layer scale, which is the MLP's own.
    """

    mlp_layers = ("fc1", "fc2")

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        for name in PLAIN_BLOCK:
            part = getattr(block, name)
            setattr(self, name, PlainAttention(part) if name == "attn" else part)
        self.beside_mlp = None

    def forward(self, x: Tensor, grid: tuple[int, int]) -> Tensor:
        """Map tokens (B, p + h w, C), those of the map of this shape last, to the same shape."""
        attended: Tensor = self.drop_path1(self.ls1(self.attn(self.norm1(x), grid)))  # type: ignore[operator]
        x = x + attended
        y: Tensor = x + self.drop_path2(self.ls2(self.mlp(self.norm2(x))))  # type: ignore[operator]
        return y if self.beside_mlp is None else y + self.beside_mlp(x)


class PlainAttention(nn.Module):
    """timm's multi-head attention.

    A ``qkv`` that mixes neighbours has a method ``pointwise``: it gets the map as (B, h, w, C), and
    ``pointwise`` gets the tokens before it. Any other ``qkv`` gets all tokens at once.

    Attributes:
        prompts: Of an adaptation method: tokens (p, C) that are keys and values beside the image's.
    """

    qkv: nn.Linear
    proj: nn.Linear
    prompts: nn.Parameter | None

    def __init__(self, attention: nn.Module) -> None:
        super().__init__()
        for name in PLAIN_ATTENTION:
            setattr(self, name, getattr(attention, name))
        self.num_heads: int = cast("Any", attention).num_heads
        self.prompts = None

    def forward(self, x: Tensor, grid: tuple[int, int]) -> Tensor:
        """Attend.

        Args:
            x: Normalised tokens, (B, p + h w, C), those of the map last.
            grid: Shape of the map, (h, w).

        Returns:
            Tokens after the output projection, of the same shape.
        """
        q, k, v = self._heads(self._project(x, grid)).unbind(0)
        if self.prompts is not None:
            extra = self._heads(self.qkv(self.prompts[None]))[1:]
            more_k, more_v = extra.to(k.dtype).expand(-1, len(x), -1, -1, -1).unbind(0)
            k, v = torch.cat([k, more_k], dim=2), torch.cat([v, more_v], dim=2)
        q, k = self.q_norm(q), self.k_norm(k)  # type: ignore[operator]
        dropout = cast("nn.Dropout", self.attn_drop).p if self.training else 0.0
        out = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout)
        tokens = self.proj(out.transpose(1, 2).flatten(2))
        return self.proj_drop(tokens)  # type: ignore[operator, no-any-return]

    def _project(self, x: Tensor, grid: tuple[int, int]) -> Tensor:
        """Queries, keys and values of all tokens, (B, p + h w, 3 C)."""
        pointwise = getattr(self.qkv, "pointwise", None)
        if pointwise is None:
            return self.qkv(x)  # type: ignore[no-any-return]
        on_map = self.qkv(_on_map(x, grid)).flatten(1, 2)
        before = x[:, : x.shape[1] - on_map.shape[1]]
        return torch.cat([pointwise(before), on_map], dim=1)

    def _heads(self, qkv: Tensor) -> Tensor:
        """(B, N, 3 C) to (3, B, heads, N, C / heads)."""
        batch, tokens, channels = qkv.shape
        dim = channels // (3 * self.num_heads)
        return qkv.reshape(batch, tokens, 3, self.num_heads, dim).permute(2, 0, 3, 1, 4)


def build_plain_vit(name: str, bands: int) -> PlainViTEncoder:
    """Build an encoder of one of timm's architectures, with random weights.

    Args:
        name: ``timm/`` and the architecture's name, such as ``timm/vit_small_patch16_224``.
        bands: Input bands.

    Raises:
        ConfigError: timm does not know the architecture, or it is not supported.
    """
    import timm

    architecture = name.removeprefix(PREFIX)
    # Other spellings of timm's, such as hf-hub:..., would ask the network.
    if architecture not in timm.list_models(module="vision_transformer"):
        raise ConfigError(
            f"{name!r} is no vision transformer that timm {timm.__version__} knows: name one "
            f"without a tag, such as {PREFIX}vit_small_patch16_224"
        )
    vit = timm.create_model(architecture, pretrained=False, num_classes=0, in_chans=bands)
    return PlainViTEncoder(vit, architecture)


def _on_map(tokens: Tensor, grid: tuple[int, int]) -> Tensor:
    """The map's tokens of (B, p + h w, C), as (B, h, w, C)."""
    batch, count, channels = tokens.shape
    return tokens[:, count - grid[0] * grid[1] :].reshape(batch, *grid, channels)


def _add_to_map(tokens: Tensor, added: Tensor) -> Tensor:
    """Add (B, h, w, C) to the map's tokens of (B, p + h w, C)."""
    flat = added.flatten(1, 2)
    return tokens + F.pad(flat, (0, 0, tokens.shape[1] - flat.shape[1], 0))


def _check(vit: nn.Module) -> None:
    """Refuse what would be computed wrongly.

    Raises:
        ConfigError: Saying what is not plain.
    """
    from timm.layers import Attention, Mlp, PatchEmbed
    from timm.models.vision_transformer import Block, VisionTransformer

    if type(vit) is not VisionTransformer:
        raise ConfigError(
            f"{type(vit).__name__} cannot be adapted: give SAM's encoder (load_encoder) or timm's "
            "VisionTransformer"
        )
    model: Any = vit
    if type(model.patch_embed) is not PatchEmbed or model.patch_embed.grid_size is None:
        raise ConfigError("the ViT's patch embedding is not timm's PatchEmbed of a fixed size")
    if tuple(model.patch_embed.patch_size) != (PATCH, PATCH):
        side = " x ".join(map(str, model.patch_embed.patch_size))
        raise ConfigError(
            f"the ViT has patches of {side} pixels; only patches of {PATCH} are supported"
        )
    if not isinstance(model.patch_drop, nn.Identity):
        raise ConfigError("the ViT drops patches in training, which leaves no map: turn it off")
    if len(model.blocks) == 0:
        raise ConfigError("the ViT has no blocks")
    for index, block in enumerate(model.blocks):
        plain = type(block) is Block and type(block.attn) is Attention and type(block.mlp) is Mlp
        norms = plain and all(isinstance(n, nn.LayerNorm) for n in (block.norm1, block.norm2))
        if not norms or _others(block, PLAIN_BLOCK) or _others(block.attn, PLAIN_ATTENTION):
            raise ConfigError(
                f"block {index} of the ViT is not plain: what is supported is layer norm, "
                "attention with one fused qkv, layer norm and a two-layer MLP"
            )


def _others(module: nn.Module, known: tuple[str, ...]) -> bool:
    """Whether a module computes with more than its known parts."""
    return any(
        name not in known and not isinstance(part, nn.Identity)
        for name, part in module.named_children()
    )
