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

from collections.abc import Iterable
from typing import ClassVar, cast

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from geoconvlora.adapters.base import Method, replace_qkv
from geoconvlora.adapters.lora import LowRankLinear
from geoconvlora.sam.adaptable import AdaptableBlock, AdaptableEncoder


class ConvLoRA(Method):
    """Settings of Conv-LoRA; the defaults are the paper's.

    Attributes:
        rank: Rank of the bottleneck.
        alpha: The update's scale is alpha / rank.
        experts: Number of experts, M.
        scales: Enlargement of the map by each expert; None: 1, 2, ..., M.
        top_k: Experts that act on an image.
        balance: Weight of the balancing loss.
        faithful: Reproduce the official layer.
    """

    name: ClassVar[str] = "conv-lora"

    rank: int = Field(default=3, ge=1)
    alpha: float = Field(default=32.0, gt=0)
    experts: int = Field(default=8, ge=1)
    scales: tuple[int, ...] | None = None
    top_k: int = Field(default=1, ge=1)
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
        if self.faithful and self.top_k != 1:
            raise ValueError("the official layer has top_k 1")
        return self

    def inject(self, encoder: AdaptableEncoder) -> None:
        """Wrap each block's qkv."""

        def build(qkv: nn.Linear, block: AdaptableBlock) -> nn.Linear:
            return ConvLoRALinear(qkv, self)

        replace_qkv(encoder, build)

    def trains(self, name: str) -> bool:
        """A, B, the gate and the experts."""
        return ".lora_" in name


class NoisyGate(nn.Module):
    """Noisy top-k gate with a balancing loss (Shazeer et al. 2017), in 32-bit floats.

    Attributes:
        weight: From pooled features to expert scores, (r, M); zero at the start.
        noise: From pooled features to the noise's scale in training, (r, M).
    """

    def __init__(self, rank: int, settings: ConvLoRA) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(rank, settings.experts))
        self.noise = nn.Parameter(torch.zeros(rank, settings.experts))
        self.top_k, self.balance = settings.top_k, settings.balance
        self.faithful = settings.faithful

    def forward(self, pooled: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Choose experts.

        Args:
            pooled: Mean of each map, (N, r).

        Returns:
            Chosen experts (N, k), their weights (N, k), and the balancing loss (scalar).
        """
        with torch.autocast(pooled.device.type, enabled=False):
            pooled = pooled.float()
            clean = pooled @ self.weight
            spread = F.softplus(pooled @ self.noise) + 0.01
            scores = clean + spread * torch.randn_like(clean) if self.training else clean
            shares = scores.softmax(-1)
            chosen = scores.topk(self.top_k, dim=-1).indices
            weights = torch.ones_like(chosen, dtype=shares.dtype)
            if not self.faithful:
                weights = shares.gather(1, chosen)
            return chosen, weights, self._imbalance(clean, spread, scores, shares, chosen)

    def _imbalance(
        self, clean: Tensor, spread: Tensor, scores: Tensor, shares: Tensor, chosen: Tensor
    ) -> Tensor:
        """Squared coefficients of variation of importance and load over the experts."""
        if clean.shape[1] == 1 or not (self.training or self.faithful):
            return clean.new_zeros(())
        gates = torch.zeros_like(shares).scatter(1, chosen, 1.0)
        importance = (gates if self.faithful else shares).sum(0)
        load = gates.sum(0)
        if self.training:
            load = self._expected_load(clean, spread, scores)
        return self.balance * (_squared_variation(importance) + _squared_variation(load))

    def _expected_load(self, clean: Tensor, spread: Tensor, scores: Tensor) -> Tensor:
        """How many maps each expert would get, over the noise; differentiable, (M,)."""
        k = self.top_k
        if k == scores.shape[1]:
            return clean.new_full((k,), float(clean.shape[0]))
        best = scores.topk(k + 1, dim=-1).values
        if_in, if_out = best[:, k, None], best[:, k - 1, None]
        threshold = torch.where(scores > if_in, if_in, if_out)
        reached: Tensor = torch.special.ndtr((clean - threshold) / spread)
        return reached.sum(0)


class ScaleExpert(nn.Conv2d):
    """Enlarge, convolve, GELU, reduce; bicubic both ways, as in the official code."""

    def __init__(self, rank: int, scale: int) -> None:
        super().__init__(rank, rank, 3, padding=1)
        nn.init.zeros_(self.bias)  # type: ignore[arg-type]
        self.scale = scale

    def forward(self, low: Tensor) -> Tensor:
        """Map (N, r, H, W) to the same shape."""
        if self.scale == 1:
            return F.gelu(super().forward(low))
        large = F.interpolate(low, scale_factor=float(self.scale), mode="bicubic")
        out = F.gelu(super().forward(large))
        return F.interpolate(out, size=low.shape[-2:], mode="bicubic")


class ConvLoRALinear(LowRankLinear):
    """A linear layer with ``y = x W^T + b + s (z + E(z)) B^T`` and ``z = x A^T``.

    ``E(z)`` is what the chosen experts make of the map z.

    Attributes:
        per_window: Whether attention cuts windows, padding included, before this layer.
        auxiliary: Balancing loss of the last forward pass.
    """

    def __init__(self, frozen: nn.Linear, settings: ConvLoRA) -> None:
        super().__init__(frozen, settings.rank, settings.alpha)
        scales = settings.scales or range(1, settings.experts + 1)
        self.lora_gate = NoisyGate(settings.rank, settings)
        self.lora_experts = nn.ModuleList(ScaleExpert(settings.rank, s) for s in scales)
        self.per_window = settings.faithful
        self.auxiliary: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens (N, H, W, in) to (N, H, W, out)."""
        low = F.linear(x, self.lora_a)
        mixed = low + self._mixture(low.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return nn.Linear.forward(self, x) + F.linear(mixed, self.lora_b) * self.scale

    def _mixture(self, low: Tensor) -> Tensor:
        """Weighted output of the chosen experts, (N, r, H, W)."""
        chosen, weights, self.auxiliary = self.lora_gate(low.mean(dim=(2, 3)))
        out = torch.zeros_like(low)
        for index, expert in enumerate(cast("Iterable[ScaleExpert]", self.lora_experts)):
            maps, rank_of_choice = (chosen == index).nonzero(as_tuple=True)
            if len(maps):
                share = weights[maps, rank_of_choice].to(low.dtype)
                out = out.index_add(0, maps, expert(low[maps]) * share[:, None, None, None])
            elif self.training:
                # An expert that no map chose takes part with nothing, for distributed training.
                out = out + 0.0 * sum(p.sum() for p in expert.parameters())
        return out

    def pointwise(self, x: Tensor) -> Tensor:
        """The low-rank part alone, for tokens that are no place of a map; (..., in)."""
        return super().forward(x)

    def merged(self) -> nn.Linear:
        """Not possible: gating and GELU are not linear."""
        raise TypeError("Conv-LoRA has no equivalent linear layer")


def _squared_variation(values: Tensor) -> Tensor:
    return values.var() / (values.mean() ** 2 + 1e-10)
