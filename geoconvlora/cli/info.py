"""``geoconvlora info``: what a scene or a model file says of itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from geoconvlora.cli.messages import warnings_as_lines
from geoconvlora.cli.options import Json

if TYPE_CHECKING:
    from pydantic import BaseModel


def info(
    file: Annotated[
        str,
        typer.Argument(help="A scene, a model file (.safetensors) or a bundled model's name."),
    ],
    as_json: Json = False,
) -> None:
    """Say what a scene or a model file says of itself."""
    with warnings_as_lines():
        report = _report(file)
    if as_json:
        typer.echo(report.model_dump_json(indent=2))
    else:
        _print_table(file, report)


def _report(file: str) -> BaseModel:
    from geoconvlora.weights import bundled_models, read_card

    path = Path(file)
    if path.suffix == ".safetensors" or (not path.exists() and file in bundled_models()):
        return read_card(file)
    from geoconvlora.scenes.report import describe_scene

    return describe_scene(file)


def _print_table(title: str, report: BaseModel) -> None:
    """Print the report as a table, nested parts as indented JSON."""
    import json

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title), show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in report.model_dump(mode="json").items():
        nested = isinstance(value, (dict, list)) and bool(value)
        shown = json.dumps(value, indent=1, ensure_ascii=False) if nested else str(value)
        table.add_row(name, Text(shown))
    Console().print(table)
