"""Going once over a map, a strip of rows at a time."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import odc.geo.xr  # noqa: F401  (gives arrays their place)
import xarray as xr
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from geoconvlora.errors import SceneError
from geoconvlora.explore.lazy import CHUNK_PX

Map = str | Path | xr.Dataset
"""A file, or what was opened of it."""

_STRIP_PX = 2**21
"""Pixels that are worked on at once: their areas and counts take many times their bytes."""


def opened(source: Map, variable: str, opener: Callable[[str | Path], xr.Dataset]) -> xr.DataArray:
    """The array of a Dataset or of a file.

    Raises:
        SceneError: The Dataset has no such array.
    """
    dataset = source if isinstance(source, xr.Dataset) else opener(source)
    if variable not in dataset:
        raise SceneError(
            f"the Dataset has no {variable!r} but {', '.join(map(str, dataset.data_vars))}: open "
            f"it with explore.open_{variable}, or give the file's path"
        )
    return dataset[variable]


def geobox_of(array: xr.DataArray) -> GeoBox:
    """Where an array's pixels are.

    Raises:
        SceneError: It has no place, or a single row or column and no transform to tell its size.
    """
    with warnings.catch_warnings():
        # What it warns of is refused below.
        warnings.simplefilter("ignore", UserWarning)
        geobox = array.odc.geobox
    if not isinstance(geobox, GeoBox) or geobox.crs is None:
        raise SceneError(
            f"{array.name} has no regular coordinates or no CRS: give it one, "
            "e.g. array.rio.write_crs('EPSG:32631')"
        )
    return geobox


def strips(array: xr.DataArray, *more: xr.DataArray) -> Iterator[tuple[slice, list[NDArray[Any]]]]:
    """Rows and the values there of arrays on one grid, from top to bottom.

    What is lazy is read once; values are ``(..., h, W)``.
    """
    y, x = array.odc.spatial_dims
    height, width = array.sizes[y], array.sizes[x]
    rows = max(1, _STRIP_PX // width)
    read = rows if array.chunks is None else CHUNK_PX
    for first in range(0, height, read):
        whole = [np.asarray(each[..., first : first + read, :].values) for each in (array, *more)]
        for start in range(first, min(first + read, height), rows):
            stop = min(start + rows, first + read, height)
            part = slice(start - first, stop - first)
            yield slice(start, stop), [each[..., part, :] for each in whole]
