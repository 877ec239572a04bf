"""Confidence intervals by resampling spatial blocks.

Neighbouring pixels and objects err together, so drawing them one by one would make intervals far
too narrow. Whole blocks are drawn with replacement instead (Hall 1985, "Resampling a coverage
pattern"), and a draw costs one row of a matrix product, because scores follow from sums over
blocks.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from geoconvlora.errors import ConfigError
from geoconvlora.evaluate.report import Blocks, Score

Floats = NDArray[np.float64]
Cells = NDArray[np.int64]
Measure = Callable[[Floats], Floats]
"""From sums ``(..., S)`` to scores ``(..., M)``; NaN where a score is not defined."""

DRAWS = 1000
CONFIDENCE = 0.95
CELLS = 64
"""Along the longer side of the place: the smallest blocks that are chosen unasked."""
_WANTED_BLOCKS = 20
_TELLING_BLOCKS = 5


def join_cells(cells: Cells, sums: Floats) -> tuple[Floats, int]:
    """Join square cells to the largest blocks of which there are still enough.

    Args:
        cells: Row and column of each cell that holds something, ``(n, 2)``; they may repeat.
        sums: What it holds, ``(n, S)``.

    Returns:
        Sums of each block, ``(B, S)``, and a block's side in cells, a power of two.

    Example:
        >>> cells = np.array([[row, column] for row in range(8) for column in range(8)])
        >>> blocks, side = join_cells(cells, np.ones((64, 1)))
        >>> len(blocks), side
        (64, 1)
    """
    for power in reversed(range(CELLS.bit_length())):
        blocks = sum_by_cell(cells >> power, sums)
        if len(blocks) >= _WANTED_BLOCKS or power == 0:
            return blocks, 2**power
    raise AssertionError("a power of 0 ends the loop")


def sum_by_cell(cells: Cells, sums: Floats) -> Floats:
    """Add up what lies in the same cell: ``(B, S)``."""
    if not len(cells):
        return sums
    _, place = np.unique(cells, axis=0, return_inverse=True)
    place = place.ravel()
    together = np.zeros((int(place.max()) + 1, sums.shape[1]))
    np.add.at(together, place, sums)
    return together


def check_side(block_m: float | None) -> None:
    """Refuse blocks without size.

    Raises:
        ConfigError: The side is not above 0.
    """
    if block_m is not None and not block_m > 0:
        raise ConfigError(f"blocks of {block_m:g} m: give a side above 0")


def intervals(
    blocks: Floats, measure: Measure, *, draws: int = DRAWS, seed: int = 0
) -> list[Score]:
    """Scores of all blocks together, with the percentile interval of the bootstrap over blocks.

    Args:
        blocks: Sums of each block, ``(B, S)``.
        measure: Scores from sums.
        draws: How often as many blocks are drawn as there are.
        seed: Of the draws.

    Returns:
        One score for each that ``measure`` gives; without interval where there are fewer than two
        blocks, or hardly a draw in which it is defined.

    Example:
        >>> hits = np.array([[8.0, 10.0], [6.0, 10.0], [9.0, 10.0]])
        >>> (score,) = intervals(hits, lambda sums: sums[..., :1] / sums[..., 1:])
        >>> round(score.value, 3), score.low <= score.value <= score.high
        (0.767, True)
    """
    values = measure(blocks.sum(axis=0))
    if len(blocks) < 2:
        return [Score.of(value) for value in values]
    times = np.random.default_rng(seed).multinomial(
        len(blocks), np.full(len(blocks), 1 / len(blocks)), size=draws
    )
    drawn = measure(times @ blocks)
    tail = (1 - CONFIDENCE) / 2
    scores = []
    for value, column in zip(values, drawn.T, strict=True):
        defined = column[~np.isnan(column)]
        if len(defined) < draws / 2:
            scores.append(Score.of(value))
            continue
        low, high = np.quantile(defined, [tail, 1 - tail])
        scores.append(Score.of(value, low, high))
    return scores


def say_if_few(blocks: Blocks) -> list[str]:
    """What a reader of the intervals has to know."""
    if blocks.count >= _TELLING_BLOCKS:
        return []
    if blocks.count < 2:
        return [f"no intervals: one block of {blocks.side_m:,.0f} m holds everything"]
    return [
        f"the intervals mean little: they come from {blocks.count} blocks of {blocks.side_m:,.0f} m"
    ]
