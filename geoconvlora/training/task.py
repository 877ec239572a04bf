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
from geoconvlora.training.config import IGNORE, Schedule, Size, TrainConfig
from geoconvlora.training.losses import SegmentationLoss
from geoconvlora.training.network import PARTS, build_network, part_of, shard
from geoconvlora.training.samples import TorchSample
from geoconvlora.training.start import start_from


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
        init: A model on this base and with this method, whose weights are the start.
        in_channels: Bands.
        num_classes: Classes, background included.
        labels: Names of the classes for the metrics; None numbers them.
        ignore_index: Mask value of pixels that do not count, besides 255.
        loss: Terms of the task's loss, see :class:`SegmentationLoss`.
        class_weights: Of the loss's pixel terms, one a class.
        region_weight: Of the loss's region terms.
        focal_gamma: Of the focal loss.
        boundary_width_px: Pixels this near to another class weigh more in the pixel terms.
        boundary_weight: How many times as much.
        lr: Highest learning rate.
        rates: Shares of it for ``encoder``, ``adapter`` and ``decoder``; 1 where left out.
        eps: Of AdamW.
        weight_decay: Of matrices and filters; biases and norms have none.
        schedule: Course of the learning rate after the warm-up.
        warmup_fraction: Share of all optimiser steps in which the rate rises from zero.
        recompute: Compute the encoder's blocks again for their gradients, to save memory.

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
        init: str | None = None,
        in_channels: int = 3,
        num_classes: int = 2,
        labels: Sequence[str] | None = None,
        ignore_index: int = IGNORE,
        loss: str = "ce+dice",
        class_weights: Sequence[float] | None = None,
        region_weight: float = 1.0,
        focal_gamma: float = 2.0,
        boundary_width_px: int | None = None,
        boundary_weight: float = 5.0,
        lr: float = 1e-3,
        rates: Mapping[str, float] | None = None,
        eps: float = 1e-8,
        weight_decay: float = 0.01,
        schedule: Schedule = "cosine",
        warmup_fraction: float = 0.03,
        recompute: bool = False,
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
        if self.hparams["init"] is not None:
            start_from(self.model, self.hparams["init"], self.hparams["base"])
        self.model.encoder.recompute = self.hparams["recompute"]

    def configure_model(self) -> None:
        """Share the network out where the strategy has a mesh of devices for it."""
        if self.device_mesh is not None:
            shard(self.model, self.device_mesh["data_parallel"])

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, K, H, W) of images (B, C, H, W), or of T times stacked as (B, T, C, H, W)."""
        logits: Tensor = self.model(images.flatten(1, 2) if images.ndim == 5 else images)
        return logits

    def configure_losses(self) -> None:
        """The task's loss, without the adapters' own."""
        self.criterion = SegmentationLoss(
            self.hparams["loss"],
            class_weights=self.hparams["class_weights"],
            region_weight=self.hparams["region_weight"],
            focal_gamma=self.hparams["focal_gamma"],
            boundary_width_px=self.hparams["boundary_width_px"],
            boundary_weight=self.hparams["boundary_weight"],
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
        loss: Tensor = self.criterion(logits, self._mask(batch))
        auxiliary = auxiliary_loss(self.model)
        total = loss + auxiliary
        if not torch.isfinite(total):
            raise ConfigError(
                f"the loss became {float(total.detach())} in epoch {self.current_epoch}, step "
                f"{self.global_step}: lower optim.lr (now {self.hparams['lr']}), or train with "
                "precision 32; the last finished epoch can be resumed"
            )
        for name, value in (("train_loss", loss), ("train_aux_loss", auxiliary)):
            self.log(
                name, value, on_step=False, on_epoch=True, batch_size=len(logits), sync_dist=True
            )
        return total

    def validation_step(self, batch: TorchSample, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Task loss and metrics of one batch."""
        self._score(batch, "val_loss", self.val_metrics)

    def test_step(self, batch: TorchSample, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Task loss and metrics of one batch."""
        self._score(batch, "test_loss", self.test_metrics)

    def _score(self, batch: TorchSample, loss: str, metrics: MetricCollection) -> None:
        logits, mask = self(batch["image"]), self._mask(batch)
        metrics.update(logits, mask)
        # Samples that only fill up a device's share have no label and no weight.
        counted = int((mask != IGNORE).flatten(1).any(dim=1).sum())
        self.log(loss, self.criterion(logits, mask), batch_size=counted, sync_dist=True)

    def _mask(self, batch: TorchSample) -> Tensor:
        """Class ids (B, H, W) of torchgeo's masks, which may come as floats or with a channel."""
        mask = batch["mask"].long()
        mask = mask[:, 0] if mask.ndim == 4 else mask
        return mask.masked_fill(mask == self.hparams["ignore_index"], IGNORE)

    def predict_step(self, batch: TorchSample, batch_idx: int, dataloader_idx: int = 0) -> Tensor:
        """Class probabilities (B, K, H, W) of one batch."""
        probabilities: Tensor = self(batch["image"]).softmax(dim=1)
        return probabilities

    def configure_optimizers(self) -> Any:
        """AdamW over what trains, with a schedule of optimiser steps that is known in advance."""
        optimizer = AdamW(self._parameter_groups(), lr=self.hparams["lr"], eps=self.hparams["eps"])
        steps = int(self.trainer.estimated_stepping_batches)
        rate = LearningRate(steps, self.hparams["warmup_fraction"], self.hparams["schedule"])
        scheduler = LambdaLR(optimizer, rate)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }

    def _parameter_groups(self) -> list[dict[str, Any]]:
        """What trains, by the part that it belongs to and by whether it decays."""
        rates = {**dict.fromkeys(PARTS, 1.0), **(self.hparams["rates"] or {})}
        if len(rates) > len(PARTS):
            raise ConfigError(f"rates are for {', '.join(PARTS)}, not {[*rates][-1]!r}")
        groups: list[dict[str, Any]] = []
        for part, rate in rates.items():
            own = [p for n, p in self.model.trainable() if part_of(n, self.model.encoder) == part]
            for name, decay, parameters in (
                (part, self.hparams["weight_decay"], [p for p in own if p.ndim > 1]),
                (f"{part}-vectors", 0.0, [p for p in own if p.ndim <= 1]),
            ):
                groups.append(
                    {
                        "name": name,
                        "params": parameters,
                        "lr": self.hparams["lr"] * rate,
                        "weight_decay": decay,
                    }
                )
        return [group for group in groups if group["params"]]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Leave out what is frozen, which comes from the base weights; add the epoch's scores."""
        frozen = _frozen_names(self)
        state = checkpoint["state_dict"]
        checkpoint["state_dict"] = {k: v for k, v in state.items() if k not in frozen}
        metrics = self.trainer.callback_metrics
        checkpoint["validation"] = {k: float(metrics[k]) for k in metrics if k.startswith("val_")}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint that is not of this network."""
        if "state_dict" not in checkpoint:
            return  # A strategy that shares the weights out has taken them up already.
        wanted = self.state_dict().keys() - _frozen_names(self)
        found = checkpoint["state_dict"].keys()
        if wanted != found:
            odd = ", ".join(sorted(wanted ^ found)[:3])
            raise ConfigError(f"the checkpoint is of another network (differs in {odd}, ...)")


def task_of(config: TrainConfig) -> ConvLoRASegmentation:
    """The task of a configuration."""
    optim = config.optim
    return ConvLoRASegmentation(
        model=config.model.size,
        method=config.model.method,
        settings=config.model.settings,
        decoder=config.model.decoder,
        base=config.model.base,
        init=config.init,
        in_channels=len(config.bands),
        num_classes=len(config.classes),
        labels=[c.name for c in config.classes],
        loss=config.loss.name,
        **config.loss.model_dump(exclude={"name"}),
        lr=optim.lr,
        rates=optim.rates.model_dump(),
        eps=optim.eps,
        weight_decay=optim.weight_decay,
        schedule=optim.schedule,
        warmup_fraction=optim.warmup_fraction,
        recompute=optim.recompute,
    )


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
