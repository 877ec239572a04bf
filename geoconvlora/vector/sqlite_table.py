"""A table of an SQLite file, written page by page (https://www.sqlite.org/fileformat2.html).

SQLite's own way puts rows in one at a time, through a machine that looks for the place of each.
Rows whose keys only grow need none of that: their pages follow each other, full, and the tree above
them is built once, of the last key of each page.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from geoconvlora.vector.compiled import compiled, part_of_loops
from geoconvlora.vector.copying import put_bytes
from geoconvlora.vector.sqlite_pages import PageFile
from geoconvlora.vector.sqlite_records import (
    Records,
    put_number,
    put_record,
    put_varint,
    record_bytes,
    varint_bytes,
)

_Numbers = NDArray[np.int64]
_Pages = NDArray[np.uint8]

_INNER, _LEAF = 5, 13
_INNER_HEAD_BYTES, _LEAF_HEAD_BYTES = 12, 8
_BESIDE_A_ROW = 35
"""A row that is longer than a page without these has pages of its own for the rest."""
_LEAST_CELL_BYTES = 4
_LINK_BYTES = 4
"""The number of the next page of such a rest."""
_CHILD = np.dtype([("page", ">u4"), ("key", "u1", 9)])
_CELL_POINTER = np.dtype(">u2")
#: Two varints of at most nine bytes, the number of a page, and the cell's pointer.
_LEAF_CELL_BYTES = 24


class TableWriter:
    """Fills a table that is empty, with rows whose keys grow.

    Args:
        pages: Of the file.
        root: Number of the table's page.
    """

    def __init__(self, pages: PageFile, root: int) -> None:
        self._pages = pages
        self._root = root
        # The first leaf is all of the table if there is no other, and then belongs in its page.
        self._first_leaf: _Pages | None = None
        self._leaves: list[_Numbers] = []

    def append(self, keys: _Numbers, columns: Sequence[pa.Array | None]) -> None:
        """Add rows.

        Args:
            keys: ``(n,)`` positive, each above the one before.
            columns: All of the table, in its order; None for the column that is the key.
        """
        if not len(keys):
            return
        records = Records.of(columns, len(keys))
        usable = self._pages.usable_bytes
        most = records.most_bytes() + _LEAF_CELL_BYTES * len(keys)
        # Two leaves that follow each other are together more than one would hold, and so are the
        # two pages or more of a row that has pages of its own.
        pages = self._pages.empty(4 * (most // (usable - _BESIDE_A_ROW) + 1))
        numbers = self._pages.numbers(len(pages))
        first = self._first_leaf is None
        if first:
            numbers = np.append(0, numbers)
        leaves = np.empty((len(pages), 2), np.int64)
        count, used = fill_leaves(
            keys, *(records.types, records.words, records.texts),
            usable, numbers, pages, leaves, np.empty(most, np.uint8),
        )  # fmt: skip
        if first:
            self._first_leaf = pages[0].copy()
        self._pages.append(pages[int(first) : used])
        self._leaves.append(leaves[:count].copy())
        pages[:used] = 0

    def finish(self) -> None:
        """Write what is above the leaves."""
        if self._first_leaf is None:
            return
        children = np.concatenate(self._leaves)
        if len(children) == 1:
            self._pages.replace(self._root, self._first_leaf)
            return
        children[0, 0] = self._pages.numbers(1)[0]
        self._pages.append(self._first_leaf[None])
        room = self._pages.usable_bytes - _INNER_HEAD_BYTES
        most = room // (_CHILD.itemsize + _CELL_POINTER.itemsize)
        while len(children) > most:
            # Of like numbers, as a page of a single child would be none.
            parts = -(-len(children) // most)
            ends = np.arange(1, parts + 1) * len(children) // parts
            groups = np.split(children, ends[:-1])
            numbers = self._pages.numbers(parts)
            self._pages.append(np.stack([self._inner(group) for group in groups]))
            children = np.stack([numbers, children[ends - 1, 1]], axis=1)
        self._pages.replace(self._root, self._inner(children))

    def _inner(self, children: _Numbers) -> _Pages:
        """A page above others: their numbers and last keys ``(m, 2)``."""
        *_, (last, _key) = children.tolist()
        keys = children[:-1, 1, None]
        cells = np.empty(len(keys), _CHILD)
        cells["page"] = children[:-1, 0]
        # Nine bytes, of which the last has eight bits: all numbers fit, and cells are of one size.
        cells["key"][:, :8] = 0x80 | ((keys >> (8 + 7 * np.arange(7, -1, -1))) & 0x7F)
        cells["key"][:, 8:] = keys & 0xFF
        page = np.zeros(self._pages.page_bytes, np.uint8)
        start = self._pages.usable_bytes - cells.nbytes
        page[0] = _INNER
        page[3:5] = np.array([len(cells)], ">u2").view(np.uint8)
        page[5:7] = np.array([start], ">u2").view(np.uint8)
        page[8:12] = np.array([last], ">u4").view(np.uint8)
        places = (start + _CHILD.itemsize * np.arange(len(cells))).astype(_CELL_POINTER)
        page[_INNER_HEAD_BYTES : _INNER_HEAD_BYTES + places.nbytes] = places.view(np.uint8)
        page[start : start + cells.nbytes] = cells.view(np.uint8)
        return page


@part_of_loops("i8(i8, i8)")
def bytes_in_leaf(size, usable):  # type: ignore[no-untyped-def]
    """How much of a row of ``size`` bytes stays in its leaf (fileformat2, 1.6: X, M and K)."""
    most = usable - _BESIDE_A_ROW
    if size <= most:
        return size
    least = (usable - 12) * 32 // 255 - 23
    kept = least + (size - least) % (usable - _LINK_BYTES)
    return kept if kept <= most else least


@compiled(
    "UniTuple(i8, 2)(i8[::1], i8[:, ::1], i8[:, ::1], u1[::1], i8, i8[::1], u1[:, ::1],"
    " i8[:, ::1], u1[::1])"
)
def fill_leaves(  # type: ignore[no-untyped-def]
    keys, types, words, texts, usable, numbers, pages, leaves, record
):
    """Write rows into ``pages``, which are zero: leaves, and what leaves have no room for.

    Args:
        keys: Of the rows.
        types: Of :class:`Records`, as ``words`` and ``texts``.
        words: See there.
        texts: See there.
        usable: Bytes of a page that are used.
        numbers: Of the pages.
        pages: To fill.
        leaves: Filled with numbers and last keys of the pages that are leaves.
        record: Room for a row.

    Returns:
        How many leaves there are, and how many pages are used.
    """
    used, count, cells, top = 0, 0, 0, 0
    leaf = pages[0]
    for row in range(len(keys)):
        size, head = record_bytes(types, row)
        here = bytes_in_leaf(size, usable)
        cell = varint_bytes(size) + varint_bytes(keys[row]) + here
        cell = max(cell + (_LINK_BYTES if here < size else 0), _LEAST_CELL_BYTES)
        if count == 0 or top - cell < _LEAF_HEAD_BYTES + 2 * (cells + 1):
            leaf, cells, top = pages[used], 0, usable
            leaf[0] = _LEAF
            leaves[count, 0] = numbers[used]
            used += 1
            count += 1
        top -= cell
        pointer = _LEAF_HEAD_BYTES + 2 * cells
        put_number(leaf[pointer : pointer + 2], top)
        cells += 1
        put_number(leaf[3:5], cells)
        put_number(leaf[5:7], top)
        leaves[count - 1, 1] = keys[row]
        at = put_varint(leaf, put_varint(leaf, top, size), keys[row])
        if here == size:
            put_record(types, words, texts, row, head, leaf[at : at + size])
            continue
        put_record(types, words, texts, row, head, record[:size])
        put_bytes(leaf[at:], record[:here])
        # Of a chain of pages each begins with the number of the next, as the leaf's cell ends.
        link = leaf[at + here : at + here + _LINK_BYTES]
        while here < size:
            put_number(link, numbers[used])
            more = min(size - here, usable - _LINK_BYTES)
            put_bytes(pages[used, _LINK_BYTES:], record[here : here + more])
            link = pages[used, :_LINK_BYTES]
            here += more
            used += 1
    return count, used
