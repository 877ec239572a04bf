"""Mean and spread of values that come piece by piece."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


class Moments:
    """Count, mean and standard deviation of each band, over all pieces added so far.

    Pieces are merged in float64 by Chan, Golub and LeVeque (1979), "Updating formulae and a
    pairwise algorithm for computing sample variances": exact however far the mean is from zero.

    Args:
        bands: How many.

    Example:
        >>> moments = Moments(1)
        >>> moments.add(np.array([[1.0, 2.0]]))
        >>> moments.add(np.array([[6.0]]))
        >>> moments.mean
        array([3.])
    """

    def __init__(self, bands: int) -> None:
        self.bands = bands
        self.count = 0.0
        """Values of a band; a fraction where moments were weighted."""
        self.mean = np.zeros(bands)
        self._squares = np.zeros(bands)

    @property
    def std(self) -> NDArray[np.float64]:
        """Standard deviation ``(C,)`` of the values themselves, divided by their count."""
        return np.sqrt(self._squares / max(self.count, 1e-300))

    def add(self, values: NDArray[np.floating]) -> None:
        """Take in the values ``(C, n)`` of n pixels."""
        if values.shape[1] == 0:
            return
        exact = values.astype(np.float64)
        mean = exact.mean(axis=1)
        self._merge(values.shape[1], mean, ((exact - mean[:, None]) ** 2).sum(axis=1))

    @classmethod
    def mixed(cls, parts: Sequence[Moments], shares: Sequence[float]) -> Moments:
        """The moments of values drawn from each part with the given probability."""
        mixed = cls(parts[0].bands)
        for part, share in zip(parts, shares, strict=True):
            mixed._merge(share, part.mean, part.std**2 * share)
        return mixed

    def _merge(self, count: float, mean: NDArray[np.float64], squares: NDArray[np.float64]) -> None:
        total = self.count + count
        step = mean - self.mean
        self._squares = self._squares + squares + step**2 * (self.count * count / total)
        self.mean = self.mean + step * (count / total)
        self.count = total
