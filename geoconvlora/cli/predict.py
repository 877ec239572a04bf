"""``geoconvlora predict``: a scene to polygons, a class raster, or both."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from geoconvlora.cli.interrupts import interruptible
from geoconvlora.cli.messages import warnings_as_lines
from geoconvlora.cli.options import (
    CloseGaps,
    CountNeighbours,
    Device,
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
    band_numbers,
    bounds_numbers,
    polygon_options,
)

if TYPE_CHECKING:
    from geoconvlora.inference.blending import Blend
    from geoconvlora.inference.rasters import FractionType
    from geoconvlora.inference.task import Augmentation, Precision


def predict(
    scene: Annotated[
        list[str],
        typer.Argument(
            help="Georeferenced rasters: files, URLs, folders, globs, lists (.txt), STAC (.json). "
            "Several become one map.",
            show_default=False,
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
    model: Annotated[
        str,
        typer.Option(
            "--model", "-m", help="A bundled model, a model file, or a U-Net with its card."
        ),
    ] = "fields",
    base: Annotated[
        str | None, typer.Option("--base", help="The model's base weights: a name or a file.")
    ] = None,
    probs: Annotated[
        Path | None, typer.Option("--probs", help="Also write class probabilities (.tif, COG).")
    ] = None,
    probs_dtype: Annotated[
        str,
        typer.Option(
            "--probs-dtype", help="How probabilities are stored: float32, or uint8 (scale 0.004)."
        ),
    ] = "float32",
    uncertainty: Annotated[
        Path | None,
        typer.Option(
            "--uncertainty", help="Also write how far overlapping tiles and views differ (.tif)."
        ),
    ] = None,
    aoi: Annotated[
        Path | None,
        typer.Option("--aoi", help="File of polygons: map only what lies in them."),
    ] = None,
    bounds: Annotated[
        str | None,
        typer.Option("--bounds", help="Map only this box: west,south,east,north."),
    ] = None,
    bounds_crs: Annotated[
        str | None,
        typer.Option("--bounds-crs", help="CRS of --bounds, e.g. EPSG:4326; default: the scene's."),
    ] = None,
    bands: Annotated[
        str | None,
        typer.Option("--bands", help="Bands in the model's order, counted from 1: 4,3,2."),
    ] = None,
    nodata: Annotated[
        float | None, typer.Option("--nodata", help="Value that means 'no data' in the scene.")
    ] = None,
    tile_size: Annotated[
        int | None,
        typer.Option(
            "--tile-size",
            help="Side of tiles in pixels, a multiple of what the model needs; default: model's.",
        ),
    ] = None,
    overlap: Annotated[
        int | None, typer.Option("--overlap", help="Pixels that tiles share; default: a quarter.")
    ] = None,
    batch_size: Annotated[
        int, typer.Option("--batch-size", min=1, help="Tiles that the network sees at once.")
    ] = 4,
    dst_crs: DstCrs = None,
    res: Res = None,
    resampling: Resample = None,
    merge: Merge = "blend",
    fade: Fade = 64.0,
    blend: Annotated[
        str,
        typer.Option(
            "--blend", help="How tiles are joined: cosine, gaussian, linear, crop or none."
        ),
    ] = "cosine",
    tta: Annotated[
        str,
        typer.Option(
            "--tta",
            help="Average over mirrored views: none, flips (4 views), d4 (8), or auto, as the "
            "model says.",
        ),
    ] = "auto",
    workers: Annotated[
        int, typer.Option("--workers", min=1, help="Processes that map at the same time.")
    ] = 1,
    dask: Annotated[
        str | None,
        typer.Option(
            "--dask",
            help="Map on a cluster: its scheduler's address, or its scheduler file (.json).",
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Go on from an unfinished run, and keep what is finished on errors."
        ),
    ] = False,
    device: Device = "auto",
    precision: Annotated[
        str,
        typer.Option(
            "--precision",
            help="What the network computes in: 32, bf16 (faster), or auto, as the model says.",
        ),
    ] = "auto",
    simplify: Simplify = 1.0,
    smooth: Smooth = 0.0,
    min_area: MinArea = None,
    min_area_to: MinAreaTo = "nothing",
    fill_holes: FillHoles = 0.0,
    close_gaps: CloseGaps = 0,
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
    """Map one scene or several with a model and write polygons, classes or probabilities."""
    chosen = None if bands is None else band_numbers(bands)
    box = None if bounds is None else bounds_numbers(bounds)
    with warnings_as_lines(), interruptible(resumable=resume):
        from geoconvlora.inference import Joining
        from geoconvlora.inference import predict as run

        result = run(
            list(scene),
            out or [],
            model=model,
            base=base,
            probs=probs,
            bands=chosen,
            nodata=nodata,
            tile_size=tile_size,
            overlap=overlap,
            batch_size=batch_size,
            blend=cast("Blend", blend),
            tta=cast("Augmentation", tta),
            aoi=aoi,
            bounds=box,
            bounds_crs=bounds_crs,
            probs_dtype=cast("FractionType", probs_dtype),
            uncertainty=uncertainty,
            resume=resume,
            workers=workers,
            dask=dask,
            device=device,
            precision=cast("Precision", precision),
            polygons=polygon_options(
                simplify, smooth, min_area, min_area_to, fill_holes, classes, neighbours, close_gaps
            ),
            joining=Joining(
                dst_crs=dst_crs,
                res=res,
                resampling=resampling,  # type: ignore[arg-type]
                merge=merge,  # type: ignore[arg-type]
                fade_px=fade,
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
        areas = ", ".join(f"{name} {area / 1e4:,.1f} ha" for name, area in result.area_m2.items())
        typer.echo(f"{result.polygons:,} polygons" + (f": {areas}" if areas else ""))
    if verbose:
        typer.echo(
            f"bands {', '.join(map(str, result.bands))}; {result.tiles} tiles at "
            f"{result.gsd_m:.3g} m; {result.seconds:.1f} s"
        )
