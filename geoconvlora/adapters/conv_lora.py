"""Conv-LoRA: a mixture of multi-scale convolution experts in LoRA's bottleneck.

Zhong et al., "Convolution Meets LoRA", ICLR 2024. Inside the rank-r bottleneck of a LoRA on the
fused qkv, an expert brings the map to its own scale, convolves it and brings it back; a noisy
top-k gate chooses experts from the pooled map.

Where the paper and the official code differ or are both weak, the default is what serves users:

=================== ============================== ==========================================
                    default                        ``faithful``
=================== ============================== ==========================================
what experts see    the whole token map            each attention window, padding included
gate decides        once an image                  once a window
gate weighs experts by its probability: it learns  not at all: only balancing trains it
importance is of    probabilities (differentiable) chosen experts (constant in its parameters)
=================== ============================== ==========================================
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from geoconvlora.adapters.base import Method, replace_qkv
from geoconvlora.adapters.experts import Experts
from geoconvlora.adapters.gate import NoisyGate
from geoconvlora.adapters.lora import LowRankLinear
from geoconvlora.sam.adaptable import AdaptableBlock, AdaptableEncoder


class ConvLoRA(Method):
    """Settings of Conv-LoRA; the defaults are the paper's.

    Attributes:
        rank: Rank of the bottleneck.
        alpha: The update's scale is alpha / rank.
        experts: Number of experts, M.
        scales: Enlargement of the map by each expert; None: 1, 2, ..., M.
        mixing: ``gate``: a gate chooses. ``average``: all experts act, equally: the paper's fixed
            scale with one expert, its fusion of scales, as a mean, with more.
        gate: Where experts are chosen and what they see. ``image``: once an image, on the whole
            map. ``position``: at each token, on the whole map. ``window``: once an attention
            window, on that window with its padding.
        top_k: Experts that act together.
        noise: Whether learned noise disturbs the gate in training.
        balance: Weight of the balancing loss.
        faithful: Reproduce the official layer: ``gate`` is ``window``, and the gate's probabilities
            weigh nothing.
    """

    name: ClassVar[str] = "conv-lora"

    rank: int = Field(default=3, ge=1)
    alpha: float = Field(default=32.0, gt=0)
    experts: int = Field(default=8, ge=1)
    scales: tuple[int, ...] | None = None
    mixing: Literal["gate", "average"] = "gate"
    gate: Literal["image", "position", "window"] = "image"
    top_k: int = Field(default=1, ge=1)
    noise: bool = True
    balance: float = Field(default=0.01, ge=0)
    faithful: bool = False

    @model_validator(mode="after")
    def _consistent(self) -> ConvLoRA:
        if self.scales is not None and (
            len(self.scales) != self.experts or min(self.scales, default=0) < 1
        ):
            raise ValueError(f"{self.experts} experts want {self.experts} scales of 1 or more")
        if self.top_k > self.experts:
            raise ValueError(f"top_k {self.top_k} is more than the {self.experts} experts")
        if self.faithful and not (
            self.mixing == "gate" and self.gate != "position" and self.top_k == 1 and self.noise
        ):
            raise ValueError("the official layer has a noisy gate with top_k 1 for each window")
        if self.mixing == "average" and (self.gate == "position" or self.top_k != 1):
            raise ValueError("mixing 'average' has no gate to choose top_k or by position")
        return self

    def inject(self, encoder: AdaptableEncoder) -> None:
        """Wrap each block's qkv."""

        def build(qkv: nn.Linear, block: AdaptableBlock) -> nn.Linear:
            return ConvLoRALinear(qkv, self)

        replace_qkv(encoder, build)

    def trains(self, name: str) -> bool:
        """A, B, the gate and the experts."""
        return ".lora_" in name


class ConvLoRALinear(LowRankLinear):
    """A linear layer with ``y = x W^T + b + s (z + E(z)) B^T`` and ``z = x A^T``.

    ``E(z)`` is what the experts make of the map z, computed in 32-bit floats: the bottleneck is
    narrow, and its values can leave the range or the precision of 16 bits.

    Attributes:
        lora_gate: Chooses experts; None where all are averaged.
        lora_experts: The experts.
        per_window: Whether attention cuts windows, padding included, before this layer.
        auxiliary: Balancing loss of the last forward pass; None without a gate.
    """

    lora_gate: NoisyGate | None

    def __init__(self, frozen: nn.Linear, settings: ConvLoRA) -> None:
        super().__init__(frozen, settings.rank, settings.alpha)
        scales = settings.scales or tuple(range(1, settings.experts + 1))
        self.lora_gate = None
        if settings.mixing == "gate":
            self.lora_gate = NoisyGate(
                settings.rank,
                settings.experts,
                top_k=settings.top_k,
                balance=settings.balance,
                noise=settings.noise,
                weighted=not settings.faithful,
            )
        self.lora_experts = Experts(settings.rank, scales)
        self.per_position = settings.gate == "position"
        self.per_window = settings.faithful or settings.gate == "window"
        self.auxiliary: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens (N, H, W, in) to (N, H, W, out)."""
        low = F.linear(x, self.lora_a)
        with torch.autocast(x.device.type, enabled=False):
            maps = low.to(torch.promote_types(low.dtype, torch.float32)).permute(0, 3, 1, 2)
            maps = maps.contiguous()
            mixed = (maps + self._mixture(maps)).permute(0, 2, 3, 1)
        return self.expand(x, mixed)

    def _mixture(self, low: Tensor) -> Tensor:
        """What the experts make of maps (N, r, H, W), of the same shape."""
        count = len(self.lora_experts)
        if self.lora_gate is None:
            return self.lora_experts(low, low.new_full((1, count, 1, 1), 1 / count))  # type: ignore[no-any-return]
        if not self.per_position:
            chosen, weights, self.auxiliary = self.lora_gate(low.mean(dim=(2, 3)))
            return self.lora_experts.chosen(low, chosen, weights)
        maps, rank, height, width = low.shape
        features = low.permute(0, 2, 3, 1).reshape(-1, rank)
        chosen, weights, self.auxiliary = self.lora_gate(features)
        shares = low.new_zeros((len(features), count)).scatter(1, chosen, weights.to(low.dtype))
        shares = shares.view(maps, height, width, count).permute(0, 3, 1, 2)
        return self.lora_experts(low, shares)  # type: ignore[no-any-return]

    def pointwise(self, x: Tensor) -> Tensor:
        """The low-rank part alone, for tokens that are no place of a map; (..., in)."""
        return super().forward(x)

    def merged(self) -> nn.Linear:
        """Not possible: gating and GELU are not linear."""
        raise TypeError("Conv-LoRA has no equivalent linear layer")
