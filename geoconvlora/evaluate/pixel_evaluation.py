"""Pixel metrics: a map against labels, streamed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
from odc.geo.geobox import GeoBox

from geoconvlora.errors import ConfigError, LabelError
from geoconvlora.evaluate import blocks as spatial
from geoconvlora.evaluate.agreement import Agreement
from geoconvlora.evaluate.boundary import TOLERANCE_PX, Reach
from geoconvlora.evaluate.burning import BurntExtent, grid_crs
from geoconvlora.evaluate.class_table import lookup
from geoconvlora.evaluate.extents import Extent
from geoconvlora.evaluate.pixel_sums import PixelSums, pixel_scores
from geoconvlora.evaluate.polygons import PolygonLayer, crs_name
from geoconvlora.evaluate.rasters import ClassRaster, open_prediction
from geoconvlora.evaluate.report import Blocks, ClassPixels, MeanScores, PixelEvaluation, Score
from geoconvlora.evaluate.truth import Truth, open_truth
from geoconvlora.scenes.environment import raster_environment
from geoconvlora.scenes.ground import pixel_sides

IGNORED = (255,)
"""Values of label rasters that mean 'not labelled' unless something else is said."""

_STRIP_PIXELS = 2**20
_LEAST_BLOCK_PX = 16
_MOST_REACH_PX = 200
_SCORES = ("iou", "dice", "precision", "recall", "boundary_f1")
_BACKGROUND_NAME = "background"


@dataclass(frozen=True)
class Tolerance:
    """Distance within which two outlines are the same.

    Attributes:
        distance: In the unit.
        unit: ``px`` or ``m``.

    Example:
        >>> Tolerance(20.0, "m").reach((10.0, 10.0)).rows
        2
    """

    distance: float = TOLERANCE_PX
    unit: str = "px"

    def reach(self, sides_m: tuple[float, float]) -> Reach:
        """Within it, of pixels with this height and width.

        Raises:
            ConfigError: It is negative or hundreds of pixels.
        """
        height, width = (1.0, 1.0) if self.unit == "px" else sides_m
        if not 0 <= self.distance <= _MOST_REACH_PX * min(height, width):
            raise ConfigError(
                f"a boundary tolerance of {self} is not between 0 and {_MOST_REACH_PX} pixels"
            )
        return Reach.of(self.distance, height, width)

    def __str__(self) -> str:
        return f"{self.distance:g} {self.unit}"


@dataclass(frozen=True)
class PixelComparison:
    """The evaluation, where the map agrees, and how large a pixel is."""

    evaluation: PixelEvaluation
    agreement: Agreement
    sides_m: tuple[float, float]


def compare_pixels(
    prediction: str,
    labels: str | PolygonLayer,
    *,
    extent: Extent | None = None,
    class_map: Mapping[str, str] | None = None,
    merge: Mapping[str, str] | None = None,
    ignored: Sequence[int] = IGNORED,
    tolerance: Tolerance | None = None,
    block_m: float | None = None,
    draws: int = spatial.DRAWS,
    seed: int = 0,
) -> PixelComparison:
    """Compare a map with labels on the map's grid; memory depends on its width only.

    Args:
        prediction: Raster of class ids or probabilities.
        labels: Raster of class ids, on any grid, or polygons.
        extent: Polygons inside which labels are complete; pixels count whose centre is inside.
        class_map: The prediction's class, by name or id, for labels that are called otherwise.
        merge: Classes, by name or id, that count as another one, on both sides.
        ignored: Values of a label raster that mean 'not labelled', besides its nodata.
        tolerance: Of outlines; None: two pixels.
        block_m: Side of the bootstrap's blocks; None: chosen.
        draws: Of the bootstrap.
        seed: Of the bootstrap.

    Raises:
        SceneError: A raster cannot be read or has no CRS.
        BandError: A raster holds no classes.
        LabelError: Nothing is labelled where the map is, or there is no class in common.
        ConfigError: An option cannot work.
    """
    tolerance = tolerance or Tolerance()
    merge = merge or {}
    with ExitStack() as stack:
        stack.enter_context(raster_environment())
        ours = open_prediction(prediction, stack)
        truth = open_truth(
            labels, ours, stack, class_map=class_map or {}, merge=merge, ignored=ignored
        )
        sides_m = pixel_sides(ours.geobox)
        grid = _BlockGrid.of(ours.geobox, sides_m, block_m)
        sums = PixelSums(grid.rows, grid.columns, tolerance.reach(sides_m))
        names = {**truth.names, **ours.names}
        height, width = ours.geobox.shape
        background = names.get(0, _BACKGROUND_NAME) == _BACKGROUND_NAME
        agreement = Agreement(height, width, background=background)
        inside = None if extent is None else BurntExtent(extent, ours.geobox)
        table = lookup(ours.names, steps=[(merge, ours.names)])
        unpredicted = 0
        for row, rows in _strips(height, width, agreement.step):
            above, below = min(sums.margin, row), min(sums.margin, height - row - rows)
            span = (row - above, rows + above + below)
            found, known = ours.read(*span)
            true, labelled = truth.rows.read(*span)
            if inside is not None:
                labelled = labelled & inside.read(*span)
            found, true, valid = table[found], truth.table[true], known & labelled
            sums.add(row, found, true, valid, above, below)
            core = slice(above, above + rows)
            agreement.add(row, found[core], true[core], valid[core])
            unpredicted += int((labelled & ~known)[core].sum())
    _check(sums, ours, truth, extent, names)
    evaluation = _evaluation(
        sums, grid, ours, truth, extent, names, tolerance, unpredicted, draws=draws, seed=seed
    )
    return PixelComparison(evaluation, agreement, sides_m)


@dataclass(frozen=True)
class _BlockGrid:
    """Blocks of a raster: block row and column of its rows and columns, and a block's side."""

    rows: spatial.Cells
    columns: spatial.Cells
    side_m: float
    chosen: bool

    @classmethod
    def of(cls, geobox: GeoBox, sides_m: tuple[float, float], block_m: float | None) -> _BlockGrid:
        spatial.check_side(block_m)
        least_m = _LEAST_BLOCK_PX * max(sides_m)
        if block_m is not None and block_m < least_m:
            raise ConfigError(
                f"blocks of {block_m:g} m hold too few pixels: give at least {least_m:.3g} m"
            )
        lengths = [count * side for count, side in zip(geobox.shape, sides_m, strict=True)]
        side_m = block_m or max(*lengths) / spatial.CELLS
        rows, columns = (
            ((np.arange(count) + 0.5) * side / side_m).astype(np.int64)
            for count, side in zip(geobox.shape, sides_m, strict=True)
        )
        return cls(rows, columns, side_m, block_m is None)


def _strips(height: int, width: int, step: int) -> Iterator[tuple[int, int]]:
    """First row and number of rows; all but the last are multiples of the step."""
    rows = max(1, _STRIP_PIXELS // width // step) * step
    for row in range(0, height, rows):
        yield row, min(rows, height - row)


def _check(
    sums: PixelSums,
    ours: ClassRaster,
    truth: Truth,
    extent: Extent | None,
    names: Mapping[int, str],
) -> None:
    where = "" if extent is None else f" {extent.description}"
    ids = sums.classes()
    if not ids:
        raise LabelError(
            f"no pixel is labelled in {truth.name} and predicted in {ours.path}{where}: are both "
            "of the same place, and is the CRS of each right?"
        )
    confusion = sums.confusion()
    true, found = confusion.sum(axis=1) > 0, confusion.sum(axis=0) > 0
    if true.sum() == 1 and truth.met:
        (only,) = np.flatnonzero(true)
        raise LabelError(
            f"{truth.name} holds class {_label(ids[only], names)} alone, besides "
            f"{', '.join(map(str, sorted(truth.met)))}, which is taken as 'not labelled': if that "
            "is a class, say so with --ignore none"
        )
    if not (true & found).any():
        sides = [
            ", ".join(_label(ids[i], names) for i in np.flatnonzero(side)[:10])
            for side in (found, true)
        ]
        raise LabelError(
            f"no class in common: {ours.path} has {sides[0]}, {truth.name} has {sides[1]}: map "
            "labels to the prediction's with --class-map LABEL=CLASS"
        )


def _evaluation(
    sums: PixelSums,
    grid: _BlockGrid,
    ours: ClassRaster,
    truth: Truth,
    extent: Extent | None,
    names: Mapping[int, str],
    tolerance: Tolerance,
    unpredicted: int,
    *,
    draws: int,
    seed: int,
) -> PixelEvaluation:
    cells, by_cell = sums.by_cell()
    joined = 1
    if grid.chosen:
        by_cell, joined = spatial.join_cells(cells, by_cell)
    blocks = Blocks(side_m=grid.side_m * joined, count=len(by_cell))
    scores = spatial.intervals(by_cell, pixel_scores, draws=draws, seed=seed)
    confusion = sums.confusion()
    return PixelEvaluation(
        prediction=ours.path,
        labels=truth.name,
        extent=None if extent is None else extent.description,
        crs=crs_name(grid_crs(ours.geobox)),
        pixels=int(confusion.sum()),
        unpredicted_pixels=unpredicted,
        accuracy=scores[0],
        mean=MeanScores(**_five(scores, 1)),
        classes=tuple(
            ClassPixels(
                id=number,
                name=names.get(number, str(number)),
                true_pixels=int(confusion[i].sum()),
                predicted_pixels=int(confusion[:, i].sum()),
                **_five(scores, 6 + 5 * i),
            )
            for i, number in enumerate(sums.classes())
        ),
        confusion=tuple(tuple(row) for row in confusion.tolist()),
        boundary_tolerance=str(tolerance),
        blocks=blocks,
        notes=(*truth.all_notes(), *spatial.say_if_few(blocks)),
    )


def _five(scores: Sequence[Score], first: int) -> dict[str, Score]:
    return dict(zip(_SCORES, scores[first : first + len(_SCORES)], strict=True))


def _label(number: int, names: Mapping[int, str]) -> str:
    return f"{names[number]} ({number})" if number in names else str(number)
