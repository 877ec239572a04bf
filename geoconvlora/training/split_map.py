"""A map of which ground trains, validates and tests."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

import numpy as np
import shapely
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from geoconvlora.training.burn import to_ground
from geoconvlora.training.labelled_scene import PartedScene
from geoconvlora.training.reproject import crs_of
from geoconvlora.training.split import PARTS, Part

_COLORS: dict[Part, str] = {"train": "#4477aa", "val": "#ccbb44", "test": "#ee6677"}
_WORDS: dict[Part, str] = {"train": "training", "val": "validation", "test": "test"}
_MOST = 16
"""Scenes that are drawn."""


def split_png(scenes: Sequence[PartedScene]) -> bytes:
    """Draw the parts' ground on each scene's footprint, north as the scene's grid has it.

    Args:
        scenes: Of a run; of many, the first sixteen.

    Returns:
        A PNG file.
    """
    drawn = scenes[:_MOST]
    columns = math.ceil(math.sqrt(len(drawn)))
    rows = math.ceil(len(drawn) / columns)
    figure = Figure(figsize=(4.6 * columns + 0.6, 4.6 * rows + 0.6), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.ravel()[len(drawn) :]:
        axes.set_axis_off()
    for axes, scene in zip(grid.ravel(), drawn, strict=False):
        _draw(axes, scene)
    handles = [Patch(color=_COLORS[part], label=_WORDS[part]) for part in PARTS]
    handles.append(Patch(facecolor="#eeeeee", edgecolor="#777777", label="scene: of no part"))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=110)
    return png.getvalue()


def _draw(axes: Axes, scene: PartedScene) -> None:
    grid, split = scene.labelled.grid.geobox, scene.split
    outlines = {part: split.outlines(part) for part in PARTS}
    whole = sum(float(shapely.area(polygons).sum()) for polygons in outlines.values())
    footprint = np.array([shapely.box(0, 0, split.width, split.height)], dtype=object)
    axes.add_collection(_rings(to_ground(footprint, grid), "#eeeeee", "#777777"))
    shares = []
    for part in PARTS:
        axes.add_collection(_rings(to_ground(outlines[part], grid), _COLORS[part], "white"))
        share = float(shapely.area(outlines[part]).sum()) / max(whole, 1)
        shares.append(f"{_WORDS[part]} {share:.0%}")
    axes.set_title(f"{scene.labelled.name}\n{', '.join(shares)}", fontsize=9)
    axes.autoscale_view()
    axes.set_aspect("equal")
    axes.ticklabel_format(style="plain", useOffset=False)
    axes.tick_params(labelsize=6)
    axes.tick_params(axis="x", rotation=30)
    axes.set_xlabel(crs_of(grid).name, fontsize=7)


def _rings(polygons: np.ndarray, face: str, edge: str) -> PolyCollection:
    outer = shapely.get_exterior_ring(shapely.get_parts(polygons))
    rings = [shapely.get_coordinates(ring) for ring in outer]
    return PolyCollection(rings, facecolors=face, edgecolors=edge, linewidths=0.6)
