"""The network's side of prediction: the only module here that needs torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from geoconvlora.errors import ConfigError
from geoconvlora.inference.blending import RowBlender
from geoconvlora.inference.rows import MapRows, TileRow
from geoconvlora.inference.tiles import Tiling


def choose_device(name: str) -> torch.device:
    """Return the device of a name; ``auto`` takes CUDA, then MPS, then the CPU.

    Raises:
        ConfigError: This machine has no such device.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"device {name!r} is unknown: give auto, cpu, cuda or mps") from error
    there = {
        "cpu": True,
        "cuda": torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
    }
    if not there.get(device.type, False):
        raise ConfigError(f"device {name!r} is not on this machine: give auto or cpu")
    return device


def place(network: nn.Module, device: str) -> tuple[nn.Module, torch.device]:
    """Put a network in evaluation mode on a device; ``auto`` leaves it where a user put it.

    Raises:
        ConfigError: This machine has no such device.
    """
    parameter = next(network.parameters(), None)
    if device == "auto" and parameter is not None and parameter.device.type != "cpu":
        return network.eval(), parameter.device
    chosen = choose_device(device)
    return network.to(chosen).eval(), chosen


def map_rows(
    tile_rows: Iterable[TileRow],
    network: nn.Module,
    *,
    classes: int,
    tiling: Tiling,
    batch_size: int,
    device: torch.device,
) -> Iterator[MapRows]:
    """Yield the map's rows in order, as soon as no further tile can change them.

    Batches are formed within a row of tiles from those with a valid pixel, so what the network
    sees together does not depend on how rows are read or written.

    Args:
        tile_rows: All of the scene's, in order.
        network: ``(B, C, tile, tile)`` to logits ``(B, K, tile, tile)``; on ``device``.
        classes: K.
        tiling: The tile grid of the rows.
        batch_size: Tiles a step, at least 1.
        device: Where the network is.
    """
    height, width = tiling.rows.size, tiling.columns.size
    blender = RowBlender(classes, max(width, tiling.tile), tiling.weights())
    starts = [tiling.columns.start(i) for i in range(len(tiling.columns))]
    for index, row in enumerate(tile_rows):
        columns = [c for c in starts if row.valid[:, c : c + tiling.tile].any()]
        for first in range(0, len(columns), batch_size):
            batch = columns[first : first + batch_size]
            tiles = np.stack([row.values[:, :, c : c + tiling.tile] for c in batch])
            found = _probabilities(network, tiles, device)
            for column, probabilities in zip(batch, found, strict=True):
                blender.add(column, probabilities)
        last = index + 1 == len(tiling.rows)
        final = (height if last else tiling.rows.start(index + 1)) - row.row
        valid = row.valid[:final, :width]
        yield MapRows(row.row, blender.take(final)[:, :, :width] * valid, valid)


def _probabilities(
    network: nn.Module, tiles: NDArray[np.float32], device: torch.device
) -> NDArray[np.float32]:
    with torch.inference_mode():
        logits = network(torch.from_numpy(tiles).to(device, non_blocking=True))
        found: NDArray[np.float32] = torch.softmax(logits.float(), dim=1).cpu().numpy()
    return found
