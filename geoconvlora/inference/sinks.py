"""Everything that a map is written to, fed together."""

from __future__ import annotations

from contextlib import ExitStack
from types import TracebackType

import numpy as np

from geoconvlora.inference.outputs import OutputPlan
from geoconvlora.inference.polygons import PolygonLayers
from geoconvlora.inference.rasters import (
    ClassRaster,
    FractionType,
    MapRaster,
    ProbabilityRaster,
    SpreadRaster,
)
from geoconvlora.inference.rows import MapRows, on_scene_grid
from geoconvlora.inference.task import MapTask
from geoconvlora.scenes.grid import crop
from geoconvlora.scenes.origin import Origin
from geoconvlora.weights.card import ModelCard


class MapSinks:
    """The rasters and polygon layers of one scene's map; a context manager.

    Files get their names together, when the context is left without an error.

    Args:
        plan: The files.
        task: What is mapped.
        card: The model's.
        layers: The polygon layers.
        origin: Where the map comes from.
        probs_dtype: How probabilities and uncertainty are stored.
    """

    valid_pixels: int
    """Valid pixels fed so far, on the map's grid."""

    def __init__(
        self,
        plan: OutputPlan,
        task: MapTask,
        card: ModelCard,
        layers: PolygonLayers,
        origin: Origin,
        probs_dtype: FractionType,
    ) -> None:
        self.valid_pixels = 0
        self._plan, self._task, self._card, self._layers = plan, task, card, layers
        self._origin = origin
        self._probs_dtype: FractionType = probs_dtype
        self._rasters: list[MapRaster] = []
        self._stack = ExitStack()

    def feed(self, rows: MapRows) -> None:
        """Write the map's next rows to all of them.

        Raises:
            OutputError: The disk is full, for instance.
        """
        self.valid_pixels += int(np.count_nonzero(rows.valid))
        self._layers.feed(rows)
        if self._rasters:
            task = self._task
            own = on_scene_grid(rows, task.grid, task.scene, task.scene_window)
            for raster in self._rasters:
                raster.feed(own)

    def finish(self) -> None:
        """Complete the files, still under temporary names."""
        for raster in self._rasters:
            raster.finish()
        self._layers.finish()

    def __enter__(self) -> MapSinks:
        geobox = crop(self._task.scene.geobox, self._task.scene_window)
        classes, origin = self._card.classes, self._origin
        plan, dtype = self._plan, self._probs_dtype
        with ExitStack() as opening:
            for path in plan.classes:
                self._open(opening, ClassRaster(path, geobox, classes, origin=origin))
            if plan.probabilities is not None:
                raster = ProbabilityRaster(
                    plan.probabilities,
                    geobox,
                    classes,
                    origin=origin,
                    dtype=dtype,
                    rule=self._card.instances,
                )
                self._open(opening, raster)
            if plan.uncertainty is not None:
                self._open(
                    opening,
                    SpreadRaster(plan.uncertainty, geobox, classes, origin=origin, dtype=dtype),
                )
            opening.enter_context(self._layers)
            self._stack = opening.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, traceback)

    def _open(self, opening: ExitStack, raster: MapRaster) -> None:
        self._rasters.append(opening.enter_context(raster))
