"""Class probabilities by rows to finished polygons."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import geopandas as gpd
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from geoconvlora.errors import ConfigError
from geoconvlora.scenes.origin import Origin
from geoconvlora.vector.classes import wanted_ids
from geoconvlora.vector.features import FeatureTable
from geoconvlora.vector.gaps import GapCloser
from geoconvlora.vector.holes import Holes
from geoconvlora.vector.instances import InstanceStream, ObjectRows
from geoconvlora.vector.neighbours import Neighbours
from geoconvlora.vector.options import PolygonOptions
from geoconvlora.vector.parts import NOTHING
from geoconvlora.vector.regions import Regions, RegionTracer
from geoconvlora.vector.rows import BLOCK_ROWS
from geoconvlora.vector.schema import to_frame
from geoconvlora.vector.slivers import Slivers
from geoconvlora.weights.card import ClassInfo, InstanceRule


class MapPolygons:
    """Polygons of a map that arrives by rows; the same whatever the heights of the feeds are.

    Args:
        geobox: Grid of the probabilities.
        classes: The model's classes, in the order of the probabilities.
        rule: How probabilities become objects; None: regions of the most probable class.
        options: What the user asked for.
        origin: Scene, date and model, attributes of every polygon.
        block_rows: Rows that are worked on at a time.
        extent: Rows and columns to which the grid's last, partial ones reach; None: whole ones.

    Raises:
        ConfigError: ``options.classes`` names a class that is not there, or gaps are to be closed
            between classes.
        SceneError: The grid has no CRS.

    Example:
        >>> import numpy as np
        >>> from affine import Affine
        >>> grid = GeoBox((2, 4), Affine(10, 0, 500000, 0, -10, 5000000), "EPSG:32631")
        >>> classes = [ClassInfo(id=0, name="water", color="#0000ff"),
        ...            ClassInfo(id=1, name="land", color="#00ff00")]
        >>> polygons = MapPolygons(geobox=grid, classes=classes, rule=None,
        ...                        options=PolygonOptions(), origin=Origin("s"))
        >>> probabilities = np.full((2, 2, 4), 0.25, np.float32)
        >>> probabilities[1, :, 2:] = 0.75
        >>> early = polygons.feed(probabilities, np.ones((2, 4), bool))
        >>> polygons.finish()[["class", "confidence"]].values.tolist()
        [['water', 0.25], ['land', 0.75]]
    """

    def __init__(
        self,
        *,
        geobox: GeoBox,
        classes: Sequence[ClassInfo],
        rule: InstanceRule | None,
        options: PolygonOptions,
        origin: Origin,
        block_rows: int = BLOCK_ROWS,
        extent: tuple[float, float] | None = None,
    ) -> None:
        self._rule = rule
        self._ids = np.array([c.id for c in classes], dtype=np.int64)
        self._names = (
            {c.id: c.name for c in classes} if rule is None else {rule.interior: rule.name}
        )
        self._wanted = wanted_ids(self._names, options.classes, f"model '{origin.model}'")
        minimum = options.min_area_m2
        if minimum is None:
            minimum = 0.0 if rule is None else rule.min_area_m2
        least = 0.0 if rule is None else rule.min_extent
        self._table = FeatureTable(
            geobox,
            origin,
            min_area_m2=minimum,
            min_confidence=least,
            neighbours=options.neighbours,
        )
        limit = options.fill_holes_m2
        give = options.min_area_to == "neighbour" and minimum > 0
        self._tracer = RegionTracer(
            geobox.width,
            simplify_px=options.simplify_px,
            smooth_px=options.smooth_px,
            holes=Holes(limit, self._table.areas) if limit else None,
            slivers=Slivers(minimum, self._table.areas) if give else None,
            neighbours=Neighbours(
                self._table.areas,
                min_area_m2=minimum,
                min_weight=least,
                renames=rule is not None,
            )
            if options.neighbours
            else None,
            block_rows=block_rows,
            extent=extent,
        )
        if options.connectivity != 4:
            raise ConfigError(
                f"connectivity {options.connectivity} is for rasters: write the map to a GeoTIFF, "
                "and polygonize that"
            )
        if options.close_gaps_px and rule is None:
            raise ConfigError(
                f"close_gaps_px is for objects, and model '{origin.model}' maps classes: "
                "leave it out"
            )
        self._gaps = (
            GapCloser(geobox.width, options.close_gaps_px) if options.close_gaps_px else None
        )
        self._objects = (
            None if rule is None else InstanceStream(geobox.width, rule, block_rows=block_rows)
        )

    def feed(
        self, probabilities: NDArray[np.float32], valid: NDArray[np.bool_]
    ) -> gpd.GeoDataFrame:
        """Take the next rows; return the polygons that they complete.

        Args:
            probabilities: ``(K, h, W)``, 0 to 1, in the order of the classes.
            valid: ``(h, W)``; other pixels belong to no polygon.

        Returns:
            Polygons with the columns of the schema, maybe none.
        """
        return to_frame(self.feed_table(probabilities, valid), self._table.crs)

    def finish(self) -> gpd.GeoDataFrame:
        """Return the polygons that were still open; nothing may be fed afterwards."""
        return to_frame(self.finish_table(), self._table.crs)

    def feed_table(self, probabilities: NDArray[np.float32], valid: NDArray[np.bool_]) -> pa.Table:
        """Do as :meth:`feed`, but give an Arrow table, as files are made of."""
        if self._objects is not None:
            return self._rows(self._trace(self._objects.feed(probabilities, valid)))
        index = probabilities.argmax(axis=0)
        weight = np.take_along_axis(probabilities, index[None], axis=0)[0]
        best = self._ids[index]
        drawn = valid & np.isin(best, list(self._wanted))
        return self._rows([self._tracer.feed(np.where(drawn, best, NOTHING), weight)])

    def finish_table(self) -> pa.Table:
        """Do as :meth:`finish`, but give an Arrow table."""
        done = [] if self._objects is None else self._trace(self._objects.finish())
        if self._gaps is not None:
            done.append(self._tracer.feed(*self._gaps.finish()))
        return self._rows([*done, self._tracer.finish()])

    def _trace(self, blocks: Iterable[ObjectRows]) -> list[Regions]:
        done = []
        for block in blocks:
            self._tracer.relabel(block.former, block.current)
            rows = block.labels, block.extent
            if self._gaps is not None:
                self._gaps.relabel(block.former, block.current)
                rows = self._gaps.feed(*rows)
            done.append(self._tracer.feed(*rows))
        return done

    def _rows(self, regions: list[Regions]) -> pa.Table:
        class_id = None if self._rule is None else self._rule.interior
        return self._table.rows(Regions.join(regions), self._names, class_id=class_id)
