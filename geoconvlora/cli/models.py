"""``geoconvlora models``: what models and base weights there are."""

from __future__ import annotations

from dataclasses import asdict

import typer

from geoconvlora.cli.options import Json
from geoconvlora.cli.reports import show_report

app = typer.Typer(
    help="Bundled models and SAM's base weights.", no_args_is_help=True, rich_markup_mode=None
)


@app.command("list")
def list_models(as_json: Json = False) -> None:
    """List bundled models and known base weights."""
    import json

    from geoconvlora.weights import read_card
    from geoconvlora.weights.catalogue import bundled_models, known_bases, weights_home

    cards = {name: read_card(name) for name in bundled_models()}
    sizes = {name: path.stat().st_size for name, path in bundled_models().items()}
    bases = known_bases()
    if as_json:
        models = [
            {
                "name": name,
                "task": card.task,
                "classes": [c.name for c in card.classes],
                "bands": [b.name for b in card.bands],
                "gsd_m": card.resolution.gsd_m,
                "base": card.base.name if card.base else None,
                "method": card.method,
                "licence": card.licence,
                "bytes": sizes[name],
            }
            for name, card in cards.items()
        ]
        report = {"models": models, "bases": [asdict(base) for base in bases]}
        typer.echo(json.dumps(report, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("model", "task", "classes", "bands", "method", "base", "size")
    for name, card in cards.items():
        classes = ", ".join(c.name for c in card.classes)
        bands = ", ".join(b.name for b in card.bands)
        size = _megabytes(sizes[name])
        base = card.base.name if card.base else ""
        table.add_row(name, card.task, classes, bands, card.method, base, size)
    weights = Table("base weights", "encoder", "size", "here")
    for known in bases:
        here = "yes" if known.present else f"no: put it into {weights_home()}"
        weights.add_row(known.name, known.size, _megabytes(known.bytes), here)
    console = Console()
    console.print(table)
    console.print(weights)


@app.command("show")
def show(
    name: str = typer.Argument(help="A model or base weights: a name that list shows, or a file."),
    as_json: Json = False,
) -> None:
    """Show what a model or base weights say of themselves."""
    from geoconvlora.weights.report import describe_weights

    show_report(name, describe_weights(name), as_json=as_json)


def _megabytes(size: int) -> str:
    return f"{size / 2**20:.1f} MB"
