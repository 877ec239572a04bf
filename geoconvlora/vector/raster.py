"""A class or object raster on disk to polygons."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from rasterio.enums import ColorInterp
from rasterio.io import DatasetReader
from rasterio.windows import Window

from geoconvlora.errors import BandError, ConfigError, SceneError
from geoconvlora.scenes.class_names import named_classes
from geoconvlora.scenes.environment import raster_environment
from geoconvlora.scenes.opening import RASTER_FAULTS, georeference, open_dataset, reason
from geoconvlora.vector.classes import BACKGROUND, wanted_ids
from geoconvlora.vector.features import FeatureTable
from geoconvlora.vector.holes import Holes
from geoconvlora.vector.options import PolygonOptions
from geoconvlora.vector.parts import NOTHING, Ids
from geoconvlora.vector.regions import Regions, RegionTracer
from geoconvlora.vector.slivers import Slivers
from geoconvlora.vector.writer import PolygonWriter, check_target

MODEL_TAG = "GEOCONVLORA_MODEL"

_READ_ROWS = 512
_OBJECT_CLASS = 1


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


def polygonize(
    raster: str | Path,
    out: str | Path,
    *,
    options: PolygonOptions | None = None,
    instances: bool = False,
    probs: str | Path | None = None,
    overwrite: bool = False,
) -> PolygonizeResult:
    """Polygons of a raster's 4-connected regions of equal value; memory depends on its width only.

    Args:
        raster: One band of integers. Pixels without data (nodata value, mask, alpha) belong to no
            polygon. Class names come from the tag ``GEOCONVLORA_CLASSES`` where the file has it.
        out: ``.gpkg``, ``.fgb``, ``.parquet`` or ``.geojson``.
        options: Simplification, smallest area, holes, classes.
        instances: Values number objects, 0 is none. An object that is not 4-connected becomes one
            polygon for each part.
        probs: Probabilities on the same grid, for the column ``confidence``: one band of the
            value's own probability, or a band for each class.
        overwrite: Replace ``out`` if it exists.

    Returns:
        What was written.

    Raises:
        SceneError: A raster that cannot be read, has no place or no integers, or does not fit.
        BandError: More than one band of values, or too few of probabilities.
        ConfigError: A class that the raster does not have.
        OutputError: ``out`` exists or cannot be written.

    Example:
        >>> polygonize("classes.tif", "classes.gpkg").polygons  # doctest: +SKIP
        1204
    """
    options = options or PolygonOptions()
    out = check_target(out, overwrite=overwrite)
    with ExitStack() as stack:
        stack.enter_context(raster_environment())
        source = stack.enter_context(open_dataset(str(raster)))
        geobox = georeference(source, str(raster))
        _check_labels(source, raster)
        chance = None
        if probs is not None:
            chance = stack.enter_context(open_dataset(str(probs)))
            _check_same_grid(source, chance)
        names = _ClassNames({_OBJECT_CLASS: "object"} if instances else named_classes(source))
        table = FeatureTable(
            geobox,
            scene=Path(raster).stem,
            model=source.tags().get(MODEL_TAG, ""),
            min_area_m2=options.min_area_m2 or 0.0,
        )
        wanted = _selection(source, names, options, instances=instances)
        give = options.min_area_to == "neighbour" and options.min_area_m2
        tracer = RegionTracer(
            source.width,
            simplify_px=options.simplify_px,
            holes=Holes(options.fill_holes_m2, table.areas) if options.fill_holes_m2 else None,
            slivers=Slivers(give, table.areas) if give else None,
        )
        layer = "objects" if instances else "classes"
        class_id = _OBJECT_CLASS if instances else None
        counts: Counter[str] = Counter()
        area_m2, any_valid = 0.0, False
        writer = stack.enter_context(
            PolygonWriter(out, table.crs, layer=layer, overwrite=overwrite, instances=instances)
        )

        def write(regions: Regions) -> float:
            rows = table.rows(regions, names, class_id=class_id, confidence=chance is not None)
            counts.update(rows["class"])
            writer.write(rows)
            return float(rows["area_m2"].sum())

        for window in _windows(source):
            labels = _labels(source, window)
            any_valid |= bool((labels != NOTHING).any())
            weights = _weights(chance, labels, window, names, instances=instances)
            area_m2 += write(tracer.feed(np.where(wanted(labels), labels, NOTHING), weights))
        area_m2 += write(tracer.finish())
    if not any_valid:
        warnings.warn(f"{raster} has no valid pixel: {out} is empty", UserWarning, stacklevel=2)
    return PolygonizeResult(
        path=out,
        layer=layer,
        polygons=sum(counts.values()),
        area_m2=area_m2,
        classes=dict(sorted(counts.items())),
    )


def _check_labels(source: DatasetReader, raster: str | Path) -> None:
    values = [
        index
        for index, meaning in zip(source.indexes, source.colorinterp, strict=True)
        if meaning != ColorInterp.alpha
    ]
    if values != [1]:
        raise BandError(f"{raster} has {len(values)} bands: polygonize wants one band of class ids")
    if not np.issubdtype(source.dtypes[0], np.integer):
        raise SceneError(
            f"{raster} holds {source.dtypes[0]}: polygonize wants integers (class or object ids)"
        )


def _check_same_grid(source: DatasetReader, chance: DatasetReader) -> None:
    same = (
        source.shape == chance.shape
        and source.crs == chance.crs
        and source.transform.almost_equals(chance.transform, precision=1e-6)
    )
    if not same:
        raise SceneError(
            f"{chance.name} is not on the grid of {source.name}: size, CRS and origin must agree"
        )


def _selection(
    source: DatasetReader, names: _ClassNames, options: PolygonOptions, *, instances: bool
) -> Callable[[Ids], NDArray[np.bool_]]:
    """The test whether a label is to become a polygon."""
    if instances and options.classes is not None:
        raise ConfigError("classes cannot be chosen from a raster of objects (instances)")
    if options.classes is None:
        no_object = instances or names.get(0) == BACKGROUND
        return lambda labels: (labels != 0) | (not no_object)
    listed: dict[int, str] = dict(names)
    if not listed:
        for window in _windows(source):
            found = np.unique(_labels(source, window))
            listed |= {int(value): names[int(value)] for value in found if value != NOTHING}
    chosen = list(wanted_ids(listed, options.classes, source.name))
    return lambda labels: np.isin(labels, chosen)


def _windows(source: DatasetReader) -> Iterator[Window]:
    for row in range(0, source.height, _READ_ROWS):
        yield Window(0, row, source.width, min(_READ_ROWS, source.height - row))


@contextmanager
def _reading(dataset: DatasetReader, window: Window) -> Iterator[None]:
    """Failures to read become one error that names the file and the place."""
    try:
        yield
    except RASTER_FAULTS as fault:
        raise SceneError(
            f"{dataset.name} cannot be read at rows {window.row_off} to "
            f"{window.row_off + window.height - 1}: it is truncated or damaged ({reason(fault)})"
        ) from fault


def _labels(source: DatasetReader, window: Window) -> Ids:
    with _reading(source, window):
        values = source.read(1, window=window)
        valid = source.read_masks(1, window=window) > 0
    if values.dtype.itemsize == 8 and ((values > -NOTHING) | (values < NOTHING + 1))[valid].any():
        raise SceneError(f"{source.name} holds values beyond 2**62: number them anew")
    labels: Ids = np.where(valid, values.astype(np.int64), NOTHING)
    return labels


def _weights(
    chance: DatasetReader | None,
    labels: Ids,
    window: Window,
    names: _ClassNames,
    *,
    instances: bool,
) -> NDArray[np.float32]:
    """``(h, W)`` probability of each pixel's own class, 0 where it has none."""
    if chance is None:
        return np.zeros(labels.shape, np.float32)
    bands = 1 if instances else chance.count
    if instances and chance.count > 1:
        raise BandError(f"{chance.name} has {chance.count} bands: objects want one")
    scale = np.asarray(chance.scales[:bands]).reshape(-1, 1, 1)
    offset = np.asarray(chance.offsets[:bands]).reshape(-1, 1, 1)
    with _reading(chance, window):
        stored = chance.read(list(range(1, bands + 1)), window=window, masked=True)
    values = (stored.filled(0) * scale + offset).astype(np.float32)
    values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    if bands == 1:
        own: NDArray[np.float32] = values[0]
        return own
    # Bands are in the order of class ids.
    ids = np.array(sorted(names) or range(bands))
    at = np.searchsorted(ids, labels).clip(0, len(ids) - 1)
    known = (ids[at] == labels) & (at < bands)
    if (~known & (labels != NOTHING)).any():
        missing = int(labels[~known & (labels != NOTHING)][0])
        raise BandError(f"{chance.name} has {bands} bands: none is of class {missing}")
    own = np.take_along_axis(values, np.where(known, at, 0)[None], axis=0)[0]
    return own
