"""Blocks of a scene, and which of them go to which part."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from geoconvlora.scenes import Window

_MIN_SIDE_PX = 32
_ATTEMPTS = 64
"""Random choices of which the first one with all classes in all parts is taken."""


def labelled_blocks(
    scene: Window,
    labelled_area: Callable[[Window], float],
    *,
    tile_px: int,
    side: int | None,
    least: int,
) -> tuple[list[Window], int]:
    """The blocks of a scene that hold labels, and about their side.

    Args:
        scene: All pixels of the scene's grid.
        labelled_area: Labelled pixels of a window.
        tile_px: Side of the network's tiles.
        side: Of a block; None: four tiles, halved while fewer than ``least`` are labelled.
        least: Blocks that an automatic size aims at.
    """
    if side is not None:
        return _with_labels(scene, side, labelled_area), side
    side = 4 * tile_px
    blocks = _with_labels(scene, side, labelled_area)
    while len(blocks) < least and side // 2 >= _MIN_SIDE_PX:
        side //= 2
        blocks = _with_labels(scene, side, labelled_area)
    return blocks, side


def choose_parts(
    counts: NDArray[np.int64], fraction: float, test_fraction: float, rng: np.random.Generator
) -> NDArray[np.int64]:
    """The part of each block: 0 training, 1 validation, 2 testing.

    Args:
        counts: (N, K) labelled pixels of the blocks by class.
        fraction: Share of validation.
        test_fraction: Share of testing; it gets a block only if two remain for the others.
        rng: Of the choice.
    """
    best, best_met = None, -1
    parts_wanted = 3 if test_fraction and len(counts) > 2 else 2
    possible = parts_wanted * np.count_nonzero(counts.any(axis=0))
    for _ in range(_ATTEMPTS):
        parts = _random_parts(counts.sum(axis=1), fraction, test_fraction, rng)
        met = sum(int(counts[parts == p].any(axis=0).sum()) for p in range(3))
        if met > best_met:
            best, best_met = parts, met
        if met >= possible:
            break
    assert best is not None
    return best


def _random_parts(
    areas: NDArray[np.int64], fraction: float, test_fraction: float, rng: np.random.Generator
) -> NDArray[np.int64]:
    order = rng.permutation(len(areas))
    val = _share(areas[order], fraction, len(areas) - 1, least=1)
    rest = order[val:]
    goal = test_fraction * areas.sum() / max(1, areas[rest].sum())
    test = _share(areas[rest], goal, len(rest) - 1, least=1 if test_fraction else 0)
    parts = np.zeros(len(areas), dtype=np.int64)
    parts[order[:val]] = 1
    parts[rest[:test]] = 2
    return parts


def _share(areas: NDArray[np.int64], fraction: float, most: int, *, least: int) -> int:
    """How many of the first blocks make up the share.

    A block is taken while its first half still fits, so the share is nearest to what is asked.
    """
    before = np.cumsum(areas) - areas
    fits = before + areas / 2 <= fraction * areas.sum()
    return min(max(int(np.argmin([*fits, False])), least), most)


def _with_labels(
    scene: Window, side: int, labelled_area: Callable[[Window], float]
) -> list[Window]:
    rows, columns = (_cuts(size, side) for size in (scene.height, scene.width))
    blocks = [
        Window(top, left, bottom - top, right - left)
        for top, bottom in rows
        for left, right in columns
    ]
    return [block for block in blocks if labelled_area(block) >= 1]


def _cuts(size: int, side: int) -> list[tuple[int, int]]:
    """Equal parts of an axis, each about ``side`` long, so that no sliver remains at the end."""
    count = max(1, round(size / side))
    edges = [size * i // count for i in range(count + 1)]
    return list(pairwise(edges))
