"""Writing safetensors whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from geoconvlora.errors import OutputError

if TYPE_CHECKING:
    from torch import Tensor


def check_output(path: Path, overwrite: bool) -> None:
    """Refuse an output that exists, or whose folder does not.

    Raises:
        OutputError: Saying which.
    """
    if not path.parent.is_dir():
        raise OutputError(f"{path}: the folder {path.parent} does not exist; make it first")
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists: choose another name, or give --overwrite")


def write_tensors(
    path: Path, tensors: dict[str, Tensor], metadata: dict[str, str], half: bool, overwrite: bool
) -> Path:
    """Write tensors beside ``path`` and rename; floats as 16 bits with ``half``."""
    from safetensors.torch import save_file

    check_output(path, overwrite)
    stored = {
        name: (t.detach().half() if half and t.is_floating_point() else t.detach())
        .cpu()
        .contiguous()
        .clone()
        for name, t in tensors.items()
    }
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
