"""What happens around the epochs of a run: seeds, averaged weights, metrics, time."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from torch import Tensor

from geoconvlora.training.whole_file import write_whole

Report = Callable[[str], None]


class EpochSeed(Callback):
    """Makes each epoch's random numbers a function of the run's seed, the epoch and the process.

    A resumed run thus draws what the unbroken run would have drawn.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Seed all generators of the process."""
        place = 0x9E3779B1 * (trainer.current_epoch + 1) + 0x85EBCA6B * trainer.global_rank
        epoch_seed = (self._seed + place) % 2**32
        seed_everything(epoch_seed, verbose=False)


class WeightAverage(Callback):
    """Exponential moving average of the weights that train, used for validation.

    Lightning's own callback keeps a second copy of the whole network, frozen weights included,
    and exists in recent versions only.

    Args:
        decay: Share of the old average that a step keeps. The first steps keep less
            (``(1 + n) / (10 + n)`` after n steps), so that the random start is forgotten.
    """

    def __init__(self, decay: float) -> None:
        self._decay = decay
        self._updates = 0
        self._step = 0
        self._average: dict[str, Tensor] = {}
        self._swapped = False

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start from the present weights, or from the checkpoint's average."""
        for name, tensor in _averaged(pl_module).items():
            start = self._average.get(name, tensor)
            self._average[name] = start.detach().to(tensor.device, copy=True)

    @torch.no_grad()
    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Move the average towards the weights, once an optimiser step."""
        if trainer.global_step == self._step:
            return
        self._step = trainer.global_step
        decay = min(self._decay, (1 + self._updates) / (10 + self._updates))
        self._updates += 1
        current = _averaged(pl_module)
        averages = [self._average[name] for name in current]
        torch._foreach_lerp_(averages, [t.detach() for t in current.values()], 1 - decay)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Validate the average."""
        self._swap(pl_module)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Go on training the weights themselves."""
        self._swap(pl_module)

    def state_dict(self) -> dict[str, Any]:
        """The average and its age, for checkpoints."""
        return {"average": self._average, "updates": self._updates, "step": self._step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up a checkpoint's average."""
        self._average = dict(state_dict["average"])
        self._updates = state_dict["updates"]
        self._step = state_dict["step"]

    @torch.no_grad()
    def _swap(self, module: LightningModule) -> None:
        for name, tensor in _averaged(module).items():
            kept = tensor.detach().clone()
            tensor.copy_(self._average[name])
            self._average[name].copy_(kept)


class MetricsTable(Callback):
    """Writes one row an epoch to a CSV file that a resumed run continues.

    Args:
        path: The file.
        report: Called with one line an epoch; None says nothing.
    """

    def __init__(self, path: Path, report: Report | None = None) -> None:
        self._path = path
        self._report = report
        self._start = 0.0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._start = time.monotonic()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Add the epoch's row, in the first process."""
        # Asking for them gathers them, in which all processes take part.
        metrics = trainer.callback_metrics
        if not trainer.is_global_zero:
            return
        row: dict[str, float | int] = {
            "epoch": trainer.current_epoch,
            "step": trainer.global_step,
            "lr": max(group["lr"] for group in trainer.optimizers[0].param_groups),
            "seconds": round(time.monotonic() - self._start, 2),
        }
        row |= {name: round(float(metrics[name]), 6) for name in sorted(metrics)}
        rows = [r for r in self._rows() if int(r["epoch"]) < trainer.current_epoch]
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, fieldnames=list(row), extrasaction="ignore")
        writer.writeheader()
        writer.writerows([*rows, row])
        write_whole(self._path, text.getvalue().encode())
        if self._report is not None:
            values = "  ".join(f"{k} {v:.4g}" for k, v in row.items() if k != "epoch")
            self._report(f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}  {values}")

    def _rows(self) -> list[dict[str, Any]]:
        if not self._path.exists():
            return []
        with self._path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))


class TimeBudget(Callback):
    """Stops after the last epoch that fits a number of minutes, so that it can be resumed."""

    def __init__(self, minutes: float) -> None:
        self._seconds = minutes * 60
        self._start = 0.0
        self._epochs = 0

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._start = time.monotonic()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop if another epoch as long as the mean so far would not fit."""
        self._epochs += 1
        elapsed = time.monotonic() - self._start
        late = elapsed * (self._epochs + 1) / self._epochs > self._seconds
        # Clocks differ, and all processes must stop after the same epoch.
        if trainer.strategy.reduce_boolean_decision(late, all=False):
            trainer.should_stop = True


def _averaged(module: LightningModule) -> dict[str, Tensor]:
    """Weights that train, and running statistics, which follow them."""
    tensors: dict[str, Tensor] = {
        name: p for name, p in module.named_parameters() if p.requires_grad
    }
    kept = module.state_dict().keys()
    for name, buffer in module.named_buffers():
        if name in kept and buffer.is_floating_point():
            tensors[name] = buffer
    return tensors
