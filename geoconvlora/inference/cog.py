"""Rasters that are fed rows from top to bottom and become cloud-optimised GeoTIFFs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import rasterio
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.crs import CRS
from rasterio.io import DatasetWriter
from rasterio.windows import Window as RasterioWindow

from geoconvlora.inference.outputs import part_name
from geoconvlora.inference.tiff import assemble
from geoconvlora.scenes.environment import raster_environment

BLOCK = 512
#: Rows of an overview that are made at a time, so that what is in between is small.
_HALVED_ROWS = 8
Resampling = Literal["average", "mode"]


class CogWriter:
    """A raster and its overviews, each half as large as the one before it.

    All are made in one pass over the rows: what is in memory is one row of blocks of each. Tiles
    are compressed once, to a file for each resolution beside the target, and copied from there.

    Args:
        path: The target; :meth:`assemble` writes to :attr:`part`, beside it.
        geobox: Its grid.
        count: Bands.
        dtype: Their type.
        nodata: The value of pixels without data, in all bands alike.
        resampling: ``average`` of the data, or their most frequent value.
        creation: GDAL's creation options for the compression.
    """

    def __init__(
        self,
        path: Path,
        geobox: GeoBox,
        *,
        count: int,
        dtype: str,
        nodata: float,
        resampling: Resampling,
        creation: dict[str, Any],
    ) -> None:
        self.part = part_name(path)
        crs = geobox.crs
        assert crs is not None
        profile = {
            "driver": "GTiff",
            "count": count,
            "dtype": dtype,
            "nodata": nodata,
            "tiled": True,
            "blockxsize": BLOCK,
            "blockysize": BLOCK,
            "interleave": "pixel",
            "BIGTIFF": "YES",
            "crs": CRS.from_wkt(crs.to_wkt()),
            "transform": geobox.affine,
            **creation,
        }
        height, width = geobox.shape
        self._levels: list[_Level] = []
        try:
            while True:
                name = part_name(path, f"rows{len(self._levels)}")
                self._levels.append(_Level(name, height, width, resampling, profile))
                if max(height, width) <= BLOCK:
                    break
                height, width = -(-height // 2), -(-width // 2)
        except BaseException:
            self.discard()
            raise

    @property
    def datasets(self) -> tuple[DatasetWriter, ...]:
        """The full resolution, which takes the tags, and the overviews."""
        return tuple(level.dataset for level in self._levels)

    def write(self, rows: NDArray[Any]) -> None:
        """Append rows ``(bands, h, W)``."""
        with raster_environment():
            self._feed(0, rows)

    def assemble(self) -> None:
        """Write the COG, once all rows were written, to :attr:`part`.

        Raises:
            OSError: The disk is full, for instance.
        """
        with raster_environment():
            for level in self._levels:
                level.dataset.close()
        assemble([level.path for level in self._levels], self.part)

    def discard(self) -> None:
        """Remove all temporary files."""
        for level in self._levels:
            level.dataset.close()
            level.path.unlink(missing_ok=True)
        self.part.unlink(missing_ok=True)

    def _feed(self, number: int, rows: NDArray[Any]) -> None:
        level = self._levels[number]
        while rows.shape[1]:
            rows = rows[:, level.take(rows) :]
            if level.full:
                smaller = level.flush()
                if number + 1 < len(self._levels):
                    self._feed(number + 1, smaller)


class _Level:
    """One resolution: a row of blocks that is being filled, and a tiled file behind it."""

    def __init__(
        self, path: Path, height: int, width: int, resampling: Resampling, profile: dict[str, Any]
    ) -> None:
        self.path = path
        self._height, self._width, self._resampling = height, width, resampling
        self._nodata = profile["nodata"]
        shape = (profile["count"], min(BLOCK, height), width)
        self._rows = np.empty(shape, profile["dtype"])
        self._filled = self._written = 0
        with raster_environment():
            self.dataset = rasterio.open(path, "w", height=height, width=width, **profile)

    @property
    def full(self) -> bool:
        """Whether the blocks, or the raster, have all their rows."""
        return self._filled == min(BLOCK, self._height - self._written) > 0

    def take(self, rows: NDArray[Any]) -> int:
        """Take the first rows of ``(bands, h, W)``; return how many there was room for."""
        room = min(BLOCK, self._height - self._written) - self._filled
        taken = rows[:, :room]
        self._rows[:, self._filled : self._filled + taken.shape[1]] = taken
        self._filled += taken.shape[1]
        return int(taken.shape[1])

    def flush(self) -> NDArray[Any]:
        """Write the row of blocks; return it at half the size."""
        rows = self._rows[:, : self._filled]
        window = RasterioWindow(0, self._written, self._width, self._filled)
        self.dataset.write(rows, window=window)
        self._written += self._filled
        self._filled = 0
        half = -(-rows.shape[1] // 2), -(-self._width // 2)
        smaller = np.empty((len(rows), *half), rows.dtype)
        for row in range(0, half[0], _HALVED_ROWS):
            part = rows[:, 2 * row : 2 * (row + _HALVED_ROWS)]
            smaller[:, row : row + _HALVED_ROWS] = halved(part, self._nodata, self._resampling)
        return smaller


def halved(rows: NDArray[Any], nodata: float, resampling: Resampling) -> NDArray[Any]:
    """Return ``(bands, h, W)`` at half the size, rounded up; blocks of 2 x 2 become a pixel.

    A block's pixels without data do not count, unless it has no others.

    Example:
        >>> halved(np.array([[[1, 1, 255], [4, 2, 6]]], np.uint8), 255, "mode").tolist()
        [[[1, 6]]]
        >>> halved(np.array([[[1, 1, 255], [4, 2, 6]]], np.uint8), 255, "average").tolist()
        [[[2, 6]]]
    """
    odd = rows.shape[1] % 2, rows.shape[2] % 2
    if any(odd):
        padding = (0, 0), (0, odd[0]), (0, odd[1])
        rows = np.pad(rows, padding, constant_values=nodata)
    if resampling == "mode":
        return _mode(rows, nodata)
    # Bands share their validity.
    valid = ~np.isnan(rows[0]) if np.isnan(nodata) else rows[0] != nodata
    return _average(rows, valid, nodata)


def _average(rows: NDArray[Any], valid: NDArray[np.bool_], nodata: float) -> NDArray[Any]:
    wide = np.float32 if rows.dtype.kind == "f" else np.uint16
    if valid.all():
        total = _sums(rows, wide)
        if wide is np.float32:
            total *= np.float32(0.25)
            return total
        total += 2
        total >>= 2
        return total.astype(rows.dtype)
    total = _sums(np.where(valid, rows, rows.dtype.type(0)), wide)
    count = _sums(valid[None].view(np.uint8), wide)[0]
    known = np.maximum(count, 1)
    means = total / known if wide is np.float32 else (2 * total + known) // (2 * known)
    return np.where(count > 0, means, nodata).astype(rows.dtype)


def _sums(rows: NDArray[Any], dtype: type) -> NDArray[Any]:
    pairs = np.add(rows[:, 0::2], rows[:, 1::2], dtype=dtype)
    blocks: NDArray[Any] = np.add(pairs[:, :, 0::2], pairs[:, :, 1::2])
    return blocks


def _mode(rows: NDArray[Any], nodata: float) -> NDArray[Any]:
    """Of equals, the first in reading order."""
    a, b, c, d = (rows[:, i::2, j::2] for i in (0, 1) for j in (0, 1))
    # Of three the last decides only where it is equal to the second; else the first stands.
    best = np.where((b == c) | (b == d), b, np.where(c == d, c, a))
    best = np.where((a == b) | (a == c) | (a == d), a, best)
    empty = best == nodata
    if not empty.any():
        return best
    # Blocks with data whose most frequent value is nodata, or whose first pixel is.
    found = [each[empty] for each in (a, b, c, d)]
    votes = np.stack([sum((one == other).astype(np.uint8) for other in found) for one in found])
    values = np.stack(found)
    votes[values == nodata] = 0
    best[empty] = values[votes.argmax(axis=0), np.arange(values.shape[1])]
    return best
