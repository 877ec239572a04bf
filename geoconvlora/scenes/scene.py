"""One georeferenced raster, read by integer windows together with its validity."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from copy import copy
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.io import DatasetReader
from rasterio.windows import Window as RasterioWindow

from geoconvlora.errors import SceneError
from geoconvlora.scenes.bands import BandLabel, choose_bands
from geoconvlora.scenes.date import acquisition_date
from geoconvlora.scenes.environment import raster_environment
from geoconvlora.scenes.ground import ground_sampling_distance
from geoconvlora.scenes.inputs import short_name
from geoconvlora.scenes.opening import (
    RASTER_FAULTS,
    georeference,
    open_dataset,
    reason,
    refuse_palette,
)
from geoconvlora.scenes.pixels import Pixels, StoredPixels, Window
from geoconvlora.scenes.remote import is_remote, remote_options
from geoconvlora.scenes.validity import Validity


class Scene:
    """A raster with a place on the ground; made by :func:`open_scene`.

    It is a context manager, may be read from several threads (one at a time gets through), and
    may be pickled: the copy opens the file again when it first reads.
    """

    path: str
    name: str
    """File name without suffix, or the id of an item in a STAC file."""
    geobox: GeoBox
    bands: tuple[int, ...]
    """Bands read, 1-based, in order."""
    band_names: tuple[str, ...]
    dtype: str
    """Stored type of the first band read."""
    gsd_m: float
    """Side of a square as large as the pixel at the centre, in metres."""
    date: str
    """When it was taken, ISO 8601, as far as the file says; otherwise empty."""
    nodata: float | None
    """The value that means 'no data': the one asked for, else the first band's own, else None."""

    def __init__(
        self,
        path: str,
        dataset: DatasetReader,
        *,
        wanted: Sequence[str] | None,
        bands: Sequence[int] | None,
        nodata: float | None,
        default_nodata: float | None,
        strict_bands: bool = False,
    ) -> None:
        """Use :func:`open_scene` instead, which checks the file first."""
        self._dataset: DatasetReader | None = dataset
        self._lock = threading.Lock()
        self.path = path
        self.name = short_name(path)
        self.geobox = georeference(dataset, path)
        self.gsd_m = ground_sampling_distance(self.geobox)
        with raster_environment():
            if wanted is not None:
                refuse_palette(dataset, path)
            self.date = acquisition_date(dataset)
            self.labels = band_labels(dataset)
            self.bands = choose_bands(self.labels, wanted, bands, path, strict=strict_bands)
            self.dtype = dataset.dtypes[self.bands[0] - 1]
            self._validity = Validity.of(
                dataset, self.bands, nodata=nodata, default_nodata=default_nodata
            )
        self.band_names = tuple(self.labels[band - 1].name for band in self.bands)
        self.nodata = self._validity.nodata[0]
        self._block_rows = int(dataset.block_shapes[self.bands[0] - 1][0])

    @property
    def height(self) -> int:
        """Rows."""
        return int(self.geobox.shape[0])

    @property
    def width(self) -> int:
        """Columns."""
        return int(self.geobox.shape[1])

    def read(self, window: Window) -> Pixels:
        """Return a window's pixels; what lies outside the scene is invalid.

        Args:
            window: May reach beyond the scene on any side.

        Returns:
            Values ``(C, h, w)`` as stored, 0 where invalid, and validity ``(h, w)``.

        Raises:
            SceneError: The file cannot be read there: it is truncated or damaged.
        """
        inside = window.clipped(self.height, self.width)
        if inside.empty:
            return Pixels.nowhere(len(self.bands), window)
        return self.read_stored(inside).as_floats().within(inside, window)

    def read_stored(self, window: Window) -> StoredPixels:
        """Return a window's pixels in the type that keeps them smallest.

        Args:
            window: Inside the scene, and not empty.

        Returns:
            Integers of at most 16 bits as the file has them, everything else as float32.

        Raises:
            SceneError: The file cannot be read there: it is truncated or damaged.
        """
        raw, valid = self._read_inside(window)
        if raw.dtype.kind == "f" or raw.dtype.itemsize > 2:
            with np.errstate(over="ignore"):
                values = raw.astype(np.float32, copy=False)
            if raw.dtype.kind == "f":
                valid &= np.isfinite(values).all(axis=0)
            raw = values
        if not valid.all():
            np.copyto(raw, 0, where=~valid)
        return StoredPixels(raw, valid)

    def absolute(self) -> Scene:
        """Return the same scene, by a name that does not depend on the working folder."""
        scene = copy(self)
        file = Path(self.path.partition("#")[0])
        if file.exists():
            scene.path = str(Path(self.path).absolute())
        return scene

    @property
    def block_rows(self) -> int:
        """Rows of the blocks that the file is stored in."""
        return self._block_rows

    def close(self) -> None:
        """Close the file; reading opens it again."""
        with self._lock:
            if self._dataset is not None:
                self._dataset.close()
                self._dataset = None

    def __enter__(self) -> Scene:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k not in {"_dataset", "_lock"}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _dataset=None, _lock=threading.Lock())

    def _read_inside(self, inside: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        window = RasterioWindow(inside.column, inside.row, inside.width, inside.height)
        with self._lock, raster_environment(**remote_options(self.path)):
            if self._dataset is None:
                self._dataset = open_dataset(self.path)
            dataset = self._dataset
            try:
                stored = read_bands(dataset, self.bands, window=window)
                valid = self._validity.read(dataset, self.bands, window, stored)
            except RASTER_FAULTS as fault:
                why = "it is truncated or damaged"
                if is_remote(self.path):
                    why += ", or the server does not answer"
                raise SceneError(
                    f"{self.path} cannot be read at rows {inside.row} to "
                    f"{inside.row + inside.height - 1}, columns {inside.column} to "
                    f"{inside.column + inside.width - 1}: {why} ({reason(fault)})"
                ) from fault
        return stacked(stored), valid


def open_scene(
    path: str | Path,
    *,
    wanted: Sequence[str] | None = None,
    bands: Sequence[int] | None = None,
    nodata: float | None = None,
    default_nodata: float | None = None,
    strict_bands: bool = False,
) -> Scene:
    """Open a georeferenced raster and decide which bands are read.

    A pixel is valid only if all bands read hold data there: by their nodata value, by a mask band
    (which supersedes nodata, as in GDAL), by an alpha band, and by not being NaN or infinite.

    Args:
        path: Any raster that GDAL reads and that has a CRS and a geotransform.
        wanted: The model's band names in order; None takes all bands but alpha.
        bands: 1-based bands to read instead, in order; they may repeat.
        nodata: Stored value that means 'no data', instead of the file's own.
        default_nodata: The same, for files that declare neither nodata, mask nor alpha.
        strict_bands: Refuse bands that the file describes as others than those wanted; else that
            is warned of, and they are read by position.

    Raises:
        SceneError: The file is missing, empty, damaged, no raster, or without a CRS.
        BandError: The bands do not fit.

    Example:
        >>> with open_scene("scene.tif", wanted=["red", "green", "nir"]) as scene:  # doctest: +SKIP
        ...     pixels = scene.read(Window(0, 0, 256, 256))
    """
    dataset = open_dataset(str(path))
    try:
        return Scene(
            str(path),
            dataset,
            wanted=wanted,
            bands=bands,
            nodata=nodata,
            default_nodata=default_nodata,
            strict_bands=strict_bands,
        )
    except BaseException:
        dataset.close()
        raise


def read_bands(
    dataset: DatasetReader,
    bands: Sequence[int],
    *,
    shape: tuple[int, ...] | None = None,
    **options: Any,
) -> NDArray[Any] | list[NDArray[Any]]:
    """Return ``(C, h, w)`` values, or a list of ``(h, w)`` where bands differ in type.

    Args:
        dataset: An open raster.
        bands: From 1.
        shape: Of a band; None: as many pixels as the raster has there.
        **options: Of rasterio's ``read``, which does not take bands of different types at once.
    """
    if len({dataset.dtypes[band - 1] for band in bands}) == 1:
        whole = None if shape is None else (len(bands), *shape)
        values: NDArray[Any] = dataset.read(list(bands), out_shape=whole, **options)
        return values
    return [dataset.read(band, out_shape=shape, **options) for band in bands]


def stacked(bands: NDArray[Any] | list[NDArray[Any]]) -> NDArray[Any]:
    """Bands as ``(C, h, w)``, in the type that holds the values of all."""
    return np.stack(bands) if isinstance(bands, list) else bands


def band_labels(dataset: DatasetReader) -> tuple[BandLabel, ...]:
    """Return what the file says of each of its bands."""
    return tuple(
        BandLabel(index, description or "", color.name, dtype)
        for index, description, color, dtype in zip(
            dataset.indexes,
            dataset.descriptions,
            dataset.colorinterp,
            dataset.dtypes,
            strict=True,
        )
    )
