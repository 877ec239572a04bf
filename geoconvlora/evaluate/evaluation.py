"""A prediction against labels: the kinds of both files decide what is measured."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from geoconvlora.errors import ConfigError, LabelError
from geoconvlora.evaluate.blocks import DRAWS
from geoconvlora.evaluate.class_table import check_keys
from geoconvlora.evaluate.extents import read_extent
from geoconvlora.evaluate.object_evaluation import ObjectComparison, compare_objects
from geoconvlora.evaluate.output_files import check_output, write_whole
from geoconvlora.evaluate.pixel_evaluation import (
    IGNORED,
    PixelComparison,
    Tolerance,
    compare_pixels,
)
from geoconvlora.evaluate.polygons import PolygonLayer, has_column, is_vector, read_layer
from geoconvlora.evaluate.report import Evaluation
from geoconvlora.evaluate.tables import markdown as as_markdown
from geoconvlora.scenes.opening import open_dataset

CLASS_COLUMN = "class"
"""Of polygons that this package writes."""


def evaluate(
    prediction: str | Path,
    labels: str | Path,
    *,
    within: str | Path | Sequence[str | Path] = (),
    split: str | Path | None = None,
    part: str = "test",
    scene: str | None = None,
    column: str | None = None,
    prediction_column: str | None = None,
    class_map: Mapping[str, str] | None = None,
    merge: Mapping[str, str] | None = None,
    ignored: Sequence[int] | None = None,
    tolerance: Tolerance | None = None,
    min_area_m2: float | None = None,
    sizes: Sequence[float] | None = None,
    block_m: float | None = None,
    draws: int = DRAWS,
    seed: int = 0,
    markdown: str | Path | None = None,
    picture: str | Path | None = None,
    overwrite: bool = False,
) -> Evaluation:
    """Measure how well a prediction agrees with labels.

    A raster prediction is measured by pixels, against a raster or polygons; polygons are measured
    by objects, against polygons. CRSs and grids may differ. ``docs/evaluation.md`` defines every
    number.

    Args:
        prediction: Raster of class ids or probabilities, or a vector file.
        labels: Raster of class ids, or a vector file.
        within: Polygons inside which labels are complete; nothing else is compared. A raster
            stands for its footprint. Of several files, what lies in all.
        split: The split that a training run saved; only its ``part`` is compared.
        part: ``train``, ``val`` or ``test``.
        scene: Of the split; None: all of its scenes.
        column: Class column of polygon labels. None: for polygons ``class`` where both files have
            it; on a raster, all polygons are class 1.
        prediction_column: Class column of predicted polygons; None: ``class``.
        class_map: The prediction's class for labels that are called otherwise.
        merge: Classes that count as another one, on both sides.
        ignored: Values of label rasters that mean 'not labelled'; None: 255.
        tolerance: Of outlines on rasters; None: two pixels.
        min_area_m2: Smaller objects can be right but not wrong.
        sizes: Edges between size classes of objects in m²; None: quartiles.
        block_m: Side of the bootstrap's blocks; None: chosen.
        draws: Of the bootstrap.
        seed: Of the bootstrap.
        markdown: Tables to write, ``.md``.
        picture: Map of what is right and wrong to write, ``.png``.
        overwrite: Replace these two where they exist.

    Returns:
        A :class:`PixelEvaluation` or an :class:`ObjectEvaluation`.

    Raises:
        LabelError: Labels cannot be read, lie elsewhere or have other classes.
        SceneError: A raster cannot be read or has no CRS.
        BandError: A raster holds no classes.
        ConfigError: An option cannot work here.
        OutputError: A file exists or cannot be written.

    Example:
        >>> evaluate("fields.gpkg", "labels.gpkg").at_half.f1.value  # doctest: +SKIP
        0.71
    """
    inputs = [str(prediction), str(labels)]
    for path, suffixes in ((markdown, (".md",)), (picture, (".png",))):
        if path is not None:
            check_output(Path(path), suffixes, inputs=inputs, overwrite=overwrite)
    for path in (prediction, labels):
        if not Path(path).exists():
            raise LabelError(f"{path} does not exist")
    polygons = is_vector(prediction), is_vector(labels)
    if polygons == (True, False):
        open_dataset(str(labels)).close()
        raise LabelError(
            f"{prediction} holds polygons and {labels} pixels: make polygons of the labels first "
            "(geoconvlora polygonize), or give the prediction as a raster"
        )
    extents = [within] if isinstance(within, (str, Path)) else within
    extent = read_extent(within=extents, split=split, part=part, scene=scene)
    comparison: PixelComparison | ObjectComparison
    if polygons[0]:
        _refuse({"--ignore": ignored, "--boundary": tolerance}, "rasters")
        ours, theirs = _layers(prediction, labels, column, prediction_column)
        (theirs,) = _renamed([theirs], class_map or {})
        ours, theirs = _renamed([ours, theirs], merge or {})
        comparison = compare_objects(
            ours,
            theirs,
            extent=extent,
            min_area_m2=min_area_m2 or 0.0,
            sizes=sizes,
            block_m=block_m,
            draws=draws,
            seed=seed,
        )
    else:
        _refuse(
            {
                "--sizes": sizes,
                "--min-area": min_area_m2,
                "--prediction-column": prediction_column,
            },
            "polygons",
        )
        if column is not None and not polygons[1]:
            raise ConfigError(f"--column is of polygons, and {labels} is a raster")
        comparison = compare_pixels(
            str(prediction),
            read_layer(labels, column) if polygons[1] else str(labels),
            extent=extent,
            class_map=class_map,
            merge=merge,
            ignored=IGNORED if ignored is None else ignored,
            tolerance=tolerance,
            block_m=block_m,
            draws=draws,
            seed=seed,
        )
    if markdown is not None:
        write_whole(Path(markdown), as_markdown(comparison.evaluation).encode())
    if picture is not None:
        write_whole(Path(picture), _drawn(comparison))
    return comparison.evaluation


def _refuse(options: Mapping[str, object], kind: str) -> None:
    for name, value in options.items():
        if value is not None:
            raise ConfigError(f"{name} is for predictions that are {kind}")


def _layers(
    prediction: str | Path, labels: str | Path, column: str | None, prediction_column: str | None
) -> tuple[PolygonLayer, PolygonLayer]:
    """Both sides, with their classes where there is a column for each."""
    asked = column is not None or prediction_column is not None
    if not asked and not all(has_column(each, CLASS_COLUMN) for each in (prediction, labels)):
        return read_layer(prediction), read_layer(labels)
    return (
        read_layer(prediction, prediction_column or CLASS_COLUMN),
        read_layer(labels, column or CLASS_COLUMN),
    )


def _renamed(layers: Sequence[PolygonLayer], mapping: Mapping[str, str]) -> list[PolygonLayer]:
    """Layers with classes called otherwise; one at least that is to be must be in one of them."""
    if not mapping:
        return list(layers)
    columns: list[list[str]] = []
    for layer in layers:
        if layer.classes is None:
            raise ConfigError(
                f"{layer.name}: no classes are compared, so none can be mapped or merged: name "
                "their columns with --column and --prediction-column"
            )
        columns.append(layer.classes.tolist())
    # A layer without polygons could hold any class.
    if all(columns):
        check_keys(mapping, itertools.chain(*columns))
    return [
        replace(layer, classes=np.array([mapping.get(c, c) for c in column], dtype=object))
        for layer, column in zip(layers, columns, strict=True)
    ]


def _drawn(comparison: PixelComparison | ObjectComparison) -> bytes:
    from geoconvlora.evaluate.picture import draw_objects, draw_pixels

    if isinstance(comparison, ObjectComparison):
        return draw_objects(comparison)
    return draw_pixels(comparison)
