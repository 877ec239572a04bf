"""The network's side of prediction: batches of tiles to strips. Only modules here need torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from geoconvlora.errors import ConfigError
from geoconvlora.hardware import has_bf16
from geoconvlora.inference.ahead import ahead
from geoconvlora.inference.batches import Batch, read_batches
from geoconvlora.inference.blending import Piece, join, support
from geoconvlora.inference.scales import probabilities
from geoconvlora.inference.strips import StripWriter, to_steps
from geoconvlora.inference.task import MapTask, Precision, Scales
from geoconvlora.weights.card import Views

#: Batches that wait for the network.
_BATCHES_AHEAD = 1


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


class Hardware(NamedTuple):
    """Where and how a network runs, as far as its results depend on it by rounding."""

    kind: str
    """``cpu``, ``cuda`` or ``mps``."""
    bf16: bool
    """Whether it computes in bfloat16."""

    @classmethod
    def of(cls, device: torch.device, precision: Precision) -> Hardware:
        """Return what a device computes in.

        Raises:
            ConfigError: bfloat16 is asked for, and the device has no units for it.
        """
        fast = precision != "32" and has_bf16(device.type, device.index)
        if precision == "bf16" and not fast:
            raise ConfigError(
                f"precision bf16: no units for bfloat16 are known of this machine's {device.type}; "
                "leave it out, or give 32"
            )
        return cls(device.type, fast)

    def __str__(self) -> str:
        return f"{self.kind} in bfloat16" if self.bf16 else self.kind


class InBfloat16(nn.Module):
    """A network whose large sums are of bfloat16, as PyTorch's autocast chooses them."""

    def __init__(self, network: nn.Module, kind: str) -> None:
        super().__init__()
        self.network = network
        self._kind = kind

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(B, K, h, w)`` of images ``(B, C, h, w)``, in float32."""
        with torch.autocast(self._kind, dtype=torch.bfloat16):
            logits: Tensor = self.network(images)
        return logits.float()


def device_of(network: nn.Module, name: str) -> torch.device:
    """Return where a network shall be; ``auto`` leaves it where a user put it.

    Raises:
        ConfigError: This machine has no such device.
    """
    parameter = next(network.parameters(), None)
    if name == "auto" and parameter is not None and parameter.device.type != "cpu":
        return parameter.device
    return choose_device(name)


def place(network: nn.Module, device: str, precision: Precision) -> tuple[nn.Module, torch.device]:
    """Put a network in evaluation mode on a device; ``auto`` leaves it where a user put it.

    Raises:
        ConfigError: This machine has no such device, or it does not compute in bfloat16.
    """
    chosen = device_of(network, device)
    # Convolutions want the channels of a pixel side by side; weights are put so once, not in each.
    network = network.to(chosen).to(memory_format=torch.channels_last).eval()
    bf16 = Hardware.of(chosen, precision).bf16
    return (InBfloat16(network, chosen.type) if bf16 else network), chosen


def write_strips(
    task: MapTask,
    rows: Iterable[int],
    network: nn.Module,
    device: torch.device,
    path_of: Callable[[int], Path],
) -> Iterator[int]:
    """Map rows of tiles, and yield each one's index when its strip is on disk.

    Tiles are read in another thread, ahead of the network.

    Args:
        task: What is mapped.
        rows: Indices of rows of tiles, ascending.
        network: ``(B, C, tile, tile)`` to logits ``(B, K, tile, tile)``; on ``device``.
        device: Where the network is.
        path_of: Name of a row's strip.

    Raises:
        SceneError: The file cannot be read somewhere.
        OutputError: A strip cannot be written.
    """
    batches = ahead(read_batches(task, rows), depth=_BATCHES_AHEAD)
    try:
        while (first := next(batches, None)) is not None:
            yield _write_strip(task, first, batches, network, device, path_of(first.row))
    finally:
        batches.close()


def _write_strip(
    task: MapTask,
    batch: Batch,
    following: Iterator[Batch],
    network: nn.Module,
    device: torch.device,
    path: Path,
) -> int:
    height = min(task.tiling.tile, task.grid.height)
    planes = task.classes + task.spread
    with StripWriter(path, planes=planes, rows=height) as writer:
        joining = _Columns(task, writer)
        while batch.columns:
            found = predict_tiles(
                network, batch.values, device, task.tta, scales=task.scales, spread=task.spread
            )
            joining.add(batch, *found)
            batch = next(following)
        joining.finish()
    return batch.row


class _Columns:
    """Joins the tiles of one row, and writes the columns that no further tile reaches."""

    def __init__(self, task: MapTask, writer: StripWriter) -> None:
        self._axis, self._blend = task.tiling.columns, task.blend
        self._planes = task.classes + task.spread
        self._writer = writer
        self._pieces: list[Piece] = []
        self._valid: list[tuple[int, NDArray[np.bool_]]] = []
        self._done = 0

    def add(
        self,
        batch: Batch,
        means: NDArray[np.float32],
        variances: NDArray[np.float32] | None,
    ) -> None:
        height, width = batch.valid.shape[1:]
        for n, column in enumerate(batch.columns):
            counts = support(self._axis, column, self._blend)
            start = self._axis.start(column) + counts.first
            weights = counts.weights[: max(0, width - counts.first)]
            at = slice(counts.first, counts.first + len(weights))
            variance = None if variances is None else variances[n, :height, at]
            self._pieces.append(Piece(start, means[n, :, :height, at], variance, weights))
            self._valid.append((start, batch.valid[n, :, at]))
        # What lies left of this batch's last tile is final but for that tile's own part.
        self._write(self._pieces[-1].start)

    def finish(self) -> None:
        if self._pieces:
            self._write(self._pieces[-1].stop)

    def _write(self, stop: int) -> None:
        first = max(self._done, self._pieces[0].start)
        if stop <= first:
            return
        height = self._pieces[0].mean.shape[1]
        steps = np.zeros((self._planes, height, stop - first), np.uint16)
        valid = np.zeros((height, stop - first), np.bool_)
        for piece in join(self._pieces, first, stop, axis="columns"):
            place = slice(piece.start - first, piece.stop - first)
            steps[: len(piece.mean), :, place] = to_steps(piece.mean)
            if piece.variance is not None:
                steps[-1, :, place] = to_steps(np.sqrt(piece.variance))
        for start, seen in self._valid:
            part = seen[:, max(0, first - start) : max(0, stop - start)]
            at = max(0, start - first)
            valid[:, at : at + part.shape[1]] = part
        self._writer.add(first, steps, valid)
        self._done = stop
        kept = [i for i, piece in enumerate(self._pieces) if piece.stop > stop]
        self._pieces = [self._pieces[i] for i in kept]
        self._valid = [self._valid[i] for i in kept]


def predict_tiles(
    network: nn.Module,
    tiles: NDArray[np.float32],
    device: torch.device,
    tta: Views = "none",
    *,
    scales: Scales,
    spread: bool = False,
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """Return the probabilities ``(B, K, h, w)`` of tiles ``(B, C, h, w)``, mean over their views.

    With ``spread`` also ``(B, h, w)`` half the sum over classes of their variance over views; None
    without.
    """
    with torch.inference_mode():
        seen = torch.from_numpy(tiles).to(device, non_blocking=True)
        mean: Tensor | None = None
        squares: Tensor | None = None
        for count, (transposed, flipped) in enumerate(_VIEWS[tta], start=1):
            view = seen.mT if transposed else seen
            view = view.flip(flipped) if flipped else view
            found = probabilities(network, view, scales)
            found = found.flip(flipped) if flipped else found
            found = found.mT if transposed else found
            if mean is None:
                mean = found
                squares = torch.zeros_like(found[:, 0]) if spread else None
                continue
            shift = found - mean
            # Not in place: the first view's result may be the network's own memory.
            mean = mean + shift / count
            if squares is not None:
                squares = squares + (shift * (found - mean)).sum(dim=1)
        assert mean is not None
        variance = None if squares is None else squares / (2 * len(_VIEWS[tta]))
        return mean.cpu().numpy(), None if variance is None else variance.cpu().numpy()


_FLIPS = ((), (-1,), (-2,), (-2, -1))
#: Whether a view is transposed, and along which dimensions it is flipped then.
_VIEWS: dict[Views, tuple[tuple[bool, tuple[int, ...]], ...]] = {
    "none": ((False, ()),),
    "flips": tuple(product((False,), _FLIPS)),
    "d4": tuple(product((False, True), _FLIPS)),
}
