"""Overlapping tiles averaged: how much each of their pixels counts, and how they are joined.

A tile's weight at a pixel is the product of one along rows and one along columns, so tiles are
joined first along columns, to strips, and strips then along rows. Both joints are the same weighted
mean, taken one after the other in a fixed order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from geoconvlora.inference.tiles import TileAxis

Blend = Literal["cosine", "gaussian", "linear", "crop", "none"]
"""How tiles are joined where they overlap.

``cosine``: weights fall along a squared sine from 1 in the middle to nearly 0 across the overlap.
``linear``: they fall in a straight line.
``gaussian``: a bell over the whole tile, of standard deviation a quarter of its side.
``crop``: no average; a pixel is taken from the tile in which it lies farther inside.
``none``: no average; a pixel is taken from the last tile that covers it.
"""


@dataclass(frozen=True)
class Piece:
    """A part of a map, placed along one axis.

    Attributes:
        start: Its first pixel along the axis.
        mean: ``(K, h, w)`` probabilities.
        variance: ``(h, w)`` of the predictions that the mean is of, half the sum over classes;
            None where nobody asks.
        weights: Positive, along the axis.
    """

    start: int
    mean: NDArray[np.float32]
    variance: NDArray[np.float32] | None
    weights: NDArray[np.float32]

    @property
    def stop(self) -> int:
        """The pixel after its last."""
        return self.start + len(self.weights)


@dataclass(frozen=True)
class Support:
    """The part of a tile that counts along one axis: from its pixel ``first`` on, so much each."""

    first: int
    weights: NDArray[np.float32]


def support(axis: TileAxis, index: int, blend: Blend) -> Support:
    """Return how much a tile's pixels count along one axis.

    Validity is no factor of it: a pixel is valid or not in all tiles alike.

    Example:
        >>> support(TileAxis(size=8, tile=4, step=2), 1, "linear").weights.tolist()
        [0.25, 0.75, 0.75, 0.25]
        >>> support(TileAxis(size=8, tile=4, step=2), 1, "crop").first
        1
    """
    tile, start = axis.tile, axis.start(index)
    if blend in ("crop", "none"):
        low = 0 if index == 0 else _border(axis, index - 1, blend) - start
        high = tile if index + 1 == len(axis) else _border(axis, index, blend) - start
        return Support(low, np.ones(high - low, np.float32))
    from_edge = np.minimum(np.arange(tile), np.arange(tile)[::-1]) + 0.5
    if blend == "gaussian":
        weights = np.exp(-(((tile / 2 - from_edge) / (tile / 4)) ** 2) / 2)
        return Support(0, weights.astype(np.float32))
    ramp = min(tile - axis.step, tile // 2)
    weights = np.minimum(from_edge / ramp, 1) if ramp else np.ones(tile)
    if blend == "cosine":
        weights = np.sin(np.pi / 2 * weights) ** 2
    return Support(0, weights.astype(np.float32))


def _border(axis: TileAxis, index: int, blend: Blend) -> int:
    """The first pixel that belongs to the tile after ``index``, where each has one owner."""
    following = axis.start(index + 1)
    return following if blend == "none" else (following + axis.start(index) + axis.tile) // 2


def join(
    pieces: Sequence[Piece], first: int, stop: int, *, axis: Literal["rows", "columns"]
) -> list[Piece]:
    """Join overlapping pieces from ``first`` up to ``stop``.

    Where one piece is alone its values are kept to the last bit, and so are values on which all
    agree: the mean is moved piece by piece, ``mean += (new - mean) * weight / total_weight``.
    The variance is that of all predictions behind the pieces (law of total variance).

    Args:
        pieces: In the order of their starts, none ending before one that starts earlier.
        first: First pixel along the axis.
        stop: The pixel after the last.
        axis: Along which they overlap.

    Returns:
        Pieces one beside the other; none where no piece was. Their weights are without meaning.
    """
    edges = {e for p in pieces for e in (p.start, p.stop) if first < e < stop}
    joined = []
    for low, high in pairwise(sorted({first, stop, *edges})):
        covering = [_part(p, low, high, axis) for p in pieces if p.start <= low < p.stop]
        if covering:
            joined.append(_mean(covering, axis))
    return joined


def _part(piece: Piece, first: int, stop: int, axis: Literal["rows", "columns"]) -> Piece:
    at = slice(first - piece.start, stop - piece.start)
    place = (at, slice(None)) if axis == "rows" else (slice(None), at)
    return Piece(
        first,
        piece.mean[:, *place],
        None if piece.variance is None else piece.variance[place],
        piece.weights[at],
    )


def _mean(pieces: Sequence[Piece], axis: Literal["rows", "columns"]) -> Piece:
    if len(pieces) == 1:
        return pieces[0]
    mean = pieces[0].mean.copy()
    variance, total = pieces[0].variance, pieces[0].weights
    for piece in pieces[1:]:
        total = total + piece.weights
        share = piece.weights / total
        if axis == "rows":
            share = share[:, None]
        shift = piece.mean - mean
        if variance is not None and piece.variance is not None:
            between = np.square(shift).sum(axis=0) * np.float32(0.5)
            variance = variance + (piece.variance - variance) * share
            variance += between * (share * (1 - share))
        shift *= share
        mean += shift
    return Piece(pieces[0].start, mean, variance, total)
