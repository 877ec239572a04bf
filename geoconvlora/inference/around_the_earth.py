"""Grids in degrees, which go around the Earth and end at the poles."""

from __future__ import annotations

import math

import numpy as np
from odc.geo.geobox import GeoBox

from geoconvlora.inference.target import SAME_PIXEL, Target, pixels_of, turn_px
from geoconvlora.scenes import Window

#: Points along the side of a map, of which those between cannot stray far.
_POINTS = 34


def turns_of(geobox: GeoBox, target: Target) -> list[int]:
    """Whole turns by which a target must be turned for all of a map that lies on it to be found.

    Where map and target are in degrees, one may be at 181 and the other at -179, or both.
    """
    crs, turn = geobox.crs, turn_px(target.affine, target.crs)
    assert crs is not None
    if turn is None or not crs.geographic:
        return [0]
    whole = Window(0, 0, *map(int, geobox.shape))
    _, columns = pixels_of(whole, _POINTS, geobox.affine, crs, target.affine, target.crs)
    if not np.isfinite(columns).all():
        return [0]
    start, stop = target.window.column, target.window.column + target.window.width
    west, east = float(columns.min()), float(columns.max())
    spans = {
        side: (max(start, west + side * turn), min(stop, east + side * turn))
        for side in sides_of(west, east, target.window, turn)
    }
    spans = {side: span for side, span in spans.items() if span[1] - span[0] > SAME_PIXEL}
    if not spans:
        return [0]
    widest = max(spans, key=lambda side: spans[side][1] - spans[side][0])
    first, last = spans[widest]
    # Of a map that goes around the Earth and on, the rest is the same ground.
    needed = [
        side
        for side, span in spans.items()
        if side == widest or span[0] < first - SAME_PIXEL or span[1] > last + SAME_PIXEL
    ]
    return [-side * round(math.copysign(1, target.affine.a)) for side in needed]


def sides_of(west: float, east: float, window: Window, turn: float) -> range:
    """Whole turns of ``turn`` columns after which what lies between two columns meets a window."""
    start, stop = window.column, window.column + window.width
    return range(math.ceil((start - east) / turn), math.floor((stop - west) / turn) + 1)


def on_every_side(place: Window, window: Window, turn: float) -> Window:
    """The part of a grid in degrees, as high as a place, that holds it on all sides of a window."""
    if place.width > turn / 2:
        # Maybe a map of a pole, which has every longitude.
        return Window(place.row, window.column, place.height, window.width)
    west, east = place.column, place.column + place.width
    sides = sides_of(west, east, window, turn)
    if not sides:
        return place
    left, right = math.floor(west + sides[0] * turn), math.ceil(east + sides[-1] * turn)
    return Window(place.row, left, place.height, right - left)


def between_poles(window: Window, target: Target) -> Window:
    """The part of a window that is on the Earth, of a grid in degrees: GDAL has no place beyond."""
    affine, turn = target.affine, turn_px(target.affine, target.crs)
    if turn is None:
        return window
    pole = turn * abs(affine.a) / 4
    first, last = sorted(((pole - affine.f) / affine.e, (-pole - affine.f) / affine.e))
    top = max(window.row, math.ceil(first - SAME_PIXEL))
    bottom = min(window.row + window.height, math.floor(last + SAME_PIXEL))
    return Window(top, window.column, max(0, bottom - top), window.width)
