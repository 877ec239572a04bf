"""What a comparison is: rows of methods, seeds, fractions of the tiles, and what all share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, model_validator

from geoconvlora.errors import ConfigError
from geoconvlora.evaluate.boundary import TOLERANCE_PX
from geoconvlora.training.config import TilesConfig, TrainConfig
from geoconvlora.training.config_file import Tree, explain, put, read_tree
from geoconvlora.weights.card import Frozen

_BUDGET = ("optim.epochs", "optim.batch_size", "optim.accumulate")
"""What a row cannot override: all rows have it in common."""
_OF_ROWS = ("method", "settings", "export")
"""Keys of the network's section that rows or the comparison itself set."""


class MethodRow(Frozen):
    """One row of the table."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """Names the row's folder too; left out, the method's name."""
    method: str
    settings: dict[str, Any] = Field(default_factory=dict)
    """Settings of the method."""
    overrides: dict[str, Any] = Field(default_factory=dict)
    """By dotted key, such as ``{optim.lr: 1e-5}``: of ``optim`` and ``loss`` only, and not the
    budget."""

    @model_validator(mode="before")
    @classmethod
    def _named_by_method(cls, tree: Any) -> Any:
        if isinstance(tree, dict) and "name" not in tree and "method" in tree:
            return {"name": tree["method"], **tree}
        return tree

    @model_validator(mode="after")
    def _keeps_the_budget(self) -> MethodRow:
        for key in self.overrides:
            if key.split(".")[0] not in {"optim", "loss"} or key in _BUDGET:
                raise ValueError(
                    f"overrides: {key} is the same in all rows: only the optimiser and the loss "
                    f"can differ, and not {', '.join(_BUDGET)}"
                )
        return self


class HeldOut(Frozen):
    """Tiles that no run sees; the table's scores are theirs."""

    images: Path | None = None
    labels: Path | None = None
    """Folders of their own; None: a share of the training folder."""
    fraction: float | None = Field(default=None, gt=0, lt=1)

    @model_validator(mode="after")
    def _one_way(self) -> HeldOut:
        if (self.images is None) != (self.labels is None):
            raise ValueError("images and labels go together")
        if (self.images is None) == (self.fraction is None):
            raise ValueError("give images and labels, or a fraction of the training tiles")
        return self


class SharedTrain(TrainConfig):
    """All of a training run but what differs between the runs of a comparison."""

    data: TilesConfig
    out: Path = Path("model.safetensors")


@dataclass(frozen=True)
class RunKey:
    """One training run of a comparison."""

    row: str
    fraction: float
    seed: int

    @property
    def folder(self) -> Path:
        """Where it lies within the comparison's runs."""
        return Path(self.row) / f"fraction-{self.fraction:g}" / f"seed-{self.seed}"

    def __str__(self) -> str:
        return f"{self.row}, fraction {self.fraction:g}, seed {self.seed}"


class CompareConfig(Frozen):
    """A comparison, complete. Paths are relative to the current folder."""

    train: SharedTrain
    """A training run's configuration without method, seed and model file."""
    methods: tuple[MethodRow, ...] = Field(min_length=1)
    seeds: tuple[int, ...] = Field(default=(0, 1, 2), min_length=1)
    fractions: tuple[float, ...] = Field(default=(1.0,), min_length=1)
    """Shares of the training tiles; a smaller one is a part of each larger one. Optimiser steps
    are those of all tiles: fewer tiles are seen more often."""
    test: HeldOut
    boundary_tolerance_px: float = Field(default=TOLERANCE_PX, gt=0)

    @model_validator(mode="after")
    def _consistent(self) -> CompareConfig:
        for name in {"out", "seed"} & self.train.model_fields_set:
            raise ValueError(f"train.{name}: leave it out, the comparison sets it")
        for name in set(_OF_ROWS) & self.train.model.model_fields_set:
            raise ValueError(f"train.model.{name}: leave it out, each row of methods has its own")
        if self.train.model.base is None:
            raise ValueError("train.model.base: name the base weights that all rows adapt")
        if self.train.data.train_tiles is not None:
            raise ValueError("train.data.train_tiles: leave it out, the comparison parts the tiles")
        if any(not 0 < fraction <= 1 for fraction in self.fractions):
            raise ValueError("fractions: each must be above 0 and at most 1")
        for key, values in (
            ("methods", [row.name for row in self.methods]),
            ("seeds", self.seeds),
            ("fractions", self.fractions),
        ):
            twice = [value for value in values if list(values).count(value) > 1]
            if twice:
                raise ValueError(f"{key}: {twice[0]} is there twice")
        for row in self.methods:
            try:
                self.run_config(RunKey(row.name, 1.0, self.seeds[0]), ("a",), ("b",), 1, Path())
            except ValidationError as error:
                raise ValueError(explain(f"methods: row {row.name}", error)) from None
        return self

    def run_keys(self) -> Iterator[RunKey]:
        """All runs, seed by seed, so that whole tables come early."""
        for seed in self.seeds:
            for fraction in self.fractions:
                for row in self.methods:
                    yield RunKey(row.name, fraction, seed)

    def row(self, name: str) -> MethodRow:
        """The row of this name."""
        return next(row for row in self.methods if row.name == name)

    def run_config(
        self,
        key: RunKey,
        train_tiles: Sequence[str],
        val_tiles: Sequence[str],
        samples_per_epoch: int,
        folder: Path,
    ) -> TrainConfig:
        """The configuration of one run.

        Args:
            key: Which run.
            train_tiles: Stems of its training tiles.
            val_tiles: Stems of its validation tiles.
            samples_per_epoch: Samples that an epoch draws from the training tiles.
            folder: Gets its model file.
        """
        row = self.row(key.row)
        tree = self.train.model_dump(exclude={"out"})
        tree["model"] |= {"method": row.method, "settings": row.settings}
        tree["data"] |= {
            "train_tiles": tuple(train_tiles),
            "val_tiles": tuple(val_tiles),
            "samples_per_epoch": samples_per_epoch,
        }
        tree |= {"seed": key.seed, "name": row.name, "out": folder / "model.safetensors"}
        for dotted, value in row.overrides.items():
            put(tree, dotted, value)
        return TrainConfig.model_validate(tree)

    def tree(self) -> Tree:
        """What :func:`load_compare_config` reads back equal, as plain values."""
        hidden: dict[str, Any] = {
            "out": True,
            "seed": True,
            "model": set(_OF_ROWS),
            "data": {"train_tiles", "val_tiles"},
        }
        return self.model_dump(mode="json", exclude={"train": hidden})


def load_compare_config(
    path: str | Path, overrides: Mapping[str, Any] | None = None
) -> CompareConfig:
    """Read a comparison's configuration; an override beats the file.

    Args:
        path: A YAML file.
        overrides: Values by dotted key, such as ``{"train.device": "cpu"}``; None is skipped.

    Raises:
        ConfigError: The file cannot be read, or a value cannot work; names file, key and mend.

    Example:
        >>> config = load_compare_config("configs/paper/small.yaml", {"seeds": [0]})
        >>> len(list(config.run_keys())) == len(config.methods)
        True
    """
    tree = read_tree(path, overrides)
    try:
        return CompareConfig.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(explain(str(path), error, CompareConfig)) from None
