"""What an interactive map is made of: a Bokeh figure in metres, its layers and their switches."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import geopandas as gpd
import numpy as np
import pyproj
import shapely
import xarray as xr
from numpy.typing import NDArray

from geoconvlora.explore.axes import metres_per_unit
from geoconvlora.explore.colours import RGBA
from geoconvlora.explore.rows import geobox_of
from geoconvlora.vector.styles import PALETTE

if TYPE_CHECKING:
    from bokeh.models import Renderer
    from bokeh.plotting import figure as Figure

WIDTH, HEIGHT = 760, 620
"""Of the figure, in pixels of the screen."""
_FILL = 0.35
"""Opacity of polygons."""


@dataclass(frozen=True)
class Ground:
    """Metres on the ground from the lower left corner, so that lengths and shapes are right."""

    left: float
    bottom: float
    right: float
    top: float
    across_m: float
    """Of a unit of the CRS at the centre."""
    up_m: float

    @classmethod
    def of(cls, bounds: tuple[float, ...], crs: pyproj.CRS) -> Ground:
        """The ground of bounds in a CRS, whose scale is that of the centre."""
        left, bottom, right, top = bounds
        centre = (left + right) / 2, (bottom + top) / 2
        return cls(left, bottom, right, top, *metres_per_unit(crs, *centre))

    def metres(self, xy: NDArray[np.float64]) -> NDArray[np.float64]:
        """From coordinates ``(n, 2)`` in the CRS; to the centimetre."""
        moved = (xy - (self.left, self.bottom)) * (self.across_m, self.up_m)
        return np.asarray(np.round(moved, 2))


def new_figure(ground: Ground) -> Figure:
    """An empty figure of some ground, with a scale bar."""
    from bokeh.models import MetricLength, Range1d, ScaleBar
    from bokeh.plotting import figure

    width, height = ground.metres(np.array([[ground.right, ground.top]]))[0].tolist()
    plot = figure(
        width=WIDTH,
        height=HEIGHT,
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


def add_image(plot: Figure, ground: Ground, image: RGBA, like: xr.DataArray) -> Renderer:
    """Add a picture where an array's pixels are, which is north up."""
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


def add_polygons(
    plot: Figure, ground: Ground, frame: gpd.GeoDataFrame, legend: dict[str, str]
) -> Renderer:
    """Add polygons with their attributes under the pointer; ``legend`` gets classes it lacks."""
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


def controls(layers: dict[str, Renderer], legend: dict[str, str], reduced: tuple[str, ...]) -> Any:
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
