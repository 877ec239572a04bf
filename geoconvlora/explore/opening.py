"""Files as xarray Datasets and GeoDataFrames."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import xarray as xr
from numpy.typing import NDArray
from odc.geo.xr import xr_coords
from rasterio.enums import Resampling

from geoconvlora.errors import BandError, ConfigError
from geoconvlora.evaluate.polygons import read_frame
from geoconvlora.explore.lazy import Stored, lazily
from geoconvlora.explore.legend import Legend
from geoconvlora.explore.reduced import read_reduced, reduced_geobox
from geoconvlora.scenes import Scene
from geoconvlora.scenes import open_scene as open_pixels
from geoconvlora.scenes.opening import open_dataset
from geoconvlora.scenes.pixels import StoredPixels

MAX_SIDE = 1200
"""Pixels along the longer side of what is drawn of a file."""

_NOTHING = {"uint8": 255, "uint16": 65535}
"""Value of pixels without a class."""


def open_scene(
    path: str | Path,
    *,
    bands: Sequence[int] | None = None,
    nodata: float | None = None,
    max_side: int | None = None,
) -> xr.Dataset:
    """Open an image, lazily: pixels are read when they are computed.

    Args:
        path: Any raster with a CRS that GDAL reads.
        bands: 1-based bands; None: all but alpha.
        nodata: Value that means 'no data', instead of the file's own.
        max_side: Read it now, in so many pixels along its longer side at most, from overviews
            where there are some; values are averages. None: all pixels, lazily.

    Returns:
        ``scene`` ``(band, y, x)`` float32, NaN where invalid; in chunks where dask is installed.
        Its coordinates hold band names and the CRS; attributes ``path``, ``gsd_m`` and ``date``.

    Raises:
        SceneError: The file cannot be read or has no CRS.
        BandError: It has not these bands.
        ConfigError: ``max_side`` is less than 1.

    Example:
        >>> from geoconvlora import explore
        >>> explore.open_scene("scene.tif").scene.sel(band="nir").mean()  # doctest: +SKIP
    """
    pixels = open_pixels(path, bands=bands, nodata=nodata)
    variable = _variable(pixels, max_side, Resampling.average, _floats, "float32", nodata=nodata)
    names = _distinct(pixels.band_names)
    return _dataset(pixels, max_side, {"scene": variable}, band=names)


def open_classes(path: str | Path, *, max_side: int | None = None) -> xr.Dataset:
    """Open a class raster, lazily.

    Args:
        path: One band of class ids.
        max_side: As for :func:`open_scene`; of pixels that are joined, the most frequent class.

    Returns:
        ``classes`` ``(y, x)`` of unsigned integers, ``_FillValue`` where there is none. Names and
        colours are its attributes, by the CF conventions (``flag_values``, ``flag_meanings``,
        ``flag_colors``); :class:`geoconvlora.explore.Legend` reads them.

    Raises:
        SceneError: The file cannot be read or has no CRS.
        BandError: It is no band of class ids from 0 to 65534.
        ConfigError: ``max_side`` is less than 1.

    Example:
        >>> from geoconvlora import explore
        >>> explore.open_classes("classes.tif").classes.flag_meanings  # doctest: +SKIP
        'background field'
    """
    pixels = open_pixels(path)
    if len(pixels.bands) != 1 or np.dtype(pixels.dtype).kind not in "iu":
        raise BandError(
            f"{path} has {len(pixels.bands)} bands of {pixels.dtype}: classes are one band of "
            "integers (open_probabilities opens probabilities, open_scene images)"
        )
    small = pixels.dtype == "uint8" and pixels.nodata == _NOTHING["uint8"]
    dtype = "uint8" if small else "uint16"
    values = partial(_ids, dtype=dtype, path=str(path))
    variable = _variable(pixels, max_side, Resampling.mode, values, dtype)[0]
    variable.attrs = {**_legend_of(path).attributes(), "_FillValue": _NOTHING[dtype]}
    return _dataset(pixels, max_side, {"classes": variable})


def open_probabilities(path: str | Path, *, max_side: int | None = None) -> xr.Dataset:
    """Open a raster of class probabilities, one band a class, lazily.

    Args:
        path: As ``geoconvlora predict --probs`` writes it, float32 or uint8 with a scale.
        max_side: As for :func:`open_scene`.

    Returns:
        ``probabilities`` ``(class, y, x)`` float32, NaN where invalid, with the classes' names as
        coordinates; names and colours as for :func:`open_classes`.

    Raises:
        SceneError: The file cannot be read or has no CRS.
        ConfigError: ``max_side`` is less than 1.

    Example:
        >>> from geoconvlora import explore
        >>> explore.open_probabilities("probs.tif").probabilities.sel({"class": "field"})
        ... # doctest: +SKIP
    """
    pixels = open_pixels(path)
    legend = _legend_of(path)
    with open_dataset(str(path)) as dataset:
        bands = np.array(pixels.bands) - 1
        scales = np.array(dataset.scales, np.float32)[bands].reshape(-1, 1, 1)
        offsets = np.array(dataset.offsets, np.float32)[bands].reshape(-1, 1, 1)
    values = partial(_fractions, scales=scales, offsets=offsets)
    average = Resampling.average
    variable = _variable(pixels, max_side, average, values, "float32", layers="class")
    variable.attrs = legend.attributes()
    tagged = len(legend.names) == len(pixels.bands)
    names = [legend.name(i) for i in legend.ids] if tagged else _distinct(pixels.band_names)
    return _dataset(pixels, max_side, {"probabilities": variable}, **{"class": names})


def open_polygons(path: str | Path) -> gpd.GeoDataFrame:
    """Open the polygons of a vector file with all their attributes.

    Args:
        path: GeoPackage, GeoParquet, GeoJSON, FlatGeobuf, shapefile or what else GDAL reads; of
            several layers, the first of polygons.

    Raises:
        LabelError: The file cannot be read or has no CRS.

    Example:
        >>> from geoconvlora import explore
        >>> explore.open_polygons("fields.gpkg").area_m2.sum()  # doctest: +SKIP
    """
    return read_frame(path)


def _variable(
    scene: Scene,
    max_side: int | None,
    resampling: Resampling,
    values: Stored,
    dtype: str,
    *,
    layers: str = "band",
    nodata: float | None = None,
) -> xr.Variable:
    if max_side is None:
        return lazily(scene, values, dtype, layers)
    if max_side < 1:
        raise ConfigError(f"max_side {max_side} is less than 1")
    read = values(read_reduced(scene, max_side, resampling, nodata))
    return xr.Variable((layers, "y", "x"), read)


def _dataset(
    scene: Scene, max_side: int | None, variables: dict[str, xr.Variable], **coords: Any
) -> xr.Dataset:
    geobox = scene.geobox if max_side is None else reduced_geobox(scene.geobox, max_side)
    where: dict[Hashable, Any] = dict(xr_coords(geobox, always_yx=True))
    where.update(coords)
    about = {"path": scene.path, "gsd_m": scene.gsd_m, "date": scene.date}
    dataset = xr.Dataset(variables, coords=where, attrs=about)
    for variable in dataset.data_vars.values():
        variable.encoding["grid_mapping"] = "spatial_ref"
    return dataset


def _legend_of(path: str | Path) -> Legend:
    with open_dataset(str(path)) as dataset:
        legend = Legend.of_attributes(dataset.tags(), str(path))
        try:
            colormap = dataset.colormap(1)
        except ValueError:
            return legend
    told = {i: f"#{r:02x}{g:02x}{b:02x}" for i, (r, g, b, alpha) in colormap.items() if alpha}
    return Legend(legend.names, {**told, **legend.colors})


def _floats(pixels: StoredPixels) -> NDArray[np.float32]:
    floats = pixels.values.astype(np.float32)
    np.copyto(floats, np.nan, where=~pixels.valid)
    return floats


def _fractions(
    pixels: StoredPixels, scales: NDArray[np.float32], offsets: NDArray[np.float32]
) -> NDArray[np.float32]:
    return _floats(pixels) * scales + offsets


def _ids(pixels: StoredPixels, dtype: str, path: str) -> NDArray[np.unsignedinteger]:
    nothing = _NOTHING[dtype]
    ids = np.where(pixels.valid, pixels.values, 0)
    if ids.size and (ids.min() < 0 or ids.max() >= _NOTHING["uint16"]):
        strange = ids.min() if ids.min() < 0 else ids.max()
        raise BandError(
            f"{path} holds {strange:g}, which is no class id (0 to 65534): is it an image?"
        )
    # Of uint8 and a larger number NumPy makes uint8.
    return np.where(pixels.valid, ids.astype(dtype), np.array(nothing, dtype))


def _distinct(names: Sequence[str]) -> list[str]:
    """Names that tell bands apart; numbers where they do not."""
    if len(set(names)) == len(names) and all(names):
        return list(names)
    return [f"band_{number}" for number in range(1, len(names) + 1)]
