"""The Lightning data module over two pools of samples."""

from __future__ import annotations

import pickle
from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader, DistributedSampler, get_worker_info

from geoconvlora.training.augment import Augment
from geoconvlora.training.config import AugmentConfig
from geoconvlora.training.samples import (
    EpochSampler,
    EvenDataset,
    Pool,
    PoolDataset,
    TorchSample,
)


class SegmentationDataModule(LightningDataModule):
    """Batches of torchgeo samples: ``image`` (B, C, H, W), ``mask`` (B, H, W), ``valid``.

    The order of the training samples depends on the epoch alone, so it does not change with the
    number of workers or with an interruption.

    Args:
        train: Training samples.
        val: Validation samples.
        batch_size: Samples in a batch of one process; an incomplete last training batch is left
            out.
        num_workers: Processes that prepare samples beside the training; 0 prepares them in it.
        augment: Random changes to the training samples.
    """

    def __init__(
        self,
        train: Pool,
        val: Pool,
        *,
        batch_size: int,
        num_workers: int = 0,
        augment: AugmentConfig | None = None,
    ) -> None:
        super().__init__()
        self._train = train
        self._val = val
        self._batch_size = batch_size
        self._num_workers = num_workers
        self._augment = Augment(augment or AugmentConfig())
        self._finished_epochs = 0

    def train_dataloader(self) -> DataLoader[TorchSample]:
        """New samples in every epoch."""
        processes, rank = self._share()
        sampler = EpochSampler(len(self._train), processes=processes, rank=rank)
        # Workers ask for keys as soon as they start; Lightning tells a resumed run's epoch later.
        sampler.set_epoch(self._finished_epochs)
        return self._loader(
            PoolDataset(self._train),
            batch_size=min(self._batch_size, len(sampler)),
            sampler=sampler,
            drop_last=True,
        )

    def val_dataloader(self) -> DataLoader[TorchSample]:
        """The same samples in every epoch."""
        processes, rank = self._share()
        dataset = EvenDataset(self._val, processes)
        # Lightning puts a sampler of its own in the place of any that is not of this kind.
        sampler: DistributedSampler[int] = DistributedSampler(
            dataset, processes, rank, shuffle=False
        )
        return self._loader(dataset, batch_size=self._batch_size, sampler=sampler)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps: with which epoch a resumed run begins."""
        assert self.trainer is not None
        last = self.trainer.fit_loop.epoch_loop.batch_progress.is_last_batch
        return {"finished_epochs": self.trainer.current_epoch + int(last)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take it up again."""
        self._finished_epochs = state_dict["finished_epochs"]

    def on_after_batch_transfer(self, batch: TorchSample, dataloader_idx: int) -> TorchSample:
        """Augment training batches where the network is."""
        if self.trainer is not None and self.trainer.training:
            changed: TorchSample = self._augment(batch)
            return changed
        return batch

    def _share(self) -> tuple[int, int]:
        """Processes that train together, and the place of this one among them."""
        if self.trainer is None:
            return 1, 0
        return self.trainer.world_size, self.trainer.global_rank

    def _loader(self, dataset: PoolDataset, **batches: Any) -> DataLoader[TorchSample]:
        return DataLoader(
            dataset,
            num_workers=self._num_workers,
            persistent_workers=self._num_workers > 0,
            worker_init_fn=_reopen_files if self._num_workers else None,
            pin_memory=torch.cuda.is_available(),
            # A loader without its own generator draws from torch's, at another moment in the first
            # epoch of a process than in the others: a resumed run would then differ.
            generator=torch.Generator().manual_seed(0),
            **batches,
        )


def _reopen_files(worker: int) -> None:
    """Give a worker files of its own: a copied scene opens its file anew.

    A forked process shares the parent's file positions, and two readers would disturb each other.
    """
    info = get_worker_info()
    if info is not None and isinstance(info.dataset, PoolDataset):
        info.dataset.pool = pickle.loads(pickle.dumps(info.dataset.pool))
