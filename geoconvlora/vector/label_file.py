"""Labels of a raster's file, read as they are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.io import DatasetReader
from rasterio.windows import Window

from geoconvlora.errors import BandError, SceneError
from geoconvlora.scenes.date import acquisition_date
from geoconvlora.scenes.environment import raster_environment
from geoconvlora.scenes.opening import RASTER_FAULTS, georeference, open_dataset, reason
from geoconvlora.vector.labels import Chance, Labels, as_labels, finite
from geoconvlora.vector.parts import Ids

_MAX_STRIP_ROWS = 1024
"""Strips that are higher than this are not kept in memory."""

_STRIP_CACHE_MB = 4
"""GDAL's block cache where strips are kept, and each block is asked for once."""
_STRIP_PART_PIXELS = 2**17
"""Pixels of a kept strip that become labels at a time."""


class FileLabels(Labels):
    """Labels of a raster file, read as they are asked for; a context manager.

    Args:
        raster: One band of integers with a place on the Earth.
        probs: A raster of probabilities on the same grid.

    Raises:
        SceneError: A file that cannot be read, has no place or no integers, or does not fit.
        BandError: More than one band of labels.
    """

    # What is read lies in arrays that the next strip overwrites: labels handed out are copies.
    _strip: tuple[int, NDArray[Any], NDArray[np.bool_]] | None
    _values: NDArray[Any]
    _valid: NDArray[np.bool_]

    def __init__(self, raster: str | Path, probs: str | Path | None) -> None:
        self.where = str(raster)
        with ExitStack() as opening:
            self._source = opening.enter_context(open_dataset(str(raster)))
            self.geobox = georeference(self._source, str(raster))
            _check_bands(self._source, raster)
            self._chance: DatasetReader | None = None
            if probs is not None:
                self._chance = opening.enter_context(open_dataset(str(probs)))
                _check_same_grid(self._source, self._chance)
            self.has_chance = probs is not None
            stored = self._source.block_shapes[0][0]
            self.strip_rows = stored if stored <= _MAX_STRIP_ROWS else 1
            self._forget()
            self._all_valid = MaskFlags.all_valid in self._source.mask_flag_enums[0]
            # A VRT's blocks are not those of its files, and probabilities are read for each part.
            if self.strip_rows > 1 and probs is None and self._source.driver != "VRT":
                self.read_pixels = _STRIP_PART_PIXELS
                opening.enter_context(raster_environment(cache_mb=_STRIP_CACHE_MB))
            self._describe(self._source.tags(), Path(raster).stem, acquisition_date(self._source))
            self._open = opening.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def rows(self, start: int, stop: int) -> Ids:
        """As :meth:`Labels.rows`."""
        if self._strip is None or not self._holds(start, stop):
            self._strip = None
            self._strip = self._read(start, stop)
        first, values, valid = self._strip
        rows = slice(start - first, stop - first)
        labels = as_labels(values[rows], valid[rows], self._source.name)
        if stop == self._source.height:
            self._forget()
        return labels

    def _forget(self) -> None:
        """Let go of what was read."""
        self._strip = None
        # Room for a strip, and then for the next: big arrays that come and go tear up the heap.
        self._values = np.empty((0, 0))
        self._valid = np.empty((0, 0), np.bool_)

    def _holds(self, start: int, stop: int) -> bool:
        assert self._strip is not None, "asked only of what was read"
        first, values, _ = self._strip
        return first <= start and stop <= first + len(values)

    def _read(self, start: int, stop: int) -> tuple[int, NDArray[Any], NDArray[np.bool_]]:
        """Read rows, and with them those that are decoded along with them anyway."""
        start -= start % self.strip_rows
        stop = min(-(-stop // self.strip_rows) * self.strip_rows, self._source.height)
        if len(self._values) < stop - start:
            shape = (stop - start, self._source.width)
            self._values = np.empty(shape, self._source.dtypes[0])
            # One byte says of all pixels that they are valid.
            everywhere = np.broadcast_to(np.True_, shape)
            self._valid = everywhere if self._all_valid else np.empty(shape, np.bool_)
        values, valid = self._values[: stop - start], self._valid[: stop - start]
        # Block by block, each with its validity: GDAL need not keep the whole strip as well.
        step = self._source.block_shapes[0][1]
        for left in range(0, self._source.width, step):
            columns = slice(left, min(left + step, self._source.width))
            window = Window(left, start, columns.stop - left, stop - start)
            with _reading(self._source, window):
                self._source.read(1, window=window, out=values[:, columns])
                if not self._all_valid:
                    valid[:, columns] = self._source.read_masks(1, window=window)
        return start, values, valid

    def chance(self, start: int, stop: int) -> Chance:
        """As :meth:`Labels.chance`."""
        source = self._chance
        assert source is not None, "asked only where there are probabilities"
        window = Window(0, start, source.width, stop - start)
        with _reading(source, window):
            stored = source.read(window=window, masked=True)
        scale = np.asarray(source.scales).reshape(-1, 1, 1)
        offset = np.asarray(source.offsets).reshape(-1, 1, 1)
        return finite(stored.filled(0) * scale + offset)


def _check_bands(source: DatasetReader, raster: str | Path) -> None:
    values = [
        index
        for index, meaning in zip(source.indexes, source.colorinterp, strict=True)
        if meaning != ColorInterp.alpha
    ]
    if values != [1]:
        raise BandError(f"{raster} has {len(values)} bands: polygonize wants one band of class ids")
    if not np.issubdtype(source.dtypes[0], np.integer):
        raise SceneError(
            f"{raster} holds {source.dtypes[0]}: polygonize wants integers (class or object ids)"
        )


def _check_same_grid(source: DatasetReader, chance: DatasetReader) -> None:
    same = (
        source.shape == chance.shape
        and source.crs == chance.crs
        and source.transform.almost_equals(chance.transform, precision=1e-6)
    )
    if not same:
        raise SceneError(
            f"{chance.name} is not on the grid of {source.name}: size, CRS and origin must agree"
        )


@contextmanager
def _reading(dataset: DatasetReader, window: Window) -> Iterator[None]:
    """Failures to read become one error that names the file and the place."""
    try:
        yield
    except RASTER_FAULTS as fault:
        raise SceneError(
            f"{dataset.name} cannot be read at rows {window.row_off} to "
            f"{window.row_off + window.height - 1}: it is truncated or damaged ({reason(fault)})"
        ) from fault
