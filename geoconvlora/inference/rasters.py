"""Maps as cloud-optimised GeoTIFFs, written row by row."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.crs import CRS
from rasterio.enums import ColorInterp
from rasterio.windows import Window as RasterioWindow

from geoconvlora.errors import OutputError
from geoconvlora.inference.outputs import part_name
from geoconvlora.inference.rows import MapRows
from geoconvlora.scenes.environment import raster_environment
from geoconvlora.scenes.opening import RASTER_FAULTS, reason
from geoconvlora.weights.card import ClassInfo, InstanceRule

CLASSES_TAG = "GEOCONVLORA_CLASSES"
MODEL_TAG = "GEOCONVLORA_MODEL"
INSTANCES_TAG = "GEOCONVLORA_INSTANCES"
NODATA_CLASS = 255


class MapRaster:
    """A COG that is fed rows from top to bottom; a context manager.

    Rows go to a striped GeoTIFF beside the target, which takes them as they come; :meth:`finish`
    turns it into a COG with bounded memory, and leaving the context without an error gives that
    its name. Subclasses say what is stored.
    """

    def __init__(
        self,
        path: Path,
        geobox: GeoBox,
        classes: Sequence[ClassInfo],
        *,
        model: str,
        profile: dict[str, Any],
        cog: dict[str, Any],
    ) -> None:
        """Create the temporary file.

        Args:
            path: The target.
            geobox: Its grid.
            classes: Stored as JSON in the tag ``GEOCONVLORA_CLASSES``.
            model: Stored in the tag ``GEOCONVLORA_MODEL``.
            profile: GDAL's type, band count, nodata and predictor.
            cog: Options of GDAL's COG driver.
        """
        self._path = path
        self._striped = part_name(path, "rows")
        self._part = part_name(path)
        self._cog = cog
        crs = geobox.crs
        assert crs is not None
        with raster_environment():
            self._dataset = rasterio.open(
                self._striped,
                "w",
                driver="GTiff",
                height=geobox.shape[0],
                width=geobox.shape[1],
                crs=CRS.from_wkt(crs.to_wkt()),
                transform=geobox.affine,
                blockysize=16,
                compress="deflate",
                zlevel=1,
                interleave="band",
                BIGTIFF="IF_SAFER",
                **profile,
            )
            listed = [each.model_dump() for each in classes]
            self._dataset.update_tags(**{CLASSES_TAG: json.dumps(listed), MODEL_TAG: model})

    def feed(self, rows: MapRows) -> None:
        """Write rows of the raster's own grid."""
        stored = self._stored(rows)
        window = RasterioWindow(0, rows.row, stored.shape[2], stored.shape[1])
        try:
            with raster_environment():
                self._dataset.write(stored, window=window)
        except RASTER_FAULTS as fault:
            raise self._unwritten(reason(fault)) from fault

    def finish(self) -> None:
        """Make the COG, still under its temporary name.

        Raises:
            OutputError: The disk is full, for instance.
        """
        try:
            with raster_environment():
                self._dataset.close()
                rasterio.shutil.copy(
                    self._striped,
                    self._part,
                    driver="COG",
                    COMPRESS="DEFLATE",
                    BIGTIFF="IF_SAFER",
                    NUM_THREADS="ALL_CPUS",
                    **self._cog,
                )
                whole = _is_whole(self._part)
            with self._part.open("rb") as written:
                os.fsync(written.fileno())
        except RASTER_FAULTS as fault:
            raise self._unwritten(reason(fault)) from fault
        if not whole:
            raise self._unwritten("its last part is missing")

    def __enter__(self) -> MapRaster:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._part.replace(self._path)
        finally:
            self._dataset.close()
            # The COG driver keeps overviews in files of its own while it works.
            for left in self._path.parent.glob(f"{self._part.name}*"):
                left.unlink(missing_ok=True)
            self._striped.unlink(missing_ok=True)

    def _stored(self, rows: MapRows) -> NDArray[Any]:
        """Return what is stored for some rows, ``(bands, h, W)``."""
        raise NotImplementedError

    def _unwritten(self, why: str) -> OutputError:
        return OutputError(f"{self._path} cannot be written ({why}): is the disk full?")


def _is_whole(path: Path) -> bool:
    """Whether all blocks of a COG lie within the file: GDAL closes one on a full disk in silence.

    Full resolution comes last in the file, so overviews need no look.
    """
    size = path.stat().st_size
    with rasterio.open(path) as cog:
        rows, columns = cog.block_shapes[0]
        for y in range(-(-cog.height // rows)):
            for x in range(-(-cog.width // columns)):
                start, length = (
                    cog.get_tag_item(f"BLOCK_{what}_{x}_{y}", "TIFF", bidx=cog.count)
                    for what in ("OFFSET", "SIZE")
                )
                if start is None or int(start) + int(length) > size:
                    return False
    return True


class ClassRaster(MapRaster):
    """The most probable class of each pixel, uint8 with a colour table; 255 where invalid."""

    def __init__(
        self, path: Path, geobox: GeoBox, classes: Sequence[ClassInfo], *, model: str
    ) -> None:
        super().__init__(
            path,
            geobox,
            classes,
            model=model,
            profile={"dtype": "uint8", "count": 1, "nodata": NODATA_CLASS},
            cog={"OVERVIEW_RESAMPLING": "MODE"},
        )
        self._ids = np.array([each.id for each in classes], dtype=np.uint8)
        colours = {each.id: (*bytes.fromhex(each.color[1:]), 255) for each in classes}
        with raster_environment():
            self._dataset.write_colormap(1, {**colours, NODATA_CLASS: (0, 0, 0, 0)})
            self._dataset.set_band_description(1, "class")

    def _stored(self, rows: MapRows) -> NDArray[np.uint8]:
        best = self._ids[rows.probabilities.argmax(axis=0)]
        return np.where(rows.valid, best, np.uint8(NODATA_CLASS))[None]


class ProbabilityRaster(MapRaster):
    """Probability of each class, float32, a band a class; NaN where invalid.

    How classes become objects is in the tag ``GEOCONVLORA_INSTANCES``, where they do.
    """

    def __init__(
        self,
        path: Path,
        geobox: GeoBox,
        classes: Sequence[ClassInfo],
        *,
        model: str,
        rule: InstanceRule | None = None,
    ) -> None:
        super().__init__(
            path,
            geobox,
            classes,
            model=model,
            profile={"dtype": "float32", "count": len(classes), "nodata": np.nan, "predictor": 3},
            cog={"OVERVIEW_RESAMPLING": "AVERAGE", "PREDICTOR": "YES"},
        )
        with raster_environment():
            self._dataset.colorinterp = [ColorInterp.gray] + [ColorInterp.undefined] * (
                len(classes) - 1
            )
            for band, each in enumerate(classes, start=1):
                self._dataset.set_band_description(band, each.name)
            if rule is not None:
                self._dataset.update_tags(**{INSTANCES_TAG: rule.model_dump_json()})

    def _stored(self, rows: MapRows) -> NDArray[np.float32]:
        return np.where(rows.valid, rows.probabilities, np.float32(np.nan))
