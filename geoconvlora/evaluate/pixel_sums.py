"""Counts of pixels by class and block, added up strip by strip."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from geoconvlora.errors import LabelError
from geoconvlora.evaluate.blocks import Cells, Floats
from geoconvlora.evaluate.boundary import Reach, boundary_pixels
from geoconvlora.evaluate.rasters import Ids, Mask

Counts = NDArray[np.int64]

MAX_CLASSES = 256
_COUNTS = 7
"""Pixels right, true, predicted; outlines predicted, of them near, true, of them near."""
_UNSEEN = -1


class PixelSums:
    """What scores follow from, whatever the strips that it came in.

    Args:
        row_cells: Block row of each row of the grid, rising, ``(H,)``.
        column_cells: Block column of each column, ``(W,)``.
        reach: Within which outlines are the same.
    """

    def __init__(self, row_cells: Cells, column_cells: Cells, reach: Reach) -> None:
        self._row_cells, self._column_cells = row_cells, column_cells
        self._across = int(column_cells[-1]) + 1
        self._reach = reach
        self._index = np.full(2**16, _UNSEEN, np.int16)
        self._ids: list[int] = []
        self._confusion: Counts = np.zeros((0, 0), np.int64)
        self._cells: dict[int, Counts] = {}

    @property
    def margin(self) -> int:
        """Rows that must be known above and below those that are counted."""
        return self._reach.rows + 1

    def add(
        self, row: int, predicted: Ids, truth: Ids, valid: Mask, above: int, below: int
    ) -> None:
        """Count the rows of a strip.

        Args:
            row: Of the grid, of the first that is counted.
            predicted: Ids, ``(h, W)``, with more rows around those counted.
            truth: Ids, ``(h, W)``.
            valid: Pixels that count, ``(h, W)``.
            above: Rows before the first that is counted.
            below: Rows behind the last.

        Raises:
            LabelError: There are too many classes.
        """
        ours, theirs = self._indices(predicted, valid), self._indices(truth, valid)
        k = len(self._ids)
        self._confusion = _grown(self._confusion, (k, k))
        if not k:
            return
        outlines = boundary_pixels(ours, theirs, valid, k, self._reach)
        core = slice(above, len(valid) - below)
        ours, theirs, valid = ours[core], theirs[core], valid[core]
        row_cells = self._row_cells[row : row + len(valid)]
        first = int(row_cells[0])
        cell = (row_cells - first)[:, None] * self._across + self._column_cells[None, :]
        cells = (int(row_cells[-1]) - first + 1) * self._across
        pairs = theirs[valid].astype(np.int64) * k + ours[valid]
        self._confusion += np.bincount(pairs, minlength=k * k).reshape(k, k)
        found, found_near, true, true_near = (mask[core] for mask in outlines.masks())
        our_place, their_place = cell * k + ours, cell * k + theirs
        counted = [
            their_place[valid & (ours == theirs)],
            their_place[valid],
            our_place[valid],
            our_place[found],
            our_place[found_near],
            their_place[true],
            their_place[true_near],
        ]
        counts = [np.bincount(places, minlength=cells * k) for places in counted]
        by_row = np.stack(counts, axis=1).reshape(-1, self._across, k, _COUNTS)
        for i, sums in enumerate(by_row):
            before = self._cells.get(first + i, np.zeros((self._across, 0, _COUNTS), np.int64))
            self._cells[first + i] = _grown(before, sums.shape) + sums

    def classes(self) -> list[int]:
        """Ids that occur on either side, rising: the order of all that follows."""
        return sorted(self._ids)

    def confusion(self) -> Counts:
        """Pixels by true (row) and predicted (column) class, ``(K, K)``."""
        order = np.argsort(self._ids)
        return self._confusion[np.ix_(order, order)]

    def by_cell(self) -> tuple[Cells, Floats]:
        """Cells that hold pixels, ``(n, 2)``, and their sums, ``(n, K * 7)``."""
        order, k = np.argsort(self._ids), len(self._ids)
        cells, sums = [], []
        for row, counts in sorted(self._cells.items()):
            whole = _grown(counts, (self._across, k, _COUNTS))[:, order]
            held = np.flatnonzero(whole.any(axis=(1, 2)))
            cells.append(np.stack([np.full(len(held), row), held], axis=1))
            sums.append(whole[held].reshape(len(held), k * _COUNTS))
        return np.concatenate(cells), np.concatenate(sums).astype(np.float64)

    def _indices(self, ids: Ids, valid: Mask) -> NDArray[np.int16]:
        """Running numbers of ids; classes that were not met before get the next ones."""
        seen = np.zeros(2**16, np.bool_)
        seen[ids[valid]] = True
        for new in np.flatnonzero(seen & (self._index == _UNSEEN)).tolist():
            self._index[new] = len(self._ids)
            self._ids.append(new)
        if len(self._ids) > MAX_CLASSES:
            raise LabelError(
                f"there are more than {MAX_CLASSES} classes: if a raster numbers objects, make "
                "polygons of it first (geoconvlora polygonize --instances)"
            )
        indices: NDArray[np.int16] = np.maximum(self._index[ids], 0)
        return indices


def pixel_scores(sums: Floats) -> Floats:
    """Scores of sums ``(..., K * 7)``: accuracy, five means, then five scores of each class.

    The five are IoU, Dice, precision, recall and boundary F1; NaN where a class does not occur.
    """
    counts = sums.reshape(*sums.shape[:-1], -1, _COUNTS)
    hit, true, predicted, found, found_near, edge, edge_near = np.moveaxis(counts, -1, 0)
    occurs = true + predicted > 0
    both = true + predicted
    precision, recall = _ratio(found_near, found), _ratio(edge_near, edge)
    outlines = _ratio(2 * precision * recall, precision + recall)
    by_class = np.stack(
        [
            _defined(_ratio(hit, both - hit), occurs),
            _defined(_ratio(2 * hit, both), occurs),
            _defined(_ratio(hit, predicted), occurs),
            _defined(_ratio(hit, true), occurs),
            _defined(outlines, found + edge > 0),
        ],
        axis=-1,
    )
    known = ~np.isnan(by_class)
    count = known.sum(axis=-2)
    total = np.where(known, by_class, 0.0).sum(axis=-2)
    means = _defined(_ratio(total, count), count > 0)
    accuracy = _defined(_ratio(hit.sum(axis=-1), true.sum(axis=-1)), true.sum(axis=-1) > 0)
    flat = by_class.reshape(*by_class.shape[:-2], -1)
    return np.concatenate([accuracy[..., None], means, flat], axis=-1)


def _ratio(part: Floats, whole: NDArray) -> Floats:
    """0 of nothing."""
    ratio: Floats = np.divide(part, whole, out=np.zeros(whole.shape), where=whole > 0)
    return ratio


def _defined(scores: Floats, where: NDArray[np.bool_]) -> Floats:
    return np.where(where, scores, np.nan)


def _grown(counts: Counts, shape: tuple[int, ...]) -> Counts:
    return np.pad(counts, [(0, new - old) for old, new in zip(counts.shape, shape, strict=True)])
