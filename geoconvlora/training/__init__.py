"""Training: configuration, labels, data module, task and the run itself."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

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


def __getattr__(name: str) -> Any:
    """Import on first use: a configuration is checked without torch."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
