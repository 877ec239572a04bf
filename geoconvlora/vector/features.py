"""Regions in pixels to a table of polygons with attributes."""

from __future__ import annotations

from collections.abc import Mapping

import geopandas as gpd
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from geoconvlora.errors import SceneError
from geoconvlora.vector.measure import Ruler
from geoconvlora.vector.ragged import Polygons, RaggedPolygons
from geoconvlora.vector.regions import Regions

COLUMNS: dict[str, str] = {
    "id": "int64",
    "class": "str",
    "class_id": "int64",
    "area_m2": "float64",
    "perimeter_m": "float64",
    "confidence": "float64",
    "scene": "str",
    "model": "str",
}
"""Attributes of every layer of polygons, in order."""


class FeatureTable:
    """Gives regions their place, attributes and running id.

    Args:
        geobox: Grid that the regions' pixel coordinates belong to; any affine grid with a CRS.
        scene: Name written to the column ``scene``.
        model: Name written to the column ``model``.
        min_area_m2: Smaller polygons are dropped.
        min_confidence: Polygons with lower mean weight are dropped.

    Raises:
        SceneError: The grid has no CRS.
    """

    def __init__(
        self,
        geobox: GeoBox,
        *,
        scene: str,
        model: str,
        min_area_m2: float = 0.0,
        min_confidence: float = 0.0,
    ) -> None:
        if geobox.crs is None:
            raise SceneError(f"{scene} has no CRS: give it one, for instance with rio edit-info")
        self.crs = geobox.crs.proj
        self._affine = geobox.affine
        self._ruler = Ruler(self.crs)
        self._scene = scene
        self._model = model
        self._min_area_m2 = min_area_m2
        self._min_confidence = min_confidence
        self._next_id = 1

    def rows(
        self,
        regions: Regions,
        names: Mapping[int, str],
        *,
        class_id: int | None = None,
        confidence: bool = True,
    ) -> gpd.GeoDataFrame:
        """Describe complete regions.

        Args:
            regions: Polygons in pixels.
            names: Class name by label; or, with ``class_id``, by that.
            class_id: The class of all regions where labels number objects; None: labels are
                class ids.
            confidence: Whether the regions' weight is a probability; otherwise the column is
                empty (NaN).

        Returns:
            One row per region that is kept, columns :data:`COLUMNS` and ``geometry``.
        """
        polygons = self.place(regions.polygons)
        area_m2, perimeter_m = self._ruler.measure(polygons)
        keep = (area_m2 >= self._min_area_m2) & (regions.weight >= self._min_confidence)
        count = int(keep.sum())
        ids = regions.labels[keep] if class_id is None else np.full(count, class_id, np.int64)
        known, index = np.unique(ids, return_inverse=True)
        columns = {
            "id": np.arange(self._next_id, self._next_id + count),
            "class": np.array([names[int(i)] for i in known], object)[index],
            "class_id": ids,
            "area_m2": area_m2[keep],
            "perimeter_m": perimeter_m[keep],
            "confidence": regions.weight[keep] if confidence else np.full(count, np.nan),
            "scene": np.full(count, self._scene, object),
            "model": np.full(count, self._model, object),
        }
        self._next_id += count
        frame = pd.DataFrame(columns).astype(COLUMNS)
        return gpd.GeoDataFrame(frame, geometry=polygons[keep], crs=self.crs)

    def place(self, polygons: RaggedPolygons) -> Polygons:
        """Polygons in pixels to the CRS, shells counter-clockwise."""
        return polygons.moved(self._affine).to_shapely()

    def areas(self, polygons: RaggedPolygons) -> NDArray[np.float64]:
        """Areas in m² of polygons in pixels, ``(n,)``."""
        return self._ruler.areas(self.place(polygons))


def empty_layer(crs: object) -> gpd.GeoDataFrame:
    """A table with the right columns and no rows."""
    frame = pd.DataFrame({name: pd.Series([], dtype=kind) for name, kind in COLUMNS.items()})
    return gpd.GeoDataFrame(frame, geometry=gpd.GeoSeries([], crs=crs), crs=crs)
