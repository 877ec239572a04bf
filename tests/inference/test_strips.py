from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from geoconvlora.errors import OutputError
from geoconvlora.inference.strips import StripReader, StripWriter, from_steps, to_steps

RNG = np.random.default_rng(0)


def test_steps_are_the_nearest_and_keep_zero_and_one() -> None:
    values = np.linspace(0, 1, 200_001, dtype=np.float32)
    again = from_steps(to_steps(values))
    assert np.abs(again - values).max() <= 0.5001 / 65535
    assert (again[0], again[-1]) == (0, 1)
    every = np.arange(65536, dtype=np.uint16)
    np.testing.assert_array_equal(to_steps(from_steps(every)), every)


@pytest.mark.parametrize("edges", [(0, 90), (0, 7, 40, 90), (13, 33, 60)])
@pytest.mark.parametrize("share", [0, 0.3])
def test_any_rows_and_columns_are_read_as_written(tmp_path: Path, edges, share) -> None:
    steps = RNG.integers(0, 65536, (3, 20, 100)).astype(np.uint16)
    valid = RNG.random((20, 100)) >= share
    path = tmp_path / "a.strip"
    with StripWriter(path, planes=3, rows=20) as writer:
        for first, stop in pairwise(edges):
            writer.add(first, steps[:, :, first:stop], valid[:, first:stop])
        assert not path.exists()
    assert [p.name for p in tmp_path.iterdir()] == ["a.strip"]
    there = np.zeros(100, bool)
    there[edges[0] : edges[-1]] = True
    reader = StripReader(path)
    for rows in (slice(0, 20), slice(3, 4), slice(19, 20)):
        for columns in (slice(0, 100), slice(5, 50), slice(95, 100)):
            found, seen = reader.read(rows, columns)
            inside = there[columns]
            np.testing.assert_array_equal(found, steps[:, rows, columns] * inside)
            np.testing.assert_array_equal(seen, valid[rows, columns] & inside)
    reader.close()


def test_error_leaves_no_strip(tmp_path: Path) -> None:
    def write() -> None:
        with StripWriter(tmp_path / "a.strip", planes=1, rows=2) as writer:
            writer.add(0, np.zeros((1, 2, 3), np.uint16), np.ones((2, 3), bool))
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        write()
    assert list(tmp_path.iterdir()) == []


def test_folder_that_is_gone_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is the disk full or the folder gone"):
        StripWriter(tmp_path / "no" / "a.strip", planes=1, rows=2)


@pytest.mark.parametrize("content", [b"", b"x" * 100])
def test_file_that_is_no_strip_is_one_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.strip").write_bytes(content)
    with pytest.raises(OutputError, match=r"a.strip is gone or damaged"):
        StripReader(tmp_path / "a.strip")
