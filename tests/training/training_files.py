"""Small files that the tests of this folder make for themselves."""

import math
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import rasterio
from affine import Affine
from rasterio.warp import reproject, transform_bounds

CLASSES = [
    {"id": 0, "name": "other", "color": "#000000"},
    {"id": 1, "name": "field", "color": "#00ff00"},
]
FIELD_CLASSES = [*CLASSES, {"id": 2, "name": "boundary", "color": "#ffffff"}]


def write_raster(
    path: Path, values: np.ndarray, *, left: float = 500_000, top: float = 5_600_000, **profile: Any
) -> Path:
    count, height, width = values.shape
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=height,
        width=width,
        count=count,
        dtype=values.dtype,
        **{
            "crs": "EPSG:32631",
            "transform": Affine(10, 0, left, 0, -10, top),
            **profile,
        },
    ) as raster:
        raster.write(values)
    return path


def described(path: Path, *names: str) -> Path:
    """Name a raster's bands."""
    with rasterio.open(path, "r+") as raster:
        raster.descriptions = names
    return path


def warp(source: Path, target: Path, crs: str, gsd_m: float) -> Path:
    """Put a raster on another grid, nearest pixel; what lies outside the source is 0."""
    with rasterio.open(source) as raster:
        left, bottom, right, top = transform_bounds(raster.crs, crs, *raster.bounds)
        transform = Affine(gsd_m, 0, left, 0, -gsd_m, top)
        width, height = (math.ceil(side / gsd_m) for side in (right - left, top - bottom))
        values = np.zeros((raster.count, height, width), dtype=raster.dtypes[0])
        reproject(
            raster.read(),
            values,
            src_transform=raster.transform,
            src_crs=raster.crs,
            dst_transform=transform,
            dst_crs=crs,
        )
        names, nodata = raster.descriptions, raster.nodata or 0
    write_raster(target, values, crs=crs, transform=transform, nodata=nodata)
    return described(target, *names) if any(names) else target


def write_polygons(path: Path, polygons: list, *, crs: str = "EPSG:32631", **columns: list) -> Path:
    gpd.GeoDataFrame(columns, geometry=polygons, crs=crs).to_file(path)
    return path
