"""Scores of predictions against labels."""

from geoconvlora.evaluate.boundary import boundary_counts, boundary_f1
from geoconvlora.evaluate.objects import ObjectScores, object_scores
from geoconvlora.evaluate.pixels import class_dice, class_iou, confusion, mean_of_present

__all__ = [
    "ObjectScores",
    "boundary_counts",
    "boundary_f1",
    "class_dice",
    "class_iou",
    "confusion",
    "mean_of_present",
    "object_scores",
]
