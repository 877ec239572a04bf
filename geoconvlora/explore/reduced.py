"""A raster in few pixels: from its overviews where it has some."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.enums import Resampling
from rasterio.io import DatasetReader
from rasterio.windows import Window as RasterioWindow

from geoconvlora.errors import SceneError
from geoconvlora.scenes import Scene
from geoconvlora.scenes.environment import raster_environment
from geoconvlora.scenes.opening import RASTER_FAULTS, open_dataset, reason
from geoconvlora.scenes.pixels import StoredPixels
from geoconvlora.scenes.remote import remote_options
from geoconvlora.scenes.scene import read_bands, stacked
from geoconvlora.scenes.validity import Validity


def reduced_geobox(geobox: GeoBox, max_side: int) -> GeoBox:
    """The same ground in pixels as large as make no side longer than ``max_side``.

    Example:
        >>> from affine import Affine
        >>> grid = GeoBox((1000, 2000), Affine(10, 0, 0, 0, -10, 0), "EPSG:32631")
        >>> reduced_geobox(grid, 500).shape
        Shape2d(x=500, y=250)
    """
    height, width = geobox.shape
    factor = max(height, width) / max_side
    if factor <= 1:
        return geobox
    return geobox.zoom_to((max(1, round(height / factor)), max(1, round(width / factor))))


def read_reduced(
    scene: Scene, max_side: int, resampling: Resampling, nodata: float | None = None
) -> StoredPixels:
    """All of a scene on :func:`reduced_geobox`; averages leave out what is invalid.

    Args:
        scene: What is read.
        max_side: Pixels along the longer side at most.
        resampling: How pixels are joined.
        nodata: Stands in for the file's own, which GDAL alone leaves out of averages: with it one
            of the pixels stands for all.

    Raises:
        SceneError: The file cannot be read.
    """
    shape = tuple(reduced_geobox(scene.geobox, max_side).shape)
    try:
        with (
            raster_environment(**remote_options(scene.path)),
            open_dataset(scene.path) as dataset,
        ):
            chosen = resampling if nodata is None else Resampling.nearest
            return _read(dataset, scene, shape, chosen, nodata)
    except RASTER_FAULTS as fault:
        raise SceneError(
            f"{scene.path} cannot be read: it is truncated or damaged ({reason(fault)})"
        ) from fault


def _read(
    dataset: DatasetReader,
    scene: Scene,
    shape: tuple[int, ...],
    resampling: Resampling,
    nodata: float | None,
) -> StoredPixels:
    bands = list(scene.bands)
    rule = Validity.of(dataset, scene.bands, nodata=nodata, default_nodata=None)
    window = RasterioWindow(0, 0, scene.width, scene.height)
    kind = np.dtype(scene.dtype)
    # Averages of whole numbers are none.
    averaged = resampling == Resampling.average and kind.kind in "iu"
    stored = read_bands(
        dataset,
        bands,
        window=window,
        shape=shape,
        resampling=resampling,
        out_dtype="float32" if averaged or kind.itemsize > 2 else None,
    )
    valid = rule.of_values(stored)
    values = stacked(stored)
    if values.dtype.kind == "f":
        valid &= np.isfinite(values).all(axis=0)
    if rule.masked:
        valid &= (_masks(dataset, bands, shape) > 0).all(axis=0)
    for alpha in rule.alpha:
        seen = dataset.read(alpha, out_shape=shape, resampling=Resampling.average)
        valid &= seen > 0
    np.copyto(values, 0, where=~valid)
    return StoredPixels(values, valid)


def _masks(dataset: DatasetReader, bands: list[int], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    masks: NDArray[np.uint8] = dataset.read_masks(
        bands, out_shape=(len(bands), *shape), resampling=Resampling.average
    )
    return masks
