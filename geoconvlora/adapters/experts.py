"""Conv-LoRA's experts: convolutions at several scales, computed together and without detours.

Routing is by indexing only: no step waits for the device to say what the gate chose. Every expert
takes part in every pass, with a gradient of zero where it was not chosen, so that distributed
training needs no search for unused parameters.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geoconvlora.adapters.resampling import (
    SUPPORT,
    collapses,
    enlargement,
    folding,
    reduction,
)


class ScaleExpert(nn.Conv2d):
    """Enlarge, convolve, GELU, reduce; bicubic both ways, as in the official code."""

    def __init__(self, rank: int, scale: int) -> None:
        super().__init__(rank, rank, 3, padding=1)
        nn.init.zeros_(self.bias)  # type: ignore[arg-type]
        self.scale = scale

    def forward(self, low: Tensor) -> Tensor:
        """Map (N, r, H, W) to the same shape; resampling by matrices is faster than PyTorch's."""
        if self.scale == 1:
            return F.gelu(self._convolve(low))
        height, width = low.shape[-2:]
        kind = (self.scale, low.dtype, low.device)
        large = enlargement(height, *kind) @ (low @ enlargement(width, *kind).T)
        out = F.gelu(self._convolve(large))
        return reduction(height, *kind) @ (out @ reduction(width, *kind).T)

    def _convolve(self, x: Tensor) -> Tensor:
        bias = cast("Tensor", self.bias)
        return F.conv2d(x, self.weight.to(x.dtype), bias.to(x.dtype), padding=1)


class Family(NamedTuple):
    """Experts that are, once folded, convolutions of the same shape on the token map.

    Attributes:
        members: Their places in the list of all experts, m.
        scales: Their scales, all odd or all even.
    """

    members: tuple[int, ...]
    scales: tuple[int, ...]


class Kernels(NamedTuple):
    """A family's experts, folded into T convolutions each.

    Attributes:
        weight: (m, T * r, r, 5, 5).
        bias: (m, T * r).
        taps: By what the T results are added up, (T,).
    """

    weight: Tensor
    bias: Tensor
    taps: Tensor


class Kept(NamedTuple):
    """Folded kernels, and the versions of the parameters that they were folded from."""

    versions: tuple[tuple[int, int], ...]
    kernels: Kernels


class Experts(nn.ModuleList):
    """All experts of a layer.

    Odd scales from 3 and even scales from 6 are folded into convolutions on the token map (see
    :mod:`geoconvlora.adapters.resampling`); scales 1, 2 and 4 are computed as they are defined. The
    result is the same, up to rounding. In evaluation folded kernels are kept until a parameter
    changes, moves or is loaded.
    """

    def __init__(self, rank: int, scales: tuple[int, ...]) -> None:
        super().__init__(ScaleExpert(rank, scale) for scale in scales)
        self._plain = [i for i, scale in enumerate(scales) if not collapses(scale)]
        self._families: list[Family] = []
        for remainder in (1, 0):
            kind = [i for i, k in enumerate(scales) if collapses(k) and k % 2 == remainder]
            if kind:
                self._families.append(Family(tuple(kind), tuple(scales[i] for i in kind)))
        self._kept: dict[Family, Kept] = {}

    def forward(self, low: Tensor, weights: Tensor) -> Tensor:
        """Add up what all experts make of maps.

        Args:
            low: Maps, (N, r, H, W), in 32 bits or more.
            weights: Of each expert, everywhere or by position, (N or 1, M, H or 1, W or 1).

        Returns:
            The weighted sum, (N, r, H, W).
        """
        total = self._plain_sum(low, weights)
        padded = _repeat_border(low)
        for family in self._families:
            kernels = self._folded(family, low)
            members = _members(family.members, len(self), low.device)
            total = total + _all(padded, kernels, weights.index_select(1, members.places))
        return total

    def chosen(self, low: Tensor, chosen: Tensor, weights: Tensor) -> Tensor:
        """Add up what a few experts make of each map.

        Args:
            low: Maps, (N, r, H, W), in 32 bits or more.
            chosen: Experts for each map, (N, k).
            weights: Theirs, (N, k).

        Returns:
            The weighted sum, (N, r, H, W).
        """
        weights = weights.to(low.dtype)
        by_expert = low.new_zeros((len(low), len(self))).scatter(1, chosen, weights)[
            ..., None, None
        ]
        total = self._plain_sum(low, by_expert)
        padded = _repeat_border(low)
        for family in self._families:
            kernels = self._folded(family, low)
            members = _members(family.members, len(self), low.device)
            if chosen.shape[1] < len(family.members):
                # A choice outside the family is computed as its first member, with weight zero.
                own = weights * members.inside[chosen].to(low.dtype)
                total = total + _some(padded, kernels, members.slots[chosen], own)
            else:
                total = total + _all(padded, kernels, by_expert.index_select(1, members.places))
        return total

    def train(self, mode: bool = True) -> Experts:
        """Change the mode; folded kernels are made anew."""
        self._kept.clear()
        return super().train(mode)

    def _apply(self, fn: Any, recurse: bool = True) -> Experts:
        self._kept.clear()
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    def _plain_sum(self, low: Tensor, weights: Tensor) -> Tensor:
        total = torch.zeros_like(low)
        for index in self._plain:
            total = total + self[index](low) * weights[:, index, None]
        return total

    def _folded(self, family: Family, low: Tensor) -> Kernels:
        """A family's kernels, kept where nothing can differentiate them."""
        own = [cast("ScaleExpert", self[index]) for index in family.members]
        parameters = [p for expert in own for p in expert.parameters()]
        if self.training or torch.is_grad_enabled() or any(p.is_inference() for p in parameters):
            return _fold(own, family.scales, low)
        versions = tuple((id(p), p._version) for p in parameters)
        kept = self._kept.get(family)
        if kept is None or kept.versions != versions or kept.kernels.weight.dtype != low.dtype:
            kept = self._kept[family] = Kept(versions, _fold(own, family.scales, low))
        return kept.kernels


class Members(NamedTuple):
    """A family among all experts, for indexing on the device.

    Attributes:
        places: Its members' places, (m,).
        slots: For each expert its place in the family, 0 for others, (M,).
        inside: Whether each expert belongs to it, (M,).
    """

    places: Tensor
    slots: Tensor
    inside: Tensor


@lru_cache(maxsize=256)
def _members(places: tuple[int, ...], experts: int, device: torch.device) -> Members:
    with torch.inference_mode(False):
        slots = [places.index(i) if i in places else 0 for i in range(experts)]
        inside = [i in places for i in range(experts)]
        return Members(*(torch.tensor(v, device=device) for v in (places, slots, inside)))


def _repeat_border(low: Tensor) -> Tensor:
    return F.pad(low, (SUPPORT // 2,) * 4, mode="replicate")


def _fold(experts: list[ScaleExpert], scales: tuple[int, ...], low: Tensor) -> Kernels:
    matrices, taps = folding(scales, low.dtype, low.device)
    weight = torch.stack([expert.weight for expert in experts]).to(low.dtype)
    bias = torch.stack([cast("Tensor", expert.bias) for expert in experts]).to(low.dtype)
    count, rank = bias.shape
    folded = (matrices @ weight.flatten(3).flatten(1, 2).transpose(1, 2)).view(
        count, len(taps), SUPPORT, SUPPORT, rank, rank
    )
    folded = folded.permute(0, 1, 4, 5, 2, 3).reshape(count, -1, rank, SUPPORT, SUPPORT)
    return Kernels(folded, bias.repeat(1, len(taps)), taps)


def _all(padded: Tensor, kernels: Kernels, weights: Tensor) -> Tensor:
    """Every expert of a family on every map; weights (N or 1, m, H or 1, W or 1)."""
    experts, parts = len(kernels.bias), len(kernels.taps)
    out = F.gelu(F.conv2d(padded, kernels.weight.flatten(0, 1), kernels.bias.flatten()))
    maps, _, height, width = out.shape
    if parts > 1:
        out = kernels.taps @ out.view(maps, experts, parts, -1)
    out = out.view(maps, experts, -1, height, width)
    return (out * weights[:, :, None]).sum(1)


def _some(padded: Tensor, kernels: Kernels, slots: Tensor, weights: Tensor) -> Tensor:
    """The experts ``slots`` (N, k) of a family, each on its map; weights (N, k)."""
    maps, rank, height, width = padded.shape
    own = kernels.weight[slots].flatten(0, 2)
    bias = kernels.bias[slots].flatten()
    out = F.conv2d(padded.view(1, -1, height, width), own, bias, groups=maps)
    shares = (weights[:, :, None] * kernels.taps).view(maps, 1, -1)
    shape = (maps, rank, *out.shape[-2:])
    return torch.bmm(shares, F.gelu(out).view(*shares.shape[::2], -1)).view(shape)
