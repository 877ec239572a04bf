"""The map's polygons, written to every polygon layer asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import geopandas as gpd
import numpy as np
from numpy.typing import NDArray

from geoconvlora.inference.rows import MapRows
from geoconvlora.scenes import PredictionGrid, Window
from geoconvlora.scenes.grid import crop
from geoconvlora.vector import MapPolygons, PolygonOptions, PolygonWriter
from geoconvlora.vector.regions import BLOCK_ROWS
from geoconvlora.weights.card import ClassInfo, InstanceRule


class Legend(Protocol):
    """What a map's values mean; a model's card is one."""

    @property
    def name(self) -> str:
        """The model."""

    @property
    def classes(self) -> tuple[ClassInfo, ...]:
        """Its classes, in the order of probabilities."""

    @property
    def instances(self) -> InstanceRule | None:
        """How they become objects; None: they do not."""


#: Empty rows above a part of a scene that are fed at a time.
_ABOVE_ROWS = 64


class PolygonLayers:
    """Polygons of one map in any number of files; a context manager, and idle without files."""

    count: int
    """Polygons written so far."""
    area_m2: dict[str, float]
    """Their area, by class."""

    def __init__(
        self,
        paths: Sequence[Path],
        grid: PredictionGrid,
        card: Legend,
        options: PolygonOptions,
        *,
        scene: str,
        scenes_of: Callable[[gpd.GeoDataFrame], NDArray[Any]] | None = None,
        first_row: int = 0,
    ) -> None:
        """Check the options; files are made on entering.

        Args:
            paths: Files to write.
            grid: Where the map's rows are.
            card: What they mean.
            options: What the user asked for.
            scene: Name of the map, and of every polygon's scene unless ``scenes_of`` tells them.
            scenes_of: Names the scenes of polygons, ``(n,)``.
            first_row: Where the map's first row is on the scene's grid. Polygons are worked on in
                blocks at fixed rows of that, so that a part of a scene has the whole's polygons.

        Raises:
            ConfigError: The options name a class that the model does not have.
        """
        self.count, self.area_m2 = 0, {}
        self._paths, self._crs = paths, grid.geobox.crs
        self._metadata = {"scene": scene, "model": card.name}
        self._scenes_of = scenes_of
        self._instances = card.instances is not None
        above = first_row % BLOCK_ROWS
        self._above = (len(card.classes), above, grid.width)
        self._polygons = MapPolygons(
            geobox=crop(grid.geobox, Window(-above, 0, above + grid.height, grid.width)),
            extent=(above + grid.extent[0], grid.extent[1]),
            classes=card.classes,
            rule=card.instances,
            options=options,
            scene=scene,
            model=card.name,
        )
        self._writers: list[PolygonWriter] = []
        self._stack = ExitStack()

    def feed(self, rows: MapRows) -> None:
        """Trace rows of the prediction grid, and write the polygons that they complete."""
        if not self._writers:
            return
        if rows.row == 0:
            classes, above, width = self._above
            for row in range(0, above, _ABOVE_ROWS):
                shape = (min(_ABOVE_ROWS, above - row), width)
                nothing = np.zeros((classes, *shape), np.float32), np.zeros(shape, np.bool_)
                self._write(self._polygons.feed(*nothing))
        self._write(self._polygons.feed(rows.probabilities, rows.valid))

    def finish(self) -> None:
        """Write the polygons that reach the last row."""
        if self._writers:
            self._write(self._polygons.finish())

    def __enter__(self) -> PolygonLayers:
        # What may be replaced was settled when the outputs were planned, hence overwrite=True.
        with ExitStack() as opening:
            self._writers = [
                opening.enter_context(
                    PolygonWriter(
                        path,
                        self._crs,
                        layer=path.stem,
                        overwrite=True,
                        metadata=self._metadata,
                        instances=self._instances,
                    )
                )
                for path in self._paths
            ]
            self._stack = opening.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, traceback)

    def _write(self, polygons: gpd.GeoDataFrame) -> None:
        if polygons.empty:
            return
        if self._scenes_of is not None:
            polygons["scene"] = self._scenes_of(polygons)
        self.count += len(polygons)
        for name, area_m2 in polygons.groupby("class")["area_m2"].sum().items():
            self.area_m2[str(name)] = self.area_m2.get(str(name), 0.0) + float(area_m2)
        for writer in self._writers:
            writer.write(polygons)
