"""Scores of predictions against labels.

``geoconvlora.evaluate`` is both this room and the function that does its whole work, so
``geoconvlora.evaluate("fields.gpkg", "labels.gpkg")`` and ``geoconvlora.evaluate.object_scores``
are both right.
"""

import sys
from types import ModuleType
from typing import Any

from geoconvlora.evaluate.boundary import boundary_counts, boundary_f1
from geoconvlora.evaluate.evaluation import evaluate
from geoconvlora.evaluate.objects import ObjectScores, object_scores
from geoconvlora.evaluate.pixel_evaluation import Tolerance
from geoconvlora.evaluate.pixels import class_dice, class_iou, confusion, mean_of_present
from geoconvlora.evaluate.report import Evaluation, ObjectEvaluation, PixelEvaluation

__all__ = [
    "Evaluation",
    "ObjectEvaluation",
    "ObjectScores",
    "PixelEvaluation",
    "Tolerance",
    "boundary_counts",
    "boundary_f1",
    "class_dice",
    "class_iou",
    "confusion",
    "evaluate",
    "mean_of_present",
    "object_scores",
]


class _CallableRoom(ModuleType):
    """The import system binds the room's name in the package; calling it calls the function."""

    def __call__(self, *args: Any, **kwargs: Any) -> Evaluation:
        return evaluate(*args, **kwargs)


sys.modules[__name__].__class__ = _CallableRoom
