"""Label polygons of one scene, burnt into any window of its prediction grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import shapely
from geopandas import GeoDataFrame
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from geoconvlora.errors import LabelError
from geoconvlora.scenes import Window
from geoconvlora.training.burn import PixelPolygons, to_pixels
from geoconvlora.training.config import TrainConfig
from geoconvlora.training.data_config import IGNORE, Overlaps, SceneLabels, ScenesConfig
from geoconvlora.training.label_file import read_polygons
from geoconvlora.training.label_raster import RasterLabels
from geoconvlora.training.label_values import class_ids
from geoconvlora.training.rasters import is_raster
from geoconvlora.weights.card import InstanceRule

BACKGROUND = 0
"""Class of labelled ground that no polygon covers."""


class Labels(Protocol):
    """Labels of a whole scene, window by window.

    A window holds exactly what the same part of the whole scene holds.
    """

    on_scene: bool
    """Whether any label lies on the scene."""

    def burn(self, window: Window) -> NDArray[np.uint8]:
        """The (h, w) class ids of a window; 255 where nothing is known."""

    def labelled_area(self, window: Window) -> float:
        """About how many pixels of a window are labelled."""


@dataclass(frozen=True)
class BoundaryRule:
    """Objects of one class get a boundary inside their outline."""

    interior: int
    boundary: int
    thickness_px: int


class LabelMap:
    """Polygons in pixel coordinates of a grid; windows are burnt from them on demand.

    Args:
        polygons: (N,) polygons in the coordinates of the grid's CRS; later ones lie on top.
        classes: (N,) class ids.
        geobox: The grid.
        extent: Polygons within which labels are complete; None: everywhere.
        boundary: Makes objects' outlines a class of their own; None for plain classes.
        all_touched: Burn all pixels that a polygon touches, not only those whose centre it covers.
    """

    def __init__(
        self,
        polygons: NDArray[np.object_],
        classes: NDArray[np.uint8],
        geobox: GeoBox,
        *,
        extent: NDArray[np.object_] | None = None,
        boundary: BoundaryRule | None = None,
        all_touched: bool = False,
    ) -> None:
        self._polygons = PixelPolygons(to_pixels(polygons, geobox), all_touched=all_touched)
        self._classes = np.concatenate([[BACKGROUND], classes]).astype(np.uint8)
        self._extent = None if extent is None else PixelPolygons(to_pixels(extent, geobox))
        self._boundary = boundary
        footprint = shapely.Polygon(geobox.extent.exterior.coords)
        self.on_scene = all(
            bool(shapely.intersects(footprint, shapes).any())
            for shapes in (polygons, extent)
            if shapes is not None
        )

    def burn(self, window: Window) -> NDArray[np.uint8]:
        """The (h, w) class ids of a window; 255 outside the extent."""
        margin = self._boundary.thickness_px if self._boundary else 0
        wide = Window(
            window.row - margin,
            window.column - margin,
            window.height + 2 * margin,
            window.width + 2 * margin,
        )
        numbers = self._polygons.numbers(wide)
        mask = self._classes[numbers]
        if self._boundary is not None:
            outline = _outline(numbers, margin) & (mask == self._boundary.interior)
            mask[outline] = self._boundary.boundary
        mask = mask[margin : margin + window.height, margin : margin + window.width]
        if self._extent is not None:
            mask = np.where(self._extent.covers(window), mask, np.uint8(IGNORE))
        return mask

    def labelled_area(self, window: Window) -> float:
        """Pixels of a window that lie within the extent, by area."""
        if self._extent is None:
            return float(window.height * window.width)
        return self._extent.area(window)


def open_labels(
    config: TrainConfig,
    data: ScenesConfig,
    source: SceneLabels,
    geobox: GeoBox,
    *,
    gsd_m: float,
) -> Labels:
    """Read a scene's labels onto its prediction grid.

    Args:
        config: Names the classes and the rule of instances.
        data: Says how polygons are burnt.
        source: The scene and its label files.
        geobox: The prediction grid.
        gsd_m: Its pixel size.

    Raises:
        LabelError: A file cannot be read or has no CRS or no polygon, a class is not named in the
            configuration, or nothing says which of several classes a polygon is of.
    """
    extent = _read_extent(source, geobox)
    if is_raster(source.labels):
        pixels = None if extent is None else PixelPolygons(to_pixels(extent, geobox))
        return RasterLabels(source, geobox, config.classes, extent=pixels)
    frame = read_polygons(source.labels, geobox, layer=source.label_layer)
    polygons = frame.geometry.to_numpy()
    interior = config.instances.interior if config.instances else 1
    if source.label_column is None and config.instances is None and len(config.classes) > 2:
        raise LabelError(
            f"{source.labels}: nothing says which of the {len(config.classes)} classes each "
            "polygon is of: name the column with its class by --label-column (label_column)"
        )
    if source.label_column is None:
        ids = np.full(len(frame), interior, dtype=np.uint8)
    else:
        ids = class_ids(_column(frame, source.label_column, source), source, config.classes)
    order = burn_order(polygons, data.overlaps, _priority(frame, data, source))
    return LabelMap(
        polygons[order],
        ids[order],
        geobox,
        extent=extent,
        boundary=_boundary(config.instances, data, gsd_m),
        all_touched=data.all_touched,
    )


def burn_order(
    polygons: NDArray[np.object_], rule: Overlaps, priority: NDArray[np.float64] | None = None
) -> NDArray[np.int64]:
    """The order in which polygons are burnt so that the rule's choice lies on top.

    Args:
        polygons: (N,), in the file's order.
        rule: See :class:`ScenesConfig`.
        priority: (N,), for the rule ``priority``; of equal ones the smaller polygon lies on top.
    """
    by_area = np.argsort(-shapely.area(polygons), kind="stable")
    match rule:
        case "smaller":
            return by_area
        case "larger":
            return by_area[::-1]
        case "later":
            return np.arange(len(polygons))
        case "earlier":
            return np.arange(len(polygons))[::-1]
        case "priority":
            assert priority is not None
            return by_area[np.argsort(priority[by_area], kind="stable")]


def _read_extent(source: SceneLabels, geobox: GeoBox) -> NDArray[np.object_] | None:
    """Where labels are complete, without overlaps."""
    if source.extent is None:
        return None
    polygons = read_polygons(source.extent, geobox, layer=source.extent_layer).geometry.to_numpy()
    return np.asarray(shapely.get_parts(shapely.union_all(polygons)))


def _column(frame: GeoDataFrame, column: str, source: SceneLabels) -> Sequence[object]:
    if column not in frame.columns or column == frame.geometry.name:
        columns = ", ".join(str(c) for c in frame.columns if c != frame.geometry.name)
        raise LabelError(f"{source.labels} has no column {column!r}: its columns are {columns}")
    return list(frame[column])


def _priority(
    frame: GeoDataFrame, data: ScenesConfig, source: SceneLabels
) -> NDArray[np.float64] | None:
    if data.priority_column is None:
        return None
    values = _column(frame, data.priority_column, source)
    try:
        numbers = np.array(values, dtype=np.float64)
    except (TypeError, ValueError):
        numbers = np.full(len(values), np.nan)
    if not np.isfinite(numbers).all():
        raise LabelError(
            f"{source.labels}: the column {data.priority_column!r} holds what is no number; "
            "priorities are numbers, of which the highest lies on top"
        )
    return numbers


def _boundary(
    instances: InstanceRule | None, data: ScenesConfig, gsd_m: float
) -> BoundaryRule | None:
    if instances is None:
        return None
    thickness = data.boundary_width_px or 1
    if data.boundary_width_m is not None:
        thickness = max(1, round(data.boundary_width_m / gsd_m))
    return BoundaryRule(instances.interior, instances.boundary, thickness)


def _outline(numbers: NDArray[np.int32], thickness: int) -> NDArray[np.bool_]:
    """Pixels within ``thickness`` rows or columns of another object or of none."""
    near = np.zeros(numbers.shape, dtype=np.bool_)
    for step in range(1, thickness + 1):
        for axis in (0, 1):
            ahead = np.moveaxis(numbers, axis, 0)
            edge = np.moveaxis(near, axis, 0)
            differs = ahead[step:] != ahead[:-step]
            edge[step:] |= differs
            edge[:-step] |= differs
    return near
