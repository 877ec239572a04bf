"""Networks whose maps show what tiles, views and joints do to them."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import torch
from torch import nn


def convolution(classes: int = 3) -> nn.Module:
    """Sees a few pixels around each, so tiles differ where they overlap."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 7, padding=3), nn.ReLU(), nn.Conv2d(8, classes, 7, padding=3)
    )


class Failing(nn.Module):
    """Works for some calls, then raises."""

    def __init__(self, network: nn.Module, calls: int, error: type[BaseException]) -> None:
        super().__init__()
        self.network, self.calls, self.error = network, calls, error

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.calls -= 1
        if self.calls < 0:
            raise self.error("as asked for")
        found: torch.Tensor = self.network(images)
        return found


class Dying(nn.Module):
    """Kills its process where a file is; once only, as it removes it, unless told otherwise."""

    def __init__(self, network: nn.Module, flag: Path, *, again: bool = False) -> None:
        super().__init__()
        self.network, self.flag, self.again = network, flag, again

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        try:
            if self.again:
                self.flag.stat()
            else:
                self.flag.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        except FileNotFoundError:
            pass
        found: torch.Tensor = self.network(images)
        return found
