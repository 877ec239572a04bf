"""Class or object rasters, on disk or in memory, to polygons."""

from __future__ import annotations

import warnings
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, overload

import geopandas as gpd
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pydantic import BaseModel, ConfigDict

from geoconvlora.errors import BandError, ConfigError
from geoconvlora.scenes.environment import raster_environment
from geoconvlora.vector.classes import BACKGROUND, wanted_ids
from geoconvlora.vector.features import FeatureTable
from geoconvlora.vector.gaps import GapCloser
from geoconvlora.vector.holes import Holes
from geoconvlora.vector.label_array import ArrayLabels, labels_of_data_array
from geoconvlora.vector.label_file import FileLabels
from geoconvlora.vector.labels import Labels
from geoconvlora.vector.neighbours import Neighbours
from geoconvlora.vector.options import PolygonOptions
from geoconvlora.vector.parts import NOTHING, Ids
from geoconvlora.vector.regions import Regions, RegionTracer
from geoconvlora.vector.schema import to_frame
from geoconvlora.vector.slivers import Slivers
from geoconvlora.vector.writer import PolygonWriter, check_target

if TYPE_CHECKING:
    import xarray as xr

    Raster = str | Path | NDArray[np.generic] | xr.DataArray

_READ_ROWS = 512
_OBJECT_CLASS = 1
_MANY_CLASSES = 4096
_MEASURED_AT_ONCE = 1
"""Blocks of regions that may wait, as each takes memory."""


class PolygonizeResult(BaseModel):
    """What :func:`polygonize` wrote."""

    model_config = ConfigDict(frozen=True)

    path: Path
    layer: str
    polygons: int
    area_m2: float
    """Of all polygons together."""
    classes: dict[str, int]
    """Polygons by class name."""


class _ClassNames(dict[int, str]):
    """Class name by id; values without a name in the file's table are called ``class_<id>``."""

    def __missing__(self, class_id: int) -> str:
        return f"class_{class_id}"


@overload
def polygonize(
    raster: Raster,
    out: str | Path,
    *,
    geobox: GeoBox | None = ...,
    nodata: float | None = ...,
    options: PolygonOptions | None = ...,
    instances: bool = ...,
    probs: Raster | None = ...,
    layer: str | None = ...,
    overwrite: bool = ...,
    append: bool = ...,
    fiboa: bool = ...,
) -> PolygonizeResult: ...


@overload
def polygonize(
    raster: Raster,
    out: None = None,
    *,
    geobox: GeoBox | None = ...,
    nodata: float | None = ...,
    options: PolygonOptions | None = ...,
    instances: bool = ...,
    probs: Raster | None = ...,
) -> gpd.GeoDataFrame: ...


def polygonize(
    raster: Raster,
    out: str | Path | None = None,
    *,
    geobox: GeoBox | None = None,
    nodata: float | None = None,
    options: PolygonOptions | None = None,
    instances: bool = False,
    probs: Raster | None = None,
    layer: str | None = None,
    overwrite: bool = False,
    append: bool = False,
    fiboa: bool = False,
) -> PolygonizeResult | gpd.GeoDataFrame:
    """Polygons of a raster's 4-connected regions of equal value; memory depends on its width only.

    Args:
        raster: A file with one band of integers, a DataArray ``(y, x)`` that knows its place (as
            rioxarray and odc-geo give it), or an array ``(H, W)`` with ``geobox``. Pixels without
            data (nodata value, mask, alpha, NaN) belong to no polygon. Class names come from the
            tag or attribute ``GEOCONVLORA_CLASSES`` where there is one.
        out: ``.gpkg``, ``.fgb``, ``.parquet`` or ``.geojson``; None: nothing is written.
        geobox: Grid of an array.
        nodata: Value of an array that means 'no data'; of a DataArray, instead of its own.
        options: Simplification, smallest area, holes, classes.
        instances: Values number objects, 0 is none. An object that is not 4-connected becomes one
            polygon for each part.
        probs: Probabilities on the same grid, for the columns of confidence: one band of the
            value's own probability, or a band for each class. A file beside a file, an array
            beside an array.
        layer: Name of the layer; None: ``classes``, or ``objects`` with ``instances``.
        overwrite: Replace ``out`` if it exists; with ``append`` only its layer.
        append: Add to a GeoPackage that exists.
        fiboa: Use fiboa's column names.

    Returns:
        What was written; without ``out`` the polygons themselves.

    Raises:
        SceneError: A raster that cannot be read, has no place or no integers, or does not fit.
        BandError: More than one band of values, or too few of probabilities.
        ConfigError: A class that the raster does not have, or arguments that do not go together.
        OutputError: ``out`` exists or cannot be written.

    Warns:
        UserWarning: The raster has no valid pixel, or so many values that they may be objects.

    Example:
        >>> polygonize("classes.tif", "classes.gpkg").polygons  # doctest: +SKIP
        1204
        >>> from affine import Affine
        >>> grid = GeoBox((2, 2), Affine(10, 0, 500000, 0, -10, 5000000), "EPSG:32631")
        >>> polygonize(np.array([[1, 1], [2, 2]]), geobox=grid)["class"].tolist()
        ['class_1', 'class_2']
    """
    options = options or PolygonOptions()
    if out is not None:
        out = check_target(out, overwrite=overwrite, append=append)
    with ExitStack() as stack:
        stack.enter_context(raster_environment())
        labels = _labels(stack, raster, geobox, nodata, probs)
        polygons = _RasterPolygons(labels, options, instances=instances)
        if out is None:
            with closing(polygons.tables()) as tables:
                done = pa.concat_tables([polygons.schema.empty_table(), *tables])
            return to_frame(done, polygons.crs)
        layer = layer or ("objects" if instances else "classes")
        writer = stack.enter_context(
            PolygonWriter(
                out,
                polygons.crs,
                layer=layer,
                overwrite=overwrite,
                append=append,
                metadata=labels.origin.metadata(),
                instances=instances,
                colors=polygons.colors,
                fiboa=fiboa,
                neighbours=options.neighbours,
                multi=options.connectivity == 8,
            )
        )
        with closing(polygons.tables()) as tables:
            for table in tables:
                writer.write(table)
    return PolygonizeResult(
        path=out,
        layer=layer,
        polygons=sum(polygons.counts.values()),
        area_m2=polygons.area_m2,
        classes=dict(sorted(polygons.counts.items())),
    )


class _RasterPolygons:
    """Polygons of a raster, as it is read.

    Attributes:
        crs: Of the polygons.
        schema: Of their tables.
        colors: By class name.
        counts: Polygons so far, by class name.
        area_m2: Their area.
    """

    def __init__(self, labels: Labels, options: PolygonOptions, *, instances: bool) -> None:
        self._labels, self._instances = labels, instances
        self._names = _ClassNames({_OBJECT_CLASS: "object"} if instances else labels.listed)
        self._table = FeatureTable(
            labels.geobox,
            labels.origin,
            min_area_m2=options.min_area_m2 or 0.0,
            neighbours=options.neighbours,
            multi=options.connectivity == 8,
        )
        self._wanted = _selection(labels, self._names, options, instances=instances)
        limit = options.fill_holes_m2
        give = options.min_area_to == "neighbour" and options.min_area_m2
        self._tracer = RegionTracer(
            labels.geobox.width,
            simplify_px=options.simplify_px,
            smooth_px=options.smooth_px,
            holes=Holes(limit, self._table.areas) if limit else None,
            slivers=Slivers(give, self._table.areas) if give else None,
            neighbours=Neighbours(self._table.areas, min_area_m2=options.min_area_m2 or 0.0)
            if options.neighbours
            else None,
            corners=options.connectivity == 8,
        )
        gap = options.close_gaps_px
        if gap and not instances:
            raise ConfigError(
                f"{labels.where}: close_gaps_px is for objects; if values number objects, "
                "say so with --instances (instances=True)"
            )
        self._gaps = GapCloser(labels.geobox.width, gap) if gap else None
        self.crs, self.schema = self._table.crs, self._table.schema
        self.colors = {} if instances else labels.colors
        self.counts: Counter[str] = Counter()
        self.area_m2 = 0.0
        self._any_valid = False

    def tables(self) -> Generator[pa.Table, None, None]:
        """Read the raster from top to bottom; yield polygons as they are complete.

        Polygons are measured in another thread, while the next are traced in this one.
        """
        with ThreadPoolExecutor(1) as other, closing(self._regions()) as traced:
            waiting: deque[Future[pa.Table]] = deque()
            for regions in traced:
                if len(regions):
                    waiting.append(other.submit(self._described, regions))
                while len(waiting) > _MEASURED_AT_ONCE:
                    yield self._counted(waiting.popleft().result())
            while waiting:
                yield self._counted(waiting.popleft().result())
        if not self._any_valid:
            warnings.warn(
                f"{self._labels.where} has no valid pixel: there are no polygons",
                UserWarning,
                stacklevel=3,
            )

    def _regions(self) -> Generator[Regions, None, None]:
        for start, stop in _blocks(self._labels):
            labels = self._labels.rows(start, stop)
            self._any_valid |= bool((labels != NOTHING).any())
            weights = None
            if self._labels.has_chance:
                chance = self._labels.chance(start, stop)
                weights = _own_chance(chance, labels, self._names, instances=self._instances)
            labels[~self._wanted(labels)] = NOTHING
            if self._gaps is not None:
                labels, weights = self._gaps.feed(labels, weights)
            yield self._tracer.feed(labels, weights)
        if self._gaps is not None:
            yield self._tracer.feed(*self._gaps.finish())
        yield self._tracer.finish()

    def _described(self, regions: Regions) -> pa.Table:
        class_id = _OBJECT_CLASS if self._instances else None
        return self._table.rows(
            regions, self._names, class_id=class_id, confidence=self._labels.has_chance
        )

    def _counted(self, table: pa.Table) -> pa.Table:
        known = len(self.counts)
        for one in table["class"].value_counts().to_pylist():
            self.counts[one["values"]] += one["counts"]
        if known <= _MANY_CLASSES < len(self.counts):
            warnings.warn(
                f"{self._labels.where} has more than {_MANY_CLASSES:,} values, which are taken for "
                "classes: if they number objects, say so with --instances (instances=True)",
                UserWarning,
                stacklevel=4,
            )
        self.area_m2 += float(np.sum(table["area_m2"].to_numpy()))
        return table


def _labels(
    stack: ExitStack,
    raster: Raster,
    geobox: GeoBox | None,
    nodata: float | None,
    probs: Raster | None,
) -> Labels:
    if isinstance(raster, (str, Path)):
        if geobox is not None or nodata is not None:
            raise ConfigError(f"{raster}: a file has its own grid and nodata value; leave them out")
        if probs is not None and not isinstance(probs, (str, Path)):
            raise ConfigError(f"{raster}: probabilities of a file are a file too")
        return stack.enter_context(FileLabels(raster, probs))
    if isinstance(probs, (str, Path)):
        raise ConfigError(f"{probs}: probabilities of an array are an array too")
    if isinstance(raster, np.ndarray):
        if geobox is None:
            raise ConfigError("an array does not know its place: give it with geobox")
        return ArrayLabels(raster, geobox, nodata=nodata, probs=probs)
    return labels_of_data_array(raster, geobox, nodata, probs)


def _blocks(labels: Labels) -> Iterator[tuple[int, int]]:
    height, width = labels.geobox.shape
    rows = max(16, min(_READ_ROWS, labels.read_pixels // width))
    # Across strips nothing is read, so that each is decoded once.
    together = -(-rows // labels.strip_rows) * labels.strip_rows
    for top in range(0, height, together):
        bottom = min(top + together, height)
        for start in range(top, bottom, rows):
            yield start, min(start + rows, bottom)


def _selection(
    labels: Labels, names: _ClassNames, options: PolygonOptions, *, instances: bool
) -> Callable[[Ids], NDArray[np.bool_]]:
    """The test whether a label is to become a polygon."""
    if instances and options.classes is not None:
        raise ConfigError("classes cannot be chosen from a raster of objects (instances)")
    if options.classes is None:
        no_object = instances or names.get(0) == BACKGROUND
        return lambda found: (found != 0) | (not no_object)
    listed: dict[int, str] = dict(names)
    # A raster may hold values that its tag does not name.
    if not {*map(str, listed), *listed.values()}.issuperset(map(str, options.classes)):
        for start, stop in _blocks(labels):
            found = np.unique(labels.rows(start, stop))
            listed |= {int(value): names[int(value)] for value in found if value != NOTHING}
    chosen = list(wanted_ids(listed, options.classes, labels.where))
    return lambda found: np.isin(found, chosen)


def _own_chance(
    chance: NDArray[np.float32], labels: Ids, names: _ClassNames, *, instances: bool
) -> NDArray[np.float32]:
    """``(h, W)`` probability of each pixel's own class, from ``(bands, h, W)``."""
    bands = len(chance)
    if instances and bands > 1:
        raise BandError(f"the probabilities have {bands} bands: objects want one")
    if bands == 1:
        only: NDArray[np.float32] = chance[0]
        return only
    # Bands are in the order of class ids.
    ids = np.array(sorted(names) or range(bands))
    at = np.searchsorted(ids, labels).clip(0, len(ids) - 1)
    known = (ids[at] == labels) & (at < bands)
    if (~known & (labels != NOTHING)).any():
        missing = int(labels[~known & (labels != NOTHING)][0])
        raise BandError(f"the probabilities have {bands} bands: none is of class {missing}")
    own: NDArray[np.float32] = np.take_along_axis(chance, np.where(known, at, 0)[None], axis=0)[0]
    return own
