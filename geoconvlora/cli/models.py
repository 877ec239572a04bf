"""``geoconvlora models``: what models and base weights there are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import typer

from geoconvlora.cli.options import Json, Overwrite, Quiet
from geoconvlora.cli.reports import show_report

app = typer.Typer(
    help="Bundled models and SAM's base weights.", no_args_is_help=True, rich_markup_mode=None
)


@app.command("list")
def list_models(as_json: Json = False) -> None:
    """List bundled and registered models, and known base weights."""
    import json

    from geoconvlora.weights.report import known_weights

    known = known_weights()
    if as_json:
        models = [
            {
                "name": model.name,
                "task": model.card.task,
                "classes": [c.name for c in model.card.classes],
                "bands": [b.name for b in model.card.bands],
                "gsd_m": model.card.resolution.gsd_m,
                "base": model.card.base.name if model.card.base else None,
                "method": model.card.method,
                "licence": model.card.licence,
                "bytes": model.bytes,
            }
            for model in known.models
        ]
        report = {
            "models": models,
            "bases": [asdict(base) for base in known.bases],
            "unreadable": [asdict(file) for file in known.unreadable],
        }
        typer.echo(json.dumps(report, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("model", "task", "classes", "bands", "method", "base", "size")
    for model in known.models:
        card = model.card
        classes = ", ".join(c.name for c in card.classes)
        bands = ", ".join(b.name for b in card.bands)
        size = _megabytes(model.bytes)
        stands_on = card.base.name if card.base else ""
        table.add_row(model.name, card.task, classes, bands, card.method, stands_on, size)
    weights = Table("base weights", "encoder", "size", "here")
    for base in known.bases:
        here = "yes" if base.present else "no: models pull gets them"
        weights.add_row(base.name, base.size, _megabytes(base.bytes), here)
    console = Console()
    console.print(table)
    console.print(weights)
    for file in known.unreadable:
        typer.echo(f"{file.name} cannot be used: {file.reason}")


@app.command("show")
def show(
    name: str = typer.Argument(help="A model or base weights: a name that list shows, or a file."),
    as_json: Json = False,
) -> None:
    """Show what a model or base weights say of themselves."""
    from geoconvlora.weights.report import describe_weights

    show_report(name, describe_weights(name), as_json=as_json, json_only=("config",))


@app.command("pull")
def pull(
    name: str = typer.Argument(help="Official name, such as sam_vit_b_01ec64.pth."),
    url: str | None = typer.Option(None, "--url", help="A mirror's address of this file."),
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Fetch SAM's base weights; goes on where it broke off, and verifies what came."""
    import json

    from geoconvlora.weights.store import pull

    with _bar(name, shown=not quiet) as progress:
        stored = pull(name, url=url, progress=progress)
    if as_json:
        typer.echo(json.dumps(asdict(stored), default=str, indent=2))
    else:
        typer.echo(f"{stored.path}\nsha256 {stored.sha256}")


@app.command("register")
def register(
    file: Path = typer.Argument(help="A model file, or a file of base weights."),
    name: str | None = typer.Option(None, "--name", help="Its name from now on."),
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Copy a model or base weights into the weights folder, to be used by name."""
    import json

    from geoconvlora.weights.store import register

    stored = register(file, name=name, overwrite=overwrite)
    if as_json:
        typer.echo(json.dumps(asdict(stored), default=str, indent=2))
    else:
        typer.echo(f"{stored.name}: {stored.path}")


@app.command("unregister")
def unregister(
    name: str = typer.Argument(help="The name of a registered model or of fetched base weights."),
    as_json: Json = False,
) -> None:
    """Remove a registered model or fetched base weights."""
    import json

    from geoconvlora.weights.store import unregister

    path = unregister(name)
    if as_json:
        typer.echo(json.dumps({"name": name, "path": str(path)}, indent=2))
    else:
        typer.echo(f"{name}: removed {path}")


@contextmanager
def _bar(name: str, *, shown: bool) -> Iterator[Callable[[int, int | None], None] | None]:
    """Yield what draws a bar on stderr, if that is a terminal."""
    import sys

    if not shown or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    columns = (
        *Progress.get_default_columns()[:2],
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(name, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _megabytes(size: int) -> str:
    return f"{size / 2**20:.1f} MB"
