"""Labels on the prediction's grid, whatever they are: a raster or polygons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

import numpy as np
import shapely
from numpy.typing import NDArray

from geoconvlora.errors import ConfigError, LabelError
from geoconvlora.evaluate.burning import BurntPolygons, all_around, grid_crs
from geoconvlora.evaluate.class_table import class_ids, lookup
from geoconvlora.evaluate.polygons import PolygonLayer
from geoconvlora.evaluate.rasters import ClassRaster, ClassRows, open_labels

_ONLY_CLASS = 1
"""Class of polygons without a class column."""


@dataclass(frozen=True)
class Truth:
    """Labels that can be read strip by strip.

    Attributes:
        name: Of their file.
        rows: Their ids, before classes are renamed.
        table: From those ids to the prediction's, ``(65536,)``.
        names: Class names by id that the labels bring along.
        notes: What was done to them.
        met: Values that were met and left out as 'not labelled'.
    """

    name: str
    rows: ClassRows
    table: NDArray[np.uint16]
    names: Mapping[int, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    met: set[int] = field(default_factory=set)

    def all_notes(self) -> tuple[str, ...]:
        """What was done, once everything is read."""
        if not self.met:
            return self.notes
        values = ", ".join(map(str, sorted(self.met)))
        return (
            *self.notes,
            f"{self.name}: pixels of value {values} were left out as 'not labelled' (--ignore)",
        )


def open_truth(
    labels: str | PolygonLayer,
    prediction: ClassRaster,
    stack: ExitStack,
    *,
    class_map: Mapping[str, str],
    merge: Mapping[str, str],
    ignored: Sequence[int],
) -> Truth:
    """Open labels on a prediction's grid.

    Args:
        labels: A raster's path, or polygons.
        prediction: Where they are wanted, and what its classes are called.
        stack: Closes the file.
        class_map: The prediction's class for labels that are called otherwise.
        merge: Classes that count as another one.
        ignored: Values of a raster that mean 'not labelled'.

    Raises:
        LabelError: No polygon lies on the prediction, or a class is unknown.
        SceneError: The raster cannot be read or has no place.
        BandError: It has several bands.
        ConfigError: A mapping names a class that there is not.
    """
    merged = (merge, prediction.names)
    if isinstance(labels, PolygonLayer):
        placed = labels.to_crs(grid_crs(prediction.geobox))
        placed = replace(placed, polygons=all_around(placed.polygons, prediction.geobox))
        ids = _polygon_ids(placed, prediction, class_map)
        _check_overlap(placed, prediction)
        return Truth(
            labels.name,
            BurntPolygons(placed, ids, prediction.geobox),
            lookup(prediction.names, steps=[merged]),
            notes=(
                *placed.notes(),
                f"{labels.name}: a pixel has the class of the polygon that its centre lies in; "
                "what no polygon covers is class 0",
            ),
        )
    raster, warped = open_labels(labels, prediction.geobox, stack, ignored=ignored)
    notes = (f"{labels} was warped to the prediction's grid, nearest neighbour",) if warped else ()
    table = lookup(prediction.names, steps=[(class_map, raster.names), merged])
    names = {int(table[number]): name for number, name in raster.names.items()}
    return Truth(labels, raster, table, names, notes, raster.met)


def _polygon_ids(
    labels: PolygonLayer, prediction: ClassRaster, class_map: Mapping[str, str]
) -> NDArray[np.int64]:
    if labels.classes is None:
        if class_map:
            raise ConfigError(
                f"{labels.name}: no classes are read, so none can be mapped: name their column "
                "with --column"
            )
        return np.full(len(labels), _ONLY_CLASS, np.int64)
    where = f"the class column of {labels.name}"
    return class_ids(labels.classes.tolist(), prediction.names, class_map, where)


def _check_overlap(labels: PolygonLayer, prediction: ClassRaster) -> None:
    if not len(labels):
        raise LabelError(f"{labels.name} holds no polygon: there is nothing to compare with")
    footprint = shapely.Polygon(prediction.geobox.extent.exterior.coords)
    if not shapely.intersects(footprint, labels.polygons).any():
        raise LabelError(
            f"{prediction.path} and {labels.name} do not overlap: are both of the same place, and "
            "is the CRS of each right?"
        )
