"""Object metrics: predicted polygons against true ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely

from geoconvlora.errors import ConfigError, LabelError
from geoconvlora.evaluate import blocks as spatial
from geoconvlora.evaluate.extents import Extent
from geoconvlora.evaluate.object_sums import CLASS_SCORES, OVERALL_SCORES, ObjectSums
from geoconvlora.evaluate.polygons import PolygonLayer, crs_name, measuring_crs
from geoconvlora.evaluate.report import (
    AreaError,
    ClassObjects,
    ObjectEvaluation,
    ObjectMeans,
    Score,
    Segmentation,
    SizeClass,
    ThresholdScores,
)
from geoconvlora.evaluate.sides import IOUS, Matching, Side

_SIZE_CLASSES = 4
_MOST_CLASSES = 256
_MOST = 0.5
"""Share of an object that another must hold for a merge or a split."""


@dataclass(frozen=True)
class ObjectComparison:
    """The evaluation, and the matching that it describes."""

    evaluation: ObjectEvaluation
    matching: Matching
    extent: Extent | None


def compare_objects(
    prediction: PolygonLayer,
    labels: PolygonLayer,
    *,
    extent: Extent | None = None,
    min_area_m2: float = 0.0,
    sizes: Sequence[float] | None = None,
    block_m: float | None = None,
    draws: int = spatial.DRAWS,
    seed: int = 0,
) -> ObjectComparison:
    """Match predicted to true polygons and measure.

    Args:
        prediction: May be empty: then nothing is found.
        labels: True polygons. Where both layers have classes, only objects of the same class match.
        extent: Polygons inside which labels are complete; both layers are cut to them. An object
            of which less than half lies inside can be found right but counts as no error.
        min_area_m2: The same for objects that are smaller inside.
        sizes: Edges between size classes in m², rising; None: quartiles of the true areas.
        block_m: Side of the bootstrap's blocks; None: chosen.
        draws: Of the bootstrap.
        seed: Of the bootstrap.

    Raises:
        LabelError: There are no labels, none inside the extent, the layers do not overlap or have
            no class in common.
        ConfigError: Edges do not rise, or a block has no size.
    """
    if not len(labels):
        raise LabelError(f"{labels.name} holds no polygon: there is nothing to compare with")
    crs = measuring_crs(labels)
    prediction, labels = prediction.to_crs(crs), labels.to_crs(crs)
    extent = None if extent is None else extent.to_crs(crs)
    _check_overlap(prediction, labels, extent)
    _check_classes(prediction, labels)
    matching = Matching.of(
        Side.of(prediction, extent, min_area_m2), Side.of(labels, extent, min_area_m2)
    )
    if not matching.theirs.counted.any():
        least = f" {min_area_m2:g} m² or larger" if min_area_m2 else ""
        raise LabelError(
            f"{labels.name}: none of its {len(labels):,} polygons is{least}{_where(extent)}"
        )
    sums = ObjectSums.of(matching, block_m)
    scores = spatial.intervals(sums.by_block, sums.measure, draws=draws, seed=seed)
    thresholds = tuple(_threshold(matching, float(iou)) for iou in IOUS)
    half = thresholds[0]
    evaluation = ObjectEvaluation(
        prediction=prediction.name,
        labels=labels.name,
        extent=None if extent is None else extent.description,
        crs=crs_name(crs),
        predicted=half.tp + half.fp,
        true=half.tp + half.fn,
        tp=half.tp,
        fp=half.fp,
        fn=half.fn,
        at_half=_means(scores[:3]),
        averaged=_means(scores[3:6]),
        matched_iou=scores[6],
        segmentation=Segmentation(
            over=scores[7],
            under=scores[8],
            merges=_merges(matching),
            splits=_splits(matching),
        ),
        area=_area_error(matching, scores[9]),
        thresholds=thresholds,
        sizes=_by_size(matching, sizes),
        classes=_classes(matching, sums.classes, scores[OVERALL_SCORES:]),
        blocks=sums.blocks,
        notes=tuple(
            dict.fromkeys([*prediction.notes(), *labels.notes(), *spatial.say_if_few(sums.blocks)])
        ),
    )
    return ObjectComparison(evaluation, matching, extent)


def _check_overlap(prediction: PolygonLayer, labels: PolygonLayer, extent: Extent | None) -> None:
    if not len(prediction):
        return
    ours = shapely.total_bounds(prediction.polygons)
    # Inside an extent there may be few labels, and predictions far from them are plainly wrong.
    theirs = shapely.total_bounds(labels.polygons if extent is None else extent.area)
    if (ours[:2] > theirs[2:]).any() or (theirs[:2] > ours[2:]).any():
        raise LabelError(
            f"{prediction.name} and {labels.name} do not overlap{_where(extent)}: are both of the "
            "same place, and is the CRS of each right?"
        )


def _check_classes(prediction: PolygonLayer, labels: PolygonLayer) -> None:
    if prediction.classes is None or labels.classes is None or not len(prediction):
        return
    ours, theirs = set(prediction.classes), set(labels.classes)
    if len(ours | theirs) > _MOST_CLASSES:
        raise LabelError(
            f"{prediction.name} and {labels.name} have {len(ours | theirs):,} classes together: "
            "their columns seem to hold something else; name the right ones with --column and "
            "--prediction-column"
        )
    if not ours & theirs:
        raise LabelError(
            f"no class in common: {prediction.name} has {_listed(ours)}, {labels.name} has "
            f"{_listed(theirs)}: map labels to the prediction's with --class-map LABEL=CLASS"
        )


def _listed(classes: set[str]) -> str:
    names = sorted(classes)
    return ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")


def _where(extent: Extent | None) -> str:
    return "" if extent is None else f" {extent.description}"


def _means(scores: Sequence[Score]) -> ObjectMeans:
    precision, recall, f1 = scores
    return ObjectMeans(precision=precision, recall=recall, f1=f1)


def _threshold(matching: Matching, iou: float) -> ThresholdScores:
    tp = int((matching.matched.iou >= iou).sum())
    fp, fn = int(matching.false_positives(iou).sum()), int(matching.misses(iou).sum())
    return ThresholdScores(
        iou=round(iou, 2),
        tp=tp,
        fp=fp,
        fn=fn,
        precision=tp / max(tp + fp, 1),
        recall=tp / max(tp + fn, 1),
        f1=2 * tp / max(2 * tp + fp + fn, 1),
    )


def _merges(matching: Matching) -> int:
    """Counted predicted objects that hold most of each of several true ones."""
    pairs = matching.pairs
    held = pairs.common > _MOST * matching.theirs.area[pairs.theirs]
    holds = np.bincount(pairs.ours[held], minlength=len(matching.ours))
    return int(((holds >= 2) & matching.ours.counted).sum())


def _splits(matching: Matching) -> int:
    """Counted true objects that hold most of each of several predicted ones."""
    pairs = matching.pairs
    held = pairs.common > _MOST * matching.ours.area[pairs.ours]
    holds = np.bincount(pairs.theirs[held], minlength=len(matching.theirs))
    return int(((holds >= 2) & matching.theirs.counted).sum())


def _area_error(matching: Matching, total: Score) -> AreaError:
    ours, theirs = matching.ours.area, matching.theirs.area
    true = theirs[matching.matched.theirs]
    off = (ours[matching.matched.ours] - true) / true
    return AreaError(
        predicted_m2=float(ours.sum()),
        true_m2=float(theirs.sum()),
        total=total,
        matched_mean=float(off.mean()) if len(off) else None,
        matched_median_absolute=float(np.median(np.abs(off))) if len(off) else None,
    )


def _by_size(matching: Matching, edges: Sequence[float] | None) -> tuple[SizeClass, ...]:
    """Recall by true areas and precision by predicted ones, at IoU 0.5."""
    ours, theirs, matched = matching.ours.area, matching.theirs.area, matching.matched
    true = np.concatenate([theirs[matched.theirs], theirs[matching.misses()]])
    predicted = np.concatenate([ours[matched.ours], ours[matching.false_positives()]])
    if edges is None:
        parts = np.arange(1, _SIZE_CLASSES) / _SIZE_CLASSES
        edges = np.unique([_round(float(q)) for q in np.quantile(true, parts)]).tolist()
    elif not np.isfinite(edges).all() or (np.diff(edges, prepend=0.0) <= 0).any():
        raise ConfigError(f"sizes are {list(edges)}: give rising areas in m² above 0")
    hits = len(matched.iou)
    true_class, our_class = (np.searchsorted(edges, each, "right") for each in (true, predicted))
    bins = len(edges) + 1
    total, found = (np.bincount(each, minlength=bins) for each in (true_class, true_class[:hits]))
    drawn, right = (np.bincount(each, minlength=bins) for each in (our_class, our_class[:hits]))
    limits = [0.0, *map(float, edges), None]
    return tuple(
        _size_class(limits[i], limits[i + 1], *(int(n[i]) for n in (total, found, drawn, right)))
        for i in range(bins)
    )


def _size_class(
    low: float | None, high: float | None, true: int, found: int, predicted: int, right: int
) -> SizeClass:
    recall = found / true if true else None
    precision = right / predicted if predicted else None
    f1 = None
    if recall is not None and precision is not None:
        f1 = 2 * recall * precision / (recall + precision) if recall + precision else 0.0
    return SizeClass(
        from_m2=low or 0.0,
        to_m2=high,
        true=true,
        found=found,
        recall=recall,
        predicted=predicted,
        right=right,
        precision=precision,
        f1=f1,
    )


def _round(area_m2: float) -> float:
    """To two digits: edges are read by people."""
    return float(f"{area_m2:.2g}")


def _classes(
    matching: Matching, names: Sequence[str], scores: Sequence[Score]
) -> tuple[ClassObjects, ...]:
    if matching.ours.classes is None or matching.theirs.classes is None:
        return ()
    matched = matching.theirs.classes[matching.matched.theirs]
    false = matching.ours.classes[matching.false_positives()]
    missed = matching.theirs.classes[matching.misses()]
    return tuple(
        ClassObjects(
            name=name,
            tp=int((matched == name).sum()),
            fp=int((false == name).sum()),
            fn=int((missed == name).sum()),
            at_half=_means(scores[CLASS_SCORES * i : CLASS_SCORES * i + 3]),
            averaged=_means(scores[CLASS_SCORES * i + 3 : CLASS_SCORES * i + 6]),
        )
        for i, name in enumerate(names)
    )
