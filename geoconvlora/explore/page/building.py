"""Files to a page: one CRS for all, and as much of each as a page of 20 MB can hold."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from geoconvlora.errors import ConfigError
from geoconvlora.evaluate.output_files import check_output, write_whole
from geoconvlora.evaluate.polygons import is_vector
from geoconvlora.explore.page.class_areas import ClassLegend, read_legend
from geoconvlora.explore.page.document import document
from geoconvlora.explore.page.grid import PageGrid, Plane, union
from geoconvlora.explore.page.layers import (
    class_entries,
    known_colors,
    picture_layer,
    polygon_colors,
    polygon_layer,
    ramp_entries,
)
from geoconvlora.explore.page.pictures import (
    Picture,
    draw_classes,
    draw_probabilities,
    draw_scene,
    scene_bands,
)
from geoconvlora.explore.page.polygon_file import PolygonFile, open_polygons
from geoconvlora.explore.page.polygons import ShownPolygons, read_polygons, simplified
from geoconvlora.explore.page.raster_file import Kind, RasterFile, open_raster

MAX_BYTES = 20_000_000
"""Size of a page, at most."""
MAX_POLYGONS = 30_000
"""Polygons on a page unless the user asks for others: what a phone draws without waiting."""
MAX_VERTICES = 600_000
#: Pixels of a picture's longer side, at most.
MAX_SIDE = 4096

_BASE64 = 4 / 3
_FRAME_BYTES = 300_000
"""Of Leaflet, script, style and legends."""
_POLYGON_BYTES = 8_000_000
_SUFFIXES = (".html", ".htm")
_ORDER = (Kind.scene, Kind.classes, Kind.probabilities)


class ViewResult(BaseModel):
    """What :func:`view` wrote."""

    model_config = ConfigDict(frozen=True)

    path: Path
    bytes: int
    layers: tuple[str, ...]
    """Names, the lowest first."""
    polygons: int
    """That are shown."""
    notes: tuple[str, ...]
    """What was reduced or left out; also on the page."""


@dataclass(frozen=True)
class _Inputs:
    """Opened files, in the order of the layers."""

    rasters: tuple[RasterFile, ...]
    polygons: tuple[PolygonFile, ...]

    @property
    def plane(self) -> Plane:
        """That of the first scene, so that its pixels stay where they are."""
        if not self.rasters:
            return Plane(self.polygons[0].crs)
        first = self.rasters[0]
        plane = Plane(first.crs)
        return plane.about(first.bounds(plane))


def view(
    files: Sequence[str | Path],
    out: str | Path,
    *,
    bands: Sequence[int] | None = None,
    max_polygons: int = MAX_POLYGONS,
    overwrite: bool = False,
) -> ViewResult:
    """Write one HTML file that shows scenes, maps and polygons without a network.

    What a file is tells itself: see :func:`geoconvlora.explore.page.raster_file.open_raster`.
    Everything is shown in the CRS of the first scene, else of the first map, else of the first
    polygons. Large rasters are shown at the resolution of an overview, and of many polygons the
    largest, simplified; the result and the page say so. Memory does not depend on the size of the
    files.

    Args:
        files: Rasters and vector files, in any order.
        out: ``.html``.
        bands: 1-based bands of scenes for red, green and blue, or one; default: by their names.
        max_polygons: Polygons shown at most, over all files.
        overwrite: Replace a file that exists.

    Raises:
        GeoConvLoRAError: A file cannot be read or has no place, or ``out`` cannot be written.

    Example:
        >>> view(["scene.tif", "fields.gpkg"], "page.html").polygons  # doctest: +SKIP
        1204
    """
    out, names = Path(out), [str(file) for file in files]
    if not names:
        raise ConfigError("nothing to show: name a scene, a map or polygons")
    if max_polygons < 1:
        raise ConfigError(f"max_polygons is {max_polygons}: give 1 or more")
    check_output(out, _SUFFIXES, inputs=names, overwrite=overwrite)
    with ExitStack() as stack:
        inputs = _opened(names, stack)
        content = _content(inputs, bands, max_polygons)
    write_whole(out, content.page)
    return ViewResult(
        path=out,
        bytes=len(content.page),
        layers=content.layers,
        polygons=content.polygons,
        notes=content.notes,
    )


@dataclass(frozen=True)
class _Content:
    page: bytes
    layers: tuple[str, ...]
    polygons: int
    notes: tuple[str, ...]


def _opened(names: Sequence[str], stack: ExitStack) -> _Inputs:
    vectors = [name for name in names if Path(name).exists() and is_vector(name)]
    rasters = [open_raster(name, stack) for name in names if name not in vectors]
    rasters.sort(key=lambda raster: _ORDER.index(raster.kind))
    return _Inputs(tuple(rasters), tuple(open_polygons(Path(name)) for name in vectors))


def _content(inputs: _Inputs, bands: Sequence[int] | None, max_polygons: int) -> _Content:
    plane = inputs.plane
    chosen = {
        raster.path: scene_bands(raster, bands)
        for raster in inputs.rasters
        if raster.kind is Kind.scene
    }
    pixels = [raster.pixel_in(plane.crs) for raster in inputs.rasters]
    share = max(1, max_polygons // max(1, len(inputs.polygons)))
    shown: list[ShownPolygons] = []
    for file in inputs.polygons:
        shown.append(read_polygons(file, plane, share))
        plane = plane.about(shown[0].bounds)
    bounds = [raster.bounds(plane) for raster in inputs.rasters]
    grid = PageGrid.around(plane.crs, union([*bounds, *(each.bounds for each in shown)]), pixels)
    legends = {
        raster.path: read_legend(raster) for raster in inputs.rasters if raster.kind is Kind.classes
    }
    colors = known_colors(legends.values())
    shapes = []
    notes: list[str] = []
    for number, each in enumerate(shown):
        layer, reduced = _fitting(each, grid, polygon_colors(each, colors, number), len(shown))
        shapes.append(layer)
        notes += reduced.notes
    drawn = _pictures(inputs.rasters, chosen, legends, plane, sum(map(_size, shapes)))
    notes += _picture_notes(inputs.rasters, drawn)
    layers = [*_picture_layers(inputs.rasters, drawn, legends, bool(shapes)), *shapes]
    return _Content(
        document(_title(inputs), grid, layers, notes),
        tuple(layer["name"] for layer in layers),
        sum(layer["count"] for layer in shapes),
        tuple(notes),
    )


def _title(inputs: _Inputs) -> str:
    names = [raster.name for raster in inputs.rasters] + [
        file.path.name for file in inputs.polygons
    ]
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def _fitting(
    shown: ShownPolygons, grid: PageGrid, colors: dict[str, str], files: int
) -> tuple[dict[str, Any], ShownPolygons]:
    """A layer of polygons within its share of the page, and what it holds."""
    while True:
        reduced = simplified(shown, grid.unit[1], MAX_VERTICES // files)
        layer = polygon_layer(reduced, grid, colors)
        if _size(layer) * files <= _POLYGON_BYTES or len(shown.polygons) == 1:
            return layer, reduced
        shown = shown.largest(len(shown.polygons) // 2)


def _pictures(
    rasters: Sequence[RasterFile],
    bands: dict[str, tuple[int, ...]],
    legends: dict[str, ClassLegend],
    plane: Plane,
    taken: int,
) -> list[list[Picture]]:
    """Pictures of each raster, as large as they fit."""
    room = (MAX_BYTES - _FRAME_BYTES - taken) / _BASE64
    side = MAX_SIDE
    while True:
        drawn = [_drawn(raster, bands, legends, plane, side) for raster in rasters]
        size = sum(len(picture.image) for pictures in drawn for picture in pictures)
        if size <= room:
            return drawn
        side = int(side * min(0.9, 0.95 * math.sqrt(room / size)))


def _drawn(
    raster: RasterFile,
    bands: dict[str, tuple[int, ...]],
    legends: dict[str, ClassLegend],
    plane: Plane,
    side: int,
) -> list[Picture]:
    if raster.kind is Kind.scene:
        return [draw_scene(raster, bands[raster.path], plane, side)]
    if raster.kind is Kind.classes:
        return [draw_classes(raster, legends[raster.path], plane, side)]
    return draw_probabilities(raster, plane, side)


def _picture_layers(
    rasters: Sequence[RasterFile],
    drawn: Sequence[Sequence[Picture]],
    legends: dict[str, ClassLegend],
    with_polygons: bool,
) -> list[dict[str, Any]]:
    """Scenes are visible, maps where nothing else would tell what the page is about."""
    kinds = {raster.kind for raster in rasters}
    layers = []
    for raster, pictures in zip(rasters, drawn, strict=True):
        legend: dict[str, Any] = {}
        visible = True
        if raster.kind is Kind.classes:
            legend, visible = class_entries(legends[raster.path]), not with_polygons
        elif raster.kind is Kind.probabilities:
            legend, visible = ramp_entries(), not with_polygons and Kind.classes not in kinds
        for number, picture in enumerate(pictures):
            seen = visible and number == 0
            layers.append(picture_layer(picture, raster.kind, visible=seen, legend=legend))
    return layers


def _picture_notes(
    rasters: Sequence[RasterFile], drawn: Sequence[Sequence[Picture]]
) -> Iterator[str]:
    for raster, pictures in zip(rasters, drawn, strict=True):
        whole, seen = raster.geobox.shape, pictures[0].shape
        if seen[0] * seen[1] < whole[0] * whole[1]:
            yield (
                f"{raster.name}: shown at {seen[1]:,} x {seen[0]:,} of "
                f"{whole[1]:,} x {whole[0]:,} pixels"
            )


def _size(layer: dict[str, Any]) -> int:
    from geoconvlora.explore.page.document import as_json

    return len(as_json(layer).encode())
