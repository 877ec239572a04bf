"""How GDAL is set while this package reads and writes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import rasterio

#: GDAL's block cache, in MB. It is shared by the whole process; small, because every row is read
#: once and in order, and fixed, so that memory does not grow with the scene until it is full.
CACHE_MB = 32

_FOR_WRITING = {
    # GeoPackages carry the time of writing; one fixed time makes the same polygons the same bytes.
    "OGR_CURRENT_DATE": "1970-01-01T00:00:00.000Z",
    # Another size of pages, for instance, is for files that are made by GDAL alone.
    "OGR_SQLITE_PRAGMA": "",
}


@contextmanager
def raster_environment(*, cache_mb: int = CACHE_MB, **options: Any) -> Iterator[None]:
    """Return the context in which rasters are opened, read and written.

    Args:
        cache_mb: Size of GDAL's block cache.
        options: Of GDAL, besides.

    Within it GDAL's messages go to Python's ``rasterio`` logger instead of the terminal.

    Example:
        >>> with raster_environment():
        ...     pass
    """
    with ExitStack() as stack:
        # Bytes: rasterio hands the number on to GDAL's function, not to its option, which takes MB.
        stack.enter_context(rasterio.Env(GDAL_CACHEMAX=cache_mb * 2**20))
        if options:
            # In a context of their own: the outermost one of a thread sets, at its end, what it
            # found at its start, and would for ever leave what another thread has set meanwhile.
            stack.enter_context(rasterio.Env(**options))
        yield


@contextmanager
def vector_environment() -> Iterator[None]:
    """Set GDAL, as pyogrio has it, so that what is written depends on what is given alone.

    Example:
        >>> with vector_environment():
        ...     pass
    """
    import pyogrio

    before = {name: pyogrio.get_gdal_config_option(name) for name in _FOR_WRITING}
    pyogrio.set_gdal_config_options(_FOR_WRITING)
    try:
        yield
    finally:
        pyogrio.set_gdal_config_options(before)
