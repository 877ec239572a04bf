"""Names of files: what tells GeoParquet, and how long an output's may be.

An output's name leaves room for those of the temporary files that stand beside it.
"""

from __future__ import annotations

import os
from pathlib import Path

from geoconvlora.errors import OutputError

#: Endings of vector files that GDAL may not read, but pyarrow does.
PARQUET_SUFFIXES = (".parquet", ".geoparquet")

#: What file systems allow for one name, and Linux for a whole path.
_NAME_BYTES = 255
_PATH_BYTES = 4095
#: A temporary name is ``.NAME.PID.part.geojson`` at most, and GDAL and SQLite put their own
#: endings behind it, such as ``.msk.ovr.tmp`` or ``-journal``.
_ROOM_BYTES = 45
MAX_NAME_BYTES = _NAME_BYTES - _ROOM_BYTES


def check_name_length(path: Path) -> None:
    """Refuse an output whose name, or a temporary one beside it, no file system would take.

    Must come before any other question about the path: the answer would be the system's error.

    Raises:
        OutputError: Its name, its folder's or the whole path is too long.

    Example:
        >>> check_name_length(Path("fields.gpkg"))
    """
    size = len(os.fsencode(path.name))
    if size > MAX_NAME_BYTES:
        raise OutputError(
            f"{path.name[:30]}...{path.suffix[:10]}: the name has {size} bytes, and temporary "
            f"names are longer still: choose one of {MAX_NAME_BYTES} at most"
        )
    absolute = path.absolute()
    folder = max(absolute.parent.parts, key=len)
    if len(os.fsencode(folder)) > _NAME_BYTES:
        raise OutputError(
            f"{path.name}: its folder {folder[:30]}... has a name too long for any file system: "
            "choose a shorter one"
        )
    if len(os.fsencode(absolute)) + _ROOM_BYTES > _PATH_BYTES:
        raise OutputError(
            f"{path.name}: the path has {len(os.fsencode(absolute))} bytes, too many for a file "
            "system: choose a folder less deep"
        )
