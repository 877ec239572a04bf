"""The Lightning trainer of a run, and batches that its device's memory can hold."""

from __future__ import annotations

import gc
import signal
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer, seed_everything
from lightning.pytorch.callbacks import (
    EarlyStopping,
    LearningRateMonitor,
    ModelCheckpoint,
    RichProgressBar,
)
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.strategies import ModelParallelStrategy, Strategy
from lightning.pytorch.utilities.memory import is_oom_error

from geoconvlora.errors import ConfigError
from geoconvlora.training.batches import Batches
from geoconvlora.training.callbacks import (
    EpochSeed,
    MetricsTable,
    Report,
    TimeBudget,
    WeightAverage,
)
from geoconvlora.training.checkpoint import read_checkpoint
from geoconvlora.training.compat import safe_loading
from geoconvlora.training.config import TrainConfig
from geoconvlora.training.datamodule import SegmentationDataModule
from geoconvlora.training.folder import RunFolder
from geoconvlora.training.precision import choose_device, choose_precision, is_first_process
from geoconvlora.training.sources import Sources
from geoconvlora.training.surroundings import deterministic, quiet_lightning
from geoconvlora.training.task import ConvLoRASegmentation, task_of


@dataclass(frozen=True)
class Fitted:
    """What became of a run."""

    task: ConvLoRASegmentation
    epochs: int
    """Finished ones."""
    samples: int
    """Training samples that all processes saw in them."""
    finished: bool
    """False where it can be resumed."""
    first: bool
    """Whether this is the process that writes files."""


def fit(
    config: TrainConfig,
    sources: Sources,
    folder: RunFolder,
    *,
    resume: bool,
    max_minutes: float | None = None,
    progress: bool = False,
    report: Report | None = None,
) -> Fitted:
    """Train until the last epoch, with smaller batches where the device's memory is too small.

    Args:
        config: Of the run.
        sources: What it sees.
        folder: Its folder, prepared.
        resume: Go on after the last finished epoch.
        max_minutes: Stop before the epoch that would not fit.
        progress: Show a progress bar on stderr.
        report: Called with one line an epoch.

    Raises:
        ConfigError: The loss became NaN or infinite, memory does not hold a single sample, or the
            checkpoint to resume from is damaged.

    Warns:
        UserWarning: Memory does not hold a batch; it was halved.
    """
    processes = config.devices * config.num_nodes
    share = len(sources.train) // processes
    if share == 0:
        raise ConfigError(
            f"{len(sources.train)} training samples are too few for {processes} devices"
        )
    size = min(config.optim.batch_size, share)
    batches = Batches(size, config.optim.accumulate, share // size)
    while True:
        epochs = _stopped_early(folder.last) if resume else None
        if epochs is not None:
            return Fitted(
                task_of(config),
                epochs,
                samples=epochs * processes * batches.samples,
                finished=True,
                first=is_first_process(),
            )
        callbacks = _callbacks(config, folder, max_minutes, progress, report)
        fitted = _fit_once(config, sources, folder, batches, callbacks, resume, progress)
        if fitted is not None:
            return fitted
        batches = _with_less_memory(batches, config)
        resume = folder.last.exists()


def _fit_once(
    config: TrainConfig,
    sources: Sources,
    folder: RunFolder,
    batches: Batches,
    callbacks: list[Callback],
    resume: bool,
    progress: bool,
) -> Fitted | None:
    """One attempt; None where memory was too small."""
    seed_everything(config.seed, workers=True, verbose=False)
    task = task_of(config)
    data = SegmentationDataModule(
        sources.train,
        sources.val,
        batch_size=batches.size,
        num_workers=config.num_workers,
        augment=config.augment,
    )
    device = choose_device(config.device, config.devices)
    several = config.devices * config.num_nodes > 1
    on_interrupt = signal.getsignal(signal.SIGINT)
    with quiet_lightning(), deterministic():
        trainer = Trainer(
            **device,
            num_nodes=config.num_nodes,
            strategy=_strategy(config),
            sync_batchnorm=several and device["accelerator"] == "cuda",
            precision=choose_precision(config.precision, device["accelerator"]),
            max_epochs=config.optim.epochs,
            limit_train_batches=batches.count,
            accumulate_grad_batches=batches.accumulate,
            gradient_clip_val=config.optim.clip,
            callbacks=callbacks,
            default_root_dir=folder.path,
            logger=_logger(config, folder),
            enable_progress_bar=progress,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            log_every_n_steps=1,
        )
        try:
            trainer.fit(task, data, ckpt_path=folder.last if resume else None, **safe_loading())
        except SystemExit:
            # Lightning turns Ctrl-C into an exit and ignores the next one; whoever called us wants
            # the interruption itself, and to be able to interrupt again.
            signal.signal(signal.SIGINT, on_interrupt)
            raise KeyboardInterrupt from None
        except RuntimeError as error:
            if not _is_out_of_memory(error):
                raise
            return None
    return Fitted(
        # A network that was shared out cannot take whole tensors up again.
        task_of(config) if config.strategy == "fsdp" else task,
        epochs=trainer.current_epoch,
        samples=trainer.current_epoch * trainer.world_size * batches.samples,
        finished=trainer.current_epoch >= config.optim.epochs or _is_stopped(trainer),
        first=trainer.is_global_zero,
    )


def _callbacks(
    config: TrainConfig,
    folder: RunFolder,
    max_minutes: float | None,
    progress: bool,
    report: Report | None,
) -> list[Callback]:
    callbacks: list[Callback] = [EpochSeed(config.seed), MetricsTable(folder.metrics, report)]
    best_by: dict[str, Any] = {
        "monitor": ConvLoRASegmentation.monitor,
        "mode": ConvLoRASegmentation.mode,
    }
    if config.optim.ema is not None:
        callbacks.append(WeightAverage(config.optim.ema))
    if config.optim.patience is not None:
        patience = config.optim.patience
        callbacks.append(EarlyStopping(**best_by, patience=patience, check_finite=False))
    if max_minutes is not None:
        callbacks.append(TimeBudget(max_minutes))
    if config.tensorboard:
        callbacks.append(LearningRateMonitor("epoch"))
    if progress:
        callbacks.append(RichProgressBar(console_kwargs={"stderr": True}))
    kept: dict[str, Any] = {
        "dirpath": folder.path,
        "enable_version_counter": False,
        "save_on_train_epoch_end": True,
    }
    best = ModelCheckpoint(**kept, filename=folder.best.stem, **best_by)
    return [*callbacks, best, ModelCheckpoint(**kept, filename=folder.last.stem)]


def _strategy(config: TrainConfig) -> Strategy | str:
    processes = config.devices * config.num_nodes
    if config.strategy == "fsdp":
        return ModelParallelStrategy(
            data_parallel_size=processes, tensor_parallel_size=1, save_distributed_checkpoint=False
        )
    return "ddp" if processes > 1 and config.strategy == "auto" else config.strategy


def _logger(config: TrainConfig, folder: RunFolder) -> TensorBoardLogger | bool:
    if not config.tensorboard:
        return False
    return TensorBoardLogger(folder.path, name=None, version="tensorboard")


def _is_stopped(trainer: Trainer) -> bool:
    """Whether early stopping ended the run."""
    found = (c for c in trainer.callbacks if isinstance(c, EarlyStopping))
    return any(callback.stopped_epoch > 0 for callback in found)


def _stopped_early(checkpoint: Path) -> int | None:
    """Epochs of the run that left this checkpoint, where early stopping ended it.

    Raises:
        ConfigError: The checkpoint is damaged.
    """
    state = read_checkpoint(checkpoint)
    for name, callback in state["callbacks"].items():
        if name.startswith(EarlyStopping.__name__) and callback["stopped_epoch"] > 0:
            return int(state["epoch"]) + 1
    return None


def _is_out_of_memory(error: RuntimeError) -> bool:
    return (
        isinstance(error, torch.OutOfMemoryError)
        or is_oom_error(error)
        or "MPS backend out of memory" in str(error)
    )


def _with_less_memory(batches: Batches, config: TrainConfig) -> Batches:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    smaller = batches.smaller()
    if smaller is None:
        raise ConfigError(
            "memory does not hold a batch of one sample: set optim.recompute: true, lower "
            "tile_size, or take a smaller network"
        )
    if config.devices * config.num_nodes > 1:
        raise ConfigError(
            f"a device's memory does not hold {batches.size} samples: set optim.batch_size to "
            f"{smaller.size} and optim.accumulate to {smaller.accumulate}"
        )
    warnings.warn(
        f"out of memory with {batches.size} samples in a batch: going on with {smaller.size}, and "
        f"{smaller.accumulate} batches in an optimiser step",
        UserWarning,
        stacklevel=3,
    )
    return smaller
