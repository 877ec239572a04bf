"""The folder of a comparison: configuration, inputs, runs and tables, each whole or not there."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import yaml

from geoconvlora.compare.config import CompareConfig, RunKey
from geoconvlora.compare.inputs import Inputs, TileSplit
from geoconvlora.errors import ConfigError, OutputError
from geoconvlora.naming import check_name_length
from geoconvlora.training.config_file import as_yaml, differing_leaves
from geoconvlora.training.whole_file import write_whole

_WITHOUT_EFFECT = {"train.num_workers", "train.description", "train.limits", "train.licence"}
"""Keys that may change between the parts of a comparison."""


@dataclass(frozen=True)
class CompareFolder:
    """Files of one comparison."""

    path: Path

    @property
    def config(self) -> Path:
        """The merged configuration."""
        return self.path / "compare.yaml"

    @property
    def inputs(self) -> Path:
        """Which tiles are for what, and which base weights."""
        return self.path / "inputs.json"

    @property
    def runs(self) -> Path:
        """One folder a run."""
        return self.path / "runs"

    @property
    def runs_table(self) -> Path:
        """One line a run."""
        return self.path / "runs.csv"

    @property
    def table(self) -> Path:
        """One line a row and fraction."""
        return self.path / "table.csv"

    @property
    def markdown(self) -> Path:
        """The same to read."""
        return self.path / "table.md"

    @property
    def plot(self) -> Path:
        """The same to look at."""
        return self.path / "plot.png"

    def run(self, key: RunKey) -> Path:
        """The folder of a run."""
        return self.runs / key.folder

    def result(self, key: RunKey) -> Path:
        """The result of a run, which is there once it is finished."""
        return self.run(key) / "result.json"

    def check(self, config: CompareConfig, *, resume: bool, overwrite: bool) -> None:
        """Refuse what would mix two comparisons, or overwrite something.

        Raises:
            OutputError: The folder holds something already, or cannot be written.
            ConfigError: There is nothing to resume, or it had another configuration.
        """
        if resume and overwrite:
            raise ConfigError("--resume keeps what --overwrite deletes: give one of them")
        check_name_length(self.path / self.inputs.name)
        if not self.path.parent.is_dir() or not os.access(self.path.parent, os.W_OK):
            raise OutputError(f"{self.path}: the folder {self.path.parent} cannot be written")
        if resume:
            self._check_resumable(config)
        elif self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            if not self.config.is_file():
                raise OutputError(f"{self.path} exists and holds no comparison: give another --out")
            if not overwrite:
                raise OutputError(
                    f"{self.path} holds a comparison: go on with --resume, or start anew with "
                    "--overwrite"
                )

    def prepare(self, config: CompareConfig, inputs: Inputs, *, resume: bool) -> None:
        """Start the folder anew, or check that a resumed comparison reads what it read.

        Raises:
            ConfigError: Tiles or base weights are not those of before.
        """
        if resume and self.inputs.is_file():
            self._check_inputs(inputs)
        else:
            self.path.mkdir(exist_ok=True)
            shutil.rmtree(self.runs, ignore_errors=True)
            for path in (self.inputs, self.runs_table, self.table, self.markdown, self.plot):
                path.unlink(missing_ok=True)
        write_whole(self.config, as_yaml(config.tree()).encode())
        write_whole(self.inputs, inputs.model_dump_json(indent=1).encode())

    def _check_resumable(self, config: CompareConfig) -> None:
        if not self.config.is_file():
            raise ConfigError(f"{self.path} holds no comparison to resume: start without --resume")
        before = yaml.safe_load(self.config.read_text(encoding="utf-8"))
        after = config.tree()
        changed = set(differing_leaves(_by_row(before), _by_row(after))) - _WITHOUT_EFFECT
        if changed:
            raise ConfigError(
                f"the comparison in {self.path} was started with another "
                f"{', '.join(sorted(changed))}: resume it with the values in {self.config}, or "
                "start anew with --overwrite"
            )

    def _check_inputs(self, inputs: Inputs) -> None:
        before = Inputs.model_validate_json(self.inputs.read_text(encoding="utf-8"))
        if before.base_sha256 != inputs.base_sha256:
            raise ConfigError(
                f"the base weights are not those that {self.path} was started with: bring them "
                "back, or start anew with --overwrite"
            )
        for part in TileSplit.model_fields:
            if getattr(before.split, part) != getattr(inputs.split, part):
                raise ConfigError(
                    f"the tiles for {part} are not those that {self.path} was started with: bring "
                    f"back what {self.inputs} names, or start anew with --overwrite"
                )


def _by_row(tree: dict[str, object]) -> dict[str, object]:
    """Rows by name, so that a difference is named by its row."""
    rows = tree["methods"]
    assert isinstance(rows, list)
    return {**tree, "methods": {row["name"]: row for row in rows}}
