"""Small layers and maps to evaluate."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import rasterio
import shapely
from rasterio.transform import Affine

from geoconvlora.evaluate.polygons import PolygonLayer, layer_of

ROOT = Path(__file__).parents[2]
CRS = 32631
ORIGIN = (600_000, 5_600_000)


def boxes(*bounds, crs=CRS, **columns) -> gpd.GeoDataFrame:
    """Rectangles from (left, bottom, right, top) in metres beyond a corner of zone 31."""
    east, north = ORIGIN
    drawn = [
        shapely.box(east + left, north + bottom, east + right, north + top)
        for left, bottom, right, top in bounds
    ]
    return gpd.GeoDataFrame(columns, geometry=drawn, crs=CRS).to_crs(crs)


def layer(frame: gpd.GeoDataFrame, name: str = "layer", column: str | None = None) -> PolygonLayer:
    return layer_of(frame, name, column)


def write_map(
    path: Path,
    values: np.ndarray,
    *,
    pixel: float = 10.0,
    corner: tuple[float, float] = ORIGIN,
    crs: str | None = f"EPSG:{CRS}",
    tags: dict[str, str] | None = None,
    **profile,
) -> Path:
    """Write (H, W) or (bands, H, W) values from a corner at the upper left."""
    values = values if values.ndim == 3 else values[None]
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=len(values),
        height=values.shape[1],
        width=values.shape[2],
        dtype=values.dtype,
        crs=crs,
        transform=Affine(pixel, 0, corner[0], 0, -pixel, corner[1]),
        **profile,
    ) as dataset:
        dataset.write(values)
        dataset.update_tags(**(tags or {}))
    return path
