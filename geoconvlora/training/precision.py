"""Which hardware trains, and at which precision."""

from __future__ import annotations

import os
from typing import Any, Literal

import torch
from lightning.pytorch.utilities import rank_zero_only

from geoconvlora.errors import ConfigError
from geoconvlora.hardware import has_bf16
from geoconvlora.training.config import Precision

LightningPrecision = Literal["32-true", "bf16-mixed", "16-mixed"]


def choose_device(device: str, devices: int = 1) -> dict[str, Any]:
    """Lightning's ``accelerator`` and ``devices`` for ``auto``, ``cpu``, ``cuda:1`` or ``mps``.

    Args:
        device: Kind of device, and for one CUDA device its number.
        devices: How many of them; on the CPU, processes.

    Raises:
        ConfigError: This machine has no such device, or not so many.
    """
    kind, _, index = device.partition(":")
    if kind == "auto":
        kind = "cuda" if torch.cuda.is_available() else "cpu"
        kind = "mps" if kind == "cpu" and torch.backends.mps.is_available() else kind
    if kind == "mps" and not torch.backends.mps.is_available():
        raise ConfigError("device 'mps': this machine has none")
    if kind == "mps" and devices > 1:
        raise ConfigError(f"devices {devices}: there is one device of kind 'mps'")
    if kind != "cuda":
        return {"accelerator": kind, "devices": devices}
    first = int(index or 0)
    count = torch.cuda.device_count()
    if first + devices > count:
        wanted = f"device {device!r}" if devices == 1 else f"devices {devices}"
        raise ConfigError(f"{wanted}: this machine has {count} CUDA devices")
    return {"accelerator": "cuda", "devices": list(range(first, first + devices))}


def is_first_process() -> bool:
    """Whether this process writes files, before those that train together have met."""
    return not rank_zero_only.rank and not int(os.environ.get("NODE_RANK", "0"))


def choose_precision(precision: Precision, accelerator: str) -> LightningPrecision:
    """Lightning's precision; ``auto`` takes bfloat16 only where the hardware computes in it."""
    if precision == "auto":
        precision = "bf16-mixed" if has_bf16(accelerator) else "32"
    return "32-true" if precision == "32" else precision
