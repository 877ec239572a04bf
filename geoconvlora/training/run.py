"""A training run, from its configuration to a model file."""

from __future__ import annotations

import logging
import signal
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint, RichProgressBar
from pydantic import BaseModel, ConfigDict

from geoconvlora.training.callbacks import (
    EpochSeed,
    MetricsTable,
    Report,
    TimeBudget,
    WeightAverage,
)
from geoconvlora.training.compat import safe_loading
from geoconvlora.training.config import TrainConfig
from geoconvlora.training.config_file import load_config
from geoconvlora.training.datamodule import SegmentationDataModule
from geoconvlora.training.export import export, load_best
from geoconvlora.training.folder import RunFolder
from geoconvlora.training.precision import choose_device, choose_precision
from geoconvlora.training.sources import open_sources
from geoconvlora.training.split_file import save_split
from geoconvlora.training.task import ConvLoRASegmentation


class TrainResult(BaseModel):
    """What a run made."""

    model_config = ConfigDict(frozen=True)

    model: Path | None
    """The model file; None where the run stopped early or was a rehearsal."""
    run_folder: Path
    """Configuration, metrics and checkpoints."""
    epochs: int
    """Finished epochs, those before a resumption included."""
    best_epoch: int | None
    """Epoch whose weights the model file holds, counted from 1."""
    metrics: dict[str, float]
    """Validation metrics of that epoch."""
    seconds: float
    """Of this call."""


def train(
    config: TrainConfig | str | Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    dry_run: bool = False,
    max_minutes: float | None = None,
    progress: bool = False,
    report: Report | None = None,
    **overrides: Any,
) -> TrainResult:
    """Train a network and write its model file.

    Args:
        config: A configuration, or the path of its YAML file.
        resume: Go on after the last finished epoch of an interrupted run. The result is the one
            that the unbroken run would have had.
        overwrite: Replace the model file, and an earlier run's folder.
        dry_run: Check everything and open the data, then train nothing and write nothing.
        max_minutes: Stop, resumably, before the epoch that would not fit.
        progress: Show a progress bar on stderr.
        report: Called with one line an epoch.
        **overrides: Values that beat the configuration's, by key; ``__`` stands for the dot
            (``optim__lr=1e-4``).

    Returns:
        Where the model is and how good it is.

    Raises:
        ConfigError: The configuration cannot work, is not that of the run to resume, or made the
            weights diverge.
        OutputError: The model file or an unfinished run exists, or the folder is missing.
        LabelError: Labels cannot be used.
        SceneError: An image cannot be read.
        WeightsError: Base weights are missing or wrong.
        KeyboardInterrupt: The run was interrupted; it can be resumed.

    Example:
        >>> import geoconvlora
        >>> geoconvlora.train("configs/tiles_example.yaml", optim__epochs=2)  # doctest: +SKIP
    """
    started = time.monotonic()
    config = _merged(config, overrides)
    folder = RunFolder(config.run_folder)
    folder.check(config, resume=resume, overwrite=overwrite)
    device = choose_device(config.device)
    precision = choose_precision(config.precision, device["accelerator"])
    seed_everything(config.seed, workers=True, verbose=False)
    sources = open_sources(config)
    task = _task(config)
    if dry_run:
        return TrainResult(
            model=None,
            run_folder=folder.path,
            epochs=0,
            best_epoch=None,
            metrics={},
            seconds=time.monotonic() - started,
        )
    folder.prepare(config, resume=resume)
    save_split(sources.split, config, folder.path)
    data = SegmentationDataModule(
        sources.train,
        sources.val,
        batch_size=config.optim.batch_size,
        num_workers=config.num_workers,
        augment=config.augment,
    )
    with _quiet_lightning(), _deterministic():
        trainer = Trainer(
            **device,
            precision=precision,
            max_epochs=config.optim.epochs,
            accumulate_grad_batches=config.optim.accumulate,
            gradient_clip_val=config.optim.clip,
            callbacks=_callbacks(config, folder, max_minutes, progress, report),
            default_root_dir=folder.path,
            logger=False,
            enable_progress_bar=progress,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )
        _fit(trainer, task, data, folder.last if resume else None)
    finished = trainer.current_epoch >= config.optim.epochs
    best = load_best(task, folder.best)
    model = None
    if finished:
        samples = len(sources.train) * config.optim.epochs
        model = export(config, task.model, sources.bands, best, samples=samples)
    return TrainResult(
        model=model,
        run_folder=folder.path,
        epochs=trainer.current_epoch,
        best_epoch=best.epoch,
        metrics=best.metrics,
        seconds=time.monotonic() - started,
    )


def _merged(config: TrainConfig | str | Path, overrides: dict[str, Any]) -> TrainConfig:
    dotted = {key.replace("__", "."): value for key, value in overrides.items()}
    if not isinstance(config, TrainConfig):
        return load_config(config, dotted)
    return load_config(None, {**config.model_dump(), **dotted})


def _task(config: TrainConfig) -> ConvLoRASegmentation:
    return ConvLoRASegmentation(
        model=config.model.size,
        method=config.model.method,
        settings=config.model.settings,
        decoder=config.model.decoder,
        base=config.model.base,
        in_channels=len(config.bands),
        num_classes=len(config.classes),
        labels=[c.name for c in config.classes],
        loss=config.loss.name,
        class_weights=config.loss.class_weights,
        dice_weight=config.loss.dice_weight,
        lr=config.optim.lr,
        weight_decay=config.optim.weight_decay,
        schedule=config.optim.schedule,
        warmup_fraction=config.optim.warmup_fraction,
    )


def _callbacks(
    config: TrainConfig,
    folder: RunFolder,
    max_minutes: float | None,
    progress: bool,
    report: Report | None,
) -> list[Callback]:
    callbacks: list[Callback] = [EpochSeed(config.seed), MetricsTable(folder.metrics, report)]
    if config.optim.ema is not None:
        callbacks.append(WeightAverage(config.optim.ema))
    if max_minutes is not None:
        callbacks.append(TimeBudget(max_minutes))
    if progress:
        callbacks.append(RichProgressBar(console_kwargs={"stderr": True}))
    kept: dict[str, Any] = {
        "dirpath": folder.path,
        "enable_version_counter": False,
        "save_on_train_epoch_end": True,
    }
    best = ModelCheckpoint(
        **kept,
        filename=folder.best.stem,
        monitor=ConvLoRASegmentation.monitor,
        mode=ConvLoRASegmentation.mode,
    )
    return [*callbacks, best, ModelCheckpoint(**kept, filename=folder.last.stem)]


def _fit(
    trainer: Trainer, task: ConvLoRASegmentation, data: SegmentationDataModule, last: Path | None
) -> None:
    on_interrupt = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit(task, data, ckpt_path=last, **safe_loading())
    except SystemExit:
        # Lightning turns Ctrl-C into an exit and ignores the next one; whoever called us wants
        # the interruption itself, and to be able to interrupt again.
        signal.signal(signal.SIGINT, on_interrupt)
        raise KeyboardInterrupt from None


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Keep Lightning's banners and advice to itself; its real warnings come through."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            for advice in (
                r"Checkpoint directory .* exists and is not empty",
                r"The '\w+_dataloader' does not have many workers",
                r"`isinstance\(treespec, LeafSpec\)` is deprecated",
            ):
                warnings.filterwarnings("ignore", advice)
            yield
    finally:
        logger.setLevel(level)


@contextmanager
def _deterministic() -> Iterator[None]:
    """Ask torch for reproducible algorithms, and put its global switches back."""
    algorithms = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    memory: Any = torch.utils.deterministic
    fill = memory.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Filling new tensors guards against reading them too early; it costs time in every layer.
    memory.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(algorithms, warn_only=warn_only)
        memory.fill_uninitialized_memory = fill
