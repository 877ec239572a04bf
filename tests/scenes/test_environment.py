"""GDAL is set as the package says it is."""

from __future__ import annotations

from rasterio.env import get_gdal_config

from geoconvlora.scenes.environment import CACHE_MB, raster_environment


def test_block_cache_holds_megabytes() -> None:
    with raster_environment():
        assert get_gdal_config("GDAL_CACHEMAX") == CACHE_MB * 2**20
