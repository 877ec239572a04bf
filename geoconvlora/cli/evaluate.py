"""``geoconvlora evaluate``: how well a prediction agrees with labels."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from geoconvlora.cli.interrupts import interruptible
from geoconvlora.cli.messages import warnings_as_lines
from geoconvlora.cli.options import Json, Overwrite, Quiet

if TYPE_CHECKING:
    from geoconvlora.evaluate import Evaluation


def evaluate(
    prediction: Annotated[
        Path,
        typer.Argument(
            metavar="PREDICTION", help="Polygons, or a raster of classes or probabilities."
        ),
    ],
    labels: Annotated[
        Path, typer.Argument(metavar="LABELS", help="Polygons, or a raster of class ids.")
    ],
    within: Annotated[
        list[Path] | None,
        typer.Option(
            "--within",
            help="Polygons inside which labels are complete, or a raster for its footprint; "
            "may be repeated.",
        ),
    ] = None,
    split: Annotated[
        Path | None, typer.Option("--split", help="A training run's split.gpkg.")
    ] = None,
    part: Annotated[
        str, typer.Option("--part", help="Part of the split that is compared.")
    ] = "test",
    scene: Annotated[
        str | None, typer.Option("--scene", help="Scene of the split; default: all.")
    ] = None,
    column: Annotated[
        str | None, typer.Option("--column", help="Class column of polygon labels.")
    ] = None,
    prediction_column: Annotated[
        str | None,
        typer.Option("--prediction-column", help="Class column of predicted polygons."),
    ] = None,
    class_map: Annotated[
        list[str] | None,
        typer.Option(
            "--class-map",
            metavar="LABEL=CLASS",
            help="The prediction's class for a label; may be repeated.",
        ),
    ] = None,
    merge: Annotated[
        list[str] | None,
        typer.Option(
            "--merge",
            metavar="CLASS=CLASS",
            help="Count a class as another one, on both sides; may be repeated.",
        ),
    ] = None,
    ignore: Annotated[
        str | None,
        typer.Option(
            "--ignore",
            help="Values of a label raster that mean 'not labelled', with commas, or none.",
            show_default="255",
        ),
    ] = None,
    boundary: Annotated[
        str | None,
        typer.Option(
            "--boundary",
            metavar="WIDTH",
            help="Distance at which outlines are the same: 2px, 20m.",
            show_default="2px",
        ),
    ] = None,
    min_area: Annotated[
        float | None,
        typer.Option(
            "--min-area", min=0.0, help="Objects below this many m² can be right but not wrong."
        ),
    ] = None,
    sizes: Annotated[
        str | None,
        typer.Option(
            "--sizes", help="Edges of size classes in m², with commas.", show_default="quartiles"
        ),
    ] = None,
    blocks: Annotated[
        float | None,
        typer.Option("--blocks", help="Side in metres of the blocks that intervals come from."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the intervals.")] = 0,
    markdown: Annotated[
        Path | None, typer.Option("--markdown", help="Write the tables: .md.")
    ] = None,
    picture: Annotated[
        Path | None, typer.Option("--picture", help="Draw what is right and wrong: .png.")
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure a prediction against labels: pixels of rasters, objects of polygons."""
    with warnings_as_lines(), interruptible():
        from geoconvlora.evaluate import Tolerance
        from geoconvlora.evaluate import evaluate as measure

        result = measure(
            prediction,
            labels,
            within=within or (),
            split=split,
            part=part,
            scene=scene,
            column=column,
            prediction_column=prediction_column,
            class_map=_pairs("--class-map", class_map),
            merge=_pairs("--merge", merge),
            ignored=None if ignore is None else _values("--ignore", ignore),
            tolerance=None if boundary is None else Tolerance(*_width(boundary)),
            min_area_m2=min_area,
            sizes=None if sizes is None else _numbers("--sizes", sizes),
            block_m=blocks,
            seed=seed,
            markdown=markdown,
            picture=picture,
            overwrite=overwrite,
        )
    if as_json:
        typer.echo(result.model_dump_json(indent=2))
    else:
        _show(result, brief=quiet)
    for path in (markdown, picture):
        if path is not None and not quiet:
            typer.echo(f"wrote {path}", err=True)


def _show(result: Evaluation, *, brief: bool) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from geoconvlora.evaluate.tables import sentences_of, tables_of

    console = Console()
    tables = tables_of(result)
    for part in tables[:1] if brief else tables:
        grid = Table(
            title=Text(part.title),
            title_justify="left",
            box=SIMPLE_HEAD,
            pad_edge=False,
            collapse_padding=True,
        )
        for index, name in enumerate(part.columns):
            grid.add_column(Text(name), justify="right" if index else "left", overflow="fold")
        for row in part.rows:
            grid.add_row(*map(Text, row))
        console.print(grid)
    if not brief:
        for sentence in sentences_of(result):
            typer.echo(sentence)


def _pairs(option: str, texts: list[str] | None) -> dict[str, str]:
    pairs = {}
    for text in texts or ():
        before, sign, after = (part.strip() for part in text.partition("="))
        if not (before and sign and after):
            raise typer.BadParameter(f"{text!r} is not A=B", param_hint=option)
        pairs[before] = after
    return pairs


def _values(option: str, text: str) -> list[int]:
    if text.strip().lower() == "none":
        return []
    numbers = _numbers(option, text)
    if any(number != int(number) for number in numbers):
        raise typer.BadParameter(f"{text!r} holds a number that is not whole", param_hint=option)
    return [int(number) for number in numbers]


def _numbers(option: str, text: str) -> list[float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is not numbers with commas between", param_hint=option
        ) from None
    if not all(map(math.isfinite, numbers)):
        raise typer.BadParameter(f"{text!r} holds a number that is not finite", param_hint=option)
    return numbers


def _width(text: str) -> tuple[float, str]:
    for unit in ("px", "m"):
        number = text.strip().removesuffix(unit)
        if number != text.strip():
            try:
                return float(number), unit
            except ValueError:
                break
    raise typer.BadParameter(
        f"{text!r} is no width: give pixels or metres, 2px or 20m", param_hint="--boundary"
    )
