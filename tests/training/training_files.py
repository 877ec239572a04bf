"""Small files that the tests of this folder make for themselves."""

from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import rasterio
from affine import Affine

CLASSES = [
    {"id": 0, "name": "other", "color": "#000000"},
    {"id": 1, "name": "field", "color": "#00ff00"},
]
FIELD_CLASSES = [*CLASSES, {"id": 2, "name": "boundary", "color": "#ffffff"}]


def write_raster(path: Path, values: np.ndarray, **profile: Any) -> Path:
    count, height, width = values.shape
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=height,
        width=width,
        count=count,
        dtype=values.dtype,
        crs="EPSG:32631",
        transform=Affine(10, 0, 500_000, 0, -10, 5_600_000),
        **profile,
    ) as raster:
        raster.write(values)
    return path


def write_polygons(path: Path, polygons: list, *, crs: str = "EPSG:32631", **columns: list) -> Path:
    gpd.GeoDataFrame(columns, geometry=polygons, crs=crs).to_file(path)
    return path
