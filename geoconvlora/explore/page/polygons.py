"""Polygons of a file as a page holds them: few enough, simple enough, with their attributes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyproj
import shapely
from numpy.typing import NDArray
from pyproj.exceptions import ProjError

from geoconvlora.errors import LabelError
from geoconvlora.explore.meridian import brought_to, turn_of
from geoconvlora.explore.page.grid import Bounds, Plane
from geoconvlora.explore.page.packing import Geometries
from geoconvlora.explore.page.polygon_file import GEOMETRY, PolygonFile
from geoconvlora.scenes.area_clipping import gone_on
from geoconvlora.vector.measure import Ruler

AREA = "area_m2"
CLASS = "class"
MAX_CLASSES = 60
"""Classes of a file that the legend names; the smallest of more are counted together."""
OTHERS = "other classes"

#: Simplified outlines may differ from the true ones by this many pixels of the finest raster.
_TOLERANCES_PX = (0.5, 1.0, 2.0, 4.0)


@dataclass(frozen=True)
class ClassTotal:
    """What a file holds of a class: of all its polygons, shown or not."""

    name: str
    count: int
    area_m2: float


@dataclass(frozen=True)
class ShownPolygons:
    """Polygons of one file that a page shows, the largest first.

    Attributes:
        file: Where they are from.
        polygons: ``(n,)`` in the page's CRS.
        attributes: Table of their columns; ``area_m2`` is among them.
        totals: By class, the largest first; one without a name where there is no class column.
        notes: What was left out, as sentences.
    """

    file: PolygonFile
    polygons: Geometries
    attributes: pa.Table
    totals: tuple[ClassTotal, ...]
    notes: tuple[str, ...] = ()

    @property
    def vertices(self) -> int:
        """Of all polygons."""
        return int(shapely.get_num_coordinates(self.polygons).sum())

    @property
    def bounds(self) -> Bounds:
        """Of all polygons."""
        left, bottom, right, top = map(float, shapely.total_bounds(self.polygons))
        return left, bottom, right, top

    def largest(self, count: int) -> ShownPolygons:
        """Only the ``count`` largest."""
        if count >= len(self.polygons):
            return self
        kept = replace(
            self, polygons=self.polygons[:count], attributes=self.attributes.slice(0, count)
        )
        return kept.counted()

    def counted(self) -> ShownPolygons:
        """The same, saying how many of how many they are."""
        smallest_m2 = pc.min(self.attributes[AREA]).as_py()
        note = (
            f"{self.file.path.name}: the {len(self.polygons):,} largest of {self.file.count:,} "
            f"polygons are shown, from {smallest_m2:,.0f} m² on; areas in the legend are of all"
        )
        return replace(self, notes=(note,))


def read_polygons(file: PolygonFile, plane: Plane, limit: int) -> ShownPolygons:
    """Read the largest polygons of a file, and sum all.

    Memory depends on ``limit`` and on a batch of features, not on their number.

    Args:
        file: Its column ``area_m2`` is believed where it holds numbers; otherwise polygons are
            measured on the ellipsoid.
        plane: That they are brought to.
        limit: How many are kept.

    Raises:
        LabelError: The file is damaged, holds curves or no polygon, or has no place on the page.
    """
    area_m2, totals = _survey(file)
    order = np.argsort(-area_m2, kind="stable")[:limit]
    chosen = np.zeros(len(area_m2), bool)
    chosen[order] = True
    polygons, table = _chosen(file, chosen, area_m2)
    polygons = _moved(polygons, file, plane)
    sound = _sound(polygons)
    if not sound.any():
        raise LabelError(f"{file.path} holds no polygon that could be shown in {plane.crs.name}")
    by_area = np.argsort(-np.asarray(table[AREA]), kind="stable")
    by_area = by_area[sound[by_area]]
    all_shown = ShownPolygons(file, polygons[by_area], table.take(by_area), totals)
    if len(area_m2) > limit:
        return all_shown.counted()
    if missing := int((~sound).sum()):
        note = f"{file.path.name}: {missing:,} features without area or place are not shown"
        return replace(all_shown, notes=(note,))
    return all_shown


def simplified(shown: ShownPolygons, pixel: float, vertices: int) -> ShownPolygons:
    """Simplify until there are at most so many vertices, by as little as that takes.

    Neighbours are simplified together, so that they keep their common edges.

    Args:
        shown: Polygons.
        pixel: Side of the finest pixel on the page, in units of the CRS.
        vertices: That may be left; where four pixels of tolerance are not enough, the smallest
            polygons go.
    """
    if shown.vertices <= vertices:
        return shown
    result = shown
    for tolerance_px in _TOLERANCES_PX:
        polygons = shapely.coverage_simplify(shown.polygons, tolerance_px * pixel)
        kept = _sound(polygons)
        result = replace(
            shown,
            polygons=polygons[kept],
            attributes=shown.attributes.filter(pa.array(kept)),
            notes=(
                *shown.notes,
                f"{shown.file.path.name}: outlines are simplified by up to {tolerance_px:g} pixels",
            ),
        )
        if result.vertices <= vertices:
            return result
    together = np.cumsum(shapely.get_num_coordinates(result.polygons))
    fewer = result.largest(max(1, int((together <= vertices).sum())))
    return replace(fewer, notes=(*fewer.notes, result.notes[-1]))


def _survey(file: PolygonFile) -> tuple[NDArray[np.float64], tuple[ClassTotal, ...]]:
    """Area of every feature, and totals by class."""
    has_area, has_class = AREA in file.numbers, CLASS in file.columns
    columns = [name for name, there in ((AREA, has_area), (CLASS, has_class)) if there]
    areas: list[NDArray[np.float64]] = []
    sums: dict[str, tuple[int, float]] = {}
    ruler = Ruler(file.crs)
    for batch in file.batches(columns, geometry=not has_area):
        area_m2 = _believed(batch[AREA]) if has_area else _measured(_geometries(batch, file), ruler)
        areas.append(area_m2)
        names = batch[CLASS] if has_class else pa.nulls(len(batch), pa.string())
        for name, count, total in _summed(names, area_m2):
            before = sums.get(name, (0, 0.0))
            sums[name] = before[0] + count, before[1] + total
    totals = sorted(sums.items(), key=lambda item: (-item[1][1], item[0]))
    return (
        np.concatenate(areas) if areas else np.empty(0),
        _named([ClassTotal(name, count, total) for name, (count, total) in totals]),
    )


def _named(totals: list[ClassTotal]) -> tuple[ClassTotal, ...]:
    """As many as the legend names."""
    if len(totals) <= MAX_CLASSES:
        return tuple(totals)
    rest = totals[MAX_CLASSES - 1 :]
    others = ClassTotal(
        OTHERS, sum(each.count for each in rest), sum(each.area_m2 for each in rest)
    )
    return (*totals[: MAX_CLASSES - 1], others)


def _summed(
    names: pa.ChunkedArray | pa.Array, area_m2: NDArray[np.float64]
) -> Iterator[tuple[str, int, float]]:
    """Name, count and area of each class of a batch."""
    text = pc.fill_null(pc.cast(names, pa.string()), "")
    table = pa.table({"name": text, "area": area_m2})
    groups = table.group_by("name").aggregate([("area", "count"), ("area", "sum")])
    for row in groups.to_pylist():
        yield row["name"], row["area_count"], row["area_sum"]


def _believed(column: pa.ChunkedArray) -> NDArray[np.float64]:
    area_m2 = np.asarray(pc.cast(column, pa.float64(), safe=False).to_numpy(), np.float64)
    return np.where(np.isfinite(area_m2), area_m2, 0.0)


def _measured(geometries: Geometries, ruler: Ruler) -> NDArray[np.float64]:
    geometries[~_sound(geometries)] = None
    parts, feature = shapely.get_parts(geometries, return_index=True)
    area_m2 = np.zeros(len(geometries))
    np.add.at(area_m2, feature, ruler.areas(parts))
    return area_m2


def _chosen(
    file: PolygonFile, chosen: NDArray[np.bool_], area_m2: NDArray[np.float64]
) -> tuple[Geometries, pa.Table]:
    """Geometries and attributes of some features, in the file's order."""
    geometries, tables, start = [], [], 0
    for batch in file.batches(file.columns, geometry=True):
        rows = np.flatnonzero(chosen[start : start + len(batch)])
        table = batch.take(rows)
        geometries.append(_geometries(table, file))
        table = table.drop_columns([GEOMETRY])
        measured = pa.array(area_m2[start + rows])
        if AREA in file.columns:
            table = table.set_column(file.columns.index(AREA), AREA, measured)
        else:
            table = table.append_column(AREA, measured)
        tables.append(table)
        start += len(batch)
    if not tables:
        raise LabelError(f"{file.path} holds no polygon")
    return np.concatenate(geometries), pa.concat_tables(tables)


def _geometries(table: pa.Table, file: PolygonFile) -> Geometries:
    wkb = table[GEOMETRY].to_numpy(zero_copy_only=False)
    try:
        geometries: Geometries = shapely.from_wkb(wkb, on_invalid="ignore")
    except NotImplementedError as error:
        raise LabelError(
            f"{file.path} holds curves: make straight edges of them first, "
            "with ogr2ogr -nlt CONVERT_TO_LINEAR say"
        ) from error
    flat: Geometries = shapely.force_2d(geometries)
    return flat


def _moved(polygons: Geometries, file: PolygonFile, plane: Plane) -> Geometries:
    polygons = _projected(polygons, file, plane.crs)
    turn = turn_of(plane.crs)
    return polygons if turn is None else brought_to(polygons, turn, plane.middle)


def _projected(polygons: Geometries, file: PolygonFile, crs: pyproj.CRS) -> Geometries:
    if file.crs.equals(crs, ignore_axis_order=True):
        return polygons
    try:
        transformer = pyproj.Transformer.from_crs(file.crs, crs, always_xy=True)
    except ProjError as error:
        raise LabelError(
            f"{file.path} is in {file.crs.name}, from which no transformation leads to "
            f"{crs.name}: assign the CRS that it was drawn in, or show it on its own"
        ) from error
    moved: Geometries = shapely.transform(
        polygons, lambda xy: np.stack(transformer.transform(xy[:, 0], xy[:, 1]), axis=1)
    )
    return gone_on(moved, polygons, file.crs, crs)


def _sound(geometries: Geometries) -> NDArray[np.bool_]:
    """Which are polygons or multipolygons, not empty, with a place."""
    kind = shapely.get_type_id(geometries)
    polygonal = (kind == shapely.GeometryType.POLYGON) | (kind == shapely.GeometryType.MULTIPOLYGON)
    placed = np.isfinite(shapely.bounds(geometries)).all(axis=1)
    sound: NDArray[np.bool_] = polygonal & placed
    return sound
