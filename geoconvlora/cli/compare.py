"""``geoconvlora compare``: adaptation methods on the same data, in one table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from geoconvlora.cli.messages import warnings_as_lines
from geoconvlora.cli.options import DeviceOverride, DryRun, Json, Overwrite, Quiet, Verbose

if TYPE_CHECKING:
    from geoconvlora.compare import CompareResult


def compare(
    config: Annotated[
        Path, typer.Argument(metavar="CONFIG.yaml", help="Rows, seeds, data and budget.")
    ],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", help="Folder to make: table.csv, table.md, plot.png, runs."),
    ],
    base: Annotated[
        str | None,
        typer.Option("--base", help="Base weights that all rows adapt: a name or a file."),
    ] = None,
    device: DeviceOverride = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Keep finished runs, go on with the interrupted one.")
    ] = False,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
    as_json: Json = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Train adaptation methods on the same tiles, seeds and budget, and write a table.

    The epoch of each run is chosen by validation, the scores are of test tiles that no run sees.
    """
    from geoconvlora.compare.config import load_compare_config
    from geoconvlora.compare.folder import CompareFolder

    with warnings_as_lines():
        merged = load_compare_config(config, {"train.model.base": base, "train.device": device})
        CompareFolder(out).check(merged, resume=resume, overwrite=overwrite)

        from geoconvlora.compare.run import compare as run

        try:
            result = run(
                merged,
                out,
                resume=resume,
                overwrite=overwrite,
                dry_run=dry_run,
                report=None if quiet else _say,
                report_epochs=verbose,
            )
        except KeyboardInterrupt:
            _say(f"Interrupted: {out} keeps what was finished; the same command with --resume")
            raise typer.Exit(130) from None
    if as_json:
        typer.echo(result.model_dump_json(indent=2))
    elif dry_run:
        _say(f"would train {result.runs} runs into {out}: everything is there")
    elif not quiet:
        _show(result)


def _show(result: CompareResult) -> None:
    from rich.console import Console
    from rich.table import Table

    from geoconvlora.compare.table import with_spread

    table = Table("", "tiles", "val mIoU", "mIoU", "boundary F1", "trains", "step s", "MiB")
    table.columns[0].overflow = "fold"
    for row in result.rows:
        table.add_row(
            row.name,
            f"{row.train_tiles:,}",
            with_spread(row.val_miou_mean, row.val_miou_std),
            with_spread(row.miou_mean, row.miou_std),
            with_spread(row.boundary_f1_mean, row.boundary_f1_std),
            f"{row.trainable_parameters:,}",
            f"{row.step_s:.2g}",
            f"{row.step_memory_mib:,.0f}",
        )
    Console().print(table)
    typer.echo(f"wrote {result.folder}")


def _say(line: str) -> None:
    typer.echo(line, err=True)
