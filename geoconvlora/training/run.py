"""A training run, from its configuration to a model file."""

from __future__ import annotations

import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from lightning.pytorch import seed_everything
from pydantic import BaseModel, ConfigDict

from geoconvlora.training.callbacks import Report
from geoconvlora.training.config import TrainConfig
from geoconvlora.training.config_file import load_config
from geoconvlora.training.export import Best, export, load_best
from geoconvlora.training.folder import RunFolder
from geoconvlora.training.pictures import draw_curves, draw_samples
from geoconvlora.training.precision import choose_device, is_first_process
from geoconvlora.training.sources import Sources, open_sources
from geoconvlora.training.split_file import check_split, save_split
from geoconvlora.training.task import task_of
from geoconvlora.training.trainer import Fitted, fit


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
        ConfigError: The configuration cannot work, it or the data is not that of the run to resume,
            or made the weights diverge.
        OutputError: The model file or an unfinished run exists, the folder is missing, or another
            run writes in it.
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
    choose_device(config.device, config.devices)
    seed_everything(config.seed, workers=True, verbose=False)
    sources = open_sources(config)
    if resume:
        check_split(sources.split, config, folder.path)
    if dry_run:
        task_of(config)
        return _result(None, folder, 0, None, started)
    first = is_first_process()
    # The other processes of a run share the first one's claim.
    with folder.held() if first else nullcontext():
        if first:
            # Another run may have ended here since.
            folder.check(config, resume=resume, overwrite=overwrite)
            folder.prepare(config, resume=resume)
            save_split(sources.split, config, folder.path)
        fitted = fit(
            config,
            sources,
            folder,
            resume=resume,
            max_minutes=max_minutes,
            progress=progress,
            report=report,
        )
        if not fitted.first:
            model = config.out if fitted.finished else None
            return _result(model, folder, fitted.epochs, None, started)
        return _finished(config, sources, folder, fitted, started)


def _finished(
    config: TrainConfig, sources: Sources, folder: RunFolder, fitted: Fitted, started: float
) -> TrainResult:
    """Write what a run makes at its end, if it has come there."""
    best = load_best(fitted.task, folder.best)
    model = None
    if fitted.finished:
        network = fitted.task.model
        draw_curves(folder.metrics, folder.curves)
        draw_samples(network, sources.val, config.classes, folder.samples)
        model = export(
            config,
            network,
            sources.bands,
            best,
            epochs=fitted.epochs,
            samples=fitted.samples,
        )
    return _result(model, folder, fitted.epochs, best, started)


def _result(
    model: Path | None, folder: RunFolder, epochs: int, best: Best | None, started: float
) -> TrainResult:
    return TrainResult(
        model=model,
        run_folder=folder.path,
        epochs=epochs,
        best_epoch=None if best is None else best.epoch,
        metrics={} if best is None else best.metrics,
        seconds=time.monotonic() - started,
    )


def _merged(config: TrainConfig | str | Path, overrides: dict[str, Any]) -> TrainConfig:
    dotted = {key.replace("__", "."): value for key, value in overrides.items()}
    if not isinstance(config, TrainConfig):
        return load_config(config, dotted)
    return load_config(None, {**config.model_dump(), **dotted})
