"""What a run changes in its process, and puts back."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Keep Lightning's banners and advice to itself; its real warnings come through."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            for advice in (
                r"Checkpoint directory .* exists and is not empty",
                r"The '\w+_dataloader' does not have many workers",
                r"This DataLoader will create \d+ worker processes",
                # Metrics are gathered from all processes before they are logged.
                r"It is recommended to use `self\.log\(.*sync_dist=True\)`",
                r"`isinstance\(treespec, LeafSpec\)` is deprecated",
            ):
                warnings.filterwarnings("ignore", advice)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def deterministic() -> Iterator[None]:
    """Ask torch for reproducible algorithms, and put its global switches back."""
    algorithms = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    memory: Any = torch.utils.deterministic
    fill = memory.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Filling new tensors guards against reading them too early; it costs time in every layer.
    memory.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(algorithms, warn_only=warn_only)
        memory.fill_uninitialized_memory = fill
