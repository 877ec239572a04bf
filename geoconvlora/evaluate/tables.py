"""An evaluation as tables for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from geoconvlora.evaluate.report import (
    Blocks,
    Evaluation,
    ObjectEvaluation,
    ObjectMeans,
    PixelEvaluation,
    Score,
)

_NONE = "-"


@dataclass(frozen=True)
class Table:
    """A heading, names of columns, and rows of text as long as the names."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def tables_of(evaluation: Evaluation) -> list[Table]:
    """What an evaluation says, most important first.

    Example:
        >>> [table.title for table in tables_of(evaluation)]  # doctest: +SKIP
        ['Objects', 'By size']
    """
    if isinstance(evaluation, PixelEvaluation):
        return _pixel_tables(evaluation)
    return _object_tables(evaluation)


def sentences_of(evaluation: Evaluation) -> list[str]:
    """What tables do not hold: what was compared, how intervals were made, and notes."""
    first = f"{evaluation.prediction} against {evaluation.labels}"
    if evaluation.extent is not None:
        first += f", {evaluation.extent}"
    if isinstance(evaluation, PixelEvaluation):
        what = [f"{evaluation.pixels:,} pixels compared"]
        if evaluation.unpredicted_pixels:
            what.append(
                f"{evaluation.unpredicted_pixels:,} labelled pixels have no prediction and count "
                "for nothing"
            )
    else:
        what = [f"areas and overlaps measured in {evaluation.crs}"]
    return [first, *what, *_intervals(evaluation.blocks), *evaluation.notes]


def markdown(evaluation: Evaluation) -> str:
    """The tables as a page of Markdown."""
    parts = ["# Evaluation", "\n".join(f"- {each}" for each in sentences_of(evaluation))]
    for table in tables_of(evaluation):
        lines = [table.columns, ("---",) * len(table.columns), *table.rows]
        grid = "\n".join(f"| {' | '.join(map(_escaped, line))} |" for line in lines)
        parts.append(f"## {table.title}\n\n{grid}")
    return "\n\n".join(parts) + "\n"


def _pixel_tables(evaluation: PixelEvaluation) -> list[Table]:
    mean = evaluation.mean
    rows = [
        (
            each.name,
            *map(_text, (each.iou, each.dice, each.precision, each.recall, each.boundary_f1)),
        )
        for each in evaluation.classes
    ]
    means = (mean.iou, mean.dice, mean.precision, mean.recall, mean.boundary_f1)
    rows.append(("mean", *map(_text, means)))
    outlines = f"boundary F1 ({evaluation.boundary_tolerance})"
    names = [each.name for each in evaluation.classes]
    return [
        Table(
            "Pixels by class",
            ("class", "IoU", "Dice", "precision", "recall", outlines),
            tuple(rows),
        ),
        Table("Overall", ("accuracy",), ((_text(evaluation.accuracy),),)),
        Table(
            "Confusion: rows are true, columns predicted",
            ("", *names, "all"),
            tuple(
                (name, *(f"{count:,}" for count in (*counts, sum(counts))))
                for name, counts in zip(names, evaluation.confusion, strict=True)
            ),
        ),
    ]


def _object_tables(evaluation: ObjectEvaluation) -> list[Table]:
    cut, area = evaluation.segmentation, evaluation.area
    tables = [
        Table(
            "Objects",
            ("", "precision", "recall", "F1"),
            (
                ("IoU 0.5", *_three(evaluation.at_half)),
                ("IoU 0.5 to 0.95", *_three(evaluation.averaged)),
            ),
        ),
        Table(
            "Counts and geometry",
            ("measure", "value"),
            (
                (
                    "found / false / missed",
                    f"{evaluation.tp:,} / {evaluation.fp:,} / {evaluation.fn:,}",
                ),
                ("IoU of matched pairs", _text(evaluation.matched_iou)),
                ("over-segmentation", _text(cut.over)),
                ("under-segmentation", _text(cut.under)),
                ("merges / splits", f"{cut.merges:,} / {cut.splits:,}"),
                ("area, predicted / true", f"{_ha(area.predicted_m2)} / {_ha(area.true_m2)} ha"),
                ("total area error", _text(area.total, signed=True)),
                ("area error of matched pairs, mean", _number(area.matched_mean, signed=True)),
                (
                    "area error of matched pairs, median size",
                    _number(area.matched_median_absolute),
                ),
            ),
        ),
    ]
    if evaluation.classes:
        tables.append(
            Table(
                "By class",
                ("class", "precision", "recall", "F1", "mean F1", "found / false / missed"),
                tuple(
                    (
                        each.name,
                        *_three(each.at_half),
                        _text(each.averaged.f1),
                        f"{each.tp:,} / {each.fp:,} / {each.fn:,}",
                    )
                    for each in evaluation.classes
                ),
            )
        )
    tables.append(
        Table(
            "By size",
            ("area, m²", "true", "found", "recall", "predicted", "right", "precision", "F1"),
            tuple(
                (
                    f"{each.from_m2:,.0f} {_limit(each.to_m2)}",
                    f"{each.true:,}",
                    f"{each.found:,}",
                    _number(each.recall),
                    f"{each.predicted:,}",
                    f"{each.right:,}",
                    _number(each.precision),
                    _number(each.f1),
                )
                for each in evaluation.sizes
            ),
        )
    )
    return tables


def _intervals(blocks: Blocks) -> list[str]:
    if blocks.count < 2:
        return []
    return [
        f"in brackets: 95 % intervals, bootstrap over {blocks.count:,} blocks of "
        f"{blocks.side_m:,.0f} m"
    ]


def _three(means: ObjectMeans) -> Sequence[str]:
    return [_text(each) for each in (means.precision, means.recall, means.f1)]


def _text(score: Score, *, signed: bool = False) -> str:
    value = _number(score.value, signed=signed)
    if score.low is None or score.high is None:
        return value
    between = " to " if signed else "-"
    low, high = (_number(each, signed=signed, digits=2) for each in (score.low, score.high))
    return f"{value} ({low}{between}{high})"


def _number(value: float | None, *, signed: bool = False, digits: int = 3) -> str:
    if value is None:
        return _NONE
    return f"{value:{'+' if signed else ''}.{digits}f}"


def _limit(area_m2: float | None) -> str:
    return "or more" if area_m2 is None else f"to {area_m2:,.0f}"


def _ha(area_m2: float) -> str:
    return f"{area_m2 / 1e4:,.2f}"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")
