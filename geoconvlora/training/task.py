"""The torchgeo task that trains a prompt-free SAM with an adaptation method."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassJaccardIndex
from torchmetrics.wrappers import ClasswiseWrapper

from geoconvlora.adapters import auxiliary_loss
from geoconvlora.errors import ConfigError
from geoconvlora.training.compat import BaseTask, ClassificationMixin
from geoconvlora.training.config import IGNORE, LossName, Schedule, Size
from geoconvlora.training.losses import SegmentationLoss
from geoconvlora.training.network import build_network
from geoconvlora.training.samples import TorchSample


class ConvLoRASegmentation(ClassificationMixin, BaseTask):
    """Semantic segmentation by an adapted Segment Anything encoder.

    The loss is the task's loss plus the adapters' auxiliary loss; ``val_loss`` is the task's
    alone. Only the method's own parameters and the decoder train, and only they are kept in
    checkpoints.

    Args:
        model: Size of the network: ``vit_t``, ``vit_b``, ``vit_l`` or ``vit_h``; None takes the
            base weights' size.
        method: Adaptation method, see :func:`geoconvlora.adapters.available`.
        settings: Settings of the method.
        decoder: Settings of the decoder.
        base: Base weights by name or path; None starts at random.
        in_channels: Bands.
        num_classes: Classes, background included.
        labels: Names of the classes for the metrics; None numbers them.
        loss: Terms of the task's loss, see :class:`SegmentationLoss`.
        class_weights: Of the cross-entropy, one a class.
        dice_weight: Of the Dice term.
        lr: Highest learning rate.
        weight_decay: Of matrices and filters; biases and norms have none.
        schedule: Course of the learning rate after the warm-up.
        warmup_fraction: Share of all optimiser steps in which the rate rises from zero.

    Raises:
        ConfigError: A setting or a name cannot work.
        WeightsError: Base weights are missing or wrong.

    Example:
        >>> task = ConvLoRASegmentation(model="vit_t", method="full", num_classes=3)
        >>> task(torch.zeros(1, 3, 64, 64)).shape
        torch.Size([1, 3, 64, 64])
    """

    monitor = "val_mIoU"
    mode = "max"
    ignore = None

    def __init__(
        self,
        model: Size | None = None,
        method: str = "conv-lora",
        settings: Mapping[str, Any] | None = None,
        decoder: Mapping[str, Any] | None = None,
        base: str | None = None,
        in_channels: int = 3,
        num_classes: int = 2,
        labels: Sequence[str] | None = None,
        loss: LossName = "ce+dice",
        class_weights: Sequence[float] | None = None,
        dice_weight: float = 1.0,
        lr: float = 1e-3,
        weight_decay: float = 0.01,
        schedule: Schedule = "cosine",
        warmup_fraction: float = 0.03,
    ) -> None:
        super().__init__()

    @property
    def strict_loading(self) -> bool:
        """Frozen tensors are not in checkpoints; :meth:`on_load_checkpoint` checks the rest."""
        return False

    def configure_models(self) -> None:
        """Build the network and attach the method."""
        self.model = build_network(
            self.hparams["model"],
            self.hparams["base"],
            self.hparams["method"],
            settings=self.hparams["settings"] or {},
            decoder=self.hparams["decoder"] or {},
            bands=self.hparams["in_channels"],
            classes=self.hparams["num_classes"],
        )

    def configure_losses(self) -> None:
        """The task's loss, without the adapters' own."""
        self.criterion = SegmentationLoss(
            self.hparams["loss"], self.hparams["class_weights"], self.hparams["dice_weight"]
        )

    def configure_metrics(self) -> None:
        """IoU by class and its mean over the classes that occur, over all labelled pixels."""
        classes = self.hparams["num_classes"]
        names = self.hparams["labels"] or [str(index) for index in range(classes)]
        metrics = MetricCollection(
            {
                "mIoU": MulticlassJaccardIndex(classes, ignore_index=IGNORE),
                "IoU": ClasswiseWrapper(
                    MulticlassJaccardIndex(classes, average=None, ignore_index=IGNORE),
                    labels=list(names),
                    prefix="IoU_",
                ),
            }
        )
        self.train_metrics = MetricCollection({})
        self.val_metrics = metrics.clone(prefix="val_")
        self.test_metrics = metrics.clone(prefix="test_")

    def training_step(self, batch: TorchSample, batch_idx: int, dataloader_idx: int = 0) -> Tensor:
        """Task loss plus auxiliary loss of one batch."""
        logits = self(batch["image"])
        loss: Tensor = self.criterion(logits, batch["mask"])
        auxiliary = auxiliary_loss(self.model)
        total = loss + auxiliary
        if not torch.isfinite(total):
            raise ConfigError(
                f"the loss became {float(total.detach())} in epoch {self.current_epoch}, step "
                f"{self.global_step}: lower optim.lr (now {self.hparams['lr']}), or train with "
                "precision 32; the last finished epoch can be resumed"
            )
        size = len(logits)
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=size)
        self.log("train_aux_loss", auxiliary, on_step=False, on_epoch=True, batch_size=size)
        return total

    def validation_step(self, batch: TorchSample, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Task loss and metrics of one batch."""
        logits = self(batch["image"])
        self.val_metrics.update(logits, batch["mask"])
        self.log("val_loss", self.criterion(logits, batch["mask"]), batch_size=len(logits))

    def test_step(self, batch: TorchSample, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Task loss and metrics of one batch."""
        logits = self(batch["image"])
        self.test_metrics.update(logits, batch["mask"])
        self.log("test_loss", self.criterion(logits, batch["mask"]), batch_size=len(logits))

    def predict_step(self, batch: TorchSample, batch_idx: int, dataloader_idx: int = 0) -> Tensor:
        """Class probabilities (B, K, H, W) of one batch."""
        probabilities: Tensor = self(batch["image"]).softmax(dim=1)
        return probabilities

    def configure_optimizers(self) -> Any:
        """AdamW over what trains, with a schedule of optimiser steps that is known in advance."""
        trainable = [p for p in self.model.parameters() if p.requires_grad]
        matrices = [p for p in trainable if p.ndim > 1]
        vectors = [p for p in trainable if p.ndim <= 1]
        optimizer = AdamW(
            [
                {"params": matrices, "weight_decay": self.hparams["weight_decay"]},
                {"params": vectors, "weight_decay": 0.0},
            ],
            lr=self.hparams["lr"],
        )
        steps = int(self.trainer.estimated_stepping_batches)
        rate = LearningRate(steps, self.hparams["warmup_fraction"], self.hparams["schedule"])
        scheduler = LambdaLR(optimizer, rate)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Leave out what is frozen, which comes from the base weights; add the epoch's scores."""
        frozen = _frozen_names(self)
        state = checkpoint["state_dict"]
        checkpoint["state_dict"] = {k: v for k, v in state.items() if k not in frozen}
        metrics = self.trainer.callback_metrics
        checkpoint["validation"] = {k: float(metrics[k]) for k in metrics if k.startswith("val_")}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint that is not of this network."""
        wanted = self.state_dict().keys() - _frozen_names(self)
        found = checkpoint["state_dict"].keys()
        if wanted != found:
            odd = ", ".join(sorted(wanted ^ found)[:3])
            raise ConfigError(f"the checkpoint is of another network (differs in {odd}, ...)")


class LearningRate:
    """Factor of the highest learning rate at an optimiser step.

    Args:
        steps: Optimiser steps of the whole run.
        warmup_fraction: Share of them in which the factor rises linearly to 1.
        schedule: ``cosine`` or ``linear`` to zero, or ``constant``.
    """

    def __init__(self, steps: int, warmup_fraction: float, schedule: Schedule) -> None:
        self._steps = steps
        self._warmup = round(steps * warmup_fraction)
        self._schedule = schedule

    def __call__(self, step: int) -> float:
        """The factor at this step, counted from 0."""
        if step < self._warmup:
            return (step + 1) / (self._warmup + 1)
        if self._schedule == "constant":
            return 1.0
        done = min(1.0, (step - self._warmup) / max(1, self._steps - self._warmup))
        return 1 - done if self._schedule == "linear" else (1 + math.cos(math.pi * done)) / 2


def _frozen_names(module: nn.Module) -> set[str]:
    return {name for name, tensor in module.named_parameters() if not tensor.requires_grad}
