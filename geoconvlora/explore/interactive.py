"""A map to pan and zoom, in one piece of HTML that needs no network."""

from __future__ import annotations

import base64
import io
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
from numpy.typing import NDArray
from odc.geo.xr import xr_coords

from geoconvlora.errors import ConfigError
from geoconvlora.explore.axes import metres_per_unit
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
from geoconvlora.vector.styles import PALETTE

if TYPE_CHECKING:
    from bokeh.models import Renderer
    from bokeh.plotting import figure as Figure

MAX_SIDE = 1000
_WIDTH, _HEIGHT = 760, 620
_MOST_POLYGONS = 20_000
_FILL = 0.35
"""Opacity of polygons."""
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
            f'<iframe srcdoc="{escape(self.html())}" width="{_WIDTH + 240}" '
            f'height="{_HEIGHT + 40}" style="border:0" title="Map"></iframe>'
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
    plot = _figure(ground)
    layers: dict[str, Renderer] = {}
    legend: dict[str, str] = {}
    for name, array, image in rasters:
        layers[name] = _image(plot, ground, image, array)
        if array.name == "classes":
            legend |= _colours_of(array)
    if frame is not None:
        layers["polygons"] = _polygons(plot, ground, frame, legend)
    if rasters and rasters[0][1].sizes.get("y", 0) >= max_side:
        reduced = (*reduced, f"rasters to {max_side} pixels along their longer side")
    return InteractiveMap(row(plot, _controls(layers, legend, reduced)), reduced)


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
        painter = {"scene": scene_rgba, "classes": classes_rgba}.get(kind, probability_rgba)
        rasters.append((name, own, painter(own)))
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


@dataclass(frozen=True)
class _Ground:
    """Metres on the ground from the lower left corner, so that lengths and shapes are right."""

    left: float
    bottom: float
    right: float
    top: float
    across_m: float
    """Of a unit of the CRS at the centre."""
    up_m: float

    @classmethod
    def of(cls, bounds: tuple[float, ...], crs: pyproj.CRS) -> _Ground:
        left, bottom, right, top = bounds
        centre = (left + right) / 2, (bottom + top) / 2
        return cls(left, bottom, right, top, *metres_per_unit(crs, *centre))

    def metres(self, xy: NDArray[np.float64]) -> NDArray[np.float64]:
        """From coordinates ``(n, 2)`` in the CRS; to the centimetre."""
        moved = (xy - (self.left, self.bottom)) * (self.across_m, self.up_m)
        return np.asarray(np.round(moved, 2))


def _ground(rasters: list[Raster], frame: gpd.GeoDataFrame | None) -> _Ground:
    if rasters:
        geobox = geobox_of(rasters[0][1])
        assert geobox.crs is not None
        return _Ground.of(tuple(geobox.boundingbox), pyproj.CRS(geobox.crs.to_wkt()))
    assert frame is not None
    return _Ground.of(tuple(map(float, frame.total_bounds)), pyproj.CRS(frame.crs))


def _figure(ground: _Ground) -> Figure:
    from bokeh.models import MetricLength, Range1d, ScaleBar
    from bokeh.plotting import figure

    width, height = ground.metres(np.array([[ground.right, ground.top]]))[0].tolist()
    plot = figure(
        width=_WIDTH,
        height=_HEIGHT,
        match_aspect=True,
        tools="pan,wheel_zoom,box_zoom,reset,save",
        active_scroll="wheel_zoom",
        x_range=Range1d(0, width),
        y_range=Range1d(0, height),
        background_fill_color="#f4f4f4",
    )
    plot.grid.visible = False
    plot.axis.visible = False
    plot.add_layout(
        ScaleBar(
            range=plot.x_range,
            unit="m",
            dimensional=MetricLength(include=["m", "km"]),
            location="bottom_left",
            background_fill_alpha=0.75,
        )
    )
    return plot


def _image(plot: Figure, ground: _Ground, image: RGBA, like: xr.DataArray) -> Renderer:
    from PIL import Image

    box = geobox_of(like).boundingbox
    corners = ground.metres(np.array([[box.left, box.bottom], [box.right, box.top]]))
    (left, bottom), (right, top) = corners.tolist()
    file = io.BytesIO()
    Image.fromarray(image).save(file, "WEBP", quality=85, method=4)
    address = "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()
    return plot.image_url(
        url=[address], x=left, y=top, w=right - left, h=top - bottom, anchor="top_left"
    )


def _polygons(
    plot: Figure, ground: _Ground, frame: gpd.GeoDataFrame, legend: dict[str, str]
) -> Renderer:
    from bokeh.models import ColumnDataSource, HoverTool

    parts = frame.explode(index_parts=False)
    parts = parts[parts.geom_type == "Polygon"]
    rings = [
        [ground.metres(shapely.get_coordinates(ring)) for ring in shapely.get_rings(polygon)]
        for polygon in parts.geometry.array
    ]
    columns: dict[str, Any] = {
        "xs_": [[[ring[:, 0].tolist() for ring in polygon]] for polygon in rings],
        "ys_": [[[ring[:, 1].tolist() for ring in polygon]] for polygon in rings],
    }
    attributes = [name for name in parts.columns if name != parts.geometry.name]
    for name in attributes:
        columns[str(name)] = _readable(parts[name].tolist())
    if "class" in attributes:
        for number, name in enumerate(sorted(set(columns["class"]))):
            legend.setdefault(name, PALETTE[number % len(PALETTE)])
        columns["color_"] = [legend[name] for name in columns["class"]]
    else:
        columns["color_"] = ["#ffe100"] * len(parts)
    drawn = plot.multi_polygons(
        xs="xs_",
        ys="ys_",
        source=ColumnDataSource(columns),
        fill_color="color_",
        fill_alpha=_FILL,
        line_color="color_",
        line_width=1.2,
        hover_fill_alpha=0.7,
        hover_fill_color="color_",
        hover_line_color="#222222",
    )
    shown = [(str(name), f"@{{{name}}}") for name in attributes]
    plot.add_tools(HoverTool(renderers=[drawn], tooltips=shown, visible=False))
    return drawn


def _readable(values: list[Any]) -> list[str]:
    """Values as people read them; what is missing is a dash."""

    def text(value: Any) -> str:
        if value is None or value != value:
            return "-"
        if isinstance(value, float):
            return f"{value:,.1f}" if abs(value) >= 100 else f"{value:.3g}"
        return str(value)

    return [text(value) for value in values]


def _colours_of(classes: xr.DataArray) -> dict[str, str]:
    legend = Legend.of_attributes(classes.attrs, str(classes.name))
    found = set(np.unique(classes.values).tolist()) - {classes.attrs.get("_FillValue")}
    return {legend.name(i): legend.color(i) for i in sorted(found)}


def _controls(layers: dict[str, Renderer], legend: dict[str, str], reduced: tuple[str, ...]) -> Any:
    """A switch and an opacity for each layer, and which colour is which class."""
    from bokeh.layouts import column, row
    from bokeh.models import CustomJS, Div, Slider, Switch

    widgets: list[Any] = []
    for number, (name, layer) in enumerate(reversed(layers.items())):
        # The scene and what lies on top are shown; what is between would hide the scene.
        shown = name == "scene" or number == 0
        layer.visible = shown
        switch = Switch(active=shown)
        switch.js_link("active", layer, "visible")
        title = f"opacity of {name}"
        opacity = Slider(start=0, end=1, step=0.05, value=1, title=title, width=180)
        code = "layer.glyph.global_alpha = this.value"
        if name == "polygons":
            code = "layer.glyph.line_alpha = this.value; "
            code += f"layer.glyph.fill_alpha = {_FILL} * this.value"
        opacity.js_on_change("value", CustomJS(args={"layer": layer}, code=code))
        widgets += [row(switch, Div(text=escape(name))), opacity]
    keys = "".join(
        f'<div><span style="background:{color};display:inline-block;width:1em;height:1em"></span> '
        f"{escape(name)}</div>"
        for name, color in legend.items()
    )
    notes = "".join(f"<div><em>reduced: {escape(line)}</em></div>" for line in reduced)
    return column(*widgets, Div(text=keys + notes, width=200))
