"""Objects from probabilities: basins of the boundary's landscape, flooded until they meet.

Rows are flooded in blocks at fixed rows of the raster. A flood sees a halo of rows below its block,
but only the block's own rows become final. The next flood starts from the last final row, so an
object goes on across the line; seeds seen in the halo keep their number, so an object that was
entered from below is the same object in the next block.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from skimage.measure import label as label_components
from skimage.segmentation import watershed

from geoconvlora.vector.basins import BasinRows, BasinStream
from geoconvlora.vector.parts import NOTHING, Ids
from geoconvlora.vector.rows import RowBuffer
from geoconvlora.weights.card import InstanceRule

BLOCK_ROWS = 512
HALO_ROWS = 128


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

    Objects start at the basins of :class:`BasinStream` and grow, lowest boundary first, where
    P(interior) + P(boundary) exceeds ``extent_threshold`` (marker watershed, Meyer 1992).

    Args:
        width: Columns of the raster.
        rule: The model card's rule.
        block_rows: Rows that become final at a time.
        halo_rows: Rows below them that the flood sees. An object whose nearest seed is further
            from a block's line than this may differ from a flood of the whole raster.
    """

    def __init__(
        self,
        width: int,
        rule: InstanceRule,
        *,
        block_rows: int = BLOCK_ROWS,
        halo_rows: int = HALO_ROWS,
    ) -> None:
        self._block_rows = block_rows
        self._halo_rows = halo_rows
        self._basins = BasinStream(rule, block_rows=block_rows, context_rows=halo_rows)
        self._buffer = RowBuffer()
        self._above = np.zeros((1, width), np.int32)
        self._halo_seeds = np.zeros((0, width), np.int32)
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
        while self._buffer.rows:
            seen = min(self._buffer.rows, self._block_rows + self._halo_rows)
            yield self._block(min(self._block_rows, seen), seen)

    def _flood(self, found: Iterable[BasinRows]) -> Iterator[ObjectRows]:
        for rows in found:
            self._buffer.push(rows.heights, rows.inside, rows.seeds, rows.extent)
            # The halo of a block may be the raster's last rows: only `finish` knows.
            while self._buffer.rows > self._block_rows + self._halo_rows:
                yield self._block(self._block_rows, self._block_rows + self._halo_rows)

    def _block(self, final: int, seen: int) -> ObjectRows:
        heights, inside, starts, extent = self._buffer.peek(seen)
        seeds, former, current = self._seeds(starts)
        above = _renamed(self._above, former, current)
        objects = watershed(
            np.concatenate([np.zeros_like(above, np.uint8), heights]),
            np.concatenate([above, seeds]),
            connectivity=1,
            mask=np.concatenate([above > 0, inside]),
        ).astype(np.int32)
        self._above = objects[final : final + 1].copy()
        self._halo_seeds = seeds[final:].copy()
        labels = objects[1 : final + 1]
        extent = extent[:final].copy()
        self._buffer.drop(final)
        return ObjectRows(
            np.where(labels > 0, labels.astype(np.int64), NOTHING), extent, former, current
        )

    def _seeds(self, starts: NDArray[np.bool_]) -> tuple[NDArray[np.int32], Ids, Ids]:
        """Number the seeds ``(h, W)``; those met in the last halo keep the number they had."""
        components = label_components(starts, connectivity=1).astype(np.int32)
        count = int(components.max())
        rows = len(self._halo_seeds)
        again = self._halo_seeds > 0
        met, index = np.unique(self._halo_seeds[again], return_inverse=True)
        pairs = np.unique(np.stack([components[:rows][again] - 1, count + index]), axis=1)
        graph = coo_array(
            (np.ones(pairs.shape[1], np.int8), (pairs[0], pairs[1])),
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
        seeds = np.concatenate([[0], number[group_of[:count]]]).astype(np.int32)[components]
        return seeds, met[changed].astype(np.int64), current[changed].astype(np.int64)


def _renamed(labels: NDArray[np.int32], former: Ids, current: Ids) -> NDArray[np.int32]:
    for old, new in zip(former, current, strict=True):
        labels = np.where(labels == old, np.int32(new), labels)
    return labels
