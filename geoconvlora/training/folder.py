"""The folder of a run: its configuration, metrics and checkpoints, and what may be in it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from geoconvlora.errors import ConfigError, OutputError
from geoconvlora.naming import check_name_length
from geoconvlora.training.config import TrainConfig
from geoconvlora.training.config_file import differing_keys, load_config, save_config

_WITHOUT_EFFECT = {
    "num_workers",
    "tensorboard",
    "name",
    "description",
    "limits",
    "licence",
    "data_lines",
    "instances",
}
"""Keys that may change between the parts of a run: they do not change its weights."""


@dataclass(frozen=True)
class RunFolder:
    """Files of one run, beside its model file."""

    path: Path

    @property
    def config(self) -> Path:
        """The merged configuration."""
        return self.path / "config.yaml"

    @property
    def metrics(self) -> Path:
        """One row an epoch."""
        return self.path / "metrics.csv"

    @property
    def curves(self) -> Path:
        """Losses and scores over the epochs, drawn at the end."""
        return self.path / "curves.png"

    @property
    def samples(self) -> Path:
        """Validation samples with labels and predictions, drawn at the end."""
        return self.path / "samples.png"

    @property
    def last(self) -> Path:
        """The checkpoint of the last finished epoch."""
        return self.path / "last.ckpt"

    @property
    def best(self) -> Path:
        """The checkpoint of the best epoch by validation."""
        return self.path / "best.ckpt"

    def check(self, config: TrainConfig, *, resume: bool, overwrite: bool) -> None:
        """Refuse what would fail after hours, or overwrite something.

        Raises:
            OutputError: The model file or an unfinished run exists, the folder is missing, or the
                name is too long.
            ConfigError: The run cannot be resumed, or TensorBoard is not installed.
        """
        out = config.out
        check_name_length(out)
        if config.tensorboard and not any(map(find_spec, ("tensorboard", "tensorboardX"))):
            raise ConfigError(
                "tensorboard is not installed: pip install 'geoconvlora[tensorboard]', or leave it "
                "out; metrics.csv is written in any case"
            )
        if not out.parent.is_dir():
            raise OutputError(f"{out}: the folder {out.parent} does not exist: make it first")
        if not os.access(out.parent, os.W_OK):
            raise OutputError(f"{out}: the folder {out.parent} cannot be written")
        if out.exists() and not overwrite:
            raise OutputError(f"{out} exists: give another --out, or --overwrite to replace it")
        if resume:
            self._check_resumable(config)
        elif self.last.exists() and not overwrite:
            raise OutputError(
                f"{self.path} holds an earlier run: go on with --resume, or start anew with "
                "--overwrite"
            )

    @contextmanager
    def held(self) -> Iterator[None]:
        """Make the folder, and keep other runs out of it while this one writes.

        Raises:
            OutputError: The folder cannot be made, or another run is writing in it.
        """
        from filelock import FileLock, Timeout

        try:
            self.path.mkdir(exist_ok=True)
        except OSError as error:
            raise OutputError(f"{self.path} cannot be made: {error.strerror}") from None
        file = self.path / ".lock"
        lock = FileLock(file, timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise OutputError(
                f"{self.path}: another run is writing in it: wait for it, or give another --out"
            ) from None
        except (OSError, NotImplementedError) as error:
            raise OutputError(f"{file} cannot be locked: {error}") from None
        try:
            yield
        finally:
            with suppress(OSError):  # Windows keeps a file that is open, and filelock removes it.
                file.unlink()
            lock.release()

    def prepare(self, config: TrainConfig, *, resume: bool) -> None:
        """Write the configuration, and without ``resume`` remove an earlier run's files."""
        if not resume:
            for file in (self.last, self.best, self.metrics, self.curves, self.samples):
                file.unlink(missing_ok=True)
        save_config(config, self.config)

    def _check_resumable(self, config: TrainConfig) -> None:
        if not self.last.is_file():
            raise ConfigError(
                f"{self.path} holds no finished epoch to resume: start without --resume"
            )
        changed = set(differing_keys(load_config(self.config), config)) - _WITHOUT_EFFECT
        changed = {key for key in changed if key.split(".")[0] not in _WITHOUT_EFFECT}
        if changed:
            raise ConfigError(
                f"the run in {self.path} was started with another {', '.join(sorted(changed))}: "
                f"resume it with the values in {self.config}, or start anew with --overwrite"
            )
