"""``geoconvlora view``: scenes, maps and polygons as one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from geoconvlora.cli.interrupts import interruptible
from geoconvlora.cli.messages import warnings_as_lines
from geoconvlora.cli.options import Json, Overwrite, Quiet, Verbose, band_numbers


def view(
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILE...", help="Scenes, class maps, probabilities, polygons."),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The page: .html.")],
    bands: Annotated[
        str | None,
        typer.Option("--bands", help="Bands of scenes for red, green, blue, e.g. 4,3,2; or one."),
    ] = None,
    max_polygons: Annotated[
        int | None,
        typer.Option(
            "--max-polygons", min=1, help="Show at most so many, the largest; default: 30000."
        ),
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Show files on one page that any browser opens, without a network."""
    chosen = None if bands is None else band_numbers(bands)
    with warnings_as_lines(), interruptible():
        from geoconvlora.explore.page import MAX_POLYGONS
        from geoconvlora.explore.page import view as write_page

        result = write_page(
            files,
            out,
            bands=chosen,
            max_polygons=MAX_POLYGONS if max_polygons is None else max_polygons,
            overwrite=overwrite,
        )
    for note in result.notes:
        typer.echo(f"Reduced: {note}", err=True)
    if as_json:
        typer.echo(result.model_dump_json(indent=2))
        return
    if quiet:
        return
    typer.echo(f"wrote {result.path} ({result.bytes / 1e6:.1f} MB)")
    if verbose:
        for name in result.layers:
            typer.echo(name)
