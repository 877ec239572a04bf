"""Periodic random textures, made once a process and read at any place."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

PERIOD = 1024
"""Side of the textures in cells; they repeat without a seam."""


@dataclass(frozen=True)
class NoiseBank:
    """Zero mean, unit variance, (PERIOD, PERIOD) float32 each; read-only."""

    grain: NDArray[np.float32]
    """Crowns, clods: correlated over one or two cells."""
    mottle: NDArray[np.float32]
    """Correlated over some ten cells."""
    soil: NDArray[np.float32]
    """From ten to hundreds of cells, as soil and moisture vary."""
    spots: NDArray[np.float32]
    """0 to 1: islands with soft edges, as wet or poor places in a field."""


@lru_cache(maxsize=1)
def noise_bank() -> NoiseBank:
    """The textures, the same in every process."""
    rng = np.random.default_rng(20_240_601)
    frequency = np.hypot(np.fft.fftfreq(PERIOD)[:, None], np.fft.rfftfreq(PERIOD)[None, :])

    def texture(spectrum: NDArray[np.float64]) -> NDArray[np.float32]:
        white = np.fft.rfft2(rng.standard_normal((PERIOD, PERIOD)))
        field = np.fft.irfft2(white * spectrum, s=(PERIOD, PERIOD))
        field -= field.mean()
        return np.asarray(field / field.std(), dtype=np.float32)

    grain = texture(np.exp(-((frequency / 0.22) ** 2)))
    mottle = texture(frequency * np.exp(-((frequency / 0.035) ** 2)))
    soil = texture(1 / np.maximum(frequency, 1 / 300) ** 1.6 * np.exp(-((frequency / 0.12) ** 2)))
    islands = texture(np.exp(-((frequency / 0.018) ** 2)))
    spots = (1 / (1 + np.exp(-7 * (islands - 1.1)))).astype(np.float32)
    for field in (grain, mottle, soil, spots):
        field.flags.writeable = False
    return NoiseBank(grain, mottle, soil, spots)
