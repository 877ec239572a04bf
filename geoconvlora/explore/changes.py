"""What changed between two maps of one place."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from geoconvlora.errors import BandError, SceneError
from geoconvlora.explore.legend import Legend
from geoconvlora.explore.opening import open_classes
from geoconvlora.explore.pixel_areas import PixelAreas
from geoconvlora.explore.rows import Map, geobox_of, opened, strips
from geoconvlora.explore.warping import values_on

MOST_CLASSES = 254
UNCHANGED = 0
"""Value of a change map where both dates have the same class."""
NOTHING = 65535
"""Value of a change map where one of the dates has no class."""


@dataclass(frozen=True)
class Change:
    """Two dates compared; made by :func:`change`.

    Attributes:
        legend: Classes of both dates by one numbering, that of the earlier date where it has one.
        pixels: Counts; a row for each class before, a column for each class after.
        area_m2: The same in m², on the ellipsoid.
        map: Dataset with ``change`` ``(y, x)``: :data:`UNCHANGED`, :data:`NOTHING`, or
            ``1 + before * K + after`` with places of classes in the matrix and K classes.
    """

    legend: Legend
    pixels: pd.DataFrame
    area_m2: pd.DataFrame
    map: xr.Dataset

    def summary(self) -> pd.DataFrame:
        """Areas in m² of each class: ``before``, ``after``, ``lost``, ``gained`` and ``net``."""
        area = self.area_m2.to_numpy()
        kept, before, after = np.diag(area), area.sum(axis=1), area.sum(axis=0)
        columns = {
            "before": before,
            "after": after,
            "lost": before - kept,
            "gained": after - kept,
            "net": after - before,
        }
        return pd.DataFrame(columns, index=pd.Index(self.area_m2.index, name="class"))

    def transitions(self) -> pd.DataFrame:
        """Changes that occur, largest first: ``before``, ``after``, ``area_m2``, ``value``.

        ``value`` is what the change map holds.
        """
        area = self.area_m2.to_numpy()
        before, after = np.nonzero((self.pixels.to_numpy() > 0) & ~np.eye(len(area), dtype=bool))
        names = self.area_m2.index.to_numpy()
        table = pd.DataFrame(
            {
                "before": names[before],
                "after": names[after],
                "area_m2": area[before, after],
                "value": 1 + before * len(area) + after,
            }
        )
        return table.sort_values("area_m2", ascending=False, ignore_index=True, kind="stable")


def change(before: Map, after: Map, *, max_side: int | None = 2000) -> Change:
    """Compare two class maps of one place, pixel by pixel.

    All pixels are counted, in memory that depends on the width; only the map that comes with the
    counts is reduced. Classes are the same if their names are; without names, if their ids are. A
    map on another grid is warped to that of ``before``, nearest neighbour. Errors of either map
    look like change: compare areas with what the maps are worth (:func:`geoconvlora.evaluate`).

    Args:
        before: Class raster of the earlier date, or a Dataset with ``classes``.
        after: The same of the later date.
        max_side: Pixels along the longer side of :attr:`Change.map` at most: every n-th; None: all
            of them, at two bytes each.

    Raises:
        SceneError: A file cannot be read, or they have no ground in common.
        BandError: One holds no classes, or more than 254.

    Example:
        >>> from geoconvlora import explore
        >>> changed = explore.change("2018.tif", "2024.tif")  # doctest: +SKIP
        >>> changed.area_m2.loc["forest", "built-up"]  # doctest: +SKIP
        1203400.0
    """
    first = opened(before, "classes", open_classes)
    second = opened(after, "classes", open_classes)
    geobox = geobox_of(first)
    legend, tables = _common_legend(first, second)
    same_grid = geobox_of(second) == geobox
    count = len(legend.ids)
    step = 1 if max_side is None else max(1, -(-max(geobox.shape) // max_side))
    middle = min(step // 2, min(geobox.shape) - 1)
    areas = PixelAreas(geobox)
    pixels, area_m2 = np.zeros(count**2, np.int64), np.zeros(count**2)
    kept: list[NDArray[np.uint16]] = []
    for rows, (early, *late_there) in strips(first, *([second] if same_grid else [])):
        late = late_there[0] if late_there else values_on(second, geobox[rows, :])
        place_before, place_after = tables[0][early], tables[1][late]
        known = (place_before < count) & (place_after < count)
        pair = place_before.astype(np.int64) * count + place_after
        found = pair[known]
        pixels += np.bincount(found, minlength=count**2)
        area_m2 += np.bincount(found, areas.of_rows(rows.start, rows.stop)[known], count**2)
        moved = np.where(place_before == place_after, UNCHANGED, 1 + pair)
        strip = np.where(known, moved, NOTHING).astype(np.uint16)
        kept.append(strip[(middle - rows.start) % step :: step, middle::step])
    if not pixels.any():
        raise SceneError(
            "the two maps have no pixel with a class in common: are they of one place?"
        )
    names = pd.Index([legend.name(i) for i in legend.ids])
    shape = (count, count)
    counted, measured = (
        pd.DataFrame(each.reshape(shape), names.rename("before"), names.rename("after"))
        for each in (pixels, area_m2)
    )
    reduced = _map_of(first, np.concatenate(kept), middle, step)
    return Change(legend, counted, measured, reduced)


def _common_legend(first: xr.DataArray, second: xr.DataArray) -> tuple[Legend, list[NDArray]]:
    """Classes of both, and tables from each one's ids to places among them."""
    early, late = (Legend.of_attributes(each.attrs, str(each.name)) for each in (first, second))
    nothings = [int(each.attrs.get("_FillValue", NOTHING)) for each in (first, second)]
    if not early.names or not late.names:
        # Ids alone can be compared.
        found = [_ids_in(a) - {n} for a, n in zip((first, second), nothings, strict=True)]
        named = Legend({**late.names, **early.names}, {**late.colors, **early.colors})
        early, late = (named.only(ids) for ids in found)
    names = dict(early.names)
    colors = {i: early.color(i) for i in names}
    by_name = {name: i for i, name in names.items()}
    for class_id in late.ids:
        name = late.name(class_id)
        if name in by_name:
            continue
        free = class_id if class_id not in names else max(names) + 1
        names[free], colors[free], by_name[name] = name, late.color(class_id), free
    legend = Legend(names, colors)
    if len(names) > MOST_CLASSES:
        raise BandError(f"the maps have {len(names)} classes, more than {MOST_CLASSES}")
    place = {class_id: number for number, class_id in enumerate(legend.ids)}
    tables = []
    for own, nothing in zip((early, late), nothings, strict=True):
        table = np.full(2**16, len(place), np.int64)
        for class_id in own.ids:
            table[class_id] = place[by_name[own.name(class_id)]]
        table[nothing] = len(place)
        tables.append(table)
    return legend, tables


def _ids_in(array: xr.DataArray) -> set[int]:
    found: set[int] = set()
    for _, (values,) in strips(array):
        found |= set(np.unique(values).tolist())
    return found


def _map_of(array: xr.DataArray, values: NDArray[np.uint16], middle: int, step: int) -> xr.Dataset:
    y, x = array.odc.spatial_dims
    like = array[middle::step, middle::step]
    return xr.Dataset({"change": ((y, x), values, {"_FillValue": NOTHING})}, coords=like.coords)
