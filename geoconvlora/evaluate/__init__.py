"""Scores of predictions against labels."""

from geoconvlora.evaluate.objects import ObjectScores, object_scores

__all__ = ["ObjectScores", "object_scores"]
