"""Checkpoints of a run, read back."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch

from geoconvlora.errors import ConfigError


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint that Lightning wrote.

    Raises:
        ConfigError: It is missing or damaged.
    """
    anew = "start anew, with --overwrite and without --resume"
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}): {anew}") from None
    except (RuntimeError, EOFError, pickle.UnpicklingError):
        raise ConfigError(f"{path} is damaged: {anew}") from None
    return state
