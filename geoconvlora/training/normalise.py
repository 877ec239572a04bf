"""From scaled values to what the network sees: ``(scaled - mean) / std`` by band."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from geoconvlora.training.samples import Pool, Sample
from geoconvlora.weights.card import Band


class NormalisedPool:
    """A pool's samples, normalised; invalid pixels become 0.

    Args:
        scaled: Samples with scaled values.
        bands: Mean and standard deviation of each band's scaled values.
    """

    def __init__(self, scaled: Pool, bands: Sequence[Band]) -> None:
        self._scaled = scaled
        self._mean = np.array([[[band.mean]] for band in bands], dtype=np.float32)
        self._std = np.array([[[band.std]] for band in bands], dtype=np.float32)

    def __len__(self) -> int:
        return len(self._scaled)

    def draw(self, key: int) -> Sample:
        """The pool's sample of this key, normalised."""
        sample = self._scaled.draw(key)
        image = (sample.image - self._mean) / self._std
        return replace(sample, image=np.where(sample.valid, image, np.float32(0)))
