"""Maps of different places, sizes and projections, made one."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
from pydantic import BaseModel, ConfigDict

from geoconvlora.errors import ConfigError
from geoconvlora.inference.joined_outputs import write_joined
from geoconvlora.inference.joining import JoinedMaps, check_band_memory
from geoconvlora.inference.map_source import MapSource, open_map, with_same_classes
from geoconvlora.inference.merging import MergeName
from geoconvlora.inference.outputs import plan_outputs, spare_sources
from geoconvlora.inference.polygons import PolygonLayers
from geoconvlora.inference.target_choice import Bounds, choose_target
from geoconvlora.inference.warping import ResamplingName
from geoconvlora.scenes import PredictionGrid
from geoconvlora.scenes.class_names import CLASSES_TAG
from geoconvlora.scenes.date import joint_date
from geoconvlora.scenes.ground import ground_sampling_distance
from geoconvlora.scenes.inputs import given_twice, raster_names
from geoconvlora.scenes.origin import Origin
from geoconvlora.vector import PolygonOptions
from geoconvlora.weights.card import ClassInfo, InstanceRule

#: Pixels of the target over which a map fades, unless the user says otherwise.
FADE_PX = 64.0
#: Values that a warning lists.
_LISTED_VALUES = 8


class MosaicResult(BaseModel):
    """What was joined, and where it was written."""

    model_config = ConfigDict(frozen=True)

    maps: tuple[str, ...]
    """The maps as they were named."""
    outputs: tuple[Path, ...]
    """Files written; with ``dry_run``, those that would have been."""
    crs: str
    """Of the target: its code, or its name."""
    height: int
    """Rows of the target."""
    width: int
    """Columns of the target."""
    gsd_m: float
    """Pixel size of the target on the ground, in metres."""
    classes: tuple[str, ...]
    dry_run: bool = False
    valid_fraction: float | None = None
    polygons: int | None = None
    """Polygons written; None where no polygons were asked for."""
    area_m2: dict[str, float] = {}
    """Area of the polygons written, by class."""
    seconds: float = 0.0


@dataclass(frozen=True)
class MosaicLegend:
    """What the values of a mosaic mean."""

    classes: tuple[ClassInfo, ...]
    instances: InstanceRule | None


def mosaic(
    maps: Sequence[str | Path],
    out: str | Path | Sequence[str | Path],
    *,
    probs: str | Path | None = None,
    dst_crs: str | None = None,
    res: float | None = None,
    bounds: Bounds | None = None,
    resampling: ResamplingName | None = None,
    merge: MergeName = "blend",
    fade_px: float = FADE_PX,
    polygons: PolygonOptions | None = None,
    overwrite: bool = False,
    dry_run: bool = False,
    progress: bool = False,
) -> MosaicResult:
    """Join class or probability rasters to one map, and write it as rasters and polygons.

    Each map is warped to the target grid, blended with weights that fall towards its valid edge,
    and classified once, so there is no seam. It is done in bands of rows: memory depends on the
    target's width. The order of the maps changes nothing but the target grid, which is the first
    map's unless ``dst_crs`` or ``res`` says otherwise, and what ``merge`` "first" and "last" mean.

    Args:
        maps: Rasters of one model's classes: probabilities (a band a class) or class numbers.
        out: Files to write; the suffix decides: ``.gpkg .fgb .parquet .geojson`` polygons,
            ``.tif`` classes (COG).
        probs: Also write the blended probabilities; of class rasters, the share of votes.
        dst_crs: The target's CRS; None: the first map's.
        res: Its pixel size in units of the CRS; None: as on the first map's ground.
        bounds: Left, bottom, right and top in units of the target's CRS; None: all maps.
        resampling: ``bilinear`` or ``nearest``; None: bilinear for probabilities, nearest for
            classes. Maps finer than the target are averaged first, classes by votes.
        merge: ``blend``; ``max``: the map whose best class is most probable; ``first``, ``last``.
        fade_px: Target pixels over which a map's weight rises from its valid edge; 0: not.
        polygons: Simplification, smallest area, holes and classes of polygons.
        overwrite: Replace outputs that exist.
        dry_run: Check everything and write nothing.
        progress: Show a bar on stderr if that is a terminal.

    Returns:
        What was written, with counts and areas.

    Raises:
        SceneError: A map is missing, damaged, without a CRS, or of other classes than the first.
        OutputError: An output exists, has an unknown suffix, or cannot be written.
        ConfigError: An argument cannot work.

    Warns:
        UserWarning: The maps have no valid pixel there, or one has values that its legend lacks.

    Example:
        >>> import geoconvlora
        >>> geoconvlora.mosaic(["31U.tif", "32U.tif"], "both.gpkg", probs="both.tif",
        ...                    dst_crs="EPSG:3035", res=10)  # doctest: +SKIP
    """
    started = time.monotonic()
    paths = raster_names(maps)
    _check(paths, merge, resampling, fade_px)
    plan = plan_outputs(out, probs, inputs=paths, overwrite=overwrite)
    sources = with_same_classes([open_map(path) for path in paths])
    spare_sources(plan, [source.scene for source in sources])
    target = choose_target(
        [source.geobox for source in sources], dst_crs=dst_crs, res=res, bounds=bounds
    )
    legend = _legend(sources)
    check_band_memory(target, len(legend.classes))
    if resampling is None:
        resampling = "bilinear" if sources[0].kind == "probabilities" else "nearest"
    joined = JoinedMaps(sources, target, merge=merge, resampling=resampling, fade_px=fade_px)
    grid = PredictionGrid.zoomed(target.geobox)
    dates = {name: each.scene.date for name, each in zip(joined.names, sources, strict=True)}
    origin = Origin(
        ",".join(sorted(joined.names)),
        joint_date(dates.values()),
        _all_of(source.origin.model for source in sources),
        _all_of(source.origin.model_sha256 for source in sources),
    )
    layers = PolygonLayers(
        plan.polygons,
        grid,
        legend,
        polygons or PolygonOptions(),
        origin=origin,
        dates=dates,
        first_row=target.window.row,
        scenes_of=joined.provenance.scenes_of,
    )
    assert target.crs is not None
    epsg = target.crs.to_epsg()
    result = MosaicResult(
        maps=tuple(paths),
        outputs=plan.files,
        crs=f"EPSG:{epsg}" if epsg else target.crs.proj.name,
        height=grid.height,
        width=grid.width,
        gsd_m=ground_sampling_distance(target.geobox),
        classes=tuple(each.name for each in legend.classes),
        dry_run=dry_run,
    )
    if dry_run:
        return result
    written = write_joined(joined, plan, target, legend, layers, origin, progress=progress)
    for source in sources:
        if source.unlisted:
            warnings.warn(
                f"{source.path} holds the {_some(source.unlisted)}, which its tag {CLASSES_TAG} "
                "does not name: there the outputs have no data; name all in the tag",
                UserWarning,
                stacklevel=2,
            )
    if written.valid_fraction == 0:
        warnings.warn(
            "the maps have no valid pixel there: the outputs hold nothing",
            UserWarning,
            stacklevel=2,
        )
    return result.model_copy(
        update={
            "valid_fraction": written.valid_fraction,
            "polygons": layers.count if plan.polygons else None,
            "area_m2": layers.area_m2,
            "seconds": time.monotonic() - started,
        }
    )


def check_merging(merge: str, resampling: str | None, fade_px: float) -> None:
    """Refuse rules and numbers that do not exist.

    Raises:
        ConfigError: One does not.
    """
    choices: list[tuple[str, str | None, Callable[[], tuple[str, ...]]]] = [
        ("merge", merge, lambda: get_args(MergeName)),
        ("resampling", resampling, lambda: get_args(ResamplingName)),
    ]
    for what, value, known in choices:
        if value is not None and value not in known():
            raise ConfigError(f"{what} {value!r} is unknown: give {', '.join(known())}")
    if not 0 <= fade_px < np.inf:
        raise ConfigError(f"fade {fade_px} is no number of pixels: give 0 or more")


def _check(paths: Sequence[str], merge: str, resampling: str | None, fade_px: float) -> None:
    if not paths:
        raise ConfigError("no map is given: name at least one raster")
    twice = given_twice(paths)
    if twice is not None:
        raise ConfigError(f"{twice} is given twice: name each raster once")
    check_merging(merge, resampling, fade_px)


def _legend(sources: Sequence[MapSource]) -> MosaicLegend:
    """Names and colours of all; of maps that differ in these, those of the first by path."""
    first = min(sources, key=lambda source: source.path)
    rules = {source.rule for source in sources}
    kind = first.kind
    rule = rules.pop() if len(rules) == 1 and kind == "probabilities" else None
    return MosaicLegend(first.classes, rule)


def _some(values: set[int]) -> str:
    first = ", ".join(map(str, sorted(values)[:_LISTED_VALUES]))
    more = len(values) - _LISTED_VALUES
    return f"value{'s' * (len(values) > 1)} {first}" + (f" and {more:,} more" if more > 0 else "")


def _all_of(names: Iterable[str]) -> str:
    """Each that occurs, once."""
    return ",".join(sorted(set(names) - {""}))
