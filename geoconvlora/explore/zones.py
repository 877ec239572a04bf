"""What lies within each polygon of a raster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal, get_args

import geopandas as gpd
import numpy as np
import pandas as pd
import pyproj
import shapely
import xarray as xr
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.features import rasterize

from geoconvlora.errors import ConfigError, LabelError
from geoconvlora.explore.legend import Legend
from geoconvlora.explore.meridian import around, turn_of
from geoconvlora.explore.opening import open_classes, open_scene
from geoconvlora.explore.pixel_areas import PixelAreas
from geoconvlora.explore.rows import Map, geobox_of, opened, strips
from geoconvlora.scenes.area_clipping import gone_on

Statistic = Literal["mean", "std", "min", "max"]

_INTERIORS_MEET = "T********"


def polygon_statistics(
    polygons: gpd.GeoDataFrame,
    scene: Map,
    statistics: Sequence[Statistic] = ("mean", "std"),
) -> pd.DataFrame:
    """Describe what polygons hold of an image, or of probabilities.

    A pixel is a polygon's if its centre lies within; polygons may overlap. Memory depends on the
    image's width and on the number of polygons.

    Args:
        polygons: In any CRS.
        scene: An image, or a Dataset with ``scene`` or ``probabilities``.
        statistics: Of ``mean``, ``std``, ``min`` and ``max``; pixels count alike.

    Returns:
        A row a polygon, with the polygons' index: ``pixels`` with data, and for each band
        ``<band>_<statistic>``, NaN where there is no such pixel.

    Raises:
        SceneError: The file cannot be read.
        LabelError: The polygons have no CRS.
        ConfigError: An unknown statistic.

    Example:
        >>> from geoconvlora import explore
        >>> fields = explore.open_polygons("fields.gpkg")  # doctest: +SKIP
        >>> fields.join(explore.polygon_statistics(fields, "scene.tif"))  # doctest: +SKIP
    """
    if unknown := set(statistics) - set(get_args(Statistic)):
        raise ConfigError(
            f"{min(unknown)!r} is no statistic: choose of {', '.join(get_args(Statistic))}"
        )
    name = "scene"
    if isinstance(scene, xr.Dataset) and "scene" not in scene:
        name = "probabilities"
    array = opened(scene, name, open_scene)
    geobox, count = geobox_of(array), len(polygons)
    groups = _groups(polygons, geobox)
    bands = [str(band) for band in array[array.dims[0]].values]
    pixels = np.zeros(count, np.int64)
    shape = (len(bands), count)
    total, squares = np.zeros(shape), np.zeros(shape)
    least, largest = np.full(shape, np.inf), np.full(shape, -np.inf)
    # Of large values hardly different from each other, squares would leave nothing of the spread.
    middle: NDArray[np.float64] | None = None
    for rows, (values,) in strips(array):
        valid = np.isfinite(values).all(axis=0)
        for zone, inside in _burnt(groups, geobox, rows, valid):
            if not len(zone):
                continue
            pixels += np.bincount(zone, minlength=count)
            for band, layer in enumerate(values):
                found = layer[inside].astype(np.float64)
                if middle is None:
                    middle = values[:, inside].astype(np.float64).mean(axis=1)
                total[band] += np.bincount(zone, found - middle[band], count)
                squares[band] += np.bincount(zone, (found - middle[band]) ** 2, count)
                np.minimum.at(least[band], zone, found)
                np.maximum.at(largest[band], zone, found)
    table = pd.DataFrame({"pixels": pixels}, index=polygons.index)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = total / pixels
        spread = np.sqrt(np.maximum(squares / pixels - mean**2, 0))
    offset = 0.0 if middle is None else middle[:, None]
    least, largest = (np.where(pixels > 0, each, np.nan) for each in (least, largest))
    measured = {"mean": mean + offset, "std": spread, "min": least, "max": largest}
    for number, label in enumerate(bands):
        for statistic in statistics:
            table[f"{label}_{statistic}"] = measured[statistic][number]
    return table


def polygon_classes(polygons: gpd.GeoDataFrame, classes: Map) -> pd.DataFrame:
    """Measure how much of each class lies within polygons: parcels over a land-cover map, say.

    Args:
        polygons: In any CRS.
        classes: A class raster, or a Dataset with ``classes``.

    Returns:
        A row a polygon, with the polygons' index, and a column a class: area in m² of the pixels
        whose centres lie within; and ``majority``, the class with the largest, None without any.

    Raises:
        SceneError: The file cannot be read.
        LabelError: The polygons have no CRS.

    Example:
        >>> from geoconvlora import explore
        >>> parcels = explore.open_polygons("parcels.gpkg")  # doctest: +SKIP
        >>> explore.polygon_classes(parcels, "classes.tif").majority  # doctest: +SKIP
    """
    array = opened(classes, "classes", open_classes)
    geobox, count = geobox_of(array), len(polygons)
    nothing = int(array.attrs.get("_FillValue", 2**16 - 1))
    groups = _groups(polygons, geobox)
    areas = PixelAreas(geobox)
    legend = Legend.of_attributes(array.attrs, str(array.name))
    sums = {i: np.zeros(count) for i in legend.ids}
    for rows, (ids,) in strips(array):
        weights = areas.of_rows(rows.start, rows.stop)
        for zone, inside in _burnt(groups, geobox, rows, ids != nothing):
            found, area = ids[inside], weights[inside]
            for value in np.unique(found).tolist():
                here = found == value
                before = sums.setdefault(value, np.zeros(count))
                sums[value] = before + np.bincount(zone[here], area[here], count)
    legend = legend.with_ids(sums)
    columns: dict[str, NDArray[np.float64]] = {}
    for i in legend.ids:
        columns[legend.name(i)] = columns.get(legend.name(i), 0.0) + sums[i]
    table = pd.DataFrame(columns, index=polygons.index)
    majority = table.idxmax(axis=1).astype(object) if columns else pd.Series(None, table.index)
    table["majority"] = majority.where(table.sum(axis=1, numeric_only=True) > 0, None)
    return table


Group = tuple[NDArray[np.object_], NDArray[np.int64], NDArray[np.float64]]
"""Polygons that do not overlap, in pixels; their places in the table; their bounds."""


def _groups(polygons: gpd.GeoDataFrame, geobox: GeoBox) -> list[Group]:
    """Polygons in pixels of the grid, in groups none of which overlaps itself."""
    if polygons.crs is None:
        raise LabelError("the polygons have no CRS: set it, e.g. polygons.set_crs('EPSG:32631')")
    assert geobox.crs is not None
    crs = pyproj.CRS(geobox.crs.to_wkt())
    drawn = np.asarray(polygons.geometry.array, object)
    placed = np.asarray(polygons.geometry.to_crs(crs).array, object)
    placed = gone_on(placed, drawn, pyproj.CRS(polygons.crs), crs)
    number = np.arange(len(placed))
    if (turn := turn_of(crs)) is not None:
        # The grid may go past the 180th meridian, and so may polygons, or be cut there.
        box = geobox.boundingbox
        copies = around(placed, turn, (box.left, box.right))
        placed, number = np.concatenate(copies), np.tile(number, len(copies))
    a, b, left, d, e, top = tuple(~geobox.affine)[:6]

    def to_pixels(xy: NDArray[np.float64]) -> NDArray[np.float64]:
        pixels: NDArray[np.float64] = xy @ np.array([[a, d], [b, e]]) + (left, top)
        return pixels

    placed = shapely.transform(placed, to_pixels)
    there = np.isfinite(shapely.bounds(placed)).all(axis=1) & (shapely.area(placed) > 0)
    kept, places = placed[there], number[there]
    group = _colours(kept)
    return [
        (kept[group == each], places[group == each], shapely.bounds(kept[group == each]))
        for each in range(int(group.max(initial=-1)) + 1)
    ]


def _colours(polygons: NDArray[np.object_]) -> NDArray[np.int64]:
    """A number each, so that polygons that share ground have different ones."""
    one, other = shapely.STRtree(polygons).query(polygons, predicate="intersects")
    later = one > other
    one, other = one[later], other[later]
    shared = shapely.relate_pattern(polygons[one], polygons[other], _INTERIORS_MEET)
    taken: dict[int, list[int]] = {}
    for each, rival in zip(one[shared].tolist(), other[shared].tolist(), strict=True):
        taken.setdefault(each, []).append(rival)
    colour = np.zeros(len(polygons), np.int64)
    for each in sorted(taken):
        used = {int(colour[rival]) for rival in taken[each]}
        colour[each] = next(number for number in range(len(used) + 1) if number not in used)
    return colour


def _burnt(
    groups: Sequence[Group], geobox: GeoBox, rows: slice, valid: NDArray[np.bool_]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.bool_]]]:
    """Of each group: the polygon of every valid pixel of a strip that is in one, and where."""
    height, width = rows.stop - rows.start, geobox.shape[1]

    def lowered(xy: NDArray[np.float64]) -> NDArray[np.float64]:
        return xy - (0, rows.start)

    for polygons, places, bounds in groups:
        met = (bounds[:, 1] < rows.stop) & (bounds[:, 3] > rows.start)
        met &= (bounds[:, 0] < width) & (bounds[:, 2] > 0)
        if not met.any():
            continue
        shapes: list[tuple[Any, int]] = [
            (polygon, number)
            for number, polygon in enumerate(shapely.transform(polygons[met], lowered), start=1)
        ]
        burnt = rasterize(shapes, (height, width), dtype="int32")
        inside = (burnt > 0) & valid
        yield places[met][burnt[inside] - 1], inside
