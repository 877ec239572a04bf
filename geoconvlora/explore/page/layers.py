"""Layers as the page's script reads them: JSON with images and outlines in base 64."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Any

from geoconvlora.explore.page.attributes import as_columns, class_names
from geoconvlora.explore.page.class_areas import ClassLegend
from geoconvlora.explore.page.grid import PageGrid
from geoconvlora.explore.page.packing import pack_polygons
from geoconvlora.explore.page.pictures import Picture, ramp
from geoconvlora.explore.page.polygons import CLASS, ShownPolygons
from geoconvlora.vector.styles import PALETTE

Json = dict[str, Any]

#: Steps of a pixel of the finest raster that outlines are rounded to.
_STEPS_PER_PIXEL = 16
_RAMP_STOPS = 9
_OPACITY = {"scene": 1.0, "classes": 0.7, "probabilities": 0.7, "polygons": 0.8}


def picture_layer(picture: Picture, kind: str, *, visible: bool, legend: Json) -> Json:
    """A raster."""
    image = base64.b64encode(picture.image).decode()
    return {
        "kind": kind,
        "name": picture.name,
        "visible": visible,
        "opacity": _OPACITY[kind],
        "bounds": picture.bounds,
        "image": f"data:{picture.mime};base64,{image}",
        **legend,
    }


def class_entries(legend: ClassLegend) -> Json:
    """Legend of a class raster, the largest class first."""
    entries = sorted(legend.entries, key=lambda entry: (-entry.area_m2, entry.name))
    return {
        "legend": [
            {"name": e.name, "color": e.color, "area_m2": round(e.area_m2, 1), "clear": e.clear}
            for e in entries
        ]
    }


def ramp_entries() -> Json:
    """Legend of probabilities."""
    return {"ramp": ramp(_RAMP_STOPS)}


def polygon_layer(shown: ShownPolygons, grid: PageGrid, colors: dict[str, str]) -> Json:
    """Polygons with their attributes.

    Args:
        shown: The polygons.
        grid: Of the page.
        colors: By class name, from :func:`polygon_colors`.
    """
    unit = grid.unit
    quantum = unit[0] / _STEPS_PER_PIXEL, unit[1] / _STEPS_PER_PIXEL
    left, _, _, top = grid.bounds
    packed = pack_polygons(shown.polygons, (left, top), quantum)
    place = {total.name: number for number, total in enumerate(shown.totals)}
    others = len(shown.totals) - 1
    return {
        "kind": "polygons",
        "name": shown.file.path.name,
        "visible": True,
        "opacity": _OPACITY["polygons"],
        "origin": [left, top],
        "quantum": quantum,
        "count": len(shown.polygons),
        "parts": base64.b64encode(packed.parts).decode(),
        "rings": base64.b64encode(packed.rings).decode(),
        "vertices": base64.b64encode(packed.vertices).decode(),
        "steps": base64.b64encode(packed.steps).decode(),
        "columns": as_columns(shown.attributes),
        "classes": [place.get(name, others) for name in class_names(shown.attributes, CLASS)],
        "legend": [
            {
                "name": total.name or "polygons",
                "color": colors[total.name],
                "area_m2": round(total.area_m2, 1),
                "count": total.count,
                "clear": False,
            }
            for total in shown.totals
        ],
    }


def polygon_colors(shown: ShownPolygons, known: dict[str, str], layer: int) -> dict[str, str]:
    """Colours of a file's classes: its own, else those of rasters, else of the palette.

    Args:
        shown: The polygons.
        known: Colours by class name from the page's rasters.
        layer: Number of the file, so that two without classes differ.

    Example:
        >>> polygon_colors(shown, {}, 0)  # doctest: +SKIP
        {'field': '#e69f00'}
    """
    colors = {}
    for number, total in enumerate(shown.totals):
        given = shown.file.colors.get(total.name) or known.get(total.name)
        colors[total.name] = given or PALETTE[(number + layer) % len(PALETTE)]
    return colors


def known_colors(legends: Iterable[ClassLegend]) -> dict[str, str]:
    """Colours by class name, the first raster's before others'."""
    colors: dict[str, str] = {}
    for legend in legends:
        for entry in legend.entries:
            colors.setdefault(entry.name, entry.color)
    return colors
