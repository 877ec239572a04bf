"""Label polygons of one scene, burnt into any window of its prediction grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.features import rasterize

from geoconvlora.errors import LabelError
from geoconvlora.scenes import Window
from geoconvlora.training.config import IGNORE, SceneLabels, TrainConfig
from geoconvlora.training.label_file import read_polygons
from geoconvlora.weights.card import ClassInfo, InstanceRule

BACKGROUND = 0
"""Class of labelled ground that no polygon covers."""


@dataclass(frozen=True)
class BoundaryRule:
    """Objects of one class get a boundary inside their outline."""

    interior: int
    boundary: int
    thickness_px: int


class LabelMap:
    """Polygons in pixel coordinates of a grid; windows are burnt from them on demand.

    A window holds exactly what the same part of the whole scene holds. Where polygons overlap, the
    smaller one lies on top.

    Args:
        polygons: (N,) polygons in the coordinates of the grid's CRS.
        classes: (N,) class ids.
        geobox: The grid.
        extent: Polygons within which labels are complete; None: everywhere.
        boundary: Makes objects' outlines a class of their own; None for plain classes.
    """

    def __init__(
        self,
        polygons: NDArray[np.object_],
        classes: NDArray[np.uint8],
        geobox: GeoBox,
        *,
        extent: NDArray[np.object_] | None = None,
        boundary: BoundaryRule | None = None,
    ) -> None:
        to_pixels = ~geobox.affine
        order = np.argsort(-shapely.area(polygons), kind="stable")
        self._polygons = _transformed(polygons[order], to_pixels)
        self._classes = np.concatenate([[BACKGROUND], classes[order]]).astype(np.uint8)
        self._tree = shapely.STRtree(self._polygons)
        self._extent = None if extent is None else _transformed(extent, to_pixels)
        self._boundary = boundary

    def burn(self, window: Window) -> NDArray[np.uint8]:
        """The (h, w) class ids of a window; 255 outside the extent."""
        margin = self._boundary.thickness_px if self._boundary else 0
        wide = Window(
            window.row - margin,
            window.column - margin,
            window.height + 2 * margin,
            window.width + 2 * margin,
        )
        numbers = self._numbers(wide)
        mask = self._classes[numbers]
        if self._boundary is not None:
            outline = _outline(numbers, margin) & (mask == self._boundary.interior)
            mask[outline] = self._boundary.boundary
        mask = mask[margin : margin + window.height, margin : margin + window.width]
        if self._extent is not None:
            mask = np.where(_burnt(self._extent, window), mask, np.uint8(IGNORE))
        return mask

    def labelled_area(self, window: Window) -> float:
        """Pixels of a window that lie within the extent, by area."""
        box = _box(window)
        if self._extent is None:
            return float(box.area)
        return float(shapely.area(shapely.intersection(self._extent, box)).sum())

    def _numbers(self, window: Window) -> NDArray[np.int32]:
        """Polygons' places in the list, from 1; 0 where there is none."""
        shape = (window.height, window.width)
        hits = np.sort(self._tree.query(_box(window)))
        if len(hits) == 0:
            return np.zeros(shape, dtype=np.int32)
        numbers: NDArray[np.int32] = rasterize(
            ((self._polygons[hit], int(hit) + 1) for hit in hits),
            out_shape=shape,
            transform=Affine.translation(window.column, window.row),
            dtype=np.int32,
        )
        return numbers


def open_labels(
    config: TrainConfig,
    source: SceneLabels,
    geobox: GeoBox,
    *,
    gsd_m: float,
    boundary_width_m: float | None = None,
) -> LabelMap:
    """Read a scene's label polygons onto its prediction grid.

    Args:
        config: Names the classes and the rule of instances.
        source: The scene and its label files.
        geobox: The prediction grid.
        gsd_m: Its pixel size.
        boundary_width_m: Of instances' boundary class; None: one pixel.

    Raises:
        LabelError: A file cannot be read or has no CRS or no polygon, a class is not named in the
            configuration, or no label lies on the scene.
    """
    frame = read_polygons(source.labels, geobox)
    names = None
    if source.label_column is not None:
        if source.label_column not in frame.columns:
            columns = ", ".join(str(c) for c in frame.columns if c != "geometry")
            raise LabelError(
                f"{source.labels} has no column {source.label_column!r}: its columns are {columns}"
            )
        names = [str(value) for value in frame[source.label_column]]
    ids = _class_ids(names, len(frame), config.classes, config.instances, source)
    polygons = frame.geometry.to_numpy()
    footprint = shapely.Polygon(geobox.extent.exterior.coords)
    if not shapely.intersects(footprint, polygons).any():
        raise LabelError(
            f"{source.labels}: none of its {len(polygons)} polygons lies on {source.image}: are "
            "both of the same place, and is the CRS of each right?"
        )
    extent = None
    if source.extent is not None:
        extent = read_polygons(source.extent, geobox).geometry.to_numpy()
    boundary = _boundary(config.instances, boundary_width_m, gsd_m)
    return LabelMap(polygons, ids, geobox, extent=extent, boundary=boundary)


def _class_ids(
    names: Sequence[str] | None,
    count: int,
    classes: Sequence[ClassInfo],
    instances: InstanceRule | None,
    source: SceneLabels,
) -> NDArray[np.uint8]:
    if names is None:
        return np.full(count, instances.interior if instances else 1, dtype=np.uint8)
    # A column of class ids needs no map; names come first, as they may be numbers that are not the
    # ids. 3.0 is how a column with gaps stores 3.
    known = {text: c.id for c in classes for text in (str(c.id), f"{c.id}.0")}
    known |= {text: c.id for c in classes for text in (c.name, f"{c.name}.0")}
    named = [source.class_map.get(name, name) for name in names]
    unknown = sorted({name for name, to in zip(names, named, strict=True) if to not in known})
    if unknown:
        raise LabelError(
            f"{source.labels}: column {source.label_column!r} holds "
            f"{', '.join(repr(u) for u in unknown[:10])}, which the configuration does not name: "
            f"its classes are {', '.join(c.name for c in classes)}; add them, or map the values "
            "with class_map"
        )
    return np.array([known[name] for name in named], dtype=np.uint8)


def _boundary(
    instances: InstanceRule | None, width_m: float | None, gsd_m: float
) -> BoundaryRule | None:
    if instances is None:
        return None
    thickness = 1 if width_m is None else max(1, round(width_m / gsd_m))
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


def _burnt(polygons: NDArray[np.object_], window: Window) -> NDArray[np.bool_]:
    inside: NDArray[np.uint8] = rasterize(
        polygons,
        out_shape=(window.height, window.width),
        transform=Affine.translation(window.column, window.row),
        dtype=np.uint8,
    )
    return inside.astype(np.bool_)


def _box(window: Window) -> shapely.Polygon:
    box: shapely.Polygon = shapely.box(
        window.column, window.row, window.column + window.width, window.row + window.height
    )
    return box


def _transformed(polygons: NDArray[np.object_], affine: Affine) -> NDArray[np.object_]:
    matrix = np.array([[affine.a, affine.b], [affine.d, affine.e]])
    offset = np.array([affine.c, affine.f])
    moved: NDArray[np.object_] = shapely.transform(polygons, lambda xy: xy @ matrix.T + offset)
    return moved
