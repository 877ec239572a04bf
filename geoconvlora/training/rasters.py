"""Which files are rasters, by their names."""

from __future__ import annotations

from pathlib import Path

from geoconvlora.errors import SceneError

SUFFIXES = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".jp2", ".vrt")


def is_raster(path: Path) -> bool:
    """Whether a file's suffix is a raster's."""
    return path.suffix.lower() in SUFFIXES


def rasters_in(folder: Path) -> list[Path]:
    """The rasters of a folder, by name.

    Raises:
        SceneError: There is no such folder.
    """
    if not folder.is_dir():
        raise SceneError(f"{folder}: there is no such folder of tiles")
    return sorted(path for path in folder.iterdir() if is_raster(path))
