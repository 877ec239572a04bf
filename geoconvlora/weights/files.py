"""Writing safetensors whole or not at all, and telling damaged ones."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from geoconvlora.errors import OutputError
from geoconvlora.naming import check_name_length

if TYPE_CHECKING:
    from torch import Tensor


def check_output(path: Path, overwrite: bool) -> None:
    """Refuse an output that exists, whose folder does not, or whose name is too long.

    Raises:
        OutputError: Saying which.
    """
    check_name_length(path)
    if not path.parent.is_dir():
        raise OutputError(f"{path}: the folder {path.parent} does not exist; make it first")
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists: choose another name, or give --overwrite")


def as_stored(tensors: Mapping[str, Tensor], *, half: bool) -> dict[str, Tensor]:
    """Copies as they are written; floats as 16 bits with ``half``."""
    return {
        name: (t.detach().half() if half and t.is_floating_point() else t.detach())
        .cpu()
        .contiguous()
        .clone()
        for name, t in tensors.items()
    }


def digest_of(stored: Mapping[str, Tensor]) -> str:
    """The sha256 of names, types, shapes and bytes, in hexadecimal digits; whatever the order."""
    import torch

    sha256 = hashlib.sha256()
    for name, tensor in sorted(stored.items()):
        sha256.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        sha256.update(tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return sha256.hexdigest()


def first_not_finite(tensors: Mapping[str, Tensor]) -> str | None:
    """The name of a tensor that holds NaN or infinity, if there is one."""
    return next((name for name, t in tensors.items() if not t.isfinite().all()), None)


def write_tensors(
    path: Path, stored: dict[str, Tensor], metadata: dict[str, str], overwrite: bool
) -> Path:
    """Write tensors, as from :func:`as_stored`, beside ``path`` and rename."""
    from safetensors.torch import save_file

    check_output(path, overwrite)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.touch()
        mode = part.stat().st_mode
        save_file(stored, part, metadata=metadata)
        part.chmod(mode)  # safetensors replaces the file by one that only its owner may read
        part.replace(path)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error}") from None
    finally:
        part.unlink(missing_ok=True)
    return path
