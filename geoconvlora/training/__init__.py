"""Training: configuration, labels, data module, task and the run itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from geoconvlora.late import late_names

if TYPE_CHECKING:
    from geoconvlora.training.config import TrainConfig
    from geoconvlora.training.config_file import load_config
    from geoconvlora.training.datamodule import SegmentationDataModule
    from geoconvlora.training.run import TrainResult, train
    from geoconvlora.training.task import ConvLoRASegmentation

__all__ = [
    "ConvLoRASegmentation",
    "SegmentationDataModule",
    "TrainConfig",
    "TrainResult",
    "load_config",
    "train",
]

_HOMES = {
    "ConvLoRASegmentation": "task",
    "SegmentationDataModule": "datamodule",
    "TrainConfig": "config",
    "TrainResult": "run",
    "load_config": "config_file",
    "train": "run",
}

__getattr__ = late_names(__name__, _HOMES)
