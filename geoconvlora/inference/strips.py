"""Rows of tiles on disk: their probabilities, joined along columns, until rows are joined too.

Probabilities are whole numbers of 1/65535, whether a run is ever resumed or not. A file is written
block of columns by block of columns and read a few rows at a time, so that no more than that is
ever in memory.
"""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoconvlora.errors import OutputError

_MAGIC = b"GCLstrip"
_STEPS = np.float32(65535)


def to_steps(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Return values from 0 to 1 as the nearest whole numbers of 1/65535.

    Example:
        >>> to_steps(np.array([0, 0.5, 1], np.float32)).tolist()
        [0, 32768, 65535]
    """
    scaled = values * _STEPS
    scaled += np.float32(0.5)
    return scaled.astype(np.uint16)


def from_steps(steps: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Return what whole numbers of 1/65535 stand for."""
    values = steps.astype(np.float32)
    values *= 1 / _STEPS
    return values


@dataclass(frozen=True)
class _Block:
    column: int
    width: int
    offset: int
    mask_offset: int | None
    """Where its validity is; None: all of it is valid."""


class StripWriter:
    """Writes one strip; the file has its name once it is whole. A context manager.

    Args:
        path: Its name.
        planes: How many values a pixel has.
        rows: Its height.
    """

    def __init__(self, path: Path, *, planes: int, rows: int) -> None:
        self._path, self._planes, self._rows = path, planes, rows
        # Two machines may work on one row where the first was given up, and pids are of a machine.
        self._part = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
        self._blocks: list[_Block] = []
        try:
            self._file = self._part.open("wb")
        except OSError as error:
            raise self._unwritten(error) from error

    def add(self, column: int, steps: NDArray[np.uint16], valid: NDArray[np.bool_]) -> None:
        """Append a block of columns.

        Args:
            column: Its first one, right of all blocks before.
            steps: ``(planes, rows, w)``.
            valid: ``(rows, w)``.

        Raises:
            OutputError: The disk is full, for instance.
        """
        try:
            offset = self._file.tell()
            self._file.write(np.ascontiguousarray(steps).data)
            mask_offset = None
            if not valid.all():
                mask_offset = self._file.tell()
                self._file.write(np.packbits(valid, axis=1).data)
        except OSError as error:
            raise self._unwritten(error) from error
        self._blocks.append(_Block(column, steps.shape[2], offset, mask_offset))

    def __enter__(self) -> StripWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            self._file.close()
            self._part.unlink(missing_ok=True)

    def _finish(self) -> None:
        index = {
            "planes": self._planes,
            "rows": self._rows,
            "blocks": [[b.column, b.width, b.offset, b.mask_offset] for b in self._blocks],
        }
        try:
            start = self._file.tell()
            self._file.write(json.dumps(index).encode())
            self._file.write(start.to_bytes(8, "little") + _MAGIC)
            self._file.flush()
            os.fsync(self._file.fileno())
            self._part.replace(self._path)
        except OSError as error:
            raise self._unwritten(error) from error

    def _unwritten(self, error: OSError) -> OutputError:
        return OutputError(
            f"{self._path} cannot be written ({error.strerror}): "
            "is the disk full or the folder gone?"
        )


class StripReader:
    """Reads a strip by rows.

    Raises:
        OutputError: The file is gone or not as it was written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise self._damaged() from error
        try:
            self._file.seek(-16, os.SEEK_END)
            end = self._file.tell()
            tail = self._file.read(16)
            if tail[8:] != _MAGIC:
                raise ValueError
            self._file.seek(int.from_bytes(tail[:8], "little"))
            index = json.loads(self._file.read(end - self._file.tell()))
            self._planes, self._rows = index["planes"], index["rows"]
            self._blocks = [_Block(*block) for block in index["blocks"]]
        except (OSError, ValueError, KeyError, TypeError) as error:
            self._file.close()
            raise self._damaged() from error

    def read(self, rows: slice, columns: slice) -> tuple[NDArray[np.uint16], NDArray[np.bool_]]:
        """Return some rows and columns: steps ``(planes, h, w)`` and validity ``(h, w)``.

        Args:
            rows: Of the strip.
            columns: Of the grid; those that no block has are 0 and invalid.
        """
        height, width = rows.stop - rows.start, columns.stop - columns.start
        steps = np.zeros((self._planes, height, width), np.uint16)
        valid = np.zeros((height, width), np.bool_)
        for block in self._blocks:
            first = max(block.column, columns.start)
            stop = min(block.column + block.width, columns.stop)
            if first >= stop:
                continue
            place = slice(first - columns.start, stop - columns.start)
            within = slice(first - block.column, stop - block.column)
            for plane in range(self._planes):
                begin = (plane * self._rows + rows.start) * block.width
                part = self._values(block.offset + 2 * begin, height * block.width, np.uint16)
                steps[plane, :, place] = part.reshape(height, block.width)[:, within]
            if block.mask_offset is None:
                valid[:, place] = True
                continue
            packed = -(-block.width // 8)
            bits = self._values(block.mask_offset + rows.start * packed, height * packed, np.uint8)
            mask = np.unpackbits(bits.reshape(height, packed), axis=1, count=block.width)
            valid[:, place] = mask[:, within]
        return steps, valid

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _values(self, offset: int, count: int, dtype: type) -> NDArray[Any]:
        values: NDArray[Any] = np.empty(count, dtype)
        self._file.seek(offset)
        if self._file.readinto(values.data.cast("B")) != values.nbytes:
            raise self._damaged()
        return values

    def _damaged(self) -> OutputError:
        return OutputError(f"{self._path} is gone or damaged: remove its folder and start again")
