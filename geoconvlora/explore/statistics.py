"""How much of each class there is, and how sure the map is of it."""

from __future__ import annotations

import numpy as np
import pandas as pd

from geoconvlora.errors import SceneError
from geoconvlora.explore.legend import Legend
from geoconvlora.explore.opening import open_classes, open_probabilities
from geoconvlora.explore.pixel_areas import PixelAreas
from geoconvlora.explore.rows import Map, geobox_of, opened, strips

_IDS = 2**16


def class_statistics(classes: Map, probabilities: Map | None = None) -> pd.DataFrame:
    """Count a map's classes; memory depends on its width.

    Args:
        classes: A class raster, or a Dataset with ``classes``.
        probabilities: On the same grid, for the column ``confidence``.

    Returns:
        A row a class that has a name or occurs, by name: ``id``, ``pixels``, ``area_m2`` (on the
        ellipsoid, whatever the CRS), ``share`` of the ground that has a class; and ``confidence``,
        the mean probability of the class where the map has it, by area.

    Raises:
        SceneError: A file cannot be read, or the grids differ.
        BandError: It holds no classes.

    Example:
        >>> from geoconvlora import explore
        >>> explore.class_statistics("classes.tif").area_m2["field"]  # doctest: +SKIP
        18234400.0
    """
    array = opened(classes, "classes", open_classes)
    legend = Legend.of_attributes(array.attrs, str(array.name))
    nothing = int(array.attrs.get("_FillValue", _IDS - 1))
    geobox = geobox_of(array)
    chances = None
    if probabilities is not None:
        chances = opened(probabilities, "probabilities", open_probabilities)
        if geobox_of(chances) != geobox:
            raise SceneError(
                f"probabilities of shape {chances.shape[1:]} are not on the grid of the classes, "
                f"{array.shape}: give those of the same prediction"
            )
    areas = PixelAreas(geobox)
    pixels = np.zeros(_IDS, np.int64)
    area_m2, certain = np.zeros(_IDS), np.zeros(_IDS)
    layers = [] if chances is None else [chances]
    for rows, (values, *best) in strips(array, *layers):
        known = values != nothing
        weights = areas.of_rows(rows.start, rows.stop)[known]
        found = values[known].astype(np.int64)
        pixels += np.bincount(found, minlength=_IDS)
        area_m2 += np.bincount(found, weights, _IDS)
        for chance in best:
            highest = np.nan_to_num(chance.max(axis=0)[known])
            certain += np.bincount(found, weights * highest, _IDS)
    legend = legend.with_ids(np.flatnonzero(pixels).tolist())
    ids = legend.ids
    table = pd.DataFrame(
        {"id": ids, "pixels": pixels[ids], "area_m2": area_m2[ids]},
        index=pd.Index([legend.name(i) for i in ids], name="class"),
    )
    table["share"] = table.area_m2 / max(table.area_m2.sum(), np.finfo(float).tiny)
    if chances is not None:
        with np.errstate(invalid="ignore", divide="ignore"):
            table["confidence"] = certain[ids] / area_m2[ids]
    return table
