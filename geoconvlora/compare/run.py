"""A comparison, from its configuration to the table."""

from __future__ import annotations

import csv
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from geoconvlora.adapters import attach
from geoconvlora.compare.config import CompareConfig, RunKey, load_compare_config
from geoconvlora.compare.cost import measure_cost
from geoconvlora.compare.folder import CompareFolder
from geoconvlora.compare.inputs import Inputs
from geoconvlora.compare.plot import plot_png
from geoconvlora.compare.scoring import score
from geoconvlora.compare.split import split_tiles
from geoconvlora.compare.table import (
    RunResult,
    TableRow,
    runs_csv,
    summarise,
    table_csv,
    table_markdown,
)
from geoconvlora.errors import ConfigError
from geoconvlora.inference.network import choose_device
from geoconvlora.sam import load_encoder
from geoconvlora.training.callbacks import Report
from geoconvlora.training.config import TrainConfig
from geoconvlora.training.folder import RunFolder
from geoconvlora.training.run import train
from geoconvlora.training.sources import open_sources
from geoconvlora.training.start import filled_by_model
from geoconvlora.training.task import ConvLoRASegmentation
from geoconvlora.training.tile_pool import TilePair, find_pairs
from geoconvlora.training.whole_file import write_whole
from geoconvlora.weights import find_base, load, sha256_of
from geoconvlora.weights.card import Frozen


class CompareResult(Frozen):
    """What a comparison made."""

    folder: Path
    runs: int
    """Of the whole comparison."""
    trained: int
    """In this call; the others were there."""
    rows: tuple[TableRow, ...]
    """Empty for a rehearsal."""
    seconds: float
    """Of this call."""


def compare(
    config: CompareConfig | str | Path,
    out: str | Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    dry_run: bool = False,
    report: Report | None = None,
    report_epochs: bool = False,
) -> CompareResult:
    """Train every row with every seed on every fraction, and write the table.

    All runs have the same test and validation tiles, and those of one fraction the same training
    tiles. The epoch is chosen by validation, the scores are of the test tiles.

    Args:
        config: A configuration, or the path of its YAML file.
        out: Folder to make; gets ``table.csv``, ``table.md``, ``plot.png``, ``runs.csv`` and each
            run's model file.
        resume: Keep finished runs and go on with an interrupted one. The scores are those that the
            unbroken comparison would have had.
        overwrite: Replace a comparison that is there.
        dry_run: Check everything, then train nothing and write nothing.
        report: Called with one line a run.
        report_epochs: Report each epoch too.

    Returns:
        The table.

    Raises:
        ConfigError: The configuration cannot work, or is not that of the comparison to resume.
        OutputError: The folder holds something already.
        LabelError: Labels cannot be used, or tiles are too few.
        SceneError: An image cannot be read.
        WeightsError: Base weights are missing or wrong.
        KeyboardInterrupt: It was interrupted; it can be resumed.

    Example:
        >>> from geoconvlora.compare import compare
        >>> compare("configs/paper/small.yaml", "small").rows[0].miou_mean  # doctest: +SKIP
        0.71
    """
    started = time.monotonic()
    if not isinstance(config, CompareConfig):
        config = load_compare_config(config)
    folder = CompareFolder(Path(out))
    folder.check(config, resume=resume, overwrite=overwrite)
    _check_methods(config)
    inputs = _inputs(config)
    test = _test_tiles(config, inputs)
    keys = list(config.run_keys())
    if dry_run:
        seconds = time.monotonic() - started
        return CompareResult(
            folder=folder.path, runs=len(keys), trained=0, rows=(), seconds=seconds
        )
    folder.prepare(config, inputs, resume=resume)
    runner = _Runner(config, folder, inputs, test, report, report_epochs)
    trained = sum(runner.finish(key, place, len(keys)) for place, key in enumerate(keys, 1))
    results = [RunResult.model_validate_json(folder.result(key).read_text()) for key in keys]
    rows = summarise(config, results)
    write_whole(folder.runs_table, runs_csv(results).encode())
    write_whole(folder.table, table_csv(rows).encode())
    markdown = table_markdown(config, rows, test_tiles=len(test))
    write_whole(folder.markdown, markdown.encode())
    write_whole(folder.plot, plot_png(rows))
    return CompareResult(
        folder=folder.path,
        runs=len(keys),
        trained=trained,
        rows=rows,
        seconds=time.monotonic() - started,
    )


@dataclass(frozen=True)
class _Runner:
    """Brings runs to their results."""

    config: CompareConfig
    folder: CompareFolder
    inputs: Inputs
    test: Sequence[TilePair]
    report: Report | None
    report_epochs: bool

    def finish(self, key: RunKey, place: int, count: int) -> bool:
        """Train and score a run, unless that is done; whether there was something to do."""
        result = self.folder.result(key)
        if result.is_file():
            return False
        path = self.folder.run(key)
        path.mkdir(parents=True, exist_ok=True)
        for part in path.glob(".*.part"):
            # What was being written when an earlier process was killed.
            part.unlink()
        split = self.inputs.split
        config = self.config.run_config(
            key, split.training(key.fraction), split.val, self._samples(), path
        )
        self._say(f"run {place}/{count}: {key}")
        self._train(config)
        done = self._result(key, config)
        write_whole(result, done.model_dump_json(indent=1).encode())
        run_folder = RunFolder(config.run_folder)
        run_folder.last.unlink(missing_ok=True)
        run_folder.best.unlink(missing_ok=True)
        self._say(f"run {place}/{count}: test mIoU {done.scores.miou:.3f}, {done.train_s:.0f} s")
        return True

    def _samples(self) -> int:
        """Of an epoch, whatever the fraction."""
        return self.config.train.data.samples_per_epoch or len(self.inputs.split.train)

    def _train(self, config: TrainConfig) -> None:
        """Train, from the last finished epoch if the run was interrupted."""
        if config.out.exists():
            return
        resume = RunFolder(config.run_folder).last.is_file()
        train(config, resume=resume, report=self._say if self.report_epochs else None)

    def _result(self, key: RunKey, config: TrainConfig) -> RunResult:
        """All that is known of a trained run, from its files."""
        device = choose_device(config.device)
        model = load(config.out, device=str(device), base=config.model.base)
        scores = score(
            model,
            self.test,
            batch_size=config.optim.batch_size,
            device=device,
            tolerance_px=self.config.boundary_tolerance_px,
        )
        with RunFolder(config.run_folder).metrics.open(newline="", encoding="utf-8") as file:
            seconds = sum(float(row["seconds"]) for row in csv.DictReader(file))
        return RunResult(
            row=key.row,
            fraction=key.fraction,
            seed=key.seed,
            train_tiles=len(self.inputs.split.training(key.fraction)),
            best_val_miou=model.card.training.metrics[ConvLoRASegmentation.monitor],
            scores=scores,
            cost=measure_cost(config, open_sources(config).train),
            train_s=seconds,
        )

    def _say(self, line: str) -> None:
        if self.report is not None:
            self.report(line)


def _inputs(config: CompareConfig) -> Inputs:
    base = config.train.model.base
    assert base is not None
    return Inputs(base_sha256=sha256_of(find_base(base)), split=split_tiles(config))


def _test_tiles(config: CompareConfig, inputs: Inputs) -> list[TilePair]:
    data = config.train.data
    images, labels = config.test.images or data.images, config.test.labels or data.labels
    return find_pairs(config.train, data, images, labels, inputs.split.test)


def _check_methods(config: CompareConfig) -> None:
    """Refuse a row that would fail after the rows before it were trained.

    Raises:
        ConfigError: A method or a setting is unknown, or not that of the model that all rows go on
            from; names the row.
    """
    for row in config.methods:
        key = RunKey(row.name, 1.0, config.seeds[0])
        try:
            attach(load_encoder("vit_t"), row.method, **row.settings)
            filled_by_model(config.run_config(key, ("a",), ("b",), 1, Path()).model_dump())
        except ConfigError as error:
            raise ConfigError(f"methods: row {row.name}: {error}") from None
