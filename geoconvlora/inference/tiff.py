"""A cloud-optimised GeoTIFF put together from tiled ones, without compressing anything again.

GDAL writes each resolution to a tiled TIFF of its own, with all tags; here their directories are
brought together at the head of one file, and their compressed tiles behind it, the smallest
resolution first (OGC 21-026, and GDAL's "Cloud Optimized GeoTIFF" header of structural metadata).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_OFFSETS, _SIZES = 324, 325  # TileOffsets, TileByteCounts
_STRIP_OFFSETS, _STRIP_SIZES = 273, 279
_SUBFILE = 254
_SHORT, _LONG, _LONG8 = 3, 4, 16
_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 16: 8}
#: Image description of an overview: size, sample layout, compression, colours, tiles, nodata.
_OVERVIEW_TAGS = {256, 257, 258, 259, 262, 277, 284, 317, 320, 322, 323, 338, 339, 42113}
_STRUCTURE = (
    "LAYOUT=IFDS_BEFORE_DATA\nBLOCK_ORDER=ROW_MAJOR\nBLOCK_LEADER=SIZE_AS_UINT4\n"
    # GDAL writes YES over the blank and NO when it changes the file.
    "BLOCK_TRAILER=LAST_4_BYTES_REPEATED\nKNOWN_INCOMPATIBLE_EDITION=NO\n "
)
_CLASSIC_LIMIT = 2**32
_COPY_BYTES = 2**22


@dataclass(frozen=True)
class _Entry:
    kind: int
    count: int
    value: bytes


@dataclass(frozen=True)
class _Image:
    """The directory of a TIFF and where its tiles, or strips, are."""

    path: Path
    entries: dict[int, _Entry]
    offsets: tuple[int, ...]
    sizes: tuple[int, ...]


def assemble(levels: Sequence[Path], target: Path) -> None:
    """Write a COG.

    Args:
        levels: Little-endian BigTIFFs of one tiled image each, the full resolution first.
        target: The file to write; its name is not protected.

    Raises:
        OSError: A file cannot be read or written, or a level is cut short.
    """
    images = [_read_image(path) for path in levels]
    small = sum(sum(image.sizes) + 24 * len(image.sizes) for image in images) + 2**20
    big = small >= _CLASSIC_LIMIT
    entries = [_entries_of(image, overview=n > 0) for n, image in enumerate(images)]
    ghost = f"GDAL_STRUCTURAL_METADATA_SIZE={len(_STRUCTURE):06d} bytes\n{_STRUCTURE}".encode()
    head = _header(big) + ghost
    head += b"\0" * (-len(head) % 16)
    lengths = [
        _directory_bytes(each, image, big) for each, image in zip(entries, images, strict=True)
    ]
    # Tiles begin behind the directories; those of the smallest resolution come first.
    position = len(head) + sum(lengths)
    placed: list[tuple[int, ...]] = []
    for image in reversed(images):
        offsets = []
        for size in image.sizes:
            offsets.append(position + 4 if size else 0)
            position += size + 8 if size else 0
        placed.insert(0, tuple(offsets))
    with target.open("wb") as out:
        out.write(head)
        at = len(head)
        for n, image in enumerate(images):
            following = at + lengths[n] if n + 1 < len(images) else 0
            out.write(_directory(entries[n], placed[n], image.sizes, at, following, big))
            at += lengths[n]
        for image in reversed(images):
            _copy_tiles(image, out)
        out.flush()
        os.fsync(out.fileno())


def check_whole(path: Path) -> None:
    """Make sure that a BigTIFF of one image has all its tiles or strips.

    Raises:
        OSError: It is not there, is something else, or is cut short.
    """
    image = _read_image(path)
    end = max((o + n for o, n in zip(image.offsets, image.sizes, strict=True)), default=0)
    if path.stat().st_size < end:
        raise OSError(f"{path.name} is cut short")


def _header(big: bool) -> bytes:
    """The first directory follows the structural metadata, at the next multiple of 16."""
    ghost = len(_STRUCTURE) + len("GDAL_STRUCTURAL_METADATA_SIZE=000000 bytes\n")
    size = 16 if big else 8
    first = size + ghost + (-(size + ghost) % 16)
    return (
        struct.pack("<2sHHHQ", b"II", 43, 8, 0, first)
        if big
        else struct.pack("<2sHI", b"II", 42, first)
    )


def _read_image(path: Path) -> _Image:
    with path.open("rb") as file:
        order, version, _, _, first = struct.unpack("<2sHHHQ", _exactly(file, 16, path))
        if (order, version) != (b"II", 43):
            raise OSError(f"{path.name} is no little-endian BigTIFF")
        file.seek(first)
        (count,) = struct.unpack("<Q", _exactly(file, 8, path))
        listed = _exactly(file, 20 * count, path)
        entries = {}
        for n in range(count):
            tag, kind, number = struct.unpack_from("<HHQ", listed, 20 * n)
            size = _TYPE_BYTES[kind] * number
            value = listed[20 * n + 12 : 20 * n + 20][:size]
            if size > 8:
                file.seek(struct.unpack("<Q", value)[0])
                value = _exactly(file, size, path)
            entries[tag] = _Entry(kind, number, value)
    tags = (_OFFSETS, _SIZES) if _OFFSETS in entries else (_STRIP_OFFSETS, _STRIP_SIZES)
    if tags[0] not in entries:
        raise OSError(f"{path.name} was not finished")
    offsets, sizes = (_numbers(entries.pop(tag)) for tag in tags)
    return _Image(path, entries, offsets, sizes)


def _numbers(entry: _Entry) -> tuple[int, ...]:
    letter = {_SHORT: "H", _LONG: "I", _LONG8: "Q"}[entry.kind]
    return struct.unpack(f"<{entry.count}{letter}", entry.value)


def _entries_of(image: _Image, *, overview: bool) -> dict[int, _Entry]:
    if not overview:
        return image.entries
    kept = {tag: entry for tag, entry in image.entries.items() if tag in _OVERVIEW_TAGS}
    return {_SUBFILE: _Entry(_LONG, 1, struct.pack("<I", 1)), **kept}


def _directory_bytes(entries: dict[int, _Entry], image: _Image, big: bool) -> int:
    blank = (0,) * len(image.sizes)
    return len(_directory(entries, blank, image.sizes, 0, 0, big))


def _directory(
    entries: dict[int, _Entry],
    offsets: Sequence[int],
    sizes: Sequence[int],
    at: int,
    following: int,
    big: bool,
) -> bytes:
    """A directory that stands at byte ``at``, with the values that do not fit into it behind it."""
    kind, letter = (_LONG8, "Q") if big else (_LONG, "I")
    tiles = {
        _OFFSETS: _Entry(kind, len(offsets), struct.pack(f"<{len(offsets)}{letter}", *offsets)),
        _SIZES: _Entry(_LONG, len(sizes), struct.pack(f"<{len(sizes)}I", *sizes)),
    }
    listed = sorted({**entries, **tiles}.items())
    room = 8 if big else 4
    count, entry, link = ("<Q", "<HHQ", "<Q") if big else ("<H", "<HHI", "<I")
    behind = at + struct.calcsize(count) + len(listed) * (struct.calcsize(entry) + room) + room
    behind += -behind % 8
    fixed, values = struct.pack(count, len(listed)), b""
    for tag, each in listed:
        fixed += struct.pack(entry, tag, each.kind, each.count)
        if len(each.value) <= room:
            fixed += each.value.ljust(room, b"\0")
            continue
        fixed += struct.pack(link, behind + len(values))
        values += each.value + b"\0" * (-len(each.value) % 8)
    fixed += struct.pack(link, following)
    whole = fixed + b"\0" * (behind - at - len(fixed)) + values
    return whole + b"\0" * (-len(whole) % 16)


def _copy_tiles(image: _Image, out: BinaryIO) -> None:
    """Tiles with their size before them and their last four bytes after them."""
    with image.path.open("rb", buffering=_COPY_BYTES) as file:
        for offset, size in zip(image.offsets, image.sizes, strict=True):
            if not size:
                continue
            file.seek(offset)
            tile = _exactly(file, size, image.path)
            out.write(struct.pack("<I", size))
            out.write(tile)
            out.write(tile[-4:])


def _exactly(file: BinaryIO, size: int, path: Path) -> bytes:
    found = file.read(size)
    if len(found) != size:
        raise OSError(f"{path.name} is cut short")
    return found
