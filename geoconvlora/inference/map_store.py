"""A scene's probabilities on disk, between being predicted and being joined with others."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType

import numpy as np
import rasterio
from odc.geo.geobox import GeoBox
from rasterio.crs import CRS
from rasterio.windows import Window as RasterioWindow

from geoconvlora.errors import OutputError
from geoconvlora.inference.map_source import MapSource, open_map
from geoconvlora.inference.rows import MapRows
from geoconvlora.inference.tiff import check_whole
from geoconvlora.scenes.environment import raster_environment
from geoconvlora.scenes.opening import RASTER_FAULTS, reason
from geoconvlora.weights.card import ClassInfo

#: Rows that are compressed together: few, because they are written and read by bands of rows.
_STRIP_ROWS = 16


class MapStore:
    """A GeoTIFF of probabilities that is fed rows from top to bottom; a context manager.

    It is made to be read again soon: in strips, hardly compressed, NaN where invalid.
    """

    def __init__(
        self, path: Path, geobox: GeoBox, classes: int, *, row: int = 0, column: int = 0
    ) -> None:
        """Create the file.

        Args:
            path: The file.
            geobox: Its grid.
            classes: K.
            row: The grid's row that is fed first; nothing is known of those before.
            column: The column that rows begin at.

        Raises:
            OutputError: It cannot be written.
        """
        self._path = path
        self._row, self._column = row, column
        assert geobox.crs is not None
        try:
            with raster_environment():
                self._dataset = rasterio.open(
                    path,
                    "w",
                    driver="GTiff",
                    height=geobox.shape[0],
                    width=geobox.shape[1],
                    count=classes,
                    dtype="float32",
                    nodata=np.nan,
                    crs=CRS.from_wkt(geobox.crs.to_wkt()),
                    transform=geobox.affine,
                    blockysize=_STRIP_ROWS,
                    interleave="band",
                    compress="deflate",
                    zlevel=1,
                    predictor=3,
                    BIGTIFF="YES",
                    SPARSE_OK="TRUE",
                )
        except RASTER_FAULTS as fault:
            raise self._unwritten(fault) from fault

    def feed(self, rows: MapRows) -> None:
        """Write rows of the grid.

        Raises:
            OutputError: The disk is full, for instance.
        """
        stored = np.where(rows.valid, rows.probabilities, np.float32(np.nan))
        window = RasterioWindow(
            self._column, self._row + rows.row, stored.shape[2], stored.shape[1]
        )
        try:
            with raster_environment():
                self._dataset.write(stored, window=window)
        except RASTER_FAULTS as fault:
            raise self._unwritten(fault) from fault

    def __enter__(self) -> MapStore:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            with raster_environment():
                self._dataset.close()
            if kind is None:
                # GDAL does not tell what its last flush could not write.
                check_whole(self._path)
                with self._path.open("rb") as written:
                    os.fsync(written.fileno())
        except (*RASTER_FAULTS, OSError) as fault:
            if kind is None:
                raise self._unwritten(fault) from fault

    def _unwritten(self, fault: BaseException) -> OutputError:
        return OutputError(f"{self._path} cannot be written ({reason(fault)}): is the disk full?")


def is_whole(path: Path) -> bool:
    """Whether a store is there with all that was fed to it."""
    try:
        check_whole(path)
    except OSError:
        return False
    return True


def open_store(path: Path, classes: tuple[ClassInfo, ...], model: str) -> MapSource:
    """Open a finished store as a map of a model's classes.

    Raises:
        SceneError: It is gone or damaged.
    """
    source = open_map(path)
    return source.labelled(classes, model)
