"""``geoconvlora mosaic``: maps of different places and projections, made one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from geoconvlora.cli.interrupts import interruptible
from geoconvlora.cli.messages import warnings_as_lines
from geoconvlora.cli.options import (
    CountNeighbours,
    DstCrs,
    Fade,
    FillHoles,
    Json,
    Merge,
    MinArea,
    MinAreaTo,
    Overwrite,
    Quiet,
    Res,
    Resample,
    Simplify,
    Smooth,
    Verbose,
    polygon_options,
)
from geoconvlora.errors import ConfigError


def mosaic(
    rasters: Annotated[
        list[str],
        typer.Argument(
            metavar="RASTER...",
            help="Probabilities or classes: files, folders, globs, lists (.txt), STAC.",
        ),
    ],
    out: Annotated[
        list[Path] | None,
        typer.Option(
            "--out",
            "-o",
            help="File to write, may be repeated: .gpkg .fgb .parquet .geojson polygons, "
            ".tif classes (COG).",
            show_default=False,
        ),
    ] = None,
    probs: Annotated[
        Path | None, typer.Option("--probs", help="Also write blended probabilities (.tif, COG).")
    ] = None,
    dst_crs: DstCrs = None,
    res: Res = None,
    bounds: Annotated[
        str | None,
        typer.Option("--bounds", help="left,bottom,right,top in the target's CRS; default: all."),
    ] = None,
    resampling: Resample = None,
    merge: Merge = "blend",
    fade: Fade = 64.0,
    simplify: Simplify = 1.0,
    smooth: Smooth = 0.0,
    min_area: MinArea = None,
    min_area_to: MinAreaTo = "nothing",
    fill_holes: FillHoles = 0.0,
    neighbours: CountNeighbours = False,
    classes: Annotated[
        str | None,
        typer.Option("--classes", help="Classes to outline, by name or number: water,forest."),
    ] = None,
    overwrite: Overwrite = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything, write nothing.")
    ] = False,
    as_json: Json = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Join class or probability rasters to one map without seams."""
    asked = None if bounds is None else _bounds(bounds)
    with warnings_as_lines(), interruptible():
        from geoconvlora.inference.mosaicking import mosaic as run

        result = run(
            rasters,
            out or [],
            probs=probs,
            dst_crs=dst_crs,
            res=res,
            bounds=asked,
            resampling=resampling,  # type: ignore[arg-type]
            merge=merge,  # type: ignore[arg-type]
            fade_px=fade,
            polygons=polygon_options(
                simplify, smooth, min_area, min_area_to, fill_holes, classes, neighbours
            ),
            overwrite=overwrite,
            dry_run=dry_run,
            progress=not quiet and not as_json,
        )
    if as_json:
        typer.echo(result.model_dump_json(indent=2))
        return
    if quiet:
        return
    verb = "would write" if dry_run else "wrote"
    typer.echo(f"{verb} {', '.join(str(path) for path in result.outputs)}")
    if result.polygons is not None:
        typer.echo(f"{result.polygons:,} polygons")
    if verbose:
        typer.echo(
            f"{len(result.maps)} maps on {result.width} x {result.height} pixels of "
            f"{result.gsd_m:.3g} m in {result.crs}; {result.seconds:.1f} s"
        )


def _bounds(text: str) -> tuple[float, float, float, float]:
    try:
        left, bottom, right, top = (float(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(
            f"--bounds {text}: give four numbers, left,bottom,right,top, separated by commas"
        ) from None
    return left, bottom, right, top
