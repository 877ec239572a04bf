"""Axes of a map: extent, proportions and a scale bar that are right on the ground."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyproj
import shapely
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from matplotlib.offsetbox import AnchoredOffsetbox, DrawingArea, TextArea, VPacker
from matplotlib.patches import Rectangle
from matplotlib.transforms import Affine2D
from numpy.typing import NDArray

from geoconvlora.evaluate.picture import round_length
from geoconvlora.explore.rows import geobox_of
from geoconvlora.scenes.ground import in_degrees

_INK = "#222222"
_SIDE_IN = 6.0


def map_axes(ax: Axes | None) -> Axes:
    """The axes given, or new ones."""
    if ax is not None:
        return ax
    from matplotlib import pyplot

    _, new = pyplot.subplots(figsize=(_SIDE_IN, _SIDE_IN), layout="constrained")
    assert isinstance(new, Axes)
    return new


def draw_pixels(ax: Axes, image: NDArray, like: xr.DataArray, **style: Any) -> AxesImage:
    """Draw an image ``(h, w)`` or ``(h, w, 4)`` where an array's pixels are, rotated grids too."""
    geobox = geobox_of(like)
    height, width = geobox.shape
    a, b, left, d, e, top = tuple(geobox.affine)[:6]
    drawn = ax.imshow(image, extent=(0, width, height, 0), **style)
    to_crs = Affine2D(np.array([[a, b, left], [d, e, top], [0, 0, 1]]))
    drawn.set_transform(to_crs + ax.transData)
    box = geobox.boundingbox
    assert geobox.crs is not None
    frame(ax, (box.left, box.bottom, box.right, box.top), pyproj.CRS(geobox.crs.to_wkt()))
    return drawn


def frame(ax: Axes, bounds: tuple[float, ...], crs: pyproj.CRS) -> None:
    """Show an extent, in the CRS, in its proportions on the ground, with a scale bar."""
    left, bottom, right, top = bounds
    across_m, up_m = metres_per_unit(crs, (left + right) / 2, (bottom + top) / 2)
    ax.set_xlim(left, right)
    ax.set_ylim(bottom, top)
    ax.set_aspect(up_m / across_m)
    ax.set_xticks([])
    ax.set_yticks([])
    ax.set_xlabel("")
    ax.set_ylabel("")
    if not any(isinstance(artist, ScaleBar) for artist in ax.artists):
        ax.add_artist(ScaleBar(ax, across_m))


def metres_per_unit(crs: pyproj.CRS, x: float, y: float) -> tuple[float, float]:
    """Metres on the ground of a unit of the CRS, across and up, at a place.

    Example:
        >>> across, up = metres_per_unit(pyproj.CRS(4326), 9.0, 60.0)
        >>> round(across), round(up)
        (55800, 111412)
    """
    factor = float(crs.axis_info[0].unit_conversion_factor) if crs.axis_info else 1.0
    geographic, geod = in_degrees(crs), crs.get_geod()
    if geographic is None or geod is None:
        return factor, factor
    if crs.is_geographic:
        factor *= geod.a  # an equator's worth of metres belongs to a radian
    to_degrees = pyproj.Transformer.from_crs(crs, geographic, always_xy=True)
    step = 10.0 / factor
    lon, lat = to_degrees.transform([x, x + step, x], [y, y, y + step])
    if not np.isfinite([lon, lat]).all():
        return factor, factor
    _, _, sides = geod.inv([lon[0]] * 2, [lat[0]] * 2, lon[1:], lat[1:])
    across_m, up_m = (float(side) / step for side in sides)
    # At a pole of a cylindrical projection, or where a place is none, a step leads nowhere.
    return (across_m, up_m) if across_m > 0 and up_m > 0 else (factor, factor)


class ScaleBar(AnchoredOffsetbox):
    """A bar of a round length, about a fifth of the map's width, at its lower left.

    It is made when the map is drawn, so zooming changes its length.
    """

    def __init__(self, ax: Axes, metres_per_x: float) -> None:
        self._metres_per_x = metres_per_x
        super().__init__("lower left", pad=0.4, borderpad=0.5, child=TextArea(""), frameon=True)
        self.patch.set(facecolor="white", alpha=0.75, edgecolor="none")

    def get_bbox(self, renderer: Any) -> Any:
        """Make the bar for the view at hand; matplotlib asks for its box before it draws."""
        ax = self.axes
        assert ax is not None
        left, right = ax.get_xlim()
        length_m = round_length(abs(right - left) * self._metres_per_x / 5)
        pixels = ax.get_window_extent().width * length_m / self._metres_per_x / abs(right - left)
        points = pixels * 72 / ax.figure.dpi
        label = f"{length_m / 1000:g} km" if length_m >= 1000 else f"{length_m:g} m"
        bar = DrawingArea(points, 3)
        bar.add_artist(Rectangle((0, 0), points, 2.5, facecolor=_INK, edgecolor="none"))
        text = TextArea(label, textprops={"fontsize": 8, "color": _INK})
        packed = VPacker(children=[text, bar], align="center", pad=0, sep=2)
        packed.axes = ax
        packed.set_figure(ax.figure)
        self._child = packed
        return super().get_bbox(renderer)


def shown_bounds(polygons: NDArray[np.object_]) -> tuple[float, ...]:
    """Bounds of polygons with a margin."""
    left, bottom, right, top = map(float, shapely.total_bounds(polygons))
    margin = 0.02 * max(right - left, top - bottom)
    if not math.isfinite(margin):
        return 0.0, 0.0, 1.0, 1.0
    return left - margin, bottom - margin, right + margin, top + margin
