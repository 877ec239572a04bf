"""The grid that a model predicts on: the scene's own, finer or coarser by an integer factor."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import CRS

from geoconvlora.errors import SceneError
from geoconvlora.scenes.ground import radius_of_another_body
from geoconvlora.scenes.normalise import Normaliser
from geoconvlora.scenes.pixels import Pixels, Window
from geoconvlora.scenes.scene import Scene
from geoconvlora.weights.card import Resolution

#: Beyond this, finer pixels are invention: nothing in the scene tells them apart.
MAX_ZOOM_IN = 8
#: Scene pixels that a coarser grid reads at a time.
_READ_PIXELS = 2**22


class Readable(Protocol):
    """Pixels by windows, which may reach beyond the raster."""

    @property
    def height(self) -> int:
        """Rows."""

    @property
    def width(self) -> int:
        """Columns."""

    def read(self, window: Window) -> Pixels:
        """Return a window's pixels; what lies outside is invalid."""


@dataclass(frozen=True)
class PredictionGrid:
    """A scene's grid, each pixel split into ``zoom_in`` x ``zoom_in`` or joined ``zoom_out``-wise.

    Attributes:
        zoom_in: How many times finer than the scene; 1 where ``zoom_out`` is used.
        zoom_out: How many times coarser; blocks at the right and bottom edge may be partial.
        geobox: Where the grid's pixels are.
        extent: Rows and columns, in pixels of the grid, that the scene reaches: fewer than the
            grid has where the last blocks are partial.
    """

    zoom_in: int
    zoom_out: int
    geobox: GeoBox
    extent: tuple[float, float]

    @classmethod
    def for_scene(cls, scene: Scene, resolution: Resolution) -> PredictionGrid:
        """Return the grid nearest to the model's pixel size, in ratio.

        A scene coarser than the model accepts is enlarged as the coarsest that it accepts: more
        would cost pixels and gain nothing. None is enlarged more than ``max_zoom_in`` times. A
        finer one is reduced to the model's pixel size.

        Raises:
            SceneError: The scene's pixel size is outside the model's range and the card says to
                refuse it.

        Warns:
            UserWarning: The same, where the card says to go on; or the scene shows another body
                than the Earth.
        """
        check_resolution(scene, resolution)
        _check_body(scene, resolution)
        zoom_in, zoom_out = zoom_of(scene.gsd_m, resolution)
        return cls.zoomed(scene.geobox, zoom_in=zoom_in, zoom_out=zoom_out)

    @classmethod
    def zoomed(cls, geobox: GeoBox, *, zoom_in: int = 1, zoom_out: int = 1) -> PredictionGrid:
        """Return ``geobox`` finer or coarser by an integer."""
        height, width = geobox.shape
        a, b, left, d, e, top = tuple(geobox.affine)[:6]
        k = zoom_out / zoom_in
        affine = Affine(a * k, b * k, left, d * k, e * k, top)
        shape = (-(-height * zoom_in // zoom_out), -(-width * zoom_in // zoom_out))
        extent = (height * zoom_in / zoom_out, width * zoom_in / zoom_out)
        return cls(zoom_in, zoom_out, GeoBox(shape, affine, geobox.crs), extent)

    def part(self, window: Window) -> PredictionGrid:
        """Return the grid of a window inside, whose pixels are the same."""
        extent = (
            min(self.extent[0] - window.row, window.height),
            min(self.extent[1] - window.column, window.width),
        )
        return PredictionGrid(self.zoom_in, self.zoom_out, crop(self.geobox, window), extent)

    @cached_property
    def height(self) -> int:
        """Rows."""
        return int(self.geobox.shape[0])

    @cached_property
    def width(self) -> int:
        """Columns."""
        return int(self.geobox.shape[1])


def zoom_of(gsd_m: float, resolution: Resolution) -> tuple[int, int]:
    """Return how many times finer, and coarser, a model sees pixels of a size; one of both is 1."""
    if resolution.gsd_m is None:
        return 1, 1
    accepted_gsd_m = min(gsd_m, _coarsest_gsd_m(resolution))
    most = min(resolution.max_zoom_in or MAX_ZOOM_IN, MAX_ZOOM_IN)
    zoom_in = min(nearest_integer(accepted_gsd_m / resolution.gsd_m), most)
    return zoom_in, nearest_integer(resolution.gsd_m / gsd_m)


def crop(geobox: GeoBox, window: Window) -> GeoBox:
    """Return the grid of a window, which may reach beyond ``geobox``."""
    a, b, left, d, e, top = tuple(geobox.affine)[:6]
    x = a * window.column + b * window.row + left
    y = d * window.column + e * window.row + top
    return GeoBox((window.height, window.width), Affine(a, b, x, d, e, y), geobox.crs)


def check_resolution(scene: Scene, resolution: Resolution) -> None:
    """Warn or refuse where the scene's pixel size is outside what the model knows.

    Raises:
        SceneError: The card says to refuse, or to refuse pixels as coarse as these.
    """
    unseen = resolution.refuse_gsd_m or math.inf
    low, high = resolution.min_gsd_m or 0.0, min(_coarsest_gsd_m(resolution), unseen)
    if low <= scene.gsd_m <= high and scene.gsd_m < unseen:
        return
    if low == 0:
        known = f"up to {high:.3g} m"
    elif high == math.inf:
        known = f"{low:.3g} m and more"
    else:
        known = f"{low:.3g} to {high:.3g} m"
    message = f"{scene.path} has pixels of {scene.gsd_m:.3g} m; the model knows {known}: "
    mend = f"take a {'coarser or resampled' if scene.gsd_m < low else 'finer'} scene"
    if scene.gsd_m >= unseen:
        message = f"{message}what it maps cannot be seen in them; "
    elif resolution.outside == "warn":
        warnings.warn(
            f"{message}expect poor results; {mend}, or another model", UserWarning, stacklevel=3
        )
        return
    raise SceneError(f"{message}{mend}, or another model")


def _check_body(scene: Scene, resolution: Resolution) -> None:
    assert scene.geobox.crs is not None
    radius_m = radius_of_another_body(CRS.from_wkt(scene.geobox.crs.to_wkt()))
    if radius_m is None:
        return
    message = (
        f"{scene.path} does not show the Earth: its CRS is of a body with a radius of "
        f"{radius_m / 1000:,.0f} km"
    )
    if resolution.earth_only:
        raise SceneError(f"{message}, where nothing is of what the model maps; take another model")
    warnings.warn(
        f"{message}; expect poor results from a model that learnt on the Earth",
        UserWarning,
        stacklevel=3,
    )


def _coarsest_gsd_m(resolution: Resolution) -> float:
    """Pixel size of the coarsest scene that the model accepts."""
    coarsest = resolution.max_gsd_m or math.inf
    if resolution.gsd_m is None:
        return coarsest
    return min(coarsest, resolution.gsd_m * MAX_ZOOM_IN * math.sqrt(2))


def read_grid(
    scene: Scene, grid: PredictionGrid, window: Window, normaliser: Normaliser
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return normalised values ``(C, h, w)`` and validity ``(h, w)`` of a window of the grid.

    A window holds exactly what the same part of the whole grid holds. Finer pixels are bilinear
    between scene pixels' centres (invalid ones carry no weight) and as valid as the scene pixel
    they lie in. Coarser ones are the mean of their valid scene pixels, and valid if these are at
    least half of the block; what lies outside the scene is invalid.

    Raises:
        SceneError: The file cannot be read there.
    """
    if grid.zoom_in > 1:
        pixels = finer(scene, grid.zoom_in, window)
    elif grid.zoom_out > 1:
        pixels = coarser(scene, grid.zoom_out, window)
    else:
        pixels = scene.read(window)
    return normaliser(pixels), pixels.valid


def nearest_integer(ratio: float) -> int:
    """The integer from 1 on whose ratio to ``ratio`` is nearest to 1."""
    below = max(1, math.floor(ratio))
    return below if ratio * ratio <= below * (below + 1) else below + 1


class PixelSource(Protocol):
    """Whatever windows can be read from."""

    def read(self, window: Window) -> Pixels:
        """Return a window's pixels; what lies outside is invalid."""


def finer(scene: PixelSource, factor: int, window: Window) -> Pixels:
    """Return a window of the grid ``factor`` times finer, bilinear between pixels' centres.

    It reads the scene pixels that the window touches and one more on each side.
    """
    rows, row_lows, row_weights = _neighbours(window.row, window.height, factor)
    columns, column_lows, column_weights = _neighbours(window.column, window.width, factor)
    top, left = int(row_lows[0]), int(column_lows[0])
    bottom, right = int(row_lows[-1]) + 2, int(column_lows[-1]) + 2
    read = scene.read(Window(top, left, bottom - top, right - left))
    # The last layer is the validity: after interpolation, the weight that valid pixels had.
    layers = np.concatenate([read.values, read.valid[None].astype(np.float32)])
    layers = _interpolate(layers, row_lows - top, row_weights, axis=1)
    layers = _interpolate(layers, column_lows - left, column_weights, axis=2)
    valid = read.valid[np.ix_(rows - top, columns - left)]
    values, weight = layers[:-1], layers[-1]
    np.divide(values, weight, out=values, where=valid)
    return Pixels(values * valid, valid)


def _neighbours(
    start: int, count: int, factor: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """For fine pixels: the coarse one around it, the lower neighbour, the upper one's weight."""
    fine = np.arange(start, start + count, dtype=np.int64)
    # In units of 1/(2 factor) coarse pixels, so that all is integer until the last step.
    position = 2 * fine + 1 - factor
    low = position // (2 * factor)
    weight = (position - 2 * factor * low).astype(np.float32) / np.float32(2 * factor)
    return fine // factor, low, weight


def _interpolate(
    layers: NDArray[np.float32],
    low: NDArray[np.int64],
    weight: NDArray[np.float32],
    axis: int,
) -> NDArray[np.float32]:
    weight = weight.reshape([-1 if i == axis else 1 for i in range(layers.ndim)])
    mixed = layers.take(low, axis=axis)
    mixed *= 1 - weight
    mixed += layers.take(low + 1, axis=axis) * weight
    return mixed


def coarser(raster: Readable, factor: int, window: Window) -> Pixels:
    """Return a window of a raster's ``factor`` x ``factor`` blocks, each its valid pixels' mean.

    A block is valid if at least half of its pixels inside the raster are.

    Args:
        raster: What is read, a part at a time.
        factor: Pixels along a block's side.
        window: In blocks.
    """
    step = max(1, _READ_PIXELS // max(1, factor * factor * window.width))
    parts = [
        _block_means(
            raster,
            factor,
            Window(window.row + row, window.column, min(step, window.height - row), window.width),
        )
        for row in range(0, max(1, window.height), step)
    ]
    return Pixels(
        np.concatenate([part.values for part in parts], axis=1),
        np.concatenate([part.valid for part in parts]),
    )


def _block_means(raster: Readable, factor: int, window: Window) -> Pixels:
    native = Window(
        window.row * factor, window.column * factor, window.height * factor, window.width * factor
    )
    read = raster.read(native)
    count = block_sum(read.valid[None].astype(np.float64), factor)[0]
    total = block_sum(read.values, factor)
    there = np.multiply.outer(
        _inside(native.row, native.height, raster.height, factor),
        _inside(native.column, native.width, raster.width, factor),
    )
    valid = (count > 0) & (2 * count >= there)
    means = np.divide(total, count, out=np.zeros_like(total), where=valid)
    return Pixels(means.astype(np.float32), valid)


def block_sum(layers: NDArray[np.floating], factor: int) -> NDArray[np.float64]:
    """Return sums over ``factor`` x ``factor`` blocks of ``(K, h, w)``, whose sides they divide.

    Added one row and one column at a time, so that a block's sum does not depend, to the last
    bit, on the array around it.
    """
    rows = layers[:, ::factor].astype(np.float64)
    for i in range(1, factor):
        rows += layers[:, i::factor]
    blocks = rows[:, :, ::factor].copy()
    for j in range(1, factor):
        blocks += rows[:, :, j::factor]
    return blocks


def _inside(start: int, count: int, size: int, factor: int) -> NDArray[np.int64]:
    """How many of each block's scene pixels lie inside the scene, along one axis."""
    starts = np.arange(start, start + count, factor, dtype=np.int64)
    return np.clip(size - starts, 0, factor) - np.clip(-starts, 0, factor)
