"""Pictures of where a prediction is right and wrong."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import shapely
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.path import Path as Outline
from numpy.typing import NDArray

from geoconvlora.evaluate.agreement import Agreement, Verdict
from geoconvlora.evaluate.object_evaluation import ObjectComparison
from geoconvlora.evaluate.pixel_evaluation import PixelComparison
from geoconvlora.evaluate.polygons import Geometries
from geoconvlora.evaluate.sides import Matching

# Okabe and Ito's colours, which people with colour-blind eyes can tell apart.
_RIGHT, _FALSE, _MISSED, _CONFUSED = "#009E73", "#E69F00", "#0072B2", "#CC79A7"
_GROUND, _CALM, _INK, _IGNORED = "#E8E8E8", "#A9DCC9", "#222222", "#BBBBBB"

_COLOURS = {
    Verdict.background: (_GROUND, "background, right"),
    Verdict.right: (_CALM, "class, right"),
    Verdict.false: (_FALSE, "class where background is true"),
    Verdict.missed: (_MISSED, "background where a class is true"),
    Verdict.confused: (_CONFUSED, "another class than the true one"),
}
_LONG_SIDE_IN = 10.0
_DPI = 150
_SCATTERED = 0.3
"""Share of their bounding box below which extents are drawn in panels of their own."""
_PANELS = 16


def draw_pixels(comparison: PixelComparison) -> bytes:
    """Draw where a map agrees with its labels; colours of merged pixels are mixed.

    Returns:
        A PNG file.
    """
    agreement, evaluation = comparison.agreement, comparison.evaluation
    counts = _cropped(agreement)
    total = counts.sum(axis=0)
    colours = np.array([_rgb(colour) for colour, _ in _COLOURS.values()])
    shares = counts / np.maximum(total, 1)
    image = np.tensordot(shares, colours, axes=(0, 0))
    image[total == 0] = 1.0
    cell_m = [side * agreement.step for side in comparison.sides_m]
    height_m, width_m = image.shape[0] * cell_m[0], image.shape[1] * cell_m[1]
    figure, (axes,) = _figure([(width_m, height_m)])
    axes.imshow(image, extent=(0, width_m, 0, height_m), aspect="equal")
    _scale_bar(axes, (0, 0, width_m, height_m))
    shown = [verdict for verdict in Verdict if counts[verdict].any()]
    keys: list[Patch | Line2D] = [
        Patch(facecolor=_COLOURS[verdict][0], label=_COLOURS[verdict][1]) for verdict in shown
    ]
    title = (
        f"mean IoU {_short(evaluation.mean.iou.value)}, accuracy "
        f"{_short(evaluation.accuracy.value)}, {evaluation.pixels:,} pixels"
    )
    return _png(figure, keys, title)


def draw_objects(comparison: ObjectComparison) -> bytes:
    """Draw objects that were found, are false or were missed; extents far apart get panels.

    Returns:
        A PNG file.
    """
    matching, evaluation = comparison.matching, comparison.evaluation
    ours, theirs = matching.ours.polygons, matching.theirs.polygons
    found = np.zeros(len(ours), bool)
    found[matching.matched.ours] = True
    false, missed = matching.false_positives(), matching.misses()
    hidden = missed & _mostly_under(matching, false)
    partner = np.zeros(len(theirs), bool)
    partner[matching.matched.theirs] = True
    views = _views(comparison)
    figure, panels = _figure([(view[2] - view[0], view[3] - view[1]) for view in views])
    for axes, view in zip(panels, views, strict=True):
        seen, true_seen = (_within(each, view) for each in (ours, theirs))
        rest = seen & ~found & ~false
        _add(axes, ours[rest], facecolor="none", edgecolor=_IGNORED, linewidth=0.6)
        _add(axes, ours[seen & found], facecolor=_RIGHT, alpha=0.55)
        _add(axes, ours[seen & false], facecolor=_FALSE, alpha=0.75)
        _add(axes, theirs[true_seen & missed & ~hidden], facecolor=_MISSED, alpha=0.55)
        _add(axes, theirs[true_seen & hidden], facecolor=_CONFUSED, alpha=0.85)
        _add(
            axes,
            theirs[true_seen & (partner | missed)],
            facecolor="none",
            edgecolor=_INK,
            linewidth=0.5,
        )
        if comparison.extent is not None:
            parts = shapely.get_parts(comparison.extent.area)
            _add(axes, parts, facecolor="none", edgecolor=_INK, linewidth=1.0, linestyle="dashed")
        axes.set_xlim(view[0], view[2])
        axes.set_ylim(view[1], view[3])
        axes.set_aspect("equal")
        _scale_bar(axes, view)
    keys: list[Patch | Line2D] = [
        Patch(facecolor=_RIGHT, alpha=0.55, label=f"found ({evaluation.tp:,})"),
        Patch(facecolor=_FALSE, alpha=0.75, label=f"false ({evaluation.fp:,})"),
        Patch(facecolor=_MISSED, alpha=0.55, label=f"missed ({evaluation.fn:,})"),
        Patch(
            facecolor=_CONFUSED,
            alpha=0.85,
            label=f"of them under false ones ({int(hidden.sum()):,})",
        ),
        Line2D([], [], color=_INK, linewidth=0.8, label="true outline"),
    ]
    if comparison.extent is not None:
        keys.append(Line2D([], [], color=_INK, linestyle="dashed", label="extent"))
    title = (
        f"F1 {_short(evaluation.at_half.f1.value)} at IoU 0.5: precision "
        f"{_short(evaluation.at_half.precision.value)}, recall "
        f"{_short(evaluation.at_half.recall.value)}"
    )
    parts_shown = _parts_note(comparison, len(views))
    return _png(figure, keys, f"{title}{parts_shown}")


View = tuple[float, float, float, float]
"""Left, bottom, right, top."""


def _views(comparison: ObjectComparison) -> list[View]:
    """What panels show: everything, or each of some extents that lie far apart."""
    if comparison.extent is None:
        sides = [comparison.matching.ours.polygons, comparison.matching.theirs.polygons]
        return [_padded(shapely.total_bounds(np.concatenate(sides)))]
    area = comparison.extent.area
    whole = shapely.total_bounds(area)
    box_m2 = (whole[2] - whole[0]) * (whole[3] - whole[1])
    if shapely.area(area) > _SCATTERED * box_m2:
        return [_padded(whole)]
    parts = shapely.get_parts(area)
    # From north to south, those with labels first.
    labelled = shapely.STRtree(comparison.matching.theirs.polygons).query(parts)[0]
    count = np.bincount(labelled, minlength=len(parts))
    chosen = np.sort(np.argsort(-count, kind="stable")[:_PANELS])
    return [_padded(shapely.bounds(part)) for part in parts[chosen]]


def _mostly_under(matching: Matching, false: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """True objects of which false ones cover more than half."""
    pairs = matching.pairs
    under = false[pairs.ours]
    covered = np.bincount(pairs.theirs[under], pairs.common[under], minlength=len(matching.theirs))
    mostly: NDArray[np.bool_] = covered > matching.theirs.area / 2
    return mostly


def _parts_note(comparison: ObjectComparison, views: int) -> str:
    if comparison.extent is None or views == 1:
        return ""
    parts = shapely.get_num_geometries(comparison.extent.area)
    return f"; {views} of {parts} extents" if views < parts else ""


def _padded(bounds: NDArray[np.float64]) -> View:
    left, bottom, right, top = map(float, bounds)
    margin = 0.03 * max(right - left, top - bottom, 1.0)
    return left - margin, bottom - margin, right + margin, top + margin


def _within(polygons: Geometries, view: View) -> NDArray[np.bool_]:
    seen: NDArray[np.bool_] = shapely.intersects(polygons, shapely.box(*view))
    return seen


def _figure(sizes: Sequence[tuple[float, float]]) -> tuple[Figure, list[Axes]]:
    """A figure with a panel for each width and height."""
    columns = math.ceil(math.sqrt(len(sizes)))
    rows = math.ceil(len(sizes) / columns)
    width = columns * max(each[0] for each in sizes)
    height = rows * max(each[1] for each in sizes)
    inch = _LONG_SIDE_IN / max(width, height)
    figure = Figure(
        figsize=(max(width * inch, 4.0), max(height * inch, 2.5) + 1.0), layout="constrained"
    )
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for axes in grid:
        axes.set_xticks([])
        axes.set_yticks([])
    for spare in grid[len(sizes) :]:
        spare.set_visible(False)
    return figure, grid[: len(sizes)]


def _add(axes: Axes, polygons: Iterable[shapely.Geometry], **style: Any) -> None:
    outlines = [_outline(each) for each in polygons]
    if outlines:
        axes.add_collection(PathCollection(outlines, **style), autolim=False)


def _outline(polygon: shapely.Geometry) -> Outline:
    """One path of all rings; holes run the other way, so they stay empty."""
    rings = shapely.get_rings(shapely.orient_polygons(polygon))
    return Outline.make_compound_path(
        *(Outline(shapely.get_coordinates(ring), closed=True) for ring in rings)
    )


def _scale_bar(axes: Axes, view: View) -> None:
    """A bar of a round length, about a fifth of the panel, at its lower left."""
    left, bottom, right, top = view
    width, height = right - left, top - bottom
    length = round_length(width / 5)
    x, y = left + 0.05 * width, bottom + 0.05 * height
    label = f"{length / 1000:g} km" if length >= 1000 else f"{length:g} m"
    # White below black shows on any ground.
    for colour, thickness in (("white", 4.0), (_INK, 2.0)):
        axes.plot([x, x + length], [y, y], color=colour, linewidth=thickness, solid_capstyle="butt")
    axes.annotate(
        label,
        (x + length / 2, y),
        xytext=(0, 4),
        textcoords="offset points",
        ha="center",
        va="bottom",
        fontsize=7,
        color=_INK,
        bbox={"facecolor": "white", "alpha": 0.7, "edgecolor": "none", "pad": 0.8},
    )


def round_length(about: float) -> float:
    """The largest of 1, 2 and 5 times a power of ten that is not above ``about``."""
    power = 10.0 ** math.floor(math.log10(about))
    return max(step * power for step in (1, 2, 5) if step * power <= about)


def _cropped(agreement: Agreement) -> NDArray[np.uint32]:
    """The cells between the first and the last that hold something."""
    held: NDArray[np.bool_] = agreement.counts.sum(axis=0) > 0
    rows, columns = np.flatnonzero(held.any(axis=1)), np.flatnonzero(held.any(axis=0))
    return agreement.counts[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _rgb(colour: str) -> list[float]:
    return [value / 255 for value in bytes.fromhex(colour[1:])]


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _png(figure: Figure, keys: Sequence[Patch | Line2D], title: str) -> bytes:
    figure.suptitle(title, fontsize=10)
    figure.legend(handles=keys, loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=_DPI)
    return png.getvalue()
