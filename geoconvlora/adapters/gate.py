"""The gate that chooses Conv-LoRA's experts."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LEAST_NOISE = 0.01
"""Standard deviation that the noise on the scores keeps, whatever the gate learns."""


class NoisyGate(nn.Module):
    """Noisy top-k gate with a balancing loss (Shazeer et al. 2017), in 32-bit floats.

    Attributes:
        weight: From features to expert scores, (r, M); zero at the start.
        noise: From features to the noise's scale in training, (r, M); None without noise.
        usage: How often each expert was chosen in the last forward pass, (M,); None before it. A
            pass replaces it, so that recomputing a block in the backward pass counts nothing twice.
    """

    noise: nn.Parameter | None

    def __init__(
        self, rank: int, experts: int, *, top_k: int, balance: float, noise: bool, weighted: bool
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(rank, experts))
        self.noise = nn.Parameter(torch.zeros(rank, experts)) if noise else None
        self.top_k, self.balance, self.weighted = top_k, balance, weighted
        self.usage: Tensor | None = None

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Choose experts.

        Args:
            features: What each decision rests on, (N, r): means of maps, or single positions.

        Returns:
            Chosen experts (N, k), their weights (N, k), and the balancing loss (scalar).
        """
        with torch.autocast(features.device.type, enabled=False):
            features = features.float()
            clean = features @ self.weight.float()
            scores, spread = clean, None
            if self.training and self.noise is not None:
                spread = F.softplus(features @ self.noise.float()) + LEAST_NOISE
                scores = clean + spread * torch.randn_like(clean)
            shares = scores.softmax(-1)
            chosen = scores.topk(self.top_k, dim=-1).indices
            gates = torch.zeros_like(shares).scatter(1, chosen, 1.0)
            self.usage = gates.sum(0)
            weights = shares.gather(1, chosen) if self.weighted else gates.gather(1, chosen)
            return chosen, weights, self._imbalance(clean, spread, scores, shares, gates)

    def _imbalance(
        self, clean: Tensor, spread: Tensor | None, scores: Tensor, shares: Tensor, gates: Tensor
    ) -> Tensor:
        """Squared coefficients of variation of importance and load over the experts.

        The importance is of probabilities, which have a gradient, where experts are weighted by
        them; the official layer's is of the choices. Its loss counts in evaluation too.
        """
        if clean.shape[1] == 1 or not (self.training or not self.weighted):
            return clean.new_zeros(())
        importance = (shares if self.weighted else gates).sum(0)
        load = gates.sum(0) if spread is None else self._expected_load(clean, spread, scores)
        return self.balance * (_squared_variation(importance) + _squared_variation(load))

    def _expected_load(self, clean: Tensor, spread: Tensor, scores: Tensor) -> Tensor:
        """How many decisions each expert would get, over the noise; differentiable, (M,)."""
        k = self.top_k
        if k == scores.shape[1]:
            return clean.new_full((k,), float(clean.shape[0]))
        best = scores.topk(k + 1, dim=-1).values
        if_in, if_out = best[:, k, None], best[:, k - 1, None]
        threshold = torch.where(scores > if_in, if_in, if_out)
        reached: Tensor = torch.special.ndtr((clean - threshold) / spread)
        return reached.sum(0)


def _squared_variation(values: Tensor) -> Tensor:
    return values.var() / (values.mean() ** 2 + 1e-10)
