"""Maps as cloud-optimised GeoTIFFs, written row by row."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.enums import ColorInterp

from geoconvlora.errors import OutputError
from geoconvlora.inference.cog import CogWriter, Resampling
from geoconvlora.inference.rows import MapRows
from geoconvlora.scenes.class_names import CLASSES_TAG
from geoconvlora.scenes.environment import raster_environment
from geoconvlora.scenes.opening import RASTER_FAULTS, reason
from geoconvlora.scenes.origin import Origin
from geoconvlora.weights.card import ClassInfo, InstanceRule

INSTANCES_TAG = "GEOCONVLORA_INSTANCES"
NODATA_CLASS = 255

FractionType = Literal["uint8", "float32"]
"""How numbers from 0 to 1 are stored: as they are, or as bytes with the scale 0.004."""

#: Bytes from 0 to 250 are 0 to 1, so that the scale in the band's metadata is exactly 0.004.
_BYTE_STEPS = 250
_BYTE_NODATA = 255
_DEFLATE: dict[FractionType, dict[str, Any]] = {
    "uint8": {"compress": "deflate", "zlevel": 1, "predictor": 2},
    "float32": {"compress": "deflate", "zlevel": 1, "predictor": 3},
}


class MapRaster:
    """A COG that is fed rows from top to bottom; a context manager.

    :meth:`finish` makes the COG beside the target, and leaving the context without an error gives
    it its name. Subclasses say what is stored.
    """

    def __init__(
        self,
        path: Path,
        geobox: GeoBox,
        classes: Sequence[ClassInfo],
        *,
        origin: Origin,
        count: int,
        dtype: str,
        nodata: float,
        resampling: Resampling,
        creation: dict[str, Any],
    ) -> None:
        """Create the temporary files.

        Args:
            path: The target.
            geobox: Its grid.
            classes: Stored as JSON in the tag ``GEOCONVLORA_CLASSES``.
            origin: Stored in tags, as far as it is known (:class:`Origin`).
            count: Bands.
            dtype: Their type.
            nodata: What is stored where the map is invalid.
            resampling: Of overviews.
            creation: GDAL's creation options for the compression.

        Raises:
            OutputError: The folder is gone, for instance.
        """
        self._path = path
        listed = [each.model_dump() for each in classes]
        try:
            self._cog = CogWriter(
                path,
                geobox,
                count=count,
                dtype=dtype,
                nodata=nodata,
                resampling=resampling,
                creation=creation,
            )
            with raster_environment():
                self._cog.datasets[0].update_tags(
                    **{CLASSES_TAG: json.dumps(listed), **origin.tags()}
                )
        except RASTER_FAULTS as fault:
            raise self._unwritten(reason(fault)) from fault

    def feed(self, rows: MapRows) -> None:
        """Write the next rows, which are on the raster's own grid.

        Raises:
            OutputError: The disk is full, for instance.
        """
        try:
            self._cog.write(self._stored(rows))
        except RASTER_FAULTS as fault:
            raise self._unwritten(reason(fault)) from fault

    def finish(self) -> None:
        """Make the COG, still under its temporary name.

        Raises:
            OutputError: The disk is full, for instance.
        """
        try:
            self._cog.assemble()
        except RASTER_FAULTS as fault:
            raise self._unwritten(reason(fault)) from fault

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
                self._cog.part.replace(self._path)
        except OSError as fault:
            raise self._unwritten(str(fault.strerror)) from fault
        finally:
            self._cog.discard()

    def _stored(self, rows: MapRows) -> NDArray[Any]:
        """Return what is stored for some rows, ``(bands, h, W)``."""
        raise NotImplementedError

    def _unwritten(self, why: str) -> OutputError:
        return OutputError(
            f"{self._path} cannot be written ({why}): is the disk full or the folder gone?"
        )


class ClassRaster(MapRaster):
    """The most probable class of each pixel, uint8 with a colour table; 255 where invalid."""

    def __init__(
        self, path: Path, geobox: GeoBox, classes: Sequence[ClassInfo], *, origin: Origin
    ) -> None:
        super().__init__(
            path,
            geobox,
            classes,
            origin=origin,
            count=1,
            dtype="uint8",
            nodata=NODATA_CLASS,
            resampling="mode",
            creation={"compress": "deflate", "zlevel": 6},
        )
        self._ids = np.array([each.id for each in classes], dtype=np.uint8)
        colours = {each.id: (*bytes.fromhex(each.color[1:]), 255) for each in classes}
        with raster_environment():
            for dataset in self._cog.datasets:
                dataset.write_colormap(1, {**colours, NODATA_CLASS: (0, 0, 0, 0)})
            self._cog.datasets[0].set_band_description(1, "class")

    def _stored(self, rows: MapRows) -> NDArray[np.uint8]:
        best = self._ids[most_probable(rows.probabilities)]
        if not rows.valid.all():
            np.copyto(best, np.uint8(NODATA_CLASS), where=~rows.valid)
        return best[None]


class ProbabilityRaster(MapRaster):
    """Probability of each class, a band a class.

    As float32 NaN where invalid; as uint8 255 there, and 0 to 250 elsewhere, which the band's scale
    of 0.004 makes 0 to 1. How classes become objects is in the tag ``GEOCONVLORA_INSTANCES``, where
    they do.
    """

    def __init__(
        self,
        path: Path,
        geobox: GeoBox,
        classes: Sequence[ClassInfo],
        *,
        origin: Origin,
        rule: InstanceRule | None = None,
        dtype: FractionType = "float32",
    ) -> None:
        super().__init__(
            path,
            geobox,
            classes,
            origin=origin,
            count=len(classes),
            dtype=dtype,
            nodata=_fraction_nodata(dtype),
            resampling="average",
            creation=_DEFLATE[dtype],
        )
        self._dtype = dtype
        with raster_environment():
            dataset = self._cog.datasets[0]
            dataset.colorinterp = [ColorInterp.gray] + [ColorInterp.undefined] * (len(classes) - 1)
            for band, each in enumerate(classes, start=1):
                dataset.set_band_description(band, each.name)
            if dtype == "uint8":
                dataset.scales = [1 / _BYTE_STEPS] * len(classes)
            if rule is not None:
                dataset.update_tags(**{INSTANCES_TAG: rule.model_dump_json()})

    def _stored(self, rows: MapRows) -> NDArray[Any]:
        return as_fractions(rows.probabilities, rows.valid, self._dtype)


class SpreadRaster(MapRaster):
    """How far the predictions behind a pixel differ: those of overlapping tiles and of their views.

    It is the weighted standard deviation of the predicted probabilities around their mean, with the
    weights of blending, ``sqrt(sum over classes of variance / 2)``: with two classes the standard
    deviation of either's probability. 0 where all predictions agree and where there is but one, at
    most 0.71. Stored as probabilities are.
    """

    def __init__(
        self,
        path: Path,
        geobox: GeoBox,
        classes: Sequence[ClassInfo],
        *,
        origin: Origin,
        dtype: FractionType = "float32",
    ) -> None:
        super().__init__(
            path,
            geobox,
            classes,
            origin=origin,
            count=1,
            dtype=dtype,
            nodata=_fraction_nodata(dtype),
            resampling="average",
            creation=_DEFLATE[dtype],
        )
        self._dtype = dtype
        with raster_environment():
            self._cog.datasets[0].set_band_description(1, "uncertainty")
            if dtype == "uint8":
                self._cog.datasets[0].scales = [1 / _BYTE_STEPS]

    def _stored(self, rows: MapRows) -> NDArray[Any]:
        assert rows.spread is not None
        return as_fractions(rows.spread[None], rows.valid, self._dtype)


def most_probable(probabilities: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return the number of the largest of ``(K, h, W)``, ``(h, W)``; of equals the first.

    Example:
        >>> most_probable(np.array([[[0.2]], [[0.4]], [[0.4]]], np.float32)).tolist()
        [[1]]
    """
    # Several times as fast as argmax along the first axis.
    best = np.zeros(probabilities.shape[1:], np.uint8)
    largest = probabilities[0]
    for number, layer in enumerate(probabilities[1:], start=1):
        larger = (layer > largest).view(np.uint8)
        np.maximum(best, larger * np.uint8(number), out=best)
        largest = np.maximum(largest, layer)
    return best


def as_fractions(
    values: NDArray[np.float32], valid: NDArray[np.bool_], dtype: FractionType
) -> NDArray[Any]:
    """Return values ``(K, h, W)`` from 0 to 1 as they are stored, nodata where invalid."""
    if dtype == "float32":
        return values if valid.all() else np.where(valid, values, np.float32(np.nan))
    steps = values * np.float32(_BYTE_STEPS)
    steps += np.float32(0.5)
    stored = steps.astype(np.uint8)
    if not valid.all():
        np.copyto(stored, np.uint8(_BYTE_NODATA), where=~valid)
    return stored


def _fraction_nodata(dtype: FractionType) -> float:
    return _BYTE_NODATA if dtype == "uint8" else np.nan
