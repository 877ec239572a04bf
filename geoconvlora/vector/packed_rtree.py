"""The tables behind SQLite's R*Tree, filled at once: full nodes of boxes that lie together.

The format is that of SQLite's ``rtree.c``. Nodes are blobs of one size: two bytes of the tree's
depth (in the root only), two of the number of cells, and cells of a row or child and its box, all
big-endian. The root is node 1, and all leaves lie equally deep. Three tables keep the blob of each
node, the leaf of each row, and the parent of each node but the root.

Boxes are sorted into tiles (Leutenegger et al. 1997, "STR: a simple and efficient algorithm for
R-tree packing"), rows in pieces as they come, so that memory is that of the nodes' boxes.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

#: Leaves of a piece. Rows come from the top of a map to its bottom, so a piece is a band of it.
_PIECE_LEAVES = 640
_ROOT = 1
_HEAD_BYTES = 4
_CELL = np.dtype([("id", ">i8"), ("box", ">f4", 4)])

_Ids = NDArray[np.int64]
_Boxes = NDArray[np.float32]


class PackedRtree:
    """Fills the tables of an R*Tree whose rows come in any order.

    Args:
        node_bytes: Size of a node, which SQLite derives from the file's page size.
        insert: Called with a table (``node``, ``rowid`` or ``parent``), its keys, of which each is
            above the one before, and its other column; the tables are empty before.
    """

    def __init__(self, node_bytes: int, insert: Callable[[str, _Ids, pa.Array], None]) -> None:
        self._capacity = (node_bytes - _HEAD_BYTES) // _CELL.itemsize
        self._node = np.dtype(
            {
                "names": ["depth", "count", "cells"],
                "formats": [">u2", ">u2", (_CELL, self._capacity)],
                "offsets": [0, 2, _HEAD_BYTES],
                "itemsize": node_bytes,
            }
        )
        self._insert = insert
        self._ids: list[_Ids] = []
        self._boxes: list[_Boxes] = []
        self._leaves: list[_Boxes] = []
        self._next_node = _ROOT + 1
        # In its place from the start: it is filled last, but has the lowest number.
        self._insert_nodes(np.array([_ROOT]), np.zeros(1, self._node))

    def add(self, ids: _Ids, envelopes: NDArray[np.float64]) -> None:
        """Add rows.

        Args:
            ids: Of the rows ``(n,)``, each above the one before.
            envelopes: Their bounds ``(n, 4)``, finite: xmin, xmax, ymin, ymax.
        """
        self._ids.append(ids)
        self._boxes.append(_rounded(envelopes))
        piece = _PIECE_LEAVES * self._capacity
        while sum(map(len, self._ids)) >= piece:
            rows, boxes = np.concatenate(self._ids), np.concatenate(self._boxes)
            self._add_leaves(rows[:piece], boxes[:piece])
            self._ids, self._boxes = [rows[piece:]], [boxes[piece:]]

    def finish(self) -> bytes:
        """Write what is above the leaves.

        Returns:
            The root, which has been written as zeros.
        """
        ids = np.concatenate([np.empty(0, np.int64), *self._ids])
        boxes = np.concatenate([np.empty((0, 4), np.float32), *self._boxes])
        if not self._leaves and len(ids) <= self._capacity:
            self._insert("rowid", ids, pa.array(np.full(len(ids), _ROOT)))
            return self._filled(ids, boxes).tobytes()
        if len(ids):
            self._add_leaves(ids, boxes)
        boxes = np.concatenate(self._leaves)
        numbers = np.arange(_ROOT + 1, self._next_node)
        parents = []
        depth = 1
        while len(numbers) > self._capacity:
            order = _tiled(boxes, self._capacity)
            above, boxes, owners = self._grouped(numbers[order], boxes[order])
            parents.append(_put_back(owners, order))
            numbers = above
            depth += 1
        parents.append(np.full(len(numbers), _ROOT))
        root = self._filled(numbers, boxes)
        root["depth"] = depth
        nodes = np.arange(_ROOT + 1, self._next_node)
        self._insert("parent", nodes, pa.array(np.concatenate(parents)))
        return root.tobytes()

    def _add_leaves(self, ids: _Ids, boxes: _Boxes) -> None:
        order = _tiled(boxes, self._capacity)
        _, around, owners = self._grouped(ids[order], boxes[order])
        self._leaves.append(around)
        self._insert("rowid", ids, pa.array(_put_back(owners, order)))

    def _grouped(self, ids: _Ids, boxes: _Boxes) -> tuple[_Ids, _Boxes, _Ids]:
        """Write nodes of cells that follow each other.

        Returns:
            Numbers of the nodes ``(m,)``, their boxes ``(m, 4)``, and each cell's node ``(n,)``.
        """
        nodes = self._filled(ids, boxes)
        numbers = np.arange(self._next_node, self._next_node + len(nodes))
        self._next_node += len(nodes)
        self._insert_nodes(numbers, nodes)
        starts = np.arange(0, len(ids), self._capacity)
        around = np.empty((len(nodes), 4), np.float32)
        for side, extreme in enumerate((np.minimum, np.maximum) * 2):
            around[:, side] = extreme.reduceat(boxes[:, side], starts)
        return numbers, around, np.repeat(numbers, nodes["count"])

    def _filled(self, ids: _Ids, boxes: _Boxes) -> NDArray[np.void]:
        """Nodes of cells that follow each other, all but the last full; one if there are none."""
        nodes = np.zeros(max(-(-len(ids) // self._capacity), 1), self._node)
        cells = np.zeros(len(nodes) * self._capacity, _CELL)
        cells["id"][: len(ids)] = ids
        cells["box"][: len(ids)] = boxes
        nodes["cells"] = cells.reshape(len(nodes), self._capacity)
        nodes["count"] = self._capacity
        nodes["count"][-1] = len(ids) - (len(nodes) - 1) * self._capacity
        return nodes

    def _insert_nodes(self, numbers: _Ids, nodes: NDArray[np.void]) -> None:
        offsets = np.arange(0, nodes.nbytes + 1, self._node.itemsize, dtype=np.int32)
        buffers = [None, pa.py_buffer(offsets), pa.py_buffer(nodes)]
        self._insert("node", numbers, pa.Array.from_buffers(pa.binary(), len(nodes), buffers))


def _rounded(envelopes: NDArray[np.float64]) -> _Boxes:
    """To single precision, outwards, by as much as SQLite would: it compares for equality."""
    boxes = envelopes.astype(np.float32)
    for side, (outside, factor) in enumerate(((np.greater, -1), (np.less, 1)) * 2):
        exact = envelopes[:, side]
        (inside,) = np.nonzero(outside(boxes[:, side], exact))
        wrong = exact[inside]
        boxes[inside, side] = wrong * (1 + factor * np.sign(wrong) * 2.0**-23)
    return boxes


def _tiled(boxes: _Boxes, capacity: int) -> _Ids:
    """Order in which every ``capacity`` boxes lie together: by columns, in these from below.

    Args:
        boxes: ``(n, 4)``.
        capacity: Boxes of a node.

    Returns:
        Indices ``(n,)``.
    """
    count = len(boxes)
    # What is beyond single precision is far away.
    boxes = np.clip(boxes, -_FAR, _FAR)
    x, y = boxes[:, 0] + boxes[:, 1], boxes[:, 2] + boxes[:, 3]
    nodes = -(-count // capacity)
    # As wide as high, where most boxes are: a few may be as large as the map.
    wide, high = (float(np.subtract(*np.percentile(along, (95, 5)))) for along in (x, y))
    columns = round((nodes * wide / high) ** 0.5) if high else nodes
    column_rows = -(-nodes // min(max(columns, 1), nodes)) * capacity
    by_x = np.sort(_keys(x)) & _ROW
    keys = np.full(-(-count // column_rows) * column_rows, np.iinfo(np.int64).max)
    keys[:count] = _keys(y[by_x])
    by_y = np.sort(keys.reshape(-1, column_rows), axis=1).ravel()[:count] & _ROW
    order: _Ids = by_x[by_y]
    return order


_ROW = 2**32 - 1
_FAR = np.float32(1e38)


def _keys(values: NDArray[np.float32]) -> _Ids:
    """Integers in the order of the values, and of rows where these are equal.

    Rows are their lower halves. No two are equal, so every way to sort gives the same.
    """
    bits = values.view(np.int32)
    ordered = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    keys: _Ids = (ordered.astype(np.int64) << 32) | np.arange(len(values))
    return keys


def _put_back(values: _Ids, order: _Ids) -> _Ids:
    """Values of things in an order, in the order that these had before."""
    back = np.empty_like(values)
    back[order] = values
    return back
