"""``geoconvlora train``: fit a model to labelled imagery."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from geoconvlora.cli.messages import warnings_as_lines
from geoconvlora.cli.options import DeviceOverride, DryRun, Overwrite, Quiet, Verbose
from geoconvlora.errors import ConfigError


def train(
    config: Annotated[
        Path | None, typer.Argument(metavar="[CONFIG.yaml]", help="What to train, and on what.")
    ] = None,
    images: Annotated[
        list[Path] | None,
        typer.Option("--images", help="A folder of image tiles, or a scene; may be repeated."),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            "--labels", help="A folder of label tiles, or a vector or raster file for all scenes."
        ),
    ] = None,
    label_column: Annotated[
        str | None, typer.Option("--label-column", help="Column of the vector file with classes.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Model file to write (.safetensors).")
    ] = None,
    init: Annotated[
        str | None,
        typer.Option("--init", help="Go on from a model: a bundled one's name, or a file."),
    ] = None,
    base: Annotated[
        str | None, typer.Option("--base", help="Base weights: a name or a file.")
    ] = None,
    method: Annotated[
        str | None, typer.Option("--method", help="Adaptation method, such as conv-lora.")
    ] = None,
    epochs: Annotated[int | None, typer.Option("--epochs", min=1)] = None,
    lr: Annotated[float | None, typer.Option("--lr", help="Highest learning rate.")] = None,
    batch_size: Annotated[int | None, typer.Option("--batch-size", min=1)] = None,
    precision: Annotated[
        str | None, typer.Option("--precision", help="auto, 32, bf16-mixed or 16-mixed.")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0)] = None,
    device: DeviceOverride = None,
    num_workers: Annotated[
        int | None,
        typer.Option("--num-workers", min=0, help="Processes that prepare samples."),
    ] = None,
    devices: Annotated[
        int | None,
        typer.Option("--devices", min=1, help="Devices of each node; processes on the CPU."),
    ] = None,
    num_nodes: Annotated[
        int | None, typer.Option("--num-nodes", min=1, help="Computers that train together.")
    ] = None,
    strategy: Annotated[
        str | None,
        typer.Option("--strategy", help="How devices share the work: auto, ddp or fsdp."),
    ] = None,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write TensorBoard's event files too.")
    ] = False,
    max_minutes: Annotated[
        float | None,
        typer.Option("--max-minutes", min=0, help="Stop before then; --resume goes on."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on after an interrupted run's last epoch.")
    ] = False,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Train a model; an option beats the configuration file.

    Without a configuration, --images, --labels and --out are enough: polygons are then objects
    such as fields, or of the classes of --label-column; label rasters hold class ids. With one,
    they replace its images and labels, and its other settings stay.

    With --init, training goes on from a model such as fields. Bands and scaling are the model's,
    and so are its classes, unless --label-column gives others.
    """
    from geoconvlora.training.config_file import load_config
    from geoconvlora.training.folder import RunFolder

    options: dict[str, Any] = {
        "out": out,
        "init": init,
        "model.base": base,
        "model.method": method,
        "optim.epochs": epochs,
        "optim.lr": lr,
        "optim.batch_size": batch_size,
        "precision": precision,
        "seed": seed,
        "device": device,
        "num_workers": num_workers,
        "devices": devices,
        "num_nodes": num_nodes,
        "strategy": strategy,
        "tensorboard": tensorboard or None,
    }
    with warnings_as_lines():
        if images or labels is not None or label_column is not None:
            options = _with_data(options, images or [], labels, label_column, config)
        elif config is None:
            config = _configuration_of_run(out, resume)
        merged = load_config(config, options)
        folder = RunFolder(merged.run_folder)
        folder.check(merged, resume=resume, overwrite=overwrite)

        from geoconvlora.training.run import train as run

        terminal = sys.stderr.isatty()
        try:
            result = run(
                merged,
                resume=resume,
                overwrite=overwrite,
                dry_run=dry_run,
                max_minutes=max_minutes,
                progress=terminal and not quiet,
                report=_say if (verbose or not terminal) and not quiet else None,
            )
        except KeyboardInterrupt:
            _say(f"Interrupted: {_how_to_resume(folder.last)}")
            raise typer.Exit(130) from None
    from geoconvlora.training.precision import is_first_process

    if not is_first_process():
        return
    if dry_run:
        _say(f"would write {merged.out}: everything is there")
    elif result.model is None:
        _say(f"Stopped: {_how_to_resume(folder.last)}")
    elif not quiet:
        scores = "  ".join(f"{name} {value:.3f}" for name, value in result.metrics.items())
        typer.echo(f"wrote {result.model}")
        _say(f"best epoch {result.best_epoch} of {result.epochs}: {scores}")


def _with_data(
    options: dict[str, Any],
    images: list[Path],
    labels: Path | None,
    label_column: str | None,
    config: Path | None,
) -> dict[str, Any]:
    """The options with the data section that they make, alone or with the configuration's."""
    from geoconvlora.training.config_file import read_tree
    from geoconvlora.training.data_options import merged_data
    from geoconvlora.training.defaults import defaults_for

    tree = {} if config is None else read_tree(config)
    data = merged_data(tree.get("data"), images, labels, label_column)
    defaults: dict[str, Any] = {}
    if config is None and options["init"] is None:
        defaults = defaults_for(data)
    elif config is None and label_column is not None:
        # All else is as in the model that training goes on from.
        defaults = {"classes": defaults_for(data)["classes"]}
    return {**defaults, **options, "data": data}


def _configuration_of_run(out: Path | None, resume: bool) -> Path:
    if out is None or not resume:
        raise ConfigError("give a CONFIG.yaml, or --images and --labels, or --resume and --out")
    return out.with_suffix(".run") / "config.yaml"


def _say(line: str) -> None:
    typer.echo(line, err=True)


def _how_to_resume(last: Path) -> str:
    if not last.exists():
        return "no epoch was finished, so nothing was kept"
    return f"finished epochs are kept in {last.parent}; the same command with --resume goes on"
