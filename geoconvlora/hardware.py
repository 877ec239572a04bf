"""Whether hardware computes in bfloat16 by itself.

Where it does not, bfloat16 is emulated: on a processor more than ten times slower than float32.
"""

from __future__ import annotations

from pathlib import Path


def has_bf16(kind: str, index: int | None = None) -> bool:
    """Whether a kind of device, ``cpu``, ``cuda`` or ``mps``, is known to have units for bfloat16.

    Args:
        kind: Of device.
        index: Of a CUDA device; None: the current one.

    Example:
        >>> has_bf16("mps")
        False
    """
    if kind == "cuda":
        return _cuda_has_bf16(index)
    return kind == "cpu" and _cpu_has_bf16()


def _cuda_has_bf16(index: int | None) -> bool:
    import torch

    # Emulated bfloat16 counts as supported for torch; the units came with compute capability 8.
    return torch.cuda.get_device_capability(index)[0] >= 8


def _cpu_has_bf16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    try:
        text = cpuinfo.read_text(encoding="utf-8")
    except OSError:
        return False
    flags = next((line for line in text.splitlines() if line.startswith("flags")), "")
    return not {"avx512_bf16", "amx_bf16"}.isdisjoint(flags.split())
