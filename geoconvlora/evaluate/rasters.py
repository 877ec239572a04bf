"""Class ids of rasters, a strip of rows at a time, on the prediction's grid."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, Resampling
from rasterio.io import DatasetReader
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from geoconvlora.errors import BandError, LabelError, SceneError
from geoconvlora.scenes.class_names import named_classes
from geoconvlora.scenes.environment import raster_environment
from geoconvlora.scenes.opening import RASTER_FAULTS, georeference, open_dataset, reason
from geoconvlora.scenes.validity import Validity

Ids = NDArray[np.uint16]
Mask = NDArray[np.bool_]

MAX_ID = 65_534
"""Largest class id."""

_WARP_ERROR_PX = 0.001
"""Of warping's approximate transformer; rasterio takes no 0."""
_HALF = 0.5
"""Probability from which a pixel has the class."""


class ClassRows(Protocol):
    """Class ids on the prediction's grid."""

    def read(self, row: int, rows: int) -> tuple[Ids, Mask]:
        """Ids ``(rows, W)`` from a row on, and where they are known; 0 where they are not."""


@dataclass(frozen=True)
class ClassRaster:
    """A raster of classes, or of probabilities that are turned into classes.

    Attributes:
        path: Of the file.
        geobox: The grid on which it is read.
        names: Class name by id, as far as the file tells.
        dataset: The open file, warped where its own grid is another one.
        bands: 1-based bands that are read.
        decide: From stored values ``(bands, h, W)`` to class ids ``(h, W)``.
        ignored: Ids that are not known.
        met: Those of them that were met so far.
    """

    path: str
    geobox: GeoBox
    names: dict[int, str]
    dataset: DatasetReader
    bands: tuple[int, ...]
    decide: Callable[[NDArray[Any], Mask], NDArray[Any]]
    ignored: tuple[int, ...] = ()
    met: set[int] = field(default_factory=set)

    def read(self, row: int, rows: int) -> tuple[Ids, Mask]:
        """Ids ``(rows, W)`` from a row on, and where they are known; 0 where they are not.

        Raises:
            SceneError: The file cannot be read there.
            LabelError: A value cannot be a class id.
        """
        window = Window(0, row, self.geobox.shape[1], rows)
        try:
            with raster_environment():
                stored = self.dataset.read(list(self.bands), window=window)
                validity = Validity.of(self.dataset, self.bands, nodata=None, default_nodata=None)
                valid = validity.read(self.dataset, self.bands, window, stored)
        except RASTER_FAULTS as fault:
            raise SceneError(
                f"{self.path} cannot be read at rows {row} to {row + rows - 1}: it is truncated "
                f"or damaged ({reason(fault)})"
            ) from fault
        if stored.dtype.kind == "f":
            valid &= np.isfinite(stored).all(axis=0)
        ids = self.decide(stored, valid)
        for value in self.ignored:
            unknown = valid & (ids == value)
            if unknown.any():
                self.met.add(value)
                valid &= ~unknown
        ids = np.where(valid, ids, 0)
        if ids.size and (ids.min() < 0 or ids.max() > MAX_ID):
            raise LabelError(
                f"{self.path} holds {ids.min() if ids.min() < 0 else ids.max()}, which is no class "
                f"id (0 to {MAX_ID}): leave it out with --ignore, or, if the raster numbers "
                "objects, make polygons of it first (geoconvlora polygonize --instances)"
            )
        return ids.astype(np.uint16), valid


def open_prediction(path: str, stack: ExitStack) -> ClassRaster:
    """Open a raster of classes or of probabilities on its own grid.

    One band of integers holds class ids. Several bands hold the probability of a class each, and
    the largest wins; one band of floats (or of integers with a scale) is the probability of
    class 1, which a pixel has from 0.5 on.

    Args:
        path: Of the file.
        stack: Closes it.

    Raises:
        SceneError: It cannot be read or has no place.
        BandError: It holds neither classes nor probabilities.
    """
    dataset, geobox, bands = _opened(path, stack)
    names = named_classes(dataset)
    integers = _holds_integers(dataset, bands)
    if integers and len(bands) == 1:
        return ClassRaster(path, geobox, names, dataset, bands, _as_stored)
    if integers and len(names) != len(bands):
        raise BandError(
            f"{path} has {len(bands)} bands of {dataset.dtypes[0]}: a prediction is one band of "
            "class ids, or the probability of a class in each band"
        )
    scales, offsets = (
        np.asarray(each, np.float32)[np.array(bands) - 1].reshape(-1, 1, 1)
        for each in (dataset.scales, dataset.offsets)
    )
    ids = np.array(sorted(names) if len(names) == len(bands) else range(len(bands)))
    if not names and len(bands) > 1:
        described = [dataset.descriptions[band - 1] for band in bands]
        names = {i: text for i, text in enumerate(described) if text}

    def decide(stored: NDArray[Any], valid: Mask) -> NDArray[Any]:
        chance = stored.astype(np.float32) * scales + offsets
        if not integers and valid.any():
            _check_probabilities(path, chance[:, valid])
        if len(bands) == 1:
            return np.asarray(chance[0] >= _HALF, np.uint16)
        best = np.where(valid, chance, 0).argmax(axis=0)
        return np.asarray(ids[best])

    return ClassRaster(path, geobox, names, dataset, bands, decide)


def open_labels(
    path: str, geobox: GeoBox, stack: ExitStack, *, ignored: Sequence[int]
) -> tuple[ClassRaster, bool]:
    """Open a raster of class ids, on another raster's grid.

    Args:
        path: Of the file.
        geobox: The grid; a file with another one is warped, nearest neighbour.
        stack: Closes it.
        ignored: Ids that mean 'not labelled'.

    Returns:
        The raster, and whether it had to be warped.

    Raises:
        SceneError: It cannot be read or has no place.
        BandError: It has several bands.
    """
    dataset, own, bands = _opened(path, stack)
    if len(bands) != 1:
        raise BandError(f"{path} has {len(bands)} bands: labels are one band of class ids")
    names = named_classes(dataset)
    decide = _as_stored if _holds_integers(dataset, bands) else _whole_numbers(path)
    warped = not _same_grid(own, geobox)
    if warped:
        assert geobox.crs is not None
        with raster_environment():
            # Without nodata or mask, what lies outside the file would read as class 0.
            alpha = dataset.nodata is None and ColorInterp.alpha not in dataset.colorinterp
            dataset = stack.enter_context(
                WarpedVRT(
                    dataset,
                    crs=CRS.from_wkt(geobox.crs.to_wkt()),
                    transform=geobox.affine,
                    height=geobox.shape[0],
                    width=geobox.shape[1],
                    resampling=Resampling.nearest,
                    tolerance=_WARP_ERROR_PX,
                    add_alpha=alpha,
                )
            )
    return ClassRaster(path, geobox, names, dataset, bands, decide, tuple(ignored)), warped


def _opened(path: str, stack: ExitStack) -> tuple[DatasetReader, GeoBox, tuple[int, ...]]:
    dataset = stack.enter_context(open_dataset(path))
    geobox = georeference(dataset, path)
    bands = tuple(
        band
        for band, meaning in zip(dataset.indexes, dataset.colorinterp, strict=True)
        if meaning != ColorInterp.alpha
    )
    if not bands:
        raise BandError(f"{path} holds nothing but alpha")
    return dataset, geobox, bands


def _holds_integers(dataset: DatasetReader, bands: Sequence[int]) -> bool:
    return all(
        np.issubdtype(dataset.dtypes[band - 1], np.integer)
        and (dataset.scales[band - 1], dataset.offsets[band - 1]) == (1, 0)
        for band in bands
    )


def _same_grid(one: GeoBox, other: GeoBox) -> bool:
    if one.shape != other.shape or one.crs != other.crs:
        return False
    pixel = abs(one.affine.determinant) ** 0.5
    corners = np.array([(0, 0), (0, one.shape[0]), (one.shape[1], 0)])
    apart = [np.subtract(one.affine @ tuple(c), other.affine @ tuple(c)) for c in corners.tolist()]
    return bool(np.abs(apart).max() < 1e-3 * pixel)


def _as_stored(stored: NDArray[Any], valid: Mask) -> NDArray[Any]:
    ids: NDArray[Any] = stored[0]
    return ids


def _whole_numbers(path: str) -> Callable[[NDArray[Any], Mask], NDArray[Any]]:
    def decide(stored: NDArray[Any], valid: Mask) -> NDArray[Any]:
        whole = np.where(valid, np.round(stored[0]), 0).astype(np.int64)
        if (whole != stored[0])[valid].any():
            wrong = float(stored[0][valid & (whole != stored[0])][0])
            raise LabelError(f"{path} holds {wrong:g}: labels are class ids, which are whole")
        return whole

    return decide


def _check_probabilities(path: str, chances: NDArray[np.float32]) -> None:
    low, high = float(chances.min()), float(chances.max())
    if low < -1e-3 or high > 1 + 1e-3:
        raise BandError(
            f"{path} holds values from {low:g} to {high:g}: a prediction is one band of integers "
            "(class ids) or bands of probabilities from 0 to 1"
        )
