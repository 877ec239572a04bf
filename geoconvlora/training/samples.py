"""Training samples by key: what a source of samples is, and in which order keys are drawn.

Every sample is a pure function of its key, and the keys of an epoch are a pure function of the
epoch. A resumed run therefore sees the very samples that an unbroken one would have seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset, Sampler

from geoconvlora.training.data_config import IGNORE

TorchSample = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Sample:
    """One labelled window on the network's grid."""

    image: NDArray[np.float32]
    """(C, H, W), scaled; normalised too once it leaves a :class:`NormalisedPool`."""
    mask: NDArray[np.uint8]
    """(H, W) class ids; 255 is ignored."""
    valid: NDArray[np.bool_]
    """(H, W), False where the image has no data."""

    def cut(self, place: tuple[slice, slice]) -> Sample:
        """Some rows and columns of the sample."""
        return Sample(self.image[:, *place], self.mask[place], self.valid[place])

    def to_torch(self) -> TorchSample:
        """Torchgeo's sample: ``image`` (C, H, W), ``mask`` (H, W) int64, ``valid`` (H, W) bool."""
        return {
            "image": torch.from_numpy(np.ascontiguousarray(self.image)),
            "mask": torch.from_numpy(np.where(self.valid, self.mask, IGNORE).astype(np.int64)),
            "valid": torch.from_numpy(np.ascontiguousarray(self.valid)),
        }


class Pool(Protocol):
    """Samples of one part (training or validation) of one source."""

    def __len__(self) -> int:
        """Samples in an epoch."""

    def draw(self, key: int) -> Sample:
        """The sample of any key >= 0; validation uses the keys below the length only."""


class MixedPool:
    """Draws each key's source at random in proportion to the weights."""

    def __init__(
        self, pools: Sequence[Pool], weights: Sequence[float], seed: int, samples_per_epoch: int
    ) -> None:
        self._pools = pools
        self._shares = np.asarray(weights) / np.sum(weights)
        self._seed = seed
        self._length = samples_per_epoch

    def __len__(self) -> int:
        return self._length

    def draw(self, key: int) -> Sample:
        """A sample of the source that the key's own random number chooses."""
        chosen = np.random.default_rng((self._seed, key)).choice(len(self._pools), p=self._shares)
        return self._pools[int(chosen)].draw(key)


class ChainedPool:
    """Finite pools one after the other, as validation wants them."""

    def __init__(self, pools: Sequence[Pool]) -> None:
        self._pools = pools

    def __len__(self) -> int:
        return sum(len(pool) for pool in self._pools)

    def draw(self, key: int) -> Sample:
        """The sample at this place of the chain."""
        for pool in self._pools:
            if key < len(pool):
                return pool.draw(key)
            key -= len(pool)
        raise IndexError(key)


class PoolDataset(Dataset[TorchSample]):
    """A pool as the map-style dataset that torch's loader wants."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool

    def __len__(self) -> int:
        return len(self.pool)

    def __getitem__(self, key: int) -> TorchSample:
        return self.pool.draw(key).to_torch()


class EpochSampler(Sampler[int]):
    """Keys ``epoch * length ... (epoch + 1) * length``: new ones in every epoch.

    Lightning calls :meth:`set_epoch` before each epoch, resumed or not.
    """

    def __init__(self, length: int) -> None:
        self._length = length
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Move to the keys of an epoch."""
        self._epoch = epoch

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[int]:
        start = self._epoch * self._length
        return iter(range(start, start + self._length))
