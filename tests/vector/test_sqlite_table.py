"""Tables that are written page by page, as SQLite reads, checks and changes them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from geoconvlora.vector import sqlite_records
from geoconvlora.vector.sqlite_pages import PageFile
from geoconvlora.vector.sqlite_records import Records
from geoconvlora.vector.sqlite_table import TableWriter

NUMBERS = [0, 1, -1, *(s * 2**b + d for b in (7, 15, 23, 31, 47) for s in (1, -1) for d in (-1, 0))]
WHOLE = [*NUMBERS, 2**63 - 1, -(2**63)]


def _new(path: Path, page_bytes: int = 4096) -> int:
    """Make an empty table; return the number of its page."""
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"PRAGMA page_size = {page_bytes}")
        database.execute("CREATE TABLE before (a)")
        database.execute("INSERT INTO before VALUES ('there')")
        database.execute(
            "CREATE TABLE t (w INTEGER, k INTEGER PRIMARY KEY, r REAL, x TEXT, b BLOB)"
        )
        database.commit()
        return database.execute("SELECT rootpage FROM sqlite_master WHERE name = 't'").fetchone()[0]


def _write(path: Path, root: int, rows: list[tuple], piece: int) -> None:
    kinds = (pa.int64(), pa.int64(), pa.float64(), pa.string(), pa.binary())
    with PageFile(path) as pages:
        table = TableWriter(pages, root)
        for at in range(0, len(rows), piece):
            some = zip(*rows[at : at + piece], strict=True)
            columns = [pa.array(c, kind) for c, kind in zip(some, kinds, strict=True)]
            keys = np.array(columns[1])
            table.append(keys, [columns[0], None, *columns[2:]])
        table.finish()


def _checked(path: Path) -> list[tuple]:
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert database.execute("SELECT * FROM before").fetchall() == [("there",)]
        return database.execute("SELECT * FROM t").fetchall()


def _rows(count: int, most_bytes: int, seed: int = 0) -> list[tuple]:
    generator = np.random.default_rng(seed)
    keys = np.cumsum(generator.integers(1, 500, count)).tolist()
    return [
        (
            WHOLE[int(generator.integers(len(WHOLE)))] if generator.random() < 0.9 else None,
            key,
            float(generator.normal()) if generator.random() < 0.9 else None,
            "é" * int(generator.integers(80)) if generator.random() < 0.9 else None,
            generator.bytes(int(generator.integers(most_bytes))),
        )
        for key in keys
    ]


@pytest.mark.parametrize("page_bytes", [512, 1024, 4096])
@pytest.mark.parametrize(("count", "piece"), [(0, 1), (1, 1), (3, 1), (900, 900), (5000, 700)])
def test_rows_are_read_back_from_a_sound_file(tmp_path, page_bytes, count, piece):
    path = tmp_path / "a.db"
    rows = _rows(count, 300)
    _write(path, _new(path, page_bytes), rows, piece)
    assert _checked(path) == rows


@pytest.mark.parametrize("page_bytes", [512, 4096])
def test_rows_of_every_size_around_a_page_and_beyond_are_read_back(tmp_path, page_bytes):
    path = tmp_path / "a.db"
    sizes = [*range(page_bytes - 80, page_bytes + 20), *range(2 * page_bytes - 60, 2 * page_bytes)]
    sizes += [10 * page_bytes, 0, 1, 300_000]
    rows = [(None, key + 1, None, None, bytes([key % 251]) * n) for key, n in enumerate(sizes)]
    _write(path, _new(path, page_bytes), rows, 50)
    assert _checked(path) == rows


def test_one_row_with_pages_of_its_own_is_a_table(tmp_path):
    path = tmp_path / "a.db"
    rows = [(1, 5, 0.5, "one", b"\1" * 100_000)]
    _write(path, _new(path), rows, 1)
    assert _checked(path) == rows


def test_every_whole_number_is_kept(tmp_path):
    path = tmp_path / "a.db"
    rows = [(number, key + 1, None, None, None) for key, number in enumerate(WHOLE)]
    _write(path, _new(path), rows, len(rows))
    assert _checked(path) == rows


def test_not_a_number_is_null_and_infinity_stays(tmp_path):
    path = tmp_path / "a.db"
    values = [float("nan"), float("inf"), -0.0, 1e300]
    _write(path, _new(path), [(None, k + 1, v, "", b"") for k, v in enumerate(values)], 9)
    assert [row[2] for row in _checked(path)] == [None, float("inf"), 0.0, 1e300]


def test_large_keys_are_found(tmp_path):
    path = tmp_path / "a.db"
    keys = [127, 128, 2**14, 2**21, 2**28, 2**35, 2**42, 2**48]
    rows = [(1, key + i, None, None, b"\0" * 2000) for key in keys for i in range(3)]
    rows = sorted(set(rows), key=lambda row: row[1])
    _write(path, _new(path), rows, 5)
    assert _checked(path) == rows
    with closing(sqlite3.connect(path)) as database:
        for row in rows:
            assert database.execute("SELECT * FROM t WHERE k = ?", (row[1],)).fetchall() == [row]


def test_sqlite_goes_on_with_the_table(tmp_path):
    path = tmp_path / "a.db"
    rows = _rows(3000, 400)
    _write(path, _new(path), rows, 1000)
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("DELETE FROM t WHERE k % 3 = 0")
        database.execute("UPDATE t SET b = zeroblob(5000) WHERE k % 3 = 1")
        database.executemany("INSERT INTO t (w) VALUES (?)", [(i,) for i in range(500)])
    kept = [row for row in rows if row[1] % 3]
    found = _checked(path)
    assert len(found) == len(kept) + 500
    assert [row[:4] for row in found[: len(kept)]] == [row[:4] for row in kept]


def test_the_page_by_which_sqlite_locks_files_is_left_out(tmp_path):
    path = tmp_path / "a.db"
    root = _new(path)
    size = path.stat().st_size
    # A hole, as if much else were before.
    with path.open("r+b") as file:
        file.truncate(2**30 - 5 * 4096)
    rows = _rows(200, 600)
    _write(path, root, rows, 30)
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT * FROM t").fetchall() == rows
    assert size < 2**30 < path.stat().st_size
    with path.open("rb") as file:
        file.seek(2**30)
        assert not any(file.read(4096))


def test_columns_of_other_types_are_refused(tmp_path):
    path = tmp_path / "a.db"
    root = _new(path)
    with PageFile(path) as pages, pytest.raises(TypeError, match="date32"):
        TableWriter(pages, root).append(np.array([1]), [pa.array([1], pa.date32())])


@pytest.mark.parametrize(
    "pragma", ["page_size = 65536", "auto_vacuum = FULL", "encoding = 'UTF-16'"]
)
def test_pages_of_another_kind_are_refused(pragma: str, tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"PRAGMA {pragma}")
        database.execute("CREATE TABLE t (k INTEGER PRIMARY KEY)")
    before = path.read_bytes()
    with pytest.raises(sqlite3.NotSupportedError, match="no plain SQLite file"):
        PageFile(path)
    assert path.read_bytes() == before


def test_value_that_sqlite_could_not_read_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_records, "_MOST_BYTES_OF_A_VALUE", 2**20 + 10)
    Records.of([pa.array([b"0123456789"])], 1)
    with pytest.raises(sqlite3.DataError, match="gigabyte"):
        Records.of([pa.array([b"01234567890"])], 1)


def test_numbers_that_sqlite_has_not_are_refused() -> None:
    with pytest.raises(TypeError, match="uint64"):
        Records.of([pa.array([2**64 - 1], pa.uint64())], 1)
