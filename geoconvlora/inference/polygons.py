"""The map's polygons, written to every polygon layer asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

import numpy as np
import shapely
from numpy.typing import NDArray

from geoconvlora.inference.rows import MapRows
from geoconvlora.scenes import PredictionGrid, Window
from geoconvlora.scenes.date import joint_date
from geoconvlora.scenes.grid import crop
from geoconvlora.scenes.origin import Origin
from geoconvlora.weights.card import ClassInfo, InstanceRule

if TYPE_CHECKING:
    import pyarrow as pa

    from geoconvlora.vector import MapPolygons, PolygonOptions, PolygonWriter


class Legend(Protocol):
    """What a map's values mean; a model's card is one."""

    @property
    def classes(self) -> tuple[ClassInfo, ...]:
        """Its classes, in the order of probabilities."""

    @property
    def instances(self) -> InstanceRule | None:
        """How they become objects; None: they do not."""


#: Empty rows above a part of a scene that are fed at a time.
_ABOVE_ROWS = 64


class PolygonLayers:
    """Polygons of one map in any number of files; a context manager.

    Without files it is idle, and does not load the engine.
    """

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
        origin: Origin,
        scenes_of: Callable[[NDArray[np.object_]], NDArray[np.object_]] | None = None,
        dates: Mapping[str, str] | None = None,
        first_row: int = 0,
    ) -> None:
        """Check the options; files are made on entering.

        Args:
            paths: Files to write.
            grid: Where the map's rows are.
            card: What they mean.
            options: What the user asked for.
            origin: Where the map comes from, and its polygons unless ``scenes_of`` tells their
                scenes.
            scenes_of: Names the scenes of polygons, ``(n,)``.
            dates: When each of those scenes was taken, as far as that is known.
            first_row: Where the map's first row is on the scene's grid. Polygons are worked on in
                blocks at fixed rows of that, so that a part of a scene has the whole's polygons.

        Raises:
            ConfigError: The options name a class that the model does not have.
        """
        self.count, self.area_m2 = 0, {}
        self._paths, self._crs = paths, grid.geobox.crs
        self._neighbours = options.neighbours
        self._writers: list[PolygonWriter] = []
        self._stack = ExitStack()
        if not paths:
            return
        from geoconvlora.vector import MapPolygons
        from geoconvlora.vector.rows import BLOCK_ROWS

        self._metadata = origin.metadata()
        self._scenes_of, self._dates = scenes_of, dates or {}
        self._colors = (
            {each.name: each.color for each in card.classes}
            if card.instances is None
            else {card.instances.name: card.classes[card.instances.interior].color}
        )
        self._instances = card.instances is not None
        above = first_row % BLOCK_ROWS
        self._above = (len(card.classes), above, grid.width)
        self._polygons: MapPolygons = MapPolygons(
            geobox=crop(grid.geobox, Window(-above, 0, above + grid.height, grid.width)),
            extent=(above + grid.extent[0], grid.extent[1]),
            classes=card.classes,
            rule=card.instances,
            options=options,
            origin=origin,
        )

    def feed(self, rows: MapRows) -> None:
        """Trace rows of the prediction grid, and write the polygons that they complete."""
        if not self._writers:
            return
        if rows.row == 0:
            classes, above, width = self._above
            for row in range(0, above, _ABOVE_ROWS):
                shape = (min(_ABOVE_ROWS, above - row), width)
                nothing = np.zeros((classes, *shape), np.float32), np.zeros(shape, np.bool_)
                self._write(self._polygons.feed_table(*nothing))
        self._write(self._polygons.feed_table(rows.probabilities, rows.valid))

    def finish(self) -> None:
        """Write the polygons that reach the last row."""
        if self._writers:
            self._write(self._polygons.finish_table())

    def __enter__(self) -> PolygonLayers:
        if not self._paths:
            return self
        from geoconvlora.vector import PolygonWriter

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
                        colors=self._colors,
                        neighbours=self._neighbours,
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

    def _write(self, polygons: pa.Table) -> None:
        if not len(polygons):
            return
        if self._scenes_of is not None:
            from geoconvlora.vector.schema import GEOMETRY

            shapes = shapely.from_wkb(polygons[GEOMETRY].to_numpy(zero_copy_only=False))
            scenes = self._scenes_of(shapes)
            polygons = _with(polygons, "scene", scenes.tolist())
            polygons = _with(polygons, "date", [self._date_of(names) for names in scenes])
        self.count += len(polygons)
        by_class = polygons.group_by("class").aggregate([("area_m2", "sum")])
        for name, area_m2 in zip(*by_class.to_pydict().values(), strict=True):
            self.area_m2[name] = self.area_m2.get(name, 0.0) + area_m2
        for writer in self._writers:
            writer.write(polygons)

    def _date_of(self, scenes: str) -> str | None:
        return joint_date(self._dates.get(name, "") for name in scenes.split(",")) or None


def _with(polygons: pa.Table, name: str, values: list[str | None]) -> pa.Table:
    import pyarrow as pa

    column = polygons.schema.get_field_index(name)
    return polygons.set_column(column, polygons.schema.field(column), pa.array(values, pa.string()))
