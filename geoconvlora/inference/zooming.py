"""Rows of a mosaic from the grid that a model predicts on to the one that the user asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from geoconvlora.inference.rows import MapRows
from geoconvlora.scenes.grid import block_sum

_FINE_ROWS = 256


def averaged(bands: Iterable[MapRows], factor: int) -> Iterator[MapRows]:
    """Yield rows ``factor`` times coarser: means of valid pixels, valid where half of them are.

    Args:
        bands: All rows, in order; sides are multiples of ``factor``.
        factor: Fine pixels along the side of a coarse one.
    """
    row = 0
    waiting: list[MapRows] = []
    for band in bands:
        waiting.append(band)
        height = sum(each.valid.shape[0] for each in waiting) // factor * factor
        if not height:
            continue
        probabilities = np.concatenate([each.probabilities for each in waiting], axis=1)
        valid = np.concatenate([each.valid for each in waiting])
        count = block_sum(valid[None, :height].astype(np.float64), factor)[0]
        total = block_sum(probabilities[:, :height], factor)
        enough = 2 * count >= factor**2
        means = np.divide(total, count, out=np.zeros_like(total), where=enough)
        yield MapRows(row, means.astype(np.float32), enough)
        row += height // factor
        waiting = []
        if height < len(valid):
            waiting = [MapRows(0, probabilities[:, height:], valid[height:])]


def repeated(bands: Iterable[MapRows], factor: int, height: int, width: int) -> Iterator[MapRows]:
    """Yield rows ``factor`` times finer, each pixel repeated, as far as the finer grid reaches.

    Args:
        bands: All rows, in order.
        factor: Fine pixels along the side of a coarse one.
        height: Rows of the finer grid; the last coarse ones may reach beyond.
        width: Columns, likewise.
    """
    # Each coarse row becomes many, so few are brought over at a time.
    step = max(1, _FINE_ROWS // factor)
    for band in bands:
        for first in range(0, band.valid.shape[0], step):
            part = slice(first, first + step)
            row = (band.row + first) * factor
            probabilities = band.probabilities[:, part].repeat(factor, axis=1)
            valid = band.valid[part].repeat(factor, axis=0).repeat(factor, axis=1)
            rows = slice(0, height - row)
            yield MapRows(
                row,
                probabilities.repeat(factor, axis=2)[:, rows, :width],
                valid[rows, :width],
            )
