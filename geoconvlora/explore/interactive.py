"""A map to pan and zoom, in one piece of HTML that needs no network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import geopandas as gpd
import numpy as np
import pyproj
import shapely
import xarray as xr
from odc.geo.xr import xr_coords

from geoconvlora.errors import ConfigError
from geoconvlora.explore.canvas import (
    HEIGHT,
    WIDTH,
    Ground,
    add_image,
    add_polygons,
    controls,
    new_figure,
)
from geoconvlora.explore.colours import RGBA, classes_rgba, probability_rgba, scene_rgba
from geoconvlora.explore.legend import Legend
from geoconvlora.explore.opening import (
    open_classes,
    open_polygons,
    open_probabilities,
    open_scene,
)
from geoconvlora.explore.rows import Map, geobox_of, opened
from geoconvlora.explore.warping import upright_geobox, values_on
from geoconvlora.naming import check_name_length

if TYPE_CHECKING:
    from bokeh.models import Renderer

MAX_SIDE = 1000
_PAINTERS: dict[str, Callable[[xr.DataArray], RGBA]] = {
    "scene": scene_rgba,
    "classes": classes_rgba,
    "probabilities": probability_rgba,
}
_MOST_POLYGONS = 20_000
_TOLERANCE = 2000
"""Polygons lose details smaller than the map's width by this."""


@dataclass(frozen=True)
class InteractiveMap:
    """What Jupyter shows as a map; made by :func:`interactive_map`.

    Attributes:
        layout: The map as a layout of Bokeh's, to be put into others.
        reduced: What was left out to keep it small, a line each.
    """

    layout: Any
    reduced: tuple[str, ...] = ()

    def html(self, title: str = "Map") -> str:
        """A whole page, Bokeh's own JavaScript in it."""
        from bokeh.embed import file_html
        from bokeh.resources import Resources

        page: str = file_html(self.layout, Resources(mode="inline"), title)
        return page

    def save(self, path: str | Path) -> Path:
        """Write the page to a file.

        Example:
            >>> from geoconvlora import explore
            >>> explore.interactive_map("scene.tif").save("map.html")  # doctest: +SKIP
        """
        path = Path(path)
        check_name_length(path)
        part = path.with_name(f".{path.name}.part")
        try:
            part.write_text(self.html(path.stem), encoding="utf-8")
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        return path

    def _repr_html_(self) -> str:
        # A frame of its own works in every notebook, and needs no extension of Jupyter's.
        return (
            f'<iframe srcdoc="{escape(self.html())}" width="{WIDTH + 240}" '
            f'height="{HEIGHT + 40}" style="border:0" title="Map"></iframe>'
        )


def interactive_map(
    scene: Map | None = None,
    classes: Map | None = None,
    probabilities: Map | None = None,
    polygons: gpd.GeoDataFrame | str | Path | None = None,
    *,
    max_side: int = MAX_SIDE,
) -> InteractiveMap:
    """Make a map to pan and zoom, with a switch and an opacity for each layer.

    Polygons show their attributes under the pointer. All layers are drawn in the CRS of the first
    raster given; other rasters are warped to it, polygons reprojected. It needs Bokeh
    (``pip install 'geoconvlora[notebooks]'``) and no network; ``geoconvlora view`` makes pages of
    large files with a table and links.

    Args:
        scene: Image, a file or a Dataset.
        classes: Classes, likewise.
        probabilities: Probabilities; each class but the background is a layer.
        polygons: A GeoDataFrame or a vector file.
        max_side: Pixels along the longer side of each raster, from overviews where there are some.

    Raises:
        ConfigError: Nothing is given, or Bokeh is not installed.
        SceneError: A raster cannot be read.
        LabelError: Polygons cannot be read.

    Example:
        >>> from geoconvlora import explore
        >>> explore.interactive_map("scene.tif", polygons="fields.gpkg")  # doctest: +SKIP
    """
    if all(each is None for each in (scene, classes, probabilities, polygons)):
        raise ConfigError("an interactive map wants a scene, classes, probabilities or polygons")
    try:
        from bokeh.layouts import row
    except ImportError:
        raise ConfigError(
            "Bokeh is not installed, which draws interactive maps: "
            "pip install 'geoconvlora[notebooks]'"
        ) from None
    rasters = _rasters(scene, classes, probabilities, max_side)
    frame, reduced = _simplified(polygons, rasters)
    ground = _ground(rasters, frame)
    plot = new_figure(ground)
    layers: dict[str, Renderer] = {}
    legend: dict[str, str] = {}
    for name, array, image in rasters:
        layers[name] = add_image(plot, ground, image, array)
        if array.name == "classes":
            legend |= _colours_of(array)
    if frame is not None:
        layers["polygons"] = add_polygons(plot, ground, frame, legend)
    if rasters and rasters[0][1].sizes.get("y", 0) >= max_side:
        reduced = (*reduced, f"rasters to {max_side} pixels along their longer side")
    return InteractiveMap(row(plot, controls(layers, legend, reduced)), reduced)


Raster = tuple[str, xr.DataArray, RGBA]
"""Name of the layer, where it is, and its colours."""


def _rasters(
    scene: Map | None, classes: Map | None, probabilities: Map | None, max_side: int
) -> list[Raster]:
    arrays: list[tuple[str, xr.DataArray]] = []
    if scene is not None:
        opener = partial(open_scene, max_side=max_side)
        arrays.append(("scene", opened(scene, "scene", opener)))
    if probabilities is not None:
        opener = partial(open_probabilities, max_side=max_side)
        chances = opened(probabilities, "probabilities", opener)
        for number, name in enumerate(chances["class"].values.tolist()):
            if name != "background":
                arrays.append((f"P({name})", chances.isel({"class": number})))
    if classes is not None:
        opener = partial(open_classes, max_side=max_side)
        arrays.append(("classes", opened(classes, "classes", opener)))
    if not arrays:
        return []
    crs = geobox_of(arrays[0][1]).crs
    rasters = []
    for name, array in arrays:
        own = _small_upright(array, crs, max_side)
        kind = str(array.name)
        rasters.append((name, own, _PAINTERS[kind](own)))
    return rasters


def _small_upright(array: xr.DataArray, crs: Any, max_side: int) -> xr.DataArray:
    """At most ``max_side`` pixels, north up and in the CRS of the map."""
    y, x = array.odc.spatial_dims
    step = -(-max(array.sizes[y], array.sizes[x]) // max_side)
    if step > 1:
        array = array.isel({d: slice(step // 2, None, step) for d in (y, x)})
    geobox = geobox_of(array)
    upright = geobox.affine.b == geobox.affine.d == 0 and geobox.affine.e < 0 < geobox.affine.a
    if geobox.crs == crs and upright:
        return array
    to = upright_geobox(geobox, crs)
    coords = {name: array.coords[name] for name in array.dims[:-2] if name in array.coords}
    return xr.DataArray(
        values_on(array, to),
        {**coords, **xr_coords(to, always_yx=True)},
        (*array.dims[:-2], "y", "x"),
        array.name,
        array.attrs,
    )


def _simplified(
    polygons: gpd.GeoDataFrame | str | Path | None, rasters: list[Raster]
) -> tuple[gpd.GeoDataFrame | None, tuple[str, ...]]:
    if polygons is None:
        return None, ()
    frame = polygons if isinstance(polygons, gpd.GeoDataFrame) else open_polygons(polygons)
    if rasters:
        crs = geobox_of(rasters[0][1]).crs
        assert crs is not None
        frame = frame.to_crs(crs.to_wkt())
    reduced: tuple[str, ...] = ()
    if len(frame) > _MOST_POLYGONS:
        reduced = (f"polygons to the {_MOST_POLYGONS:,} largest of {len(frame):,}",)
        largest = np.argsort(-shapely.area(np.asarray(frame.geometry.array)), kind="stable")
        frame = frame.iloc[np.sort(largest[:_MOST_POLYGONS])]
    left, bottom, right, top = frame.total_bounds
    tolerance = max(right - left, top - bottom) / _TOLERANCE
    return frame.set_geometry(frame.geometry.simplify(tolerance)), reduced


def _ground(rasters: list[Raster], frame: gpd.GeoDataFrame | None) -> Ground:
    if rasters:
        geobox = geobox_of(rasters[0][1])
        assert geobox.crs is not None
        return Ground.of(tuple(geobox.boundingbox), pyproj.CRS(geobox.crs.to_wkt()))
    assert frame is not None
    return Ground.of(tuple(map(float, frame.total_bounds)), pyproj.CRS(frame.crs))


def _colours_of(classes: xr.DataArray) -> dict[str, str]:
    legend = Legend.of_attributes(classes.attrs, str(classes.name))
    found = set(np.unique(classes.values).tolist()) - {classes.attrs.get("_FillValue")}
    return legend.only(found).by_name
