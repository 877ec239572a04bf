"""One of several scenes to its own map on disk."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
from odc.geo.geobox import GeoBox

from geoconvlora.inference.blending import Blend
from geoconvlora.inference.cluster import Cluster
from geoconvlora.inference.map_source import MapSource
from geoconvlora.inference.map_store import MapStore, open_store
from geoconvlora.inference.outputs import OutputPlan
from geoconvlora.inference.progress import progress_of
from geoconvlora.inference.rows import MapRows
from geoconvlora.inference.settings import settings_of
from geoconvlora.inference.task import (
    Augmentation,
    MapTask,
    Precision,
    Scales,
    precision_of,
    views_of,
)
from geoconvlora.inference.tiles import Tiling
from geoconvlora.scenes import PredictionGrid, Scene, Window, fit_normaliser, open_scene
from geoconvlora.scenes.area import Area
from geoconvlora.vector import PolygonOptions
from geoconvlora.weights.card import ModelCard

if TYPE_CHECKING:
    from geoconvlora.weights import Model


@dataclass(frozen=True)
class SceneMapper:
    """How each scene is mapped: as it would be alone.

    The attributes are the arguments of :func:`geoconvlora.inference.predict`.
    """

    card: ModelCard
    model: str | Path | Model
    base: str | Path | None = None
    bands: Sequence[int] | None = None
    nodata: float | None = None
    tile_size: int | None = None
    overlap: int | None = None
    batch_size: int = 4
    blend: Blend = "cosine"
    tta: Augmentation = "auto"
    device: str = "auto"
    precision: Precision = "auto"
    workers: int = 1

    def open(self, path: str) -> Scene:
        """Open a scene with the model's bands.

        Raises:
            SceneError: It is missing, damaged, or has no CRS.
            BandError: Its bands do not fit.
        """
        return open_scene(
            path,
            wanted=[band.name for band in self.card.bands],
            bands=self.bands,
            nodata=self.nodata,
            default_nodata=self.card.nodata,
        )

    def task(self, scene: Scene, part: Window | None = None) -> MapTask:
        """Return what is to be done; reads a sample of the scene.

        Args:
            scene: The scene.
            part: The window of its prediction grid that is needed; None: all of it.

        Raises:
            SceneError: The scene cannot be read, or the model does not take its pixel size.
        """
        grid = PredictionGrid.for_scene(scene, self.card.resolution)
        return MapTask(
            scene=scene,
            grid=grid,
            tiling=self.tiling(grid),
            normaliser=fit_normaliser(self.card.scaling, self.card.bands, scene),
            classes=len(self.card.classes),
            batch_size=self.batch_size,
            blend=self.blend,
            tta=views_of(self.card, self.tta),
            scales=Scales.of(self.card),
            precision=precision_of(self.card, self.precision),
            area=None if part is None else Area.of_window(part, scene, grid),
        )

    def tiling(self, grid: PredictionGrid) -> Tiling:
        """Return the tile grid of a prediction grid.

        Raises:
            ConfigError: Tile size or overlap cannot work.
        """
        return Tiling.for_model(grid.height, grid.width, self.card, self.tile_size, self.overlap)

    def loaded(self) -> SceneMapper:
        """Return the same with the network in memory, where this process is to use it."""
        if self.workers > 1 or not isinstance(self.model, (str, PathLike)):
            return self
        from geoconvlora.weights import load

        return replace(self, model=load(self.model, base=self.base), base=None)

    def settings(self, task: MapTask) -> dict[str, str]:
        """Return all that decides a scene's map, as words."""
        nothing = OutputPlan((), (), None)
        return settings_of(task, self.model, nothing, PolygonOptions(), "float32")

    def begin(self, task: MapTask, store: Path, cluster: Cluster) -> None:
        """Have a cluster begin with a scene when those before are done."""
        from geoconvlora.inference.running import missing_rows

        strips = store.with_suffix("")
        strips.mkdir(exist_ok=True)
        cluster.promise(task, missing_rows(task, strips), strips)

    def map(
        self, task: MapTask, store: Path, cluster: Cluster | None = None, *, progress: bool
    ) -> None:
        """Write a scene's map to a store, which appears when it is complete.

        The store has the whole scene's grid, whatever part of it is mapped.

        Strips wait in a folder beside it; those that are there already are not made again.

        Raises:
            SceneError: The scene cannot be read somewhere.
            OutputError: The disk is full, for instance.
        """
        from geoconvlora.inference.running import scene_rows

        height = task.window.height
        draft, strips = store.with_suffix(".part"), store.with_suffix("")
        strips.mkdir(exist_ok=True)
        stream = scene_rows(
            task,
            strips,
            self.model,
            self.base,
            device=self.device,
            workers=self.workers,
            cluster=cluster,
        )
        with (
            MapStore(
                draft,
                task.grid.geobox,
                task.classes,
                row=task.window.row,
                column=task.window.column,
            ) as kept,
            closing(stream),
            progress_of(height, task.scene.name, shown=progress) as advance,
        ):
            for rows in stream:
                kept.feed(rows)
                advance(rows.valid.shape[0])
        draft.replace(store)
        shutil.rmtree(strips)

    def in_memory(self, scene: Scene) -> tuple[MapRows, GeoBox]:
        """Return the whole map of a scene and the grid it is on, for scenes that memory holds.

        Example:
            >>> mapper = SceneMapper(read_card("fields"), "fields")  # doctest: +SKIP
            >>> with mapper.open("scene.tif") as scene:  # doctest: +SKIP
            ...     rows, geobox = mapper.in_memory(scene)

        Raises:
            SceneError: The scene cannot be read somewhere.
            OutputError: The folder for temporary files is full.
        """
        from geoconvlora.inference.running import scene_rows

        task = self.task(scene)
        with TemporaryDirectory() as strips:
            parts = list(
                scene_rows(
                    task,
                    Path(strips),
                    self.model,
                    self.base,
                    device=self.device,
                    workers=self.workers,
                )
            )
        probabilities = np.concatenate([part.probabilities for part in parts], axis=1)
        valid = np.concatenate([part.valid for part in parts])
        return MapRows(0, probabilities, valid), task.grid.geobox

    def read(self, store: Path) -> MapSource:
        """Return a finished store as a map of the model's classes."""
        return open_store(store, self.card.classes, self.card.name)
