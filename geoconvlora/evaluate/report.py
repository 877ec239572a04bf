"""What an evaluation says, as types: JSON, tables and pictures are made of them."""

from __future__ import annotations

import math
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class Score(_Frozen):
    """A number with its 95 % interval; None where it is not defined."""

    value: float | None
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, value: float, low: float = math.nan, high: float = math.nan) -> Self:
        """A score of numbers in which NaN means that there is none."""
        known = [None if math.isnan(each) else float(each) for each in (value, low, high)]
        return cls(value=known[0], low=known[1], high=known[2])


class Blocks(_Frozen):
    """The square blocks over which intervals were drawn."""

    side_m: float
    count: int
    """Those that hold something that counts."""


class ClassPixels(_Frozen):
    """One class of a map."""

    id: int
    name: str
    true_pixels: int
    predicted_pixels: int
    iou: Score
    dice: Score
    precision: Score
    recall: Score
    boundary_f1: Score


class MeanScores(_Frozen):
    """Unweighted means over the classes that occur on either side, background included."""

    iou: Score
    dice: Score
    precision: Score
    recall: Score
    boundary_f1: Score


class PixelEvaluation(_Frozen):
    """How well a map agrees with labels, pixel by pixel."""

    kind: Literal["pixels"] = "pixels"
    prediction: str
    labels: str
    extent: str | None
    """What the comparison was held to; None: everything that both sides cover."""
    crs: str
    pixels: int
    """Compared: valid and labelled on both sides."""
    unpredicted_pixels: int
    """Labelled, but nodata in the prediction: they count for nothing."""
    accuracy: Score
    mean: MeanScores
    classes: tuple[ClassPixels, ...]
    confusion: tuple[tuple[int, ...], ...]
    """Rows are true classes, columns predicted ones, in the order of ``classes``."""
    boundary_tolerance: str
    """Such as ``2 px`` or ``20 m``."""
    blocks: Blocks
    notes: tuple[str, ...]


class ThresholdScores(_Frozen):
    """Counts and scores at one intersection over union."""

    iou: float
    tp: int
    fp: int
    fn: int
    precision: float
    recall: float
    f1: float


class ObjectMeans(_Frozen):
    """Precision, recall and F1, at one IoU or averaged over several."""

    precision: Score
    recall: Score
    f1: Score


class Segmentation(_Frozen):
    """How objects are cut: geometry beyond found or missed."""

    over: Score
    under: Score
    merges: int
    splits: int


class AreaError(_Frozen):
    """How far areas are off, as shares of the true ones."""

    predicted_m2: float
    true_m2: float
    total: Score
    """All predicted area against all true area; 0.1: a tenth too much."""
    matched_mean: float | None
    """Mean of (predicted - true) / true over matched pairs."""
    matched_median_absolute: float | None


class SizeClass(_Frozen):
    """Objects of one range of areas: true ones for recall, predicted ones for precision."""

    from_m2: float
    to_m2: float | None
    """None: no upper end."""
    true: int
    found: int
    recall: float | None
    predicted: int
    right: int
    precision: float | None
    f1: float | None


class ClassObjects(_Frozen):
    """Objects of one class."""

    name: str
    tp: int
    fp: int
    fn: int
    at_half: ObjectMeans
    averaged: ObjectMeans


class ObjectEvaluation(_Frozen):
    """How well predicted polygons match true ones, one to one."""

    kind: Literal["objects"] = "objects"
    prediction: str
    labels: str
    extent: str | None
    crs: str
    """In which areas and overlaps were measured."""
    predicted: int
    """Objects that count: see ``docs/evaluation.md`` for those at the border of extents."""
    true: int
    tp: int
    fp: int
    fn: int
    at_half: ObjectMeans
    """At IoU 0.5."""
    averaged: ObjectMeans
    """Mean over IoU 0.5, 0.55, ..., 0.95."""
    matched_iou: Score
    """Mean IoU of pairs matched at 0.5."""
    segmentation: Segmentation
    area: AreaError
    thresholds: tuple[ThresholdScores, ...]
    sizes: tuple[SizeClass, ...]
    classes: tuple[ClassObjects, ...]
    """Empty where the two layers have no class column in common."""
    blocks: Blocks
    notes: tuple[str, ...]


Evaluation = PixelEvaluation | ObjectEvaluation
