"""``geoconvlora sample``: a synthetic scene with its true fields, to try everything at once."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from geoconvlora.cli.interrupts import interruptible
from geoconvlora.cli.messages import warnings_as_lines
from geoconvlora.cli.options import Overwrite, Quiet, Verbose


class PixelType(StrEnum):
    """Pixel types of the scene."""

    uint8 = "uint8"
    uint16 = "uint16"


def parse_size(text: str) -> tuple[int, int]:
    """Height and width from ``1024`` or ``800x1200``."""
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.strip().isdigit() for side in sides):
        raise typer.BadParameter(f"{text!r} is neither a number nor HEIGHTxWIDTH")
    height, width = int(sides[0]), int(sides[-1])
    return height, width


def sample(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Gets scene.tif, fields.gpkg and mask.tif.")
    ],
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same landscape.")] = 0,
    size: Annotated[str, typer.Option(help="Pixels: one number, or HEIGHTxWIDTH.")] = "1024",
    gsd: Annotated[float, typer.Option(help="Size of a pixel in metres.")] = 10.0,
    crs: Annotated[str, typer.Option(help="Any projected CRS.")] = "EPSG:32631",
    dtype: Annotated[PixelType, typer.Option(help="Pixel type.")] = PixelType.uint16,
    bands: Annotated[
        int, typer.Option(min=3, max=4, help="3: red, green, blue; 4: and near infrared.")
    ] = 4,
    overwrite: Overwrite = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Write a synthetic scene with true field outlines and a mask.

    The mask is twice as fine as the scene: 0 background, 1 field interior, 2 field boundary.
    """
    height_and_width = parse_size(size)
    with warnings_as_lines(), interruptible():
        from geoconvlora.synthetic import write_sample

        files = write_sample(
            folder,
            seed=seed,
            size=height_and_width,
            gsd_m=gsd,
            crs=crs,
            dtype=dtype.value,
            bands=bands,
            overwrite=overwrite,
        )
    if quiet:
        return
    for path in (files.scene, files.fields, files.mask):
        typer.echo(path)
    if verbose:
        height, width = height_and_width
        typer.echo(f"{height} x {width} pixels of {gsd:g} m, {files.field_count:,} fields")
