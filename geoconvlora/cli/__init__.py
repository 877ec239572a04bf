"""The command line: one thin module per command.

Modules here import only Typer and each other at the top; whatever is heavy is imported inside the
command, so that help and refusals answer at once.
"""

from __future__ import annotations

import os
import sys

import typer

from geoconvlora.cli import (
    compare,
    evaluate,
    info,
    models,
    mosaic,
    polygonize,
    predict,
    sample,
    train,
    view,
)
from geoconvlora.errors import GeoConvLoRAError

app = typer.Typer(
    name="geoconvlora",
    help="Satellite and aerial GeoTIFFs to maps: Segment Anything adapted with Conv-LoRA.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    # Help by rich takes three times as long, and boxes around errors are hard to read by programs.
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(value: bool) -> None:
    if value:
        from geoconvlora import __version__

        typer.echo(f"geoconvlora {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", help="Print the version and leave.", callback=_version, is_eager=True
    ),
) -> None:
    """Satellite and aerial GeoTIFFs to maps: Segment Anything adapted with Conv-LoRA."""


app.command("predict")(predict.predict)
app.command("train")(train.train)
app.command("compare")(compare.compare)
app.command("polygonize")(polygonize.polygonize)
app.command("evaluate")(evaluate.evaluate)
app.command("mosaic")(mosaic.mosaic)
app.command("view")(view.view)
app.command("info")(info.info)
app.command("sample")(sample.sample)
app.add_typer(models.app, name="models")


def main() -> None:
    """Run the command line: exit 0 done, 2 for what the user can mend, 1 for our own faults."""
    # Arrow's own allocator keeps tens of megabytes of what is freed. It is chosen on import.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    try:
        app()
    except GeoConvLoRAError as error:
        typer.secho("Error: ", fg="red", bold=True, nl=False, err=True)
        typer.echo(str(error), err=True)
        sys.exit(2)
    except Exception as error:
        if "-v" in sys.argv or "--verbose" in sys.argv:
            raise
        typer.secho("Internal error: ", fg="red", bold=True, nl=False, err=True)
        typer.echo(f"{type(error).__name__}: {error}. Repeat with -v for the traceback.", err=True)
        sys.exit(1)
