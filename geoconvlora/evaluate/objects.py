"""Object scores: which predicted polygons are the true ones."""

from __future__ import annotations

from typing import Self

import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from geoconvlora.errors import LabelError
from geoconvlora.evaluate.matching import overlaps
from geoconvlora.evaluate.polygons import Geometries

REMNANT = 0.5
"""Objects of which a smaller share lies inside the windows are ignored on both sides."""


class ObjectScores(BaseModel):
    """How well predicted objects match true ones, one to one."""

    model_config = ConfigDict(frozen=True)

    iou: float
    """Intersection over union from which a pair counts as a match."""
    tp: int = Field(ge=0)
    fp: int = Field(ge=0)
    fn: int = Field(ge=0)
    precision: float
    recall: float
    f1: float
    mean_iou: float
    """Of the matched pairs; 0 without any."""
    extent_iou: float
    """Of all predicted area with all true area, objects disregarded; 1 where both are empty."""

    @classmethod
    def of_counts(
        cls, *, iou: float, tp: int, fp: int, fn: int, mean_iou: float, extent_iou: float
    ) -> Self:
        """Scores that follow from the counts; a ratio of nothing is 0."""
        return cls(
            iou=iou,
            tp=tp,
            fp=fp,
            fn=fn,
            precision=tp / max(tp + fp, 1),
            recall=tp / max(tp + fn, 1),
            f1=2 * tp / max(2 * tp + fp + fn, 1),
            mean_iou=mean_iou,
            extent_iou=extent_iou,
        )


def object_scores(
    predicted: gpd.GeoDataFrame,
    truth: gpd.GeoDataFrame,
    *,
    windows: gpd.GeoDataFrame | None = None,
    iou: float = 0.5,
    remnant: float = REMNANT,
    least_area: float = 0.0,
) -> ObjectScores:
    """Match predicted to true objects one to one, best overlap first, and count.

    With windows, only what lies inside them is compared: both sides are clipped, and an object of
    which less than ``remnant`` of its own area is inside is ignored, on either side, because what
    is left of it is no object that one could get right or wrong. The same holds for objects that
    are smaller than ``least_area`` inside. Such a predicted remnant is no false positive, a true
    one is no miss; both still count for the extent.

    From ``iou`` 0.5 on an object has at most one partner; below that pairs are taken greedily by
    falling IoU.

    Args:
        predicted: Polygons in any CRS.
        truth: Polygons; areas are compared in this CRS, which is projected best.
        windows: Extents that were labelled; None: everything.
        iou: Intersection over union that a match needs, above 0.
        remnant: Share of an object's area that must lie inside the windows, 0 to 1.
        least_area: Area that must lie inside, in square units of the true polygons' CRS.

    Returns:
        Counts and scores.

    Raises:
        LabelError: A side without CRS.
        ValueError: ``iou`` is not above 0 and at most 1.

    Example:
        >>> fields = gpd.GeoDataFrame(geometry=[shapely.box(0, 0, 9, 9)], crs=32631)
        >>> object_scores(fields, fields).f1
        1.0
    """
    if not 0 < iou <= 1:
        raise ValueError(f"iou is {iou}: give a number above 0 and at most 1")
    for name, side in (("predicted", predicted), ("true", truth), ("windows", windows)):
        if side is not None and side.crs is None:
            raise LabelError(f"the {name} polygons have no CRS: set one before comparing")
    ours = _valid(predicted.to_crs(truth.crs))
    theirs = _valid(truth)
    if windows is None:
        ours_share, theirs_share = np.ones(len(ours)), np.ones(len(theirs))
    else:
        inside = shapely.union_all(_valid(windows.to_crs(truth.crs)))
        ours, ours_share = _clipped(ours, inside)
        theirs, theirs_share = _clipped(theirs, inside)
    return _scores(
        ours[(ours_share >= remnant) & (shapely.area(ours) >= least_area)],
        theirs[(theirs_share >= remnant) & (shapely.area(theirs) >= least_area)],
        ours,
        theirs,
        iou,
    )


def _scores(
    ours: Geometries, theirs: Geometries, all_ours: Geometries, all_theirs: Geometries, iou: float
) -> ObjectScores:
    overlap = overlaps(ours, theirs).one_to_one(iou).iou
    tp = len(overlap)
    drawn, true = shapely.union_all(all_ours), shapely.union_all(all_theirs)
    union = float(shapely.area(shapely.union(drawn, true)))
    common = float(shapely.area(shapely.intersection(drawn, true)))
    return ObjectScores.of_counts(
        iou=iou,
        tp=tp,
        fp=len(ours) - tp,
        fn=len(theirs) - tp,
        mean_iou=float(overlap.mean()) if tp else 0.0,
        extent_iou=common / union if union else 1.0,
    )


def _valid(side: gpd.GeoDataFrame) -> Geometries:
    """Areal geometries, repaired where hand-drawn ones cross themselves."""
    drawn = np.asarray(side.geometry.array, object)
    drawn = drawn[~(shapely.is_missing(drawn) | shapely.is_empty(drawn))]
    valid: Geometries = shapely.make_valid(drawn)
    areal: Geometries = valid[shapely.area(valid) > 0]
    return areal


def _clipped(
    objects: Geometries, inside: shapely.Geometry
) -> tuple[Geometries, NDArray[np.float64]]:
    """What of the objects lies inside, and which share of each; those outside are left out."""
    shapely.prepare(inside)
    near = objects[shapely.intersects(inside, objects)]
    cut: Geometries = shapely.intersection(near, inside)
    share = shapely.area(cut) / shapely.area(near)
    return cut[share > 0], share[share > 0]
