"""Regions in pixels to a table of polygons with attributes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from geoconvlora.errors import SceneError
from geoconvlora.scenes.origin import Origin
from geoconvlora.vector.measure import Ruler
from geoconvlora.vector.parts import Ids
from geoconvlora.vector.ragged import RaggedPolygons
from geoconvlora.vector.regions import Regions
from geoconvlora.vector.schema import GEOMETRY, NEIGHBOURS, boxes, schema_of


class FeatureTable:
    """Gives regions their place, attributes and running id.

    Args:
        geobox: Grid that the regions' pixel coordinates belong to; any affine grid with a CRS.
        origin: Attributes that all polygons share.
        min_area_m2: Smaller polygons are dropped.
        min_confidence: Polygons with lower mean weight are dropped.
        neighbours: Whether there is a column of neighbours.
        multi: Whether polygons may have several parts, so that all are written as multipolygons.

    Attributes:
        crs: Of the polygons.
        schema: Of the tables.

    Raises:
        SceneError: The grid has no CRS.
    """

    def __init__(
        self,
        geobox: GeoBox,
        origin: Origin,
        *,
        min_area_m2: float = 0.0,
        min_confidence: float = 0.0,
        neighbours: bool = False,
        multi: bool = False,
    ) -> None:
        if geobox.crs is None:
            raise SceneError(
                f"{origin.scene} has no CRS: give it one, for instance with rio edit-info"
            )
        self.crs = geobox.crs.proj
        self._affine = geobox.affine
        self._ruler = Ruler(self.crs, self._affine)
        self._origin = origin
        self._min_area_m2 = min_area_m2
        self._min_confidence = min_confidence
        self._counted = neighbours
        self._multi = multi
        self.schema = schema_of(neighbours=neighbours)
        self._next_id = 1

    def rows(
        self,
        regions: Regions,
        names: Mapping[int, str],
        *,
        class_id: int | None = None,
        confidence: bool = True,
    ) -> pa.Table:
        """Describe complete regions.

        Args:
            regions: Polygons in pixels.
            names: Class name by label; or, with ``class_id``, by that.
            class_id: The class of all regions where labels number objects; None: labels are
                class ids.
            confidence: Whether the regions' weights are probabilities; otherwise the columns of
                confidence are empty.

        Returns:
            One row per region that is kept, columns of ``schema``.
        """
        area_m2, perimeter_m = (
            _summed(sizes, regions.members) for sizes in self._measure(regions.polygons)
        )
        keep = (area_m2 >= self._min_area_m2) & (regions.weight >= self._min_confidence)
        count = int(keep.sum())
        parts = np.diff(regions.members)
        polygons = regions.polygons.take(np.repeat(keep, parts)).moved(self._affine)
        members = np.append(0, np.cumsum(parts[keep]))
        ids = regions.labels[keep] if class_id is None else np.full(count, class_id, np.int64)
        known, index = np.unique(ids, return_inverse=True)
        unknown = pa.nulls(count, pa.float64())
        pixels = regions.pixels[keep]
        columns = {
            "id": np.arange(self._next_id, self._next_id + count),
            "class": pa.array([names[int(i)] for i in known], pa.string()).take(pa.array(index)),
            "class_id": ids,
            "area_m2": area_m2[keep],
            "perimeter_m": perimeter_m[keep],
            "confidence": regions.weight[keep] if confidence else unknown,
            "min_confidence": regions.least[keep] if confidence else unknown,
            "valid_share": pixels / np.maximum(pixels + regions.filled[keep], 1),
            "scene": pa.repeat(pa.scalar(self._origin.scene, pa.string()), count),
            "date": pa.repeat(pa.scalar(self._origin.date or None, pa.string()), count),
            "model": pa.repeat(pa.scalar(self._origin.model, pa.string()), count),
            "model_sha256": pa.repeat(
                pa.scalar(self._origin.model_sha256 or None, pa.string()), count
            ),
            **({NEIGHBOURS: regions.neighbours[keep]} if self._counted else {}),
            GEOMETRY: _wkb(polygons, members if self._multi else None),
        }
        self._next_id += count
        arrays = [pa.array(column) for column in columns.values()]
        return pa.Table.from_arrays([*arrays, boxes(polygons.bounds(members))], schema=self.schema)

    def areas(self, polygons: RaggedPolygons) -> NDArray[np.float64]:
        """Areas in m² of polygons in pixels, ``(n,)``."""
        return self._measure(polygons)[0]

    def _measure(self, polygons: RaggedPolygons) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return self._ruler.measure_pixels(polygons.xy, polygons.rings, polygons.parts)


def _summed(values: NDArray[np.float64], members: Ids) -> NDArray[np.float64]:
    """Sums over the polygons of each region."""
    if len(members) == 1:
        return values
    sums: NDArray[np.float64] = np.add.reduceat(values, members[:-1])
    return sums


def _wkb(polygons: RaggedPolygons, members: Ids | None) -> pa.Array:
    """Polygons, or multipolygons whose first members are given."""
    written, offsets = polygons.to_wkb() if members is None else polygons.to_multi_wkb(members)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(written)]
    count = len(offsets) - 1
    return pa.Array.from_buffers(pa.large_binary(), count, buffers).cast(pa.binary())
