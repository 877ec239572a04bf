"""An SQLite file as a list of pages, numbered from one (https://www.sqlite.org/fileformat2.html)."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

_Numbers = NDArray[np.int64]
_Pages = NDArray[np.uint8]

_HEADER_BYTES = 100
_LEAST_PAGE_BYTES = 512
_FORMAT, _UTF8 = 4, 1
#: The byte by which SQLite locks files; nothing is ever kept in its page.
_LOCK_BYTE = 2**30


def _is_plain(header: bytes) -> bool:
    """Whether pages can be put behind a file's own: none must be a map of others (auto-vacuum)."""
    page_bytes, format_, vacuum, encoding = (
        int.from_bytes(header[start:end], "big")
        for start, end in ((16, 18), (44, 48), (52, 56), (56, 60))
    )
    sound = len(header) == _HEADER_BYTES and header.startswith(b"SQLite format 3\0")
    # 1 would be 65,536, whose places do not all go into two bytes.
    plain = (format_, vacuum, encoding) == (_FORMAT, 0, _UTF8)
    return sound and plain and page_bytes >= _LEAST_PAGE_BYTES


class PageFile:
    """An SQLite file that grows by pages while SQLite does not have it open.

    Args:
        path: The file, with nothing in a journal.

    Raises:
        sqlite3.NotSupportedError: It is no SQLite file in UTF-8 with pages of 512 to 32,768 bytes,
            without auto-vacuum.

    Attributes:
        page_bytes: Size of a page.
        usable_bytes: Of these, what SQLite uses.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("r+b", buffering=0)
        header = self._file.read(_HEADER_BYTES)
        if not _is_plain(header):
            self._file.close()
            raise sqlite3.NotSupportedError(f"{path.name} is no plain SQLite file")
        self.page_bytes = int.from_bytes(header[16:18], "big")
        self.usable_bytes = self.page_bytes - header[20]
        self._lock_page = _LOCK_BYTE // self.page_bytes + 1
        self._next = path.stat().st_size // self.page_bytes + 1
        self._changes = int.from_bytes(header[24:28], "big") + 1
        self._empty = np.empty((0, self.page_bytes), np.uint8)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._file:
            if kind is None:
                self._write_at(24, self._changes.to_bytes(4, "big"))
                self._write_at(28, (self._next - 1).to_bytes(4, "big"))
                # The number of pages counts only if it is of the last change.
                self._write_at(92, self._changes.to_bytes(4, "big"))

    def empty(self, count: int) -> _Pages:
        """As many pages of zeros, or more, to be left so: memory that is new costs time."""
        if len(self._empty) < count:
            self._empty = np.zeros((count, self.page_bytes), np.uint8)
        return self._empty

    def numbers(self, count: int) -> _Numbers:
        """Numbers of the pages that are appended next."""
        numbers = np.arange(self._next, self._next + count)
        return numbers + (numbers >= self._lock_page) * (self._next <= self._lock_page)

    def append(self, pages: _Pages) -> None:
        """Write pages ``(n, page_bytes)`` under the next numbers."""
        if not len(pages):
            return
        numbers = self.numbers(len(pages))
        before = int((numbers < self._lock_page).sum())
        for first, run in ((0, pages[:before]), (before, pages[before:])):
            if len(run):
                self._write_at((int(numbers[first]) - 1) * self.page_bytes, run)
        self._next = int(numbers[-1]) + 1

    def replace(self, number: int, page: _Pages) -> None:
        """Write a page ``(page_bytes,)`` that is there."""
        self._write_at((number - 1) * self.page_bytes, page)

    def _write_at(self, place: int, written: bytes | _Pages) -> None:
        self._file.seek(place)
        left = np.frombuffer(written, np.uint8)
        while len(left):
            # A disk that is nearly full takes a part, and then none.
            left = left[self._file.write(left.data) :]
