"""A scene's valid pixels, sampled deterministically and in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from geoconvlora.scenes.pixels import Pixels, Window
from geoconvlora.scenes.scene import Scene

#: Pixels that a sample reads at most.
SAMPLE_PIXELS = 2**20
_SIDE = 64
#: A sample with fewer valid pixels is replaced by one over the whole scene.
_ENOUGH = 1000


def sample_valid_pixels(scene: Scene, pixels: int = SAMPLE_PIXELS) -> NDArray[np.float32]:
    """Return values of valid pixels spread evenly over the scene, ``(C, n)``.

    A scene of at most ``pixels`` pixels is read whole; of a larger one, 64 x 64 windows on a
    regular lattice, at full resolution (overviews are averages, and their percentiles differ).
    Where that finds hardly a valid pixel, the whole scene is searched.

    Raises:
        SceneError: The file cannot be read.
    """
    if scene.height * scene.width <= pixels:
        return _valid_values(scene.read(Window(0, 0, scene.height, scene.width)))
    found = [_valid_values(scene.read(window)) for window in lattice(scene, pixels)]
    sample = np.concatenate(found, axis=1)
    return sample if sample.shape[1] >= _ENOUGH else _search(scene, pixels)


def valid_fraction(scene: Scene, pixels: int = SAMPLE_PIXELS) -> float:
    """Return the share of valid pixels, estimated from the same windows.

    Raises:
        SceneError: The file cannot be read.
    """
    whole = scene.height * scene.width <= pixels
    windows = [Window(0, 0, scene.height, scene.width)] if whole else lattice(scene, pixels)
    masks = [scene.read(window).valid.ravel() for window in windows]
    return float(np.concatenate(masks).mean())


def lattice(scene: Scene, pixels: int = SAMPLE_PIXELS) -> Iterator[Window]:
    """Yield windows inside the scene, evenly over it, that hold at most ``pixels`` pixels."""
    count = max(1, pixels // _SIDE**2)
    rows = min(max(1, round((count * scene.height / scene.width) ** 0.5)), count)
    columns = max(1, count // rows)
    for row in _starts(scene.height, rows):
        for column in _starts(scene.width, columns):
            yield Window(row, column, _SIDE, _SIDE).clipped(scene.height, scene.width)


def row_windows(scene: Scene, pixels: int = SAMPLE_PIXELS) -> Iterator[Window]:
    """Yield full-width windows that cover the scene from top to bottom."""
    height = max(1, pixels // scene.width)
    for row in range(0, scene.height, height):
        yield Window(row, 0, min(height, scene.height - row), scene.width)


def _starts(size: int, count: int) -> list[int]:
    last = max(0, size - _SIDE)
    return sorted({last * i // max(1, count - 1) for i in range(count)})


def _search(scene: Scene, pixels: int) -> NDArray[np.float32]:
    """Every n-th valid pixel of the scene, n doubling as often as the sample gets too large."""
    step, seen = 1, 0
    kept = np.empty((len(scene.bands), 0), dtype=np.float32)
    for window in row_windows(scene, pixels):
        values = _valid_values(scene.read(window))
        kept = np.concatenate([kept, values[:, -seen % step :: step]], axis=1)
        seen += values.shape[1]
        while kept.shape[1] > pixels:
            kept, step = kept[:, ::2], step * 2
    return kept


def _valid_values(pixels: Pixels) -> NDArray[np.float32]:
    return pixels.values[:, pixels.valid]
