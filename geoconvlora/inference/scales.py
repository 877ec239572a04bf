"""What a network finds at several sizes of a tile, joined.

Networks of a few million weights know objects of some tens of pixels. What is larger than that lies
flat around a pixel, like sea or sand; half as large it is an object again.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from geoconvlora.inference.task import Scales

WEIGHT_OF_REDUCED = 0.25
"""Of a reduced view, where lines between objects are asked for: it sees less of them."""


def probabilities(network: nn.Module, seen: Tensor, scales: Scales) -> Tensor:
    """Return class probabilities ``(B, K, h, w)`` of normalised images ``(B, C, h, w)``.

    Of classes the mean over the sizes. Of objects, the extent P(interior) + P(boundary) is the
    largest of all sizes; the boundary's share of it is sum(w P(boundary)) / sum(w extent), with w
    of 1 for the tile as it is and WEIGHT_OF_REDUCED for others: where one size alone finds an
    object, its lines are that one's.

    A reduced view averages what is invalid, 0 for the network, with what lies beside it.

    Args:
        network: Images to logits ``(B, K, h, w)``.
        seen: Reduced, its sides are multiples of the network's.
        scales: How many times the images are reduced, and what objects are made of.
    """
    views = [_at(network, seen, factor) for factor in scales.reductions]
    if len(views) == 1:
        return views[0]
    if scales.objects is None:
        return torch.stack(views).mean(dim=0)
    interior, boundary = scales.objects
    extents = [view[:, interior] + view[:, boundary] for view in views]
    extent = torch.stack(extents).amax(dim=0).clamp(max=1)
    weights = [1.0] + [WEIGHT_OF_REDUCED] * (len(views) - 1)
    lines = sum(w * view[:, boundary] for w, view in zip(weights, views, strict=True))
    found = sum(w * one for w, one in zip(weights, extents, strict=True))
    share = (lines / torch.clamp(torch.as_tensor(found), min=1e-6)).clamp(max=1)
    # What is left is shared by the other classes as the first view has it.
    first = views[0]
    rest = (1 - extent) / torch.clamp(1 - extents[0], min=1e-6)
    joined = first * rest[:, None]
    joined[:, interior] = extent * (1 - share)
    joined[:, boundary] = extent * share
    return joined


def _at(network: nn.Module, seen: Tensor, factor: int) -> Tensor:
    """Probabilities by a view that is reduced, on the grid of the whole."""
    if factor == 1:
        return torch.softmax(network(seen).float(), dim=1)
    found = torch.softmax(network(avg_pool2d(seen, factor)).float(), dim=1)
    return _enlarged(_enlarged(found, factor, dim=2), factor, dim=3)


def _enlarged(values: Tensor, factor: int, dim: int) -> Tensor:
    """Values on a grid as many times finer along a dimension, by linear interpolation.

    As ``interpolate`` has it, whose rounding hangs on the number of threads, though.
    """
    length = values.shape[dim]
    rows = torch.arange(length, device=values.device)
    finer = []
    for phase in range(factor):
        offset = (phase + 0.5) / factor - 0.5
        neighbour = (rows + (1 if offset > 0 else -1)).clamp(0, length - 1)
        share = abs(offset)
        beside = values.index_select(dim, neighbour)
        finer.append(values * (1 - share) + beside * share)
    return torch.stack(finer, dim=dim + 1).flatten(dim, dim + 1)
