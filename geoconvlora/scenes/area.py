"""The part of a scene that is asked for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray
from odc.geo.crs import CRS as GridCRS
from odc.geo.geobox import GeoBox
from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError, ProjError
from rasterio.features import geometry_mask
from shapely.geometry.base import BaseGeometry

from geoconvlora.errors import ConfigError
from geoconvlora.scenes.area_clipping import (
    SIDE_PARTS,
    beside,
    gone_on,
    near,
    only_polygons,
)
from geoconvlora.scenes.grid import PredictionGrid, crop
from geoconvlora.scenes.pixels import Window
from geoconvlora.scenes.scene import Scene

#: A mask is drawn in blocks at fixed rows, so that it does not depend on the window asked for.
_BLOCK_ROWS = 256


@dataclass(frozen=True)
class Area:
    """Pixels of a prediction grid whose centres lie in a polygon.

    On a finer grid it is whole scene pixels that belong or do not.

    Attributes:
        polygon: In the scene's CRS.
        geobox: The grid whose pixels are in or out: the scene's, or the coarser one.
        zoom_in: How many times finer the prediction grid is than ``geobox``.
        window: The smallest one, on the prediction grid, that holds the area.
    """

    polygon: BaseGeometry
    geobox: GeoBox
    zoom_in: int
    window: Window

    @classmethod
    def of(cls, polygon: BaseGeometry, scene: Scene, grid: PredictionGrid, named: str) -> Area:
        """Place a polygon, in the scene's CRS, on a grid.

        Raises:
            ConfigError: It does not reach the scene, whose error names it ``named``.
        """
        geobox = grid.geobox if grid.zoom_out > 1 else scene.geobox
        area = cls.within(polygon, geobox, grid.zoom_in, Window(0, 0, *map(int, geobox.shape)))
        if area is None:
            raise ConfigError(
                f"{named} does not reach {scene.path}, which lies at {_extent(scene)}"
            )
        return area

    @classmethod
    def within(
        cls, polygon: BaseGeometry, geobox: GeoBox, zoom_in: int, whole: Window
    ) -> Area | None:
        """Place a polygon on a window of a grid; None where it does not reach it.

        Args:
            polygon: In the grid's CRS.
            geobox: The grid, whose shape says nothing.
            zoom_in: How many times finer the prediction grid is.
            whole: The window, in pixels of ``geobox``.
        """
        a, b, left, d, e, top = tuple(~geobox.affine)[:6]

        def to_pixels(xy: NDArray[np.float64]) -> NDArray[np.float64]:
            pixels: NDArray[np.float64] = xy @ np.array([[a, d], [b, e]]) + (left, top)
            return pixels

        reach = shapely.bounds(shapely.transform(polygon, to_pixels))
        window = None
        if np.isfinite(reach).all():
            west, north, east, south = np.clip(reach, -(2.0**40), 2.0**40)
            row, column = math.floor(north), math.floor(west)
            size = math.ceil(south) - row, math.ceil(east) - column
            inside = Window(row - whole.row, column - whole.column, *size)
            window = inside.clipped(whole.height, whole.width)
        if window is None or window.empty:
            return None
        row, column = window.row + whole.row, window.column + whole.column
        k = zoom_in
        return cls(
            polygon, geobox, k, Window(row * k, column * k, window.height * k, window.width * k)
        )

    @classmethod
    def of_window(cls, window: Window, scene: Scene, grid: PredictionGrid) -> Area:
        """Return the scene pixels that a window of the prediction grid touches."""
        geobox, k = (grid.geobox, 1) if grid.zoom_out > 1 else (scene.geobox, grid.zoom_in)
        top, left = window.row // k, window.column // k
        bottom = -(-(window.row + window.height) // k)
        right = -(-(window.column + window.width) // k)
        a, b, x, d, e, y = tuple(geobox.affine)[:6]
        corners = ((left, top), (right, top), (right, bottom), (left, bottom))
        polygon = shapely.Polygon([(a * u + b * v + x, d * u + e * v + y) for u, v in corners])
        return cls(
            polygon, geobox, k, Window(top * k, left * k, (bottom - top) * k, (right - left) * k)
        )

    def mask(self, window: Window) -> NDArray[np.bool_]:
        """Return which pixels ``(h, w)`` of a window of the prediction grid belong to the area."""
        k = self.zoom_in
        rows = range(window.row // k, -(-(window.row + window.height) // k))
        first = window.column // k
        columns = -(-(window.column + window.width) // k) - first
        blocks = range(rows.start // _BLOCK_ROWS, -(-rows.stop // _BLOCK_ROWS))
        drawn = np.concatenate([self._block(block, first, columns) for block in blocks])
        drawn = drawn[rows.start - blocks.start * _BLOCK_ROWS :][: len(rows)]
        if k == 1:
            return drawn
        finer = drawn.repeat(k, axis=0).repeat(k, axis=1)
        top, left = window.row - rows.start * k, window.column - first * k
        return finer[top : top + window.height, left : left + window.width]

    def _block(self, block: int, column: int, columns: int) -> NDArray[np.bool_]:
        part = crop(self.geobox, Window(block * _BLOCK_ROWS, column, _BLOCK_ROWS, columns))
        mask: NDArray[np.bool_] = geometry_mask(
            [self.polygon], part.shape, part.affine, invert=True
        )
        return mask


def read_area(
    scene: Scene,
    grid: PredictionGrid,
    *,
    aoi: str | Path | None,
    bounds: Sequence[float] | None,
    bounds_crs: str | None = None,
) -> Area | None:
    """Return the area that a vector file, a box, or both outline; None for neither.

    Args:
        scene: What it is an area of.
        grid: Where its pixels lie.
        aoi: A file of polygons with a CRS; all of its first layer together are meant.
        bounds: West, south, east and north.
        bounds_crs: Their CRS; None: the scene's.

    Raises:
        ConfigError: The file cannot be read or holds no polygon, the box is empty, its CRS is
            unknown, or the area does not reach the scene.

    Example:
        >>> read_area(scene, grid, aoi=None, bounds=(5.1, 50.2, 5.2, 50.3),
        ...           bounds_crs="EPSG:4326").window  # doctest: +SKIP
        Window(row=812, column=95, height=1113, width=713)
    """
    assert scene.geobox.crs is not None
    asked = read_polygon(
        scene.geobox.crs, aoi=aoi, bounds=bounds, bounds_crs=bounds_crs, place=scene.geobox
    )
    return None if asked is None else Area.of(asked[0], scene, grid, asked[1])


def read_polygon(
    crs: GridCRS,
    *,
    aoi: str | Path | None,
    bounds: Sequence[float] | None,
    bounds_crs: str | None = None,
    place: GeoBox | None = None,
) -> tuple[BaseGeometry, str] | None:
    """Return what a vector file, a box, or both outline, and how to name it; None for neither.

    Args:
        crs: Of the polygon returned, and of the box where nothing else is said.
        aoi: See :func:`read_area`.
        bounds: Likewise.
        bounds_crs: Likewise.
        place: Where, in ``crs``, the polygon is needed: what lies far from there, and what the CRS
            may have no place for, is left out. Longitudes are taken on its side of the Earth.

    Raises:
        ConfigError: The file cannot be read or holds no polygon, the box is empty, or its CRS is
            unknown.
    """
    if bounds_crs is not None and bounds is None:
        raise ConfigError(f"bounds CRS {bounds_crs} is given without bounds")
    if aoi is None and bounds is None:
        return None
    polygons, names = [], []
    if aoi is not None:
        polygons.append(_polygon_of(Path(aoi), crs, place))
        names.append(f"the area of interest {aoi}")
    if bounds is not None:
        polygons.append(_box_of(bounds, bounds_crs, crs, place))
        names.append(f"the box {','.join(f'{b:g}' for b in bounds)}")
    if place is not None:
        polygons = [beside(polygon, place) for polygon in polygons]
    shared = polygons[0]
    if len(polygons) > 1:
        shared = only_polygons(shapely.intersection_all(polygons))
    return shared, " within ".join(names)


def _polygon_of(path: Path, crs: GridCRS, place: GeoBox | None) -> BaseGeometry:
    import geopandas as gpd
    from pyogrio.errors import DataLayerError, DataSourceError

    if not path.exists():
        raise ConfigError(f"{path} does not exist: name a file with the polygons of an area")
    try:
        layer = gpd.read_file(path)
    except (DataSourceError, DataLayerError) as error:
        raise ConfigError(f"{path} cannot be read as a vector file ({error})") from error
    if not isinstance(layer, gpd.GeoDataFrame) or layer.crs is None:
        raise ConfigError(f"{path} has no CRS or no geometry: save it with one")
    own = layer[layer.geom_type.isin(["Polygon", "MultiPolygon"])]
    if own.empty:
        raise ConfigError(f"{path} holds no polygon: an area of interest is made of polygons")
    polygons = own.geometry
    if place is not None and layer.crs != CRS(crs.to_wkt()):
        polygons = gpd.GeoSeries(near(polygons.to_numpy(), layer.crs, place), crs=layer.crs)
    projected = polygons.to_crs(crs.to_wkt()).to_numpy()
    whole = gone_on(projected, polygons.to_numpy(), CRS(layer.crs), CRS(crs.to_wkt()))
    return only_polygons(shapely.make_valid(whole))


def _box_of(
    bounds: Sequence[float], bounds_crs: str | None, crs: GridCRS, place: GeoBox | None
) -> BaseGeometry:
    text = ",".join(f"{b:g}" for b in bounds)
    if len(bounds) != 4 or not all(map(math.isfinite, bounds)):
        raise ConfigError(f"bounds {text}: give four numbers, west, south, east and north")
    west, south, east, north = bounds
    if west >= east or south >= north:
        raise ConfigError(f"bounds {text} are empty: west must be less than east, south than north")
    box = shapely.box(west, south, east, north)
    if bounds_crs is None:
        return box
    try:
        own = CRS.from_user_input(bounds_crs)
        to_grid = Transformer.from_crs(own, crs.to_wkt(), always_xy=True)
    except (CRSError, ProjError) as error:
        raise ConfigError(f"bounds CRS {bounds_crs!r} is unknown: give e.g. EPSG:4326") from error
    longest = max(east - west, north - south)
    box = shapely.segmentize(box, longest / SIDE_PARTS)
    if place is not None and own != CRS(crs.to_wkt()):
        (box,) = near(np.array([box]), own, place)

    def bent(xy: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.stack(to_grid.transform(xy[:, 0], xy[:, 1]), axis=1)

    (whole,) = gone_on(
        np.array([shapely.transform(box, bent)]), np.array([box]), own, CRS(crs.to_wkt())
    )
    return whole


def _extent(scene: Scene) -> str:
    box = scene.geobox.boundingbox
    crs = scene.geobox.crs
    name = f"EPSG:{crs.epsg}" if crs is not None and crs.epsg else "its own CRS"
    return f"{box.left:.6g},{box.bottom:.6g},{box.right:.6g},{box.top:.6g} in {name}"
