"""LoRA on the fused query-key-value projection (Hu et al. 2022)."""

from __future__ import annotations

import math
from typing import ClassVar, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from geoconvlora.adapters.base import Method, replace_qkv
from geoconvlora.sam.adaptable import AdaptableEncoder


class LowRankLinear(nn.Linear):
    """``y = x W^T + b + (alpha / rank) (x A^T) B^T``, with W and b those of a frozen layer.

    Attributes:
        lora_a: A, (rank, in).
        lora_b: B, (out, rank); zero at the start, so that a fresh layer is the frozen one.
        scale: alpha / rank.
    """

    def __init__(self, frozen: nn.Linear, rank: int, alpha: float) -> None:
        super().__init__(frozen.in_features, frozen.out_features, device="meta")
        self.weight, self.bias = frozen.weight, frozen.bias
        self.lora_a = nn.Parameter(frozen.weight.new_empty(rank, frozen.in_features))
        self.lora_b = nn.Parameter(frozen.weight.new_zeros(frozen.out_features, rank))
        self.scale = alpha / rank
        nn.init.kaiming_uniform_(self.lora_a, a=math.sqrt(5))

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., in) to (..., out)."""
        return self.expand(x, F.linear(x, self.lora_a))

    def expand(self, x: Tensor, low: Tensor) -> Tensor:
        """``x W^T + b + (alpha / rank) low B^T``; x is (..., in), low (..., rank)."""
        y = F.linear(x.reshape(-1, self.in_features), self.weight, self.bias)
        # In place: a sum of two outputs would pass over memory four times more than the product.
        # Autocast does not see operations in place.
        low = low.reshape(-1, low.shape[-1]).to(y.dtype)
        y.addmm_(low, self.lora_b.to(y.dtype).T, alpha=self.scale)
        return y.view(*x.shape[:-1], self.out_features)

    def merged(self) -> nn.Linear:
        """The plain layer that computes the same."""
        plain = nn.Linear(self.in_features, self.out_features, device="meta")
        with torch.no_grad():
            plain.weight = nn.Parameter(self.weight + self.scale * self.lora_b @ self.lora_a)
        plain.bias = self.bias
        return plain


class LoRA(Method):
    """Low-rank update of queries, keys and values jointly, in every block.

    Attributes:
        rank: Rank of the update.
        alpha: Its scale is alpha / rank.
    """

    name: ClassVar[str] = "lora"

    rank: int = Field(default=3, ge=1)
    alpha: float = Field(default=32.0, gt=0)

    def inject(self, encoder: AdaptableEncoder) -> None:
        """Wrap each block's qkv."""
        replace_qkv(encoder, lambda qkv, block: LowRankLinear(qkv, self.rank, self.alpha))

    def trains(self, name: str) -> bool:
        """A and B."""
        return ".lora_" in name

    def merge(self, encoder: AdaptableEncoder) -> None:
        """Fold the updates into the frozen qkv weights, exactly."""
        replace_qkv(encoder, lambda qkv, block: cast("LowRankLinear", qkv).merged())
