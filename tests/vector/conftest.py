from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

WriteRaster = Callable[..., Path]


@pytest.fixture
def write_raster(tmp_path: Path) -> WriteRaster:
    """Write a small GeoTIFF, ``(h, w)`` or ``(bands, h, w)``; return its path."""

    def write(
        values: NDArray,
        name: str = "map.tif",
        *,
        crs: str | None = "EPSG:32631",
        transform: Affine | None = None,
        tags: dict[str, str] | None = None,
        **profile: object,
    ) -> Path:
        bands = values[None] if values.ndim == 2 else values
        path = tmp_path / name
        with rasterio.open(
            path,
            "w",
            driver="GTiff",
            height=bands.shape[1],
            width=bands.shape[2],
            count=len(bands),
            dtype=bands.dtype,
            crs=crs,
            transform=transform or Affine(10, 0, 500000, 0, -10, 5000000),
            **profile,
        ) as out:
            out.write(bands)
            out.update_tags(**(tags or {}))
        return path

    return write


@pytest.fixture
def utm_grid() -> Callable[[int, int], GeoBox]:
    """Grids of 10 m pixels in UTM 31N."""

    def grid(height: int, width: int) -> GeoBox:
        return GeoBox((height, width), Affine(10, 0, 500000, 0, -10, 5000000), "EPSG:32631")

    return grid
