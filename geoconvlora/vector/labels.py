"""Where labels come from: a raster's file, or an array in memory; read by rows."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.enums import ColorInterp
from rasterio.io import DatasetReader
from rasterio.windows import Window

from geoconvlora.errors import BandError, SceneError
from geoconvlora.scenes.date import acquisition_date, date_of_tags
from geoconvlora.scenes.opening import RASTER_FAULTS, georeference, open_dataset, reason
from geoconvlora.vector.features import Origin
from geoconvlora.vector.parts import NOTHING, Ids

CLASSES_TAG = "GEOCONVLORA_CLASSES"
"""Dataset tag of class rasters: JSON list of ``{"id", "name", "color"}``."""
MODEL_TAG = "GEOCONVLORA_MODEL"
MODEL_SHA256_TAG = "GEOCONVLORA_MODEL_SHA256"

Chance = NDArray[np.float32]


class Labels(ABC):
    """A raster of labels, maybe with probabilities beside it.

    Attributes:
        where: Its name, for messages.
        geobox: Its grid.
        origin: Attributes of the polygons.
        listed: Name by class id, where it says.
        colors: ``#rrggbb`` by class name, where it says.
        has_chance: Whether there are probabilities.
    """

    where: str
    geobox: GeoBox
    origin: Origin
    listed: dict[int, str]
    colors: dict[str, str]
    has_chance: bool = False

    @abstractmethod
    def rows(self, start: int, stop: int) -> Ids:
        """``(stop - start, W)``; ``NOTHING`` where there is no data."""

    @abstractmethod
    def chance(self, start: int, stop: int) -> Chance:
        """``(bands, stop - start, W)`` probabilities; 0 where there is no data."""

    def _describe(self, tags: Mapping[str, object], name: str, date: str) -> None:
        self.listed, self.colors = _class_table(tags.get(CLASSES_TAG), self.where)
        self.origin = Origin(
            name, date, str(tags.get(MODEL_TAG, "")), str(tags.get(MODEL_SHA256_TAG, ""))
        )


class FileLabels(Labels):
    """Labels of a raster file, read as they are asked for; a context manager.

    Args:
        raster: One band of integers with a place on the Earth.
        probs: A raster of probabilities on the same grid.

    Raises:
        SceneError: A file that cannot be read, has no place or no integers, or does not fit.
        BandError: More than one band of labels.
    """

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
            self._describe(self._source.tags(), Path(raster).stem, acquisition_date(self._source))
            self._open = opening.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def rows(self, start: int, stop: int) -> Ids:
        """As :meth:`Labels.rows`."""
        window = Window(0, start, self._source.width, stop - start)
        with _reading(self._source, window):
            values = self._source.read(1, window=window)
            valid = self._source.read_masks(1, window=window) > 0
        return _as_labels(values, valid, self._source.name)

    def chance(self, start: int, stop: int) -> Chance:
        """As :meth:`Labels.chance`."""
        source = self._chance
        assert source is not None, "asked only where there are probabilities"
        window = Window(0, start, source.width, stop - start)
        with _reading(source, window):
            stored = source.read(window=window, masked=True)
        scale = np.asarray(source.scales).reshape(-1, 1, 1)
        offset = np.asarray(source.offsets).reshape(-1, 1, 1)
        return _finite(stored.filled(0) * scale + offset)


class ArrayLabels(Labels):
    """Labels in memory, or in whatever gives a NumPy array for a slice of rows.

    Args:
        values: ``(H, W)`` of integers, or of floats that are whole numbers or NaN.
        geobox: Its grid.
        nodata: Value that means 'no data'; None: all are labels, but NaN.
        probs: ``(H, W)`` or ``(bands, H, W)``.
        tags: As a class raster's dataset tags.
        name: Name of the scene.

    Raises:
        SceneError: The shapes do not fit, or the values are no labels.
    """

    def __init__(
        self,
        values: Any,
        geobox: GeoBox,
        *,
        nodata: float | None = None,
        probs: Any = None,
        tags: Mapping[str, object] | None = None,
        name: str = "array",
    ) -> None:
        self.where, self.geobox = name, geobox
        if tuple(values.shape) != tuple(geobox.shape):
            raise SceneError(
                f"{name} has shape {tuple(values.shape)} and its grid {tuple(geobox.shape)}: "
                "give one band of labels with the GeoBox of its pixels"
            )
        kind = np.dtype(values.dtype).kind
        if kind not in "iuf":
            raise SceneError(f"{name} holds {values.dtype}: polygonize wants integers")
        if probs is not None:
            if tuple(probs.shape[-2:]) != tuple(geobox.shape) or len(probs.shape) not in (2, 3):
                raise SceneError(
                    f"probabilities of shape {tuple(probs.shape)} are not on the grid of {name}, "
                    f"{tuple(geobox.shape)}"
                )
            self.has_chance = True
        self._values, self._probs, self._nodata = values, probs, nodata
        self._describe(tags or {}, name, date_of_tags(tags or {}))

    def rows(self, start: int, stop: int) -> Ids:
        """As :meth:`Labels.rows`."""
        values = np.asarray(self._values[start:stop])
        valid = np.ones(values.shape, bool)
        if self._nodata is not None and not np.isnan(self._nodata):
            valid = values != self._nodata
        if values.dtype.kind == "f":
            valid &= ~np.isnan(values)
            if (values[valid] % 1 != 0).any() or (np.abs(values[valid]) > 2**53).any():
                raise SceneError(
                    f"{self.where} holds fractions: polygonize wants whole numbers "
                    "(class or object ids)"
                )
            values = np.where(valid, values, 0)
        return _as_labels(values, valid, self.where)

    def chance(self, start: int, stop: int) -> Chance:
        """As :meth:`Labels.chance`."""
        values = np.asarray(self._probs[..., start:stop, :])
        return _finite(values[None] if values.ndim == 2 else values)


def _finite(values: NDArray[Any]) -> Chance:
    return np.nan_to_num(values.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)


def _as_labels(values: NDArray[Any], valid: NDArray[np.bool_], where: str) -> Ids:
    if values.dtype.itemsize == 8 and ((values > -NOTHING) | (values < NOTHING + 1))[valid].any():
        raise SceneError(f"{where} holds values beyond 2**62: number them anew")
    labels: Ids = np.where(valid, values.astype(np.int64), NOTHING)
    return labels


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


def _class_table(text: object, where: str) -> tuple[dict[int, str], dict[str, str]]:
    if text is None:
        return {}, {}
    try:
        entries = json.loads(str(text))
        names = {int(entry["id"]): str(entry["name"]) for entry in entries}
        colors = {str(e["name"]): str(e["color"]) for e in entries if "color" in e}
    except (ValueError, TypeError, KeyError) as error:
        raise SceneError(
            f"{where}: the tag {CLASSES_TAG} is not a JSON list of id, name and color"
        ) from error
    return names, colors


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
