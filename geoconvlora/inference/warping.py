"""One map brought to another grid, a window at a time."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.crs import CRS as RasterCRS
from rasterio.enums import Resampling
from rasterio.warp import reproject

from geoconvlora.inference.around_the_earth import between_poles, on_every_side
from geoconvlora.inference.fading import fade_weights, halo_of
from geoconvlora.inference.map_source import MapSource
from geoconvlora.inference.target import SAME_PIXEL, Target, moved, pixels_of, turn_px
from geoconvlora.scenes import Pixels, PredictionGrid, Window
from geoconvlora.scenes.environment import raster_environment
from geoconvlora.scenes.grid import coarser, nearest_integer

ResamplingName = Literal["bilinear", "nearest"]

#: Source pixels by which GDAL may miss a place: it interpolates between exactly projected ones.
_TOLERANCE_PX = 0.01
#: Points along the side of a window, of which those between cannot stray far.
_POINTS = 17
#: Source pixels of a row of blocks that are read at once.
_READ_PIXELS = 2**22


class WarpedMap:
    """A map on the target's grid.

    A map with finer pixels is first brought to means of whole blocks near to the target's size, so
    that every pixel counts. Interpolated probabilities are those of valid neighbours, and a pixel
    is valid if the source pixel it lies in is. Of windows of fixed place, what they hold does not
    depend on what is asked for before or beside them.

    Attributes:
        source: The map.
        footprint: The part of the target's endless grid that it reaches at most.
    """

    def __init__(
        self, source: MapSource, target: Target, *, resampling: ResamplingName, fade_px: float
    ) -> None:
        """Find out where the map lies.

        Args:
            source: The map.
            target: The grid to bring it to.
            resampling: Between source pixels.
            fade_px: Target pixels over which its weight rises from its valid edge.
        """
        self.source = source
        self._target = target
        self._resampling = Resampling[resampling]
        ratio = size_ratio(source.geobox, target)
        self._factor = nearest_integer(ratio)
        self._geobox = PredictionGrid.zoomed(source.geobox, zoom_out=self._factor).geobox
        self._fade_px = fade_px * ratio / self._factor
        self._shift = _shift(self._geobox, target)
        assert self._geobox.crs is not None
        self._turn_px = turn_px(self._geobox.affine, self._geobox.crs)
        self.footprint = self._footprint()

    def pixels(self, window: Window) -> Pixels | None:
        """Return probabilities ``(K, h, w)`` of a window of the target; None if all are invalid.

        Raises:
            SceneError: The file cannot be read there.
        """
        if self._shift is not None:
            rows, columns = self._shift
            pixels = self._read(
                Window(window.row + rows, window.column + columns, window.height, window.width)
            )
            return pixels if pixels.valid.any() else None
        place = self._place_of(window)
        if place.empty:
            return None
        found = self._read(place)
        if not found.valid.any():
            return None
        valid = self._warp(found.valid[None].astype(np.uint8), place, window, Resampling.nearest)
        inside = valid[0] > 0
        if not inside.any():
            return None
        layers = np.concatenate([found.values, found.valid[None].astype(np.float32)])
        layers = self._warp(layers, place, window, self._resampling)
        values, weight = layers[:-1], layers[-1]
        np.divide(values, weight, out=values, where=inside)
        return Pixels(values * inside, inside)

    def weights(self, window: Window, valid: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Return how much the map counts in a window ``(h, w)``: 0 where invalid, at most 1.

        Args:
            window: Of the target.
            valid: What :meth:`pixels` says of it.

        Raises:
            SceneError: The file cannot be read there.
        """
        if self._shift is not None:
            rows, columns = self._shift
            return self._fading(
                Window(window.row + rows, window.column + columns, window.height, window.width)
            )
        place = self._place_of(window)
        fading = self._fading(place)
        layers = np.stack([fading, (fading > 0).astype(np.float32)])
        weights, there = self._warp(layers, place, window, self._resampling)
        found = np.zeros(valid.shape, np.float32)
        np.divide(weights, there, out=found, where=valid)
        return found

    def close(self) -> None:
        """Close the file; reading opens it again."""
        self.source.close()

    def _read(self, window: Window) -> Pixels:
        if self._factor == 1:
            return self.source.read(window)
        inside = window.clipped(*map(int, self._geobox.shape))
        if inside.empty:
            return Pixels.nowhere(len(self.source.classes), window)
        # A row of blocks as wide as the map may not fit into memory.
        step = max(1, _READ_PIXELS // self._factor**2)
        parts = [
            coarser(
                self.source,
                self._factor,
                Window(
                    inside.row, left, inside.height, min(step, inside.column + inside.width - left)
                ),
            )
            for left in range(inside.column, inside.column + inside.width, step)
        ]
        pixels = Pixels(
            np.concatenate([part.values for part in parts], axis=2),
            np.concatenate([part.valid for part in parts], axis=1),
        )
        return pixels.within(inside, window)

    def _fading(self, window: Window) -> NDArray[np.float32]:
        halo = halo_of(self._fade_px)
        around = Window(
            window.row - halo,
            window.column - halo,
            window.height + 2 * halo,
            window.width + 2 * halo,
        )
        return fade_weights(self._read(around).valid, self._fade_px)

    def _place_of(self, window: Window) -> Window:
        """Pixels of the source that a window of the target needs, inside the source."""
        target, height, width = self._target, *map(int, self._geobox.shape)
        crs, turn = self._geobox.crs, turn_px(target.affine, target.crs)
        assert crs is not None
        inside = between_poles(window, target)
        if inside.empty:
            return Window(0, 0, 0, 0)
        if inside != window and turn is not None and window.width > turn / 2:
            return Window(0, 0, height, width)
        window = inside
        rows, columns = pixels_of(
            window, _POINTS, target.affine, target.crs, self._geobox.affine, crs
        )
        if self._turn_px is not None:
            # The grid may go past the 180th meridian, where the places that it is asked for jump.
            off = np.where(np.isfinite(columns), columns - width / 2, 0)
            columns = columns - self._turn_px * np.round(off / self._turn_px)
        return _around(rows, columns).clipped(height, width)

    def _footprint(self) -> Window:
        """Where the map may lie: all of the target if parts of it have no place there."""
        if self._shift is not None:
            rows, columns = self._shift
            return Window(-rows, -columns, *map(int, self._geobox.shape))
        crs = self._geobox.crs
        assert crs is not None
        whole = Window(0, 0, *map(int, self._geobox.shape))
        places = pixels_of(
            whole, 2 * _POINTS, self._geobox.affine, crs, self._target.affine, self._target.crs
        )
        if not np.isfinite(places).all():
            return self._target.window
        place = _around(*places)
        turn = turn_px(self._target.affine, self._target.crs)
        if turn is None or crs.geographic:
            return place
        return on_every_side(place, self._target.window, turn)

    def _warp(
        self, layers: NDArray[Any], place: Window, window: Window, resampling: Resampling
    ) -> NDArray[Any]:
        inside = between_poles(window, self._target)
        if inside != window:
            # Where GDAL has no place it goes on pixel by pixel, which takes seconds.
            whole = np.zeros((len(layers), window.height, window.width), dtype=layers.dtype)
            whole[:, *inside.slices_within(window)] = self._warp(layers, place, inside, resampling)
            return whole
        target = self._target.part(window)
        found = np.zeros((len(layers), window.height, window.width), dtype=layers.dtype)
        with raster_environment():
            reproject(
                layers,
                found,
                src_transform=moved(self._geobox.affine, place.row, place.column),
                src_crs=_crs(self._geobox),
                dst_transform=target.affine,
                dst_crs=_crs(target),
                resampling=resampling,
                tolerance=_TOLERANCE_PX,
                # Else GDAL guesses the kernel's width from each window anew.
                XSCALE=1,
                YSCALE=1,
            )
        return found


def _crs(geobox: GeoBox) -> RasterCRS:
    assert geobox.crs is not None
    return RasterCRS.from_wkt(geobox.crs.to_wkt())


def size_ratio(geobox: GeoBox, target: Target) -> float:
    """Side of a target pixel in pixels of a grid, at its centre or the first place it has there.

    It must not be measured where the target's window lies: that depends on the bounds asked for.
    """
    assert geobox.crs is not None
    height, width = map(int, geobox.shape)
    places = [(height // 2, width // 2)]
    places += [(height * i // 8, width * j // 8) for i in range(8) for j in range(8)]
    for row, column in places:
        rows, columns = pixels_of(
            Window(row, column, 1, 1), 2, geobox.affine, geobox.crs, target.affine, target.crs
        )
        down, across = (np.array([each[1, 0], each[0, 1]]) - each[0, 0] for each in (rows, columns))
        area = abs(float(down[0] * across[1] - down[1] * across[0]))
        if np.isfinite(area) and area > 0:
            return 1 / math.sqrt(area)
    return 1.0


def _shift(geobox: GeoBox, target: Target) -> tuple[int, int] | None:
    """Whole rows and columns from the target's endless grid to a grid with the same pixels."""
    if geobox.crs != target.crs:
        return None
    inverse, theirs = (np.reshape(tuple(each), (3, 3)) for each in (~geobox.affine, target.affine))
    ours = inverse @ theirs
    turned = float(np.abs(ours[:2, :2] - np.eye(2)).max()) * max(geobox.shape)
    columns, rows = np.round(ours[:2, 2]).tolist()
    if max(turned, abs(ours[1, 2] - rows), abs(ours[0, 2] - columns)) > SAME_PIXEL:
        return None
    return int(rows), int(columns)


def _around(rows: NDArray[np.float64], columns: NDArray[np.float64]) -> Window:
    """The window around places, with room for neighbours and for places between them."""
    finite = np.isfinite(rows) & np.isfinite(columns)
    if not finite.any():
        return Window(0, 0, 0, 0)
    rows, columns = rows[finite], columns[finite]
    spare = 2 + math.ceil(0.02 * max(np.ptp(rows), np.ptp(columns)))
    top, left = math.floor(rows.min()) - spare, math.floor(columns.min()) - spare
    bottom, right = math.ceil(rows.max()) + spare, math.ceil(columns.max()) + spare
    return Window(top, left, bottom - top, right - left)
