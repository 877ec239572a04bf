"""One image tile with its label tile: checking and reading them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import Transformer
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader

from geoconvlora.errors import BandError, LabelError, SceneError
from geoconvlora.scenes import Window
from geoconvlora.scenes.bands import choose_bands
from geoconvlora.scenes.opening import georeference
from geoconvlora.scenes.scene import band_labels, read_bands, stacked
from geoconvlora.training.burn import to_ground, to_pixels
from geoconvlora.training.data_config import IGNORE, TilesConfig
from geoconvlora.training.reproject import crs_of
from geoconvlora.training.samples import Sample
from geoconvlora.weights.card import Scaling

_MOST_SHIFT_PX = 0.5
"""By which a label tile may lie beside its image tile."""


@dataclass(frozen=True)
class TilePair:
    """An image tile and its label tile, of one size."""

    image: Path
    label: Path
    height: int
    width: int
    bands: tuple[int, ...]
    label_values: Mapping[int, int] | None = None
    geobox: GeoBox | None = None
    """Where the tile is; None for a picture without a place."""
    class_pixels: tuple[int, ...] = ()
    """Labelled pixels of each class."""

    @property
    def whole(self) -> Window:
        """All pixels of the tile."""
        return Window(0, 0, self.height, self.width)

    def read(self, window: Window, scaling: Scaling) -> Sample:
        """The sample of a window, which may reach beyond the tile."""
        inside = window.clipped(self.height, self.width)
        # Percentiles are those of the tile.
        part = inside if scaling.kind == "linear" else self.whole
        with _open(self.image) as image:
            place = part.slices_within(self.whole)
            values = stacked(read_bands(image, self.bands, window=place)).astype(np.float32)
            valid = (image.read_masks(list(self.bands), window=place) > 0).all(axis=0)
        valid &= np.isfinite(values).all(axis=0)
        scaled = np.where(valid, _scaled(values, valid, scaling), np.float32(0))
        mask = read_label(self.label, self.label_values, inside)
        return Sample(
            _cut(scaled, part, window),
            _cut(mask, inside, window, fill=IGNORE),
            _cut(valid, part, window),
        )


def checked_pair(
    image_path: Path,
    label_path: Path,
    names: Sequence[str],
    data: TilesConfig,
    ids: set[int],
) -> TilePair:
    """Pair an image with its label.

    Args:
        image_path: The image tile.
        label_path: Its label tile.
        names: Of the bands that are read.
        data: Which bands, and how the label's values become ids.
        ids: That a label may hold.

    Raises:
        LabelError: The sizes differ, both have a place and it is not the same, or the label holds
            what is no class.
        SceneError: One cannot be read.
        BandError: The image's bands do not fit.
    """
    with _open(image_path) as image:
        height, width = image.shape
        chosen = _bands(image, image_path, names, data)
        geobox = _geobox(image)
    with _open(label_path) as label:
        if label.shape != (height, width):
            raise LabelError(
                f"{image_path} is {height} x {width} pixels, but its label {label_path} is "
                f"{label.shape[0]} x {label.shape[1]}: both must have one grid"
            )
        place = _geobox(label)
        if geobox and place and not _largest_shift_px(geobox, place) <= _MOST_SHIFT_PX:
            raise LabelError(
                f"{image_path} begins at {_corner(geobox)}, but its label {label_path} at "
                f"{_corner(place)}: both must have one grid; mend the georeference of one, or pair "
                "the image with its own label"
            )
        if label.count != 1:
            raise LabelError(
                f"{label_path} has {label.count} bands: a label is one band of class ids"
            )
        values = label.read(1)
        valid = label.read_masks(1) > 0 if label.nodata is not None else True
    found = set(np.unique(values[valid]).tolist())
    if data.label_values is not None:
        unmapped = sorted(found - data.label_values.keys())
        if unmapped:
            raise LabelError(
                f"{label_path} holds the value {unmapped[0]}, which label_values does not map: "
                f"add it ({IGNORE} as its class ignores it)"
            )
    unknown = sorted(found - ids) if data.label_values is None else []
    if unknown:
        shown = ", ".join(str(value) for value in unknown[:10])
        raise LabelError(
            f"{label_path} holds the values {shown}, which the configuration does not name: its "
            f"class ids are {', '.join(str(i) for i in sorted(ids - {IGNORE}))} ({IGNORE} is "
            "ignored)"
        )
    mask = read_label(label_path, data.label_values)
    counts = np.bincount(mask.ravel(), minlength=IGNORE + 1)[: len(ids - {IGNORE})]
    return TilePair(
        image_path,
        label_path,
        height,
        width,
        tuple(chosen),
        data.label_values,
        geobox,
        tuple(counts.tolist()),
    )


def read_label(
    path: Path, label_values: Mapping[int, int] | None = None, part: Window | None = None
) -> NDArray[np.uint8]:
    """Class ids (H, W) of a label tile, or of a part of it; 255 where it has no data."""
    with _open(path) as label:
        place = part and part.slices_within(Window(0, 0, *label.shape))
        values = label.read(1, window=place)
        valid = label.read_masks(1, window=place) > 0 if label.nodata is not None else True
    if label_values is None:
        return np.where(valid & (values >= 0) & (values < IGNORE), values, IGNORE).astype(np.uint8)
    ids = np.full(values.shape, IGNORE, np.uint8)
    for value, class_id in label_values.items():
        ids[valid & (values == value)] = class_id
    return ids


def describe_tile(path: Path) -> tuple[tuple[str, ...], int]:
    """Names of an image tile's bands, without alpha, and its longer side in pixels."""
    with _open(path) as image:
        labels, side = band_labels(image), max(image.shape)
    names = (labels[band - 1].name for band in choose_bands(labels, None, None, str(path)))
    return tuple(names), side


def _bands(
    image: DatasetReader, path: Path, names: Sequence[str], data: TilesConfig
) -> tuple[int, ...]:
    try:
        return choose_bands(band_labels(image), names, data.bands, str(path), strict=True)
    except BandError as error:
        raise BandError(str(error).replace("with --bands", "with data.bands")) from None


def _largest_shift_px(image: GeoBox, label: GeoBox) -> float:
    """How far a corner of a label's grid is at most from the image's, in pixels of the image."""
    rows, columns = image.shape
    corners = shapely.points([(0, 0), (columns, 0), (columns, rows), (0, rows)])
    there = to_ground(corners, label)
    if label.crs != image.crs:
        to_image = Transformer.from_crs(crs_of(label), crs_of(image), always_xy=True)
        there = shapely.transform(there, to_image.transform, interleaved=False)
    shift = shapely.get_coordinates(to_pixels(there, image)) - shapely.get_coordinates(corners)
    return float(np.abs(shift).max())


def _corner(geobox: GeoBox) -> str:
    """The upper left corner of a grid and its CRS, for messages."""
    return f"({geobox.affine.c:.8g}, {geobox.affine.f:.8g}) in {str(geobox.crs)[:40]}"


def _geobox(image: DatasetReader) -> GeoBox | None:
    try:
        return georeference(image, image.name)
    except SceneError:
        return None


def _open(path: Path) -> DatasetReader:
    with warnings.catch_warnings():
        # Tiles are matched by name, so they need no place on the ground.
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        try:
            raster: DatasetReader = rasterio.open(path)
        except RasterioError as error:
            raise SceneError(f"{path} cannot be read as a raster ({error})") from None
    return raster


def _scaled(
    values: NDArray[np.float32], valid: NDArray[np.bool_], scaling: Scaling
) -> NDArray[np.float32]:
    """Scaled values; percentiles are those of the tile."""
    if scaling.kind == "linear":
        scaled = values * np.float32(scaling.scale) + np.float32(scaling.offset)
    elif not valid.any():
        return values
    else:
        low, high = np.percentile(values[:, valid], [scaling.low, scaling.high], axis=1)
        span = np.where(high > low, high - low, 1)
        scaled = (values - low[:, None, None]) / span[:, None, None]
    if scaling.clip is not None:
        scaled = scaled.clip(*scaling.clip)
    return np.asarray(scaled, dtype=np.float32)


def _cut(layer: NDArray, part: Window, window: Window, fill: int = 0) -> NDArray:
    """A window of (..., H, W), which holds a part of a tile; filled beyond it."""
    moved = Window(window.row - part.row, window.column - part.column, window.height, window.width)
    inside = moved.clipped(part.height, part.width)
    cut = np.full((*layer.shape[:-2], window.height, window.width), fill, dtype=layer.dtype)
    there = inside.slices_within(Window(0, 0, part.height, part.width))
    cut[..., *inside.slices_within(moved)] = layer[..., *there]
    return cut
