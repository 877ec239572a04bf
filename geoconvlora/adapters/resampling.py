"""Bicubic resampling as matrices, and what it makes of a convolution on the enlarged map.

A Conv-LoRA expert enlarges a map k times, convolves it, applies a GELU and reduces the result.
Resampling is linear and separable, and the reduction reads few places of the enlarged map: for each
token the centre of its k x k places if k is odd, the middle 4 x 4 if k is even. Enlargement and
convolution towards one such place are together one 5 x 5 convolution on the token map, whose border
is repeated. This is exact for odd k from 3 and even k from 6; with k = 1, 2 and 4 the convolution
reaches the zeros around the enlarged map, and k = 2 needs more than 5 x 5.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

SUPPORT = 5
"""Side, in tokens, of what one place of the enlarged map and its neighbours depend on."""


def collapses(scale: int) -> bool:
    """Whether an expert of this scale is, everywhere, convolutions on the token map."""
    return scale == 3 or scale >= 5


def places(scale: int) -> tuple[int, ...]:
    """Where the reduction reads, in one dimension, counted from the first of a token's places."""
    middle = scale // 2
    return (middle,) if scale % 2 else (middle - 2, middle - 1, middle, middle + 1)


@lru_cache(maxsize=256)
def enlargement(size: int, scale: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Matrix that enlarges a line of ``size`` values, (scale * size, size)."""
    return _kept(_resampling(size, scale * size), dtype, device)


@lru_cache(maxsize=256)
def reduction(size: int, scale: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Matrix that brings an enlarged line back to ``size`` values, (size, scale * size)."""
    return _kept(_resampling(scale * size, size), dtype, device)


@lru_cache(maxsize=256)
def folding(
    scales: tuple[int, ...], dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor]:
    """How 3 x 3 kernels on enlarged maps become 5 x 5 kernels on the token map.

    Args:
        scales: Of m experts; all odd or all even.
        dtype: Of the result.
        device: Of the result.

    Returns:
        A matrix for each expert from its kernel's 9 places to the 25 places of T kernels, one for
        each place that the reduction reads, (m, T * 25, 9); and the weights by which the reduction
        adds up these T places, (T,), equal for all scales of a kind. T is 1 or 16.
    """
    matrices = torch.stack([_fold(scale) for scale in scales])
    # Far from borders every token is treated alike: take the middle one of a short line.
    line = _resampling(SUPPORT * scales[0], SUPPORT)[SUPPORT // 2]
    first = SUPPORT // 2 * scales[0]
    read = line[[first + place for place in places(scales[0])]]
    weights = torch.outer(read, read).flatten()
    return _kept(matrices, dtype, device), _kept(weights, dtype, device)


def _fold(scale: int) -> Tensor:
    """One expert's matrix of :func:`folding`, (T * 25, 9)."""
    tokens = SUPPORT + 4
    enlarge = _resampling(tokens, scale * tokens)
    middle = tokens // 2
    near = slice(middle - SUPPORT // 2, middle + SUPPORT // 2 + 1)
    rows = [
        [enlarge[middle * scale + place + step, near] for step in (-1, 0, 1)]
        for place in places(scale)
    ]
    line = torch.stack([torch.stack(row) for row in rows])
    both = torch.einsum("tup,svq->tspquv", line, line)
    return both.reshape(-1, 9)


def _resampling(size: int, wanted: int) -> Tensor:
    """PyTorch's own bicubic resampling of a line, as a matrix (wanted, size)."""
    identity = torch.eye(size, dtype=torch.float64, device="cpu")[None, None]
    return F.interpolate(identity, size=(wanted, size), mode="bicubic")[0, 0]


def _kept(matrix: Tensor, dtype: torch.dtype, device: torch.device) -> Tensor:
    """The matrix for later passes, which may be tracked though this one need not be."""
    with torch.inference_mode(False):
        return matrix.to(device, dtype, copy=True)
