"""Objects from probabilities: basins of the boundary's landscape, flooded until they meet.

Rows are flooded in blocks with a halo of rows above and below, wide enough that the block gets
what a flood of the whole raster would give it (:mod:`geoconvlora.vector.flood` has the proof).
Seeds keep their number from block to block; later rows say where two turned out to be one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from skimage.measure import label as label_components

from geoconvlora.vector.basins import BASIN_ROWS, BasinRows, BasinStream
from geoconvlora.vector.flood import flood, halo_of
from geoconvlora.vector.minima import LEVELS
from geoconvlora.vector.parts import NOTHING, Ids
from geoconvlora.vector.rows import BLOCK_ROWS, RowBuffer, rows_a_block
from geoconvlora.weights.card import InstanceRule

LEAST_BLOCK_ROWS = 128
_BLOCK_PIXELS = 2**23
_NUMBERED_ROWS = 64


@dataclass(frozen=True)
class ObjectRows:
    """Final rows of objects.

    Attributes:
        labels: ``(h, W)`` object numbers from 1; ``NOTHING`` where there is none.
        extent: ``(h, W)`` P(interior) + P(boundary).
        former: ``(k,)`` numbers in earlier rows that turned out to be the object in ``current``.
        current: ``(k,)``.
    """

    labels: Ids
    extent: NDArray[np.float32]
    former: Ids
    current: Ids


class InstanceStream:
    """Rows of class probabilities to rows of object numbers.

    Objects start at the basins of :class:`BasinStream` and grow up to ``reach_px`` steps, lowest
    boundary first, where P(interior) + P(boundary) exceeds ``extent_threshold`` (marker watershed,
    Meyer 1992). What is boundary more than ``max_boundary`` is then taken off them.

    Args:
        width: Columns of the raster.
        rule: The model card's rule.
        block_rows: Rows that become final at a time, fewer in wide rasters; objects do not depend
            on it.
        basin_rows: Fixed rows of the raster in which basins are found together.
    """

    def __init__(
        self,
        width: int,
        rule: InstanceRule,
        *,
        block_rows: int = BLOCK_ROWS,
        basin_rows: int = BASIN_ROWS,
    ) -> None:
        self._block_rows = rows_a_block(
            block_rows, width, least=LEAST_BLOCK_ROWS, pixels=_BLOCK_PIXELS
        )
        self._reach = rule.reach_px
        self._highest = round(rule.max_boundary * LEVELS)
        self._halo = halo_of(rule.reach_px)
        self._basins = BasinStream(rule, block_rows=basin_rows)
        self._buffer = RowBuffer()
        # The buffer's first rows are final already, and its first rows' seeds are numbered.
        self._above = 0
        self._numbered = np.zeros((0, width), np.int32)
        self._next = 1

    def feed(
        self, probabilities: NDArray[np.float32], valid: NDArray[np.bool_]
    ) -> Iterator[ObjectRows]:
        """Take rows; yield those that are final.

        Args:
            probabilities: ``(K, h, W)`` by class id.
            valid: ``(h, W)``.
        """
        yield from self._flood(self._basins.feed(probabilities, valid))

    def finish(self) -> Iterator[ObjectRows]:
        """Yield the rows that were still waiting for those below."""
        yield from self._flood(self._basins.finish())
        while self._buffer.rows > self._above:
            yield from self._block(min(self._block_rows, self._buffer.rows - self._above))

    def _flood(self, found: Iterable[BasinRows]) -> Iterator[ObjectRows]:
        for rows in found:
            self._buffer.push(rows.heights, rows.inside, rows.seeds, rows.extent)
            del rows
            while self._buffer.rows >= self._above + self._block_rows + self._halo:
                yield from self._block(self._block_rows)

    def _block(self, final: int) -> Iterator[ObjectRows]:
        above = self._above
        heights, inside, starts, extent = self._buffer.peek(above + final + self._halo)
        seeds, former, current = self._seeds(starts)
        rows = slice(above, above + final)
        objects = flood(heights, seeds, inside, self._reach, rows)
        objects[heights[rows] > self._highest] = 0
        extent = extent[rows].copy()
        self._above = min(above + final, self._halo)
        used = above + final - self._above
        self._numbered = seeds[used:].copy()
        del heights, inside, starts, seeds
        self._buffer.drop(used)
        # A few rows at a time, as numbers of labels are wide.
        for first in range(0, final, _NUMBERED_ROWS):
            part = slice(first, first + _NUMBERED_ROWS)
            labels = objects[part].astype(np.int64)
            labels[labels == 0] = NOTHING
            yield ObjectRows(labels, extent[part].copy(), former, current)
            former = current = former[:0]

    def _seeds(self, starts: NDArray[np.bool_]) -> tuple[NDArray[np.int32], Ids, Ids]:
        """Number the seeds ``(h, W)``; those of rows met before keep the number they had."""
        components = label_components(starts, connectivity=1).astype(np.int32, copy=False)
        count = int(components.max())
        rows = len(self._numbered)
        again = self._numbered > 0
        met, index = np.unique(self._numbered[again], return_inverse=True)
        # One number a pair: rows of pairs take ten times as long to sort.
        pairs = np.unique((components[:rows][again] - np.int64(1)) * len(met) + index)
        component, known = np.divmod(pairs, max(len(met), 1))
        graph = coo_array(
            (np.ones(len(pairs), np.int8), (component, count + known)),
            shape=(count + len(met), count + len(met)),
        )
        groups, group_of = connected_components(graph, directed=False)
        number = np.full(groups, np.iinfo(np.int32).max, np.int32)
        np.minimum.at(number, group_of[count:], met)
        # Groups come in the order of their first component, which is the raster's order.
        fresh = number == np.iinfo(np.int32).max
        number[fresh] = self._next + np.arange(fresh.sum())
        self._next += int(fresh.sum())
        current = number[group_of[count:]]
        changed = current != met
        number_of = np.concatenate([[0], number[group_of[:count]]]).astype(np.int32)
        # In place and a few rows at a time: numpy makes wide numbers of all that it looks up.
        for first in range(0, len(components), _NUMBERED_ROWS):
            part = slice(first, first + _NUMBERED_ROWS)
            components[part] = number_of[components[part]]
        return components, met[changed].astype(np.int64), current[changed].astype(np.int64)
