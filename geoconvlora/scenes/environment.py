"""How GDAL is set while this package reads and writes."""

from __future__ import annotations

import rasterio

#: GDAL's block cache, in MB. It is shared by the whole process; small, because every row is read
#: once and in order, and fixed, so that memory does not grow with the scene until it is full.
CACHE_MB = 64


def raster_environment() -> rasterio.Env:
    """Return the context in which rasters are opened, read and written.

    Within it GDAL's messages go to Python's ``rasterio`` logger instead of the terminal.

    Example:
        >>> with raster_environment():
        ...     pass
    """
    return rasterio.Env(GDAL_CACHEMAX=CACHE_MB)
