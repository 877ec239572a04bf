"""The map's polygons, written to every polygon layer asked for."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import pyarrow as pa

from geoconvlora.inference.rows import MapRows
from geoconvlora.scenes import PredictionGrid
from geoconvlora.vector import MapPolygons, PolygonOptions, PolygonWriter
from geoconvlora.vector.features import Origin
from geoconvlora.weights.card import ModelCard


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
        card: ModelCard,
        options: PolygonOptions,
        *,
        scene: str,
        date: str = "",
        model_sha256: str = "",
    ) -> None:
        """Check the options; files are made on entering.

        Raises:
            ConfigError: The options name a class that the model does not have.
        """
        self.count, self.area_m2 = 0, {}
        self._paths, self._crs = paths, grid.geobox.crs
        origin = Origin(scene, date, card.name, model_sha256)
        self._metadata = origin.metadata()
        self._colors = (
            {each.name: each.color for each in card.classes}
            if card.instances is None
            else {card.instances.name: card.classes[card.instances.interior].color}
        )
        self._instances = card.instances is not None
        self._polygons = MapPolygons(
            geobox=grid.geobox,
            extent=grid.extent,
            classes=card.classes,
            rule=card.instances,
            options=options,
            scene=scene,
            model=card.name,
            model_sha256=model_sha256,
            date=date,
        )
        self._writers: list[PolygonWriter] = []
        self._stack = ExitStack()

    def feed(self, rows: MapRows) -> None:
        """Trace rows of the prediction grid, and write the polygons that they complete."""
        if self._writers:
            self._write(self._polygons.feed_table(rows.probabilities, rows.valid))

    def finish(self) -> None:
        """Write the polygons that reach the last row."""
        if self._writers:
            self._write(self._polygons.finish_table())

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
                        colors=self._colors,
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
        self.count += len(polygons)
        by_class = polygons.group_by("class").aggregate([("area_m2", "sum")])
        for name, area_m2 in zip(*by_class.to_pydict().values(), strict=True):
            self.area_m2[name] = self.area_m2.get(name, 0.0) + area_m2
        for writer in self._writers:
            writer.write(polygons)
