"""What an image encoder offers to adaptation methods, whatever its architecture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from geoconvlora.sam.sizes import EncoderSize

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


class AdaptableBlock(nn.Module):
    """A transformer block, norms before attention and MLP.

    Attributes:
        norm1: Before the attention.
        attn: The attention, with layers ``qkv`` (fused) and ``proj``, and with ``prompts``: of an
            adaptation method, tokens (p, C) that are keys and values beside the image's own.
        norm2: Before the MLP.
        mlp: The MLP.
        mlp_layers: Names of the MLP's two linear layers.
        beside_mlp: Of an adaptation method: its output, from the same tokens, is added to the
            MLP's.
    """

    mlp_layers: ClassVar[tuple[str, str]]

    norm1: nn.LayerNorm
    attn: Any
    norm2: nn.LayerNorm
    mlp: Any
    beside_mlp: nn.Module | None


class AdaptableEncoder(nn.Module):
    """An image encoder: normalised images (B, bands, H, W) to embeddings (B, neck, H/16, W/16).

    Attributes:
        size: Its shape.
        bands: Number of input bands.
        fresh: How the names of those tensors begin that the base weights do not hold. They train
            with every method, and model files hold them.
        recompute: Whether blocks are recomputed in the backward pass, to save memory.
        method: What it was adapted by; None for a plain encoder.
        added: Names of the parameters that the method added.
        prompter: Of an adaptation method: adds to the input of every block.
        side: Of an adaptation method: reads every block's tokens and adds to the last.
        patch_embed: Images to patches (B, h, w, C), by its convolution ``proj``.
        blocks: Its :class:`AdaptableBlock` s.
        neck: From tokens to embeddings: convolution, norm, convolution, norm.
    """

    size: EncoderSize
    bands: int
    fresh: tuple[str, ...]
    recompute: bool
    method: Method | None
    added: frozenset[str]
    prompter: BlockPrompter | None
    side: SideNetwork | None
    patch_embed: Any
    blocks: nn.ModuleList
    neck: nn.Module

    def _start_plain(self, size: EncoderSize, bands: int, fresh: tuple[str, ...]) -> None:
        self.size = size
        self.bands = bands
        self.fresh = fresh
        self.recompute = False
        self.method = None
        self.added = frozenset()
        self.prompter = None
        self.side = None

    def _run(self, block: nn.Module, *inputs: Any) -> Tensor:
        if self.recompute and torch.is_grad_enabled():
            return checkpoint(block, *inputs, use_reentrant=False)  # type: ignore[no-any-return]
        return block(*inputs)  # type: ignore[no-any-return]
