"""R*Trees that are filled at once, as SQLite checks, searches and changes them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from geoconvlora.vector.packed_rtree import PackedRtree
from geoconvlora.vector.sqlite_pages import PageFile
from geoconvlora.vector.sqlite_table import TableWriter

PARTS = ("node", "rowid", "parent")


def _envelopes(count: int, seed: int = 0) -> NDArray[np.float64]:
    """Bounds ``(n, 4)`` from the top to the bottom, between the numbers of single precision."""
    generator = np.random.default_rng(seed)
    x = generator.uniform(-6e5, 6e5, count)
    y = np.sort(generator.uniform(-9e5, 9e5, count))[::-1]
    wide, high = generator.exponential(2000, (2, count))
    return np.stack([x, x + wide, y, y + high], axis=1)


def _build(path: Path, envelopes: NDArray[np.float64], piece: int = 4096) -> Path:
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE VIRTUAL TABLE i USING rtree(id, x0, x1, y0, y1)")
        ((size,),) = database.execute("SELECT length(data) FROM i_node")
        database.execute("DELETE FROM i_node")
        database.commit()
        roots = dict(database.execute("SELECT name, rootpage FROM sqlite_master"))
    with PageFile(path) as pages:
        tables = {part: TableWriter(pages, roots[f"i_{part}"]) for part in PARTS}
        tree = PackedRtree(
            size, lambda part, keys, values: tables[part].append(keys, [None, values])
        )
        for at in range(0, len(envelopes), piece):
            some = envelopes[at : at + piece]
            tree.add(np.arange(at + 1, at + 1 + len(some)), some)
        root = tree.finish()
        for table in tables.values():
            table.finish()
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE i_node SET data = ? WHERE nodeno = 1", (root,))
    return path


def _check(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT rtreecheck('i')").fetchall() == [("ok",)]
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.mark.parametrize("count", [0, 1, 2, 51, 52, 102, 103, 51 * 51, 51 * 51 + 1, 5000, 70_000])
def test_sqlite_finds_nothing_wrong_with_a_tree_of_any_size(tmp_path, count):
    path = _build(tmp_path / "a.db", _envelopes(count))
    _check(path)
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT count(*) FROM i").fetchone() == (count,)


@pytest.mark.parametrize("count", [40, 3000, 140_000])
def test_searches_find_what_lies_there_and_nothing_else(tmp_path, count):
    envelopes = _envelopes(count)
    path = _build(tmp_path / "a.db", envelopes)
    query = "SELECT id FROM i WHERE x1 >= ? AND x0 <= ? AND y1 >= ? AND y0 <= ? ORDER BY id"
    generator = np.random.default_rng(1)
    with closing(sqlite3.connect(path)) as database:
        for _ in range(50):
            x, y = generator.uniform(-7e5, 7e5, 2).round()
            place = (x, x + 30_000, y, y + 30_000)
            x0, x1, y0, y1 = envelopes.T
            there = (x1 >= place[0]) & (x0 <= place[1]) & (y1 >= place[2]) & (y0 <= place[3])
            found = [row for (row,) in database.execute(query, place)]
            assert found == (np.flatnonzero(there) + 1).tolist()


def test_boxes_are_the_ones_that_sqlite_would_keep(tmp_path):
    envelopes = _envelopes(2000)
    envelopes[:3] = [[0, 0, -1e-50, 1e-50], [-0.0, 1 / 3, -1 / 3, 0], [1e9, 2e9 + 1, -3e9 - 1, 5]]
    path = _build(tmp_path / "a.db", envelopes)
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE VIRTUAL TABLE own USING rtree(id, x0, x1, y0, y1)")
        database.executemany(
            "INSERT INTO own VALUES (?, ?, ?, ?, ?)",
            [(row + 1, *box) for row, box in enumerate(envelopes.tolist())],
        )
        ours, own = (
            database.execute(f"SELECT * FROM {table} ORDER BY id").fetchall()
            for table in ("i", "own")
        )
    assert ours == own


def test_sqlite_goes_on_with_the_tree(tmp_path):
    path = _build(tmp_path / "a.db", _envelopes(10_000))
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("DELETE FROM i WHERE id % 3 = 0")
        database.execute("UPDATE i SET x0 = x0 - 5000 WHERE id % 3 = 1")
        database.executemany(
            "INSERT INTO i VALUES (?, ?, ?, ?, ?)",
            [(10_001 + row, *box) for row, box in enumerate(_envelopes(2000, 1).tolist())],
        )
    _check(path)


def test_the_tree_does_not_depend_on_the_pieces_that_rows_come_in(tmp_path):
    envelopes = _envelopes(140_000)
    rows = []
    for name, piece in (("a.db", 4096), ("b.db", 140_000)):
        with closing(sqlite3.connect(_build(tmp_path / name, envelopes, piece))) as database:
            rows.append([database.execute(f"SELECT * FROM i_{part}").fetchall() for part in PARTS])
    assert rows[0] == rows[1]


def test_leaves_are_full_and_small(tmp_path):
    """A search of a place as large as a leaf reads few of them."""
    count = 100_000
    envelopes = _envelopes(count)
    path = _build(tmp_path / "a.db", envelopes)
    with closing(sqlite3.connect(path)) as database:
        leaves = [n for (n,) in database.execute("SELECT DISTINCT nodeno FROM i_rowid")]
        owner = np.array(database.execute("SELECT nodeno FROM i_rowid").fetchall()).ravel()
    assert len(leaves) <= count / 51 + 2
    order = np.argsort(owner, kind="stable")
    starts = np.flatnonzero(np.diff(owner[order], prepend=-1))
    low = np.minimum.reduceat(envelopes[order][:, [0, 2]], starts)
    high = np.maximum.reduceat(envelopes[order][:, [1, 3]], starts)
    share = (high - low).prod(axis=1).sum() / (1.2e6 * 1.8e6)
    assert share < 1.8
