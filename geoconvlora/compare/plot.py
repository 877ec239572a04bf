"""The table as a picture."""

from __future__ import annotations

import io
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from geoconvlora.compare.table import TableRow

_INK = "#1f3b57"


def plot_png(rows: Sequence[TableRow]) -> bytes:
    """Draw score by row, and against trained parameters or, for several fractions, tiles.

    Args:
        rows: Of the table.

    Returns:
        A PNG file.

    Example:
        >>> Path("plot.png").write_bytes(plot_png(rows))  # doctest: +SKIP
        48212
    """
    most = max(row.fraction for row in rows)
    whole = [row for row in rows if row.fraction == most]
    figure = Figure(figsize=(11, max(3.2, 0.36 * len(whole) + 1.4)), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    _draw_scores(left, whole)
    if len({row.fraction for row in rows}) > 1:
        _draw_fractions(right, rows)
    else:
        _draw_parameters(right, whole)
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=130)
    return png.getvalue()


def _draw_scores(axes: Axes, rows: Sequence[TableRow]) -> None:
    places = range(len(rows))
    axes.errorbar(
        [row.miou_mean for row in rows],
        places,
        xerr=[row.miou_std or 0.0 for row in rows],
        fmt="o",
        color=_INK,
        capsize=3,
    )
    axes.set_yticks(places, [row.name for row in rows])
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
    axes.set_xlabel("test mIoU, mean and standard deviation over seeds")


def _draw_parameters(axes: Axes, rows: Sequence[TableRow]) -> None:
    axes.scatter(
        [row.trainable_parameters for row in rows], [row.miou_mean for row in rows], color=_INK
    )
    for row in rows:
        axes.annotate(
            row.name,
            (row.trainable_parameters, row.miou_mean),
            xytext=(4, 4),
            textcoords="offset points",
            fontsize=8,
        )
    axes.set_xscale("log")
    axes.margins(x=0.2)
    axes.grid(alpha=0.3)
    axes.set_xlabel("parameters that train, decoder included")
    axes.set_ylabel("test mIoU")


def _draw_fractions(axes: Axes, rows: Sequence[TableRow]) -> None:
    for name in dict.fromkeys(row.name for row in rows):
        line = sorted((r for r in rows if r.name == name), key=lambda row: row.train_tiles)
        axes.errorbar(
            [row.train_tiles for row in line],
            [row.miou_mean for row in line],
            yerr=[row.miou_std or 0.0 for row in line],
            marker="o",
            capsize=3,
            label=name,
        )
    axes.set_xscale("log")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    axes.set_xlabel("training tiles")
    axes.set_ylabel("test mIoU")
