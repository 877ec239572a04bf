"""The one place that knows how the supported versions of torchgeo and lightning differ.

torchgeo 0.10 renamed ``torchgeo.trainers`` to ``torchgeo.tasks`` and added the classification
mix-in; lightning 2.6 added ``weights_only`` to :meth:`Trainer.fit`.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from lightning.pytorch import LightningModule, Trainer

if TYPE_CHECKING:
    from torchmetrics import MetricCollection

try:
    from torchgeo.tasks import BaseTask
    from torchgeo.tasks.mixins import ClassificationMixin
except ImportError:
    from torchgeo.trainers import BaseTask

    class ClassificationMixin(LightningModule):  # type: ignore[no-redef]
        """The epoch hooks of torchgeo 0.10's mix-in, for versions that lack it."""

        train_metrics: MetricCollection
        val_metrics: MetricCollection
        test_metrics: MetricCollection

        def on_train_epoch_end(self) -> None:
            """Log the training metrics."""
            self.log_dict(self.train_metrics.compute())
            self.train_metrics.reset()

        def on_validation_epoch_end(self) -> None:
            """Log the validation metrics."""
            self.log_dict(self.val_metrics.compute())
            self.val_metrics.reset()

        def on_test_epoch_end(self) -> None:
            """Log the test metrics."""
            self.log_dict(self.test_metrics.compute())
            self.test_metrics.reset()


__all__ = ["BaseTask", "ClassificationMixin", "safe_loading"]


def safe_loading() -> dict[str, Any]:
    """Arguments of :meth:`Trainer.fit` that keep code out of a checkpoint that is loaded.

    Older versions of lightning load local checkpoints with pickle. There only the run's own
    folder is at stake: no other checkpoint is ever given to the trainer.
    """
    if "weights_only" in inspect.signature(Trainer.fit).parameters:
        return {"weights_only": True}
    return {}
