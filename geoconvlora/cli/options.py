"""Options that several commands share, each defined once.

| option | type | commands |
|---|---|---|
| ``-v/--verbose`` | flag | all that work long |
| ``-q/--quiet`` | flag | all that work long |
| ``--device`` | ``auto cpu cuda mps`` | predict, train, compare |
| ``--dry-run`` | flag | train, compare |
| ``--overwrite`` | flag | all that write |
| ``--json`` | flag | all that have something to read by a program |
| ``--simplify --min-area --min-area-to --fill-holes`` | | predict, polygonize, mosaic |
| ``--neighbours`` | flag | predict, polygonize, mosaic |
| ``--smooth`` | pixels | predict, polygonize, mosaic |
| ``--close-gaps`` | pixels | predict, polygonize |
| ``--dst-crs --res --resampling --merge --fade`` | | predict, mosaic |
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from geoconvlora.errors import ConfigError

if TYPE_CHECKING:
    from geoconvlora.vector import PolygonOptions

Number = TypeVar("Number", int, float)

Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Say more, and show tracebacks of internal errors.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, only warnings.")]
Device = Annotated[
    str, typer.Option("--device", help="Where the network runs: auto, cpu, cuda, cuda:1, mps.")
]
DeviceOverride = Annotated[
    str | None,
    typer.Option("--device", help="Where the network runs: auto, cpu, cuda, cuda:1, mps."),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Check everything, train and write nothing.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace outputs that exist already.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
Simplify = Annotated[
    float,
    typer.Option("--simplify", min=0.0, help="Tolerance of outlines, in pixels; 0 keeps steps."),
]
MinArea = Annotated[
    float | None,
    typer.Option("--min-area", min=0.0, help="Drop polygons smaller than this many m²."),
]
MinAreaTo = Annotated[
    str,
    typer.Option(
        "--min-area-to",
        help="Where polygons below --min-area go: nothing, or the neighbour with the longest "
        "common border; those that touch such small ones only are dropped.",
    ),
]
FillHoles = Annotated[
    float, typer.Option("--fill-holes", min=0.0, help="Fill holes smaller than this many m².")
]
Smooth = Annotated[
    float,
    typer.Option("--smooth", min=0.0, help="Round corners over this many pixels; 0: keep them."),
]
CloseGaps = Annotated[
    int,
    typer.Option(
        "--close-gaps",
        min=0,
        help="Give gaps of at most this many pixels between objects to the nearest object.",
    ),
]
CountNeighbours = Annotated[
    bool,
    typer.Option("--neighbours", help="Count how many other polygons share an edge with each."),
]
DstCrs = Annotated[
    str | None,
    typer.Option("--dst-crs", help="CRS of the map, e.g. EPSG:3035; default: the (first) scene's."),
]
Res = Annotated[
    float | None,
    typer.Option("--res", help="Its pixel size in units of that CRS; default: the first's."),
]
Resample = Annotated[
    str | None,
    typer.Option(
        "--resampling",
        help="bilinear or nearest; default: bilinear for probabilities, nearest for classes.",
    ),
]
Merge = Annotated[
    str,
    typer.Option("--merge", help="Where maps overlap: blend, max (the surest), first or last."),
]
Fade = Annotated[
    float,
    typer.Option("--fade", min=0.0, help="Pixels over which a map fades towards its valid edge."),
]


def polygon_options(
    simplify: float,
    smooth: float,
    min_area: float | None,
    min_area_to: str,
    fill_holes: float,
    classes: str | None,
    neighbours: bool,
    close_gaps: int = 0,
    connectivity: int = 4,
) -> PolygonOptions:
    """What the options of polygons say together; the library takes ids of classes as text."""
    from geoconvlora.vector import PolygonOptions

    names = None
    if classes is not None:
        names = tuple(name.strip() for name in classes.split(",") if name.strip())
        if not names:
            raise ConfigError("--classes names none: give names or ids, or leave it out")
    return PolygonOptions(
        simplify_px=simplify,
        smooth_px=smooth,
        min_area_m2=min_area,
        min_area_to=min_area_to,  # type: ignore[arg-type]
        fill_holes_m2=fill_holes,
        close_gaps_px=close_gaps,
        classes=names,
        neighbours=neighbours,
        connectivity=connectivity,  # type: ignore[arg-type]
    )


def band_numbers(text: str) -> tuple[int, ...]:
    """Numbers of bands from ``4,3,2``."""
    wanted = "band numbers counted from 1, separated by commas: 4,3,2"
    return _numbers(int, "--bands", text, wanted)


def bounds_numbers(text: str) -> tuple[float, ...]:
    """Numbers from ``west,south,east,north``; how many there must be is asked elsewhere."""
    wanted = "four numbers separated by commas: west,south,east,north"
    return _numbers(float, "--bounds", text, wanted)


def _numbers(kind: type[Number], option: str, text: str, wanted: str) -> tuple[Number, ...]:
    from geoconvlora.errors import ConfigError

    try:
        return tuple(kind(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(f"{option} {text}: give {wanted}") from None
