"""What a worker of a cluster does: one row of tiles to a strip in the folder that all share."""

from __future__ import annotations

import hashlib
import pickle
import threading
import time
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Protocol

import torch
from distributed import get_worker
from torch import nn

from geoconvlora import __version__
from geoconvlora.errors import ConfigError, ModelFileError, SceneError
from geoconvlora.inference.network import Hardware, choose_device, place, write_strips
from geoconvlora.inference.settings import model_digest
from geoconvlora.inference.spool import strip_in
from geoconvlora.inference.task import MapTask, Precision
from geoconvlora.weights import Model, load

_LOADING = threading.Lock()


class ModelSource(Protocol):
    """What a worker loads a model from; hashable, so that it is loaded once."""

    def __hash__(self) -> int:
        """Alike for the same model."""

    def load(self) -> Model:
        """Return the model, in this process."""


@dataclass(frozen=True)
class NamedModel:
    """A bundled model or a model file.

    Attributes:
        name: The bundled model's name or the file's path.
        base: Its base weights, likewise.
        digest: What the model is known by.
    """

    name: str
    base: str | None
    digest: str

    def load(self) -> Model:
        """Return the model.

        Raises:
            ModelFileError: The worker has another model of that name.
            WeightsError: It has not the base weights.
        """
        if model_digest(self.name) != self.digest:
            raise ModelFileError(
                f"{self.name} is another model on {_here()} than where the run was started: "
                "put one file where all machines see it"
            )
        return load(self.name, base=self.base)


@dataclass(frozen=True)
class PickledModel:
    """A model that was loaded before, in a file of the run's own folder.

    Attributes:
        path: The file.
        sha256: Its checksum, without which nothing is unpickled.
    """

    path: Path
    sha256: str

    def load(self) -> Model:
        """Return the model.

        Raises:
            ModelFileError: The file is not the one that was written.
        """
        content = self.path.read_bytes()
        if hashlib.sha256(content).hexdigest() != self.sha256:
            raise ModelFileError(f"{self.path} was changed while the run was at work")
        model: Model = pickle.loads(content)
        return model


@dataclass(frozen=True)
class RowOrder:
    """What is the same for all rows of a run.

    Attributes:
        model: What the model is loaded from.
        device: Where the network runs.
        precision: What it computes in.
        token: A file that who sees the run's folder sees.
        version: Of geoconvlora, where the run was started.
        patience_s: How long a network file system may take to show a new file.
    """

    model: ModelSource
    device: str
    precision: Precision
    token: Path
    version: str
    patience_s: float


def hardware_of_worker(
    token: Path, version: str, device: str, precision: Precision, patience_s: float
) -> Hardware:
    """Return what a worker has to compute with, if it can take part in a run.

    Raises:
        ConfigError: It cannot; says why.
    """
    if version != __version__:
        raise ConfigError(
            f"{_here()} has geoconvlora {__version__}, the run was started with {version}: "
            "install the same on all machines"
        )
    if not seen(token, patience_s):
        raise ConfigError(
            f"{_here()} does not see the folder {token.parent}: outputs must lie on a file system "
            "that all machines share, under one path"
        )
    return Hardware.of(choose_device(device), precision)


@dataclass(frozen=True)
class SceneOrder:
    """What is the same for all rows of a scene.

    Attributes:
        task: What is mapped; its scene is named so that all machines find it.
        folder: Where strips go.
        size_bytes: Of the scene's file; None where it is no file.
    """

    task: MapTask
    folder: Path
    size_bytes: int | None


def map_row(order: RowOrder, scene: SceneOrder, row: int) -> int:
    """Write the strip of a row of tiles, and return the row's index.

    Raises:
        ConfigError: This worker cannot take part in the run.
        SceneError: The scene cannot be read here, or is another one.
        OutputError: The strip cannot be written.
        ModelFileError: The model is another one here.
    """
    hardware_of_worker(order.token, order.version, order.device, order.precision, order.patience_s)
    task = scene.task
    if size_of(task.scene.path) != scene.size_bytes:
        raise SceneError(
            f"{task.scene.path} is missing or another file on {_here()}: "
            "scenes must lie where all machines see them"
        )
    network, device = _network(order.model, order.device, order.precision)
    with task.scene:
        for _ in write_strips(task, [row], network, device, partial(strip_in, scene.folder)):
            pass
    return row


def size_of(scene: str) -> int | None:
    """Return how many bytes a scene's file has; None where it is no file."""
    file = Path(scene)
    return file.stat().st_size if file.is_file() else None


def seen(path: Path, patience_s: float) -> bool:
    """Whether a file is there, or is within some seconds."""
    until = time.monotonic() + patience_s
    while not path.exists():
        if time.monotonic() > until:
            return False
        time.sleep(0.2)
    return True


@lru_cache(maxsize=1)
def _loaded(
    source: ModelSource, device: str, precision: Precision
) -> tuple[nn.Module, torch.device]:
    return place(source.load().network, device, precision)


def _network(
    source: ModelSource, device: str, precision: Precision
) -> tuple[nn.Module, torch.device]:
    with _LOADING:  # a cache alone lets two threads load at the same time
        return _loaded(source, device, precision)


def _here() -> str:
    try:
        return f"worker {get_worker().address}"
    except ValueError:
        return "this machine"
