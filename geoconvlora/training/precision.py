"""Which hardware trains, and at which precision."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch

from geoconvlora.errors import ConfigError
from geoconvlora.training.config import Precision

LightningPrecision = Literal["32-true", "bf16-mixed", "16-mixed"]


def choose_device(device: str) -> dict[str, Any]:
    """Lightning's ``accelerator`` and ``devices`` for ``auto``, ``cpu``, ``cuda:1`` or ``mps``.

    Raises:
        ConfigError: This machine has no such device.
    """
    kind, _, index = device.partition(":")
    if kind == "auto":
        kind = "cuda" if torch.cuda.is_available() else "cpu"
        kind = "mps" if kind == "cpu" and torch.backends.mps.is_available() else kind
    if kind == "cuda":
        if int(index or 0) >= torch.cuda.device_count():
            count = torch.cuda.device_count()
            raise ConfigError(f"device {device!r}: this machine has {count} CUDA devices")
        return {"accelerator": "cuda", "devices": [int(index or 0)]}
    if kind == "mps" and not torch.backends.mps.is_available():
        raise ConfigError("device 'mps': this machine has none")
    return {"accelerator": kind, "devices": 1}


def choose_precision(precision: Precision, accelerator: str) -> LightningPrecision:
    """Lightning's precision; ``auto`` takes bfloat16 only where the hardware computes in it.

    On a processor without bfloat16 units its emulation is more than ten times slower than
    float32.
    """
    if precision == "auto":
        fast = {"cuda": _cuda_has_bf16, "cpu": _cpu_has_bf16}.get(accelerator)
        precision = "bf16-mixed" if fast is not None and fast() else "32"
    return "32-true" if precision == "32" else precision


def _cuda_has_bf16() -> bool:
    # Emulated bfloat16 counts as supported for torch; the units came with compute capability 8.
    return torch.cuda.get_device_capability()[0] >= 8


def _cpu_has_bf16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    try:
        text = cpuinfo.read_text(encoding="utf-8")
    except OSError:
        return False
    flags = next((line for line in text.splitlines() if line.startswith("flags")), "")
    return not {"avx512_bf16", "amx_bf16"}.isdisjoint(flags.split())
