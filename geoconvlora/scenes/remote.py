"""Rasters that are elsewhere: their names in GDAL, and how few requests they cost."""

from __future__ import annotations

import os
import re
from typing import Any

#: GDAL's file systems by the scheme of a URL.
_FILE_SYSTEMS = {
    "http": "/vsicurl/http://",
    "https": "/vsicurl/https://",
    "s3": "/vsis3/",
    "gs": "/vsigs/",
    "az": "/vsiaz/",
}
_URL = re.compile(r"^([a-z0-9]+)://(.+)$", re.IGNORECASE | re.DOTALL)
_NETWORK = re.compile(r"^/vsi(curl|s3|gs|az|adls|oss|swift|hdfs|webhdfs)(_streaming)?[/?]")

#: Failures that pass are waited for; a server that says nothing is not.
_PATIENCE = {
    "GDAL_HTTP_MAX_RETRY": 3,
    "GDAL_HTTP_RETRY_DELAY": 0.5,
    "GDAL_HTTP_RETRY_CODES": "ALL",
    "GDAL_HTTP_CONNECTTIMEOUT": 10,
    "GDAL_HTTP_TIMEOUT": 60,
}
#: A raster's header in one request, its blocks in few, and none for files that may lie beside it.
_FEW_REQUESTS = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_INGESTED_BYTES_AT_OPEN": 32768,
    "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES",
    "GDAL_HTTP_MULTIRANGE": "YES",
    "CPL_VSIL_CURL_CHUNK_SIZE": 131072,
}


def is_remote(path: str) -> bool:
    """Return whether reading a raster of this name needs the network.

    Example:
        >>> is_remote("s3://bucket/scene.tif"), is_remote("scene.tif")
        (True, False)
    """
    scheme = _URL.match(path)
    known = scheme is not None and scheme[1].lower() in _FILE_SYSTEMS
    return known or _NETWORK.match(path) is not None


def gdal_name(path: str) -> str:
    """Return GDAL's name of a raster; of a file's, the same.

    Example:
        >>> gdal_name("https://example.org/scene.tif")
        '/vsicurl/https://example.org/scene.tif'
    """
    scheme = _URL.match(path)
    if scheme is None or scheme[1].lower() not in _FILE_SYSTEMS:
        return path
    return _FILE_SYSTEMS[scheme[1].lower()] + scheme[2]


def remote_options(path: str) -> dict[str, Any]:
    """Return GDAL's options for a raster: of a file's, none.

    What the user has set in the environment stays.
    """
    if not is_remote(path):
        return {}
    options = {**_PATIENCE, **_FEW_REQUESTS}
    return {name: value for name, value in options.items() if name not in os.environ}
