"""Training samples by key: what a source of samples is, and in which order keys are drawn.

Every sample is a pure function of its key, and the keys of an epoch are a pure function of the
epoch. A resumed run therefore sees the very samples that an unbroken one would have seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset, DistributedSampler

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


class EvenDataset(PoolDataset):
    """A pool with a multiple of ``processes`` samples: those beyond the pool have no label.

    Processes that train together must take the same number of steps.
    """

    def __init__(self, pool: Pool, processes: int) -> None:
        super().__init__(pool)
        self._length = -(-len(pool) // processes) * processes

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, key: int) -> TorchSample:
        if key < len(self.pool):
            return super().__getitem__(key)
        sample = super().__getitem__(0)
        return {**sample, "mask": torch.full_like(sample["mask"], IGNORE)}


class EpochSampler(DistributedSampler[int]):
    """Keys ``epoch * length ... (epoch + 1) * length``: new ones in every epoch.

    Lightning calls :meth:`set_epoch` before each epoch, but before the first one of a resumed run
    only after workers have begun to ask: the data module has called it then. Of several processes,
    each takes every n-th key, so that n batches of b are the n * b keys that one process would
    take.
    """

    def __init__(self, length: int, *, processes: int = 1, rank: int = 0) -> None:
        # Of the data set, the sampler wants the length alone.
        keys = cast("Dataset[int]", range(length))
        super().__init__(keys, num_replicas=processes, rank=rank, shuffle=False, drop_last=True)
        self._keys = length

    def __len__(self) -> int:
        return self._keys // self.num_replicas

    def __iter__(self) -> Iterator[int]:
        start = self.epoch * self._keys
        return iter(
            range(start, start + len(self) * self.num_replicas)[self.rank :: self.num_replicas]
        )
