"""Joined maps to the files asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np

from geoconvlora.inference.joining import JoinedMaps
from geoconvlora.inference.outputs import OutputPlan
from geoconvlora.inference.polygons import Legend, PolygonLayers
from geoconvlora.inference.progress import progress_of
from geoconvlora.inference.rasters import ClassRaster, FractionType, MapRaster, ProbabilityRaster
from geoconvlora.inference.rows import MapRows
from geoconvlora.inference.target import Target
from geoconvlora.inference.zooming import averaged, repeated
from geoconvlora.scenes.origin import Origin


@dataclass(frozen=True)
class Written:
    """What became of joined maps.

    Attributes:
        valid_fraction: Share of valid pixels on the target.
    """

    valid_fraction: float


def write_joined(
    joined: JoinedMaps,
    plan: OutputPlan,
    target: Target,
    legend: Legend,
    layers: PolygonLayers,
    origin: Origin,
    *,
    zoom_in: int = 1,
    zoom_out: int = 1,
    probs_dtype: FractionType = "float32",
    progress: bool,
) -> Written:
    """Write joined maps to rasters on the target and to polygons.

    Args:
        joined: Maps on the target's grid, zoomed.
        plan: The files.
        target: The rasters' grid.
        legend: What the maps' values mean.
        layers: Polygons, on the zoomed grid.
        origin: Where the maps come from.
        zoom_in: How many times finer than the target the joined maps are.
        zoom_out: How many times coarser.
        probs_dtype: How probabilities are stored.
        progress: Show a bar on stderr if that is a terminal.

    Raises:
        SceneError: A map cannot be read.
        OutputError: The disk is full, for instance.
    """
    valid = 0
    with ExitStack() as stack:
        rasters = _open_rasters(stack, plan, target, legend, origin, probs_dtype)
        stack.enter_context(layers)
        stack.enter_context(joined)
        bands = _outlined(joined.rows(), layers)
        if zoom_in > 1:
            bands = averaged(bands, zoom_in)
        if zoom_out > 1:
            bands = repeated(bands, zoom_out, target.window.height, target.window.width)
        with progress_of(target.window.height, "mosaic", shown=progress) as advance:
            for rows in bands:
                valid += int(np.count_nonzero(rows.valid))
                for raster in rasters:
                    raster.feed(rows)
                advance(rows.valid.shape[0])
        for raster in rasters:
            raster.finish()
        layers.finish()
    return Written(valid / (target.window.height * target.window.width))


def _outlined(bands: Iterable[MapRows], layers: PolygonLayers) -> Iterator[MapRows]:
    for rows in bands:
        layers.feed(rows)
        yield rows


def _open_rasters(
    stack: ExitStack,
    plan: OutputPlan,
    target: Target,
    legend: Legend,
    origin: Origin,
    probs_dtype: FractionType,
) -> list[MapRaster]:
    rasters: list[MapRaster] = [
        stack.enter_context(ClassRaster(path, target.geobox, legend.classes, origin=origin))
        for path in plan.classes
    ]
    if plan.probabilities is not None:
        raster = ProbabilityRaster(
            plan.probabilities,
            target.geobox,
            legend.classes,
            origin=origin,
            dtype=probs_dtype,
            rule=legend.instances,
        )
        rasters.append(stack.enter_context(raster))
    return rasters
