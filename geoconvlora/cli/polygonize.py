"""``geoconvlora polygonize``: a class or object raster to polygons."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from geoconvlora.cli.imports import lasting_imports
from geoconvlora.cli.interrupts import interruptible
from geoconvlora.cli.messages import warnings_as_lines
from geoconvlora.cli.options import (
    CloseGaps,
    CountNeighbours,
    FillHoles,
    Json,
    MinArea,
    MinAreaTo,
    Overwrite,
    Quiet,
    Simplify,
    Smooth,
    Verbose,
    polygon_options,
)


def polygonize(
    raster: Annotated[
        Path, typer.Argument(metavar="RASTER", help="One band of class or object numbers.")
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Polygons: .gpkg, .fgb, .parquet or .geojson.")
    ],
    simplify: Simplify = 1.0,
    smooth: Smooth = 0.0,
    min_area: MinArea = None,
    min_area_to: MinAreaTo = "nothing",
    fill_holes: FillHoles = 0.0,
    close_gaps: CloseGaps = 0,
    neighbours: CountNeighbours = False,
    connectivity: Annotated[
        int,
        typer.Option(
            help="4: pixels that touch at a corner are apart; 8: parts of one multipolygon."
        ),
    ] = 4,
    classes: Annotated[
        str | None,
        typer.Option("--classes", help="Names or ids to write, with commas; default: all."),
    ] = None,
    probs: Annotated[
        Path | None,
        typer.Option("--probs", help="Probabilities on the same grid, for the confidence."),
    ] = None,
    instances: Annotated[
        bool, typer.Option("--instances", help="Values number objects; 0 is none.")
    ] = False,
    layer: Annotated[
        str | None,
        typer.Option("--layer", help="Name of the layer; default: classes, or objects."),
    ] = None,
    fiboa: Annotated[
        bool, typer.Option("--fiboa", help="Column names of fiboa, for field boundaries.")
    ] = False,
    append: Annotated[
        bool,
        typer.Option(
            "--append",
            help="Add to a GeoPackage that exists; with --overwrite replace only its layer.",
        ),
    ] = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Turn a raster of classes or objects into polygons with attributes."""
    with warnings_as_lines(), interruptible():
        with lasting_imports():
            from geoconvlora.vector import polygonize as raster_to_polygons

        result = raster_to_polygons(
            raster,
            out,
            options=polygon_options(
                simplify,
                smooth,
                min_area,
                min_area_to,
                fill_holes,
                classes,
                neighbours,
                close_gaps,
                connectivity,
            ),
            instances=instances,
            probs=probs,
            layer=layer,
            overwrite=overwrite,
            append=append,
            fiboa=fiboa,
        )
    if as_json:
        typer.echo(result.model_dump_json(indent=2))
        return
    if quiet:
        return
    typer.echo(f"wrote {result.path}")
    typer.echo(f"{result.polygons:,} polygons, {result.area_m2 / 1e4:,.1f} ha")
    if verbose:
        for name, count in result.classes.items():
            typer.echo(f"{name}: {count:,}")
