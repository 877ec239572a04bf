"""``geoconvlora models``: what models and base weights there are."""

from __future__ import annotations

import typer

from geoconvlora.cli.options import Json

app = typer.Typer(help="Bundled models and SAM's base weights.", no_args_is_help=True)


@app.command("list")
def list_models(as_json: Json = False) -> None:
    """List bundled models and known base weights."""
    import json

    from geoconvlora.weights import read_card
    from geoconvlora.weights.catalogue import OFFICIAL, bundled_bases, bundled_models, weights_home

    models = [
        {
            "name": name,
            "task": card.task,
            "classes": [c.name for c in card.classes],
            "bands": [b.name for b in card.bands],
            "gsd_m": card.resolution.gsd_m,
            "base": card.base.name,
            "method": card.method,
            "licence": card.licence,
            "bytes": path.stat().st_size,
        }
        for name, path in bundled_models().items()
        for card in [read_card(name)]
    ]
    bases = [
        {"name": name, "size": "vit_t", "bytes": path.stat().st_size, "present": True}
        for name, path in bundled_bases().items()
    ] + [
        {
            "name": w.name,
            "size": w.size,
            "bytes": w.megabytes * 2**20,
            "present": (weights_home() / w.name).is_file(),
            "licence": w.licence,
            "sha256_prefix": w.sha256_prefix,
        }
        for w in OFFICIAL.values()
    ]
    if as_json:
        typer.echo(json.dumps({"models": models, "bases": bases}, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("model", "task", "classes", "bands", "method", "base", "size")
    for m in models:
        table.add_row(
            str(m["name"]),
            str(m["task"]),
            ", ".join(m["classes"]),  # type: ignore[arg-type]
            ", ".join(m["bands"]),  # type: ignore[arg-type]
            str(m["method"]),
            str(m["base"]),
            _megabytes(m["bytes"]),  # type: ignore[arg-type]
        )
    weights = Table("base weights", "encoder", "size", "here")
    for b in bases:
        here = "yes" if b["present"] else f"no: put it into {weights_home()}"
        weights.add_row(str(b["name"]), str(b["size"]), _megabytes(b["bytes"]), here)  # type: ignore[arg-type]
    console = Console()
    console.print(table)
    console.print(weights)


@app.command("show")
def show(
    name: str = typer.Argument(help="A bundled model's name, or a model file."),
    as_json: Json = False,
) -> None:
    """Show a model's card."""
    from geoconvlora.cli.info import info

    info(name, as_json=as_json)


def _megabytes(size: int) -> str:
    return f"{size / 2**20:.1f} MB"
