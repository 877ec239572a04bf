"""What a user may name instead of one raster: folders, globs, lists, STAC files."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from pathlib import Path

from geoconvlora.errors import SceneError
from geoconvlora.scenes.remote import is_remote
from geoconvlora.scenes.stac import is_stac, scenes_of_stac

#: Rasters that are taken from a folder.
RASTER_SUFFIXES = frozenset({".tif", ".tiff", ".vrt", ".jp2", ".img"})
#: A list of more bytes is no list.
_MAX_LIST_BYTES = 2**26


def raster_names(inputs: Sequence[str | Path]) -> list[str]:
    """Return the rasters that some inputs stand for, in their order.

    Args:
        inputs: Each one a raster by any name that GDAL knows or by its URL; a folder, for the
            rasters right in it in alphabetical order; a pattern such as ``2023/*.tif`` (``**`` goes
            into folders), likewise; a ``.txt`` list with a raster a line, relative to the list's
            folder, blank lines and those with ``#`` left out; or a STAC item, item collection,
            collection or catalogue.

    Raises:
        SceneError: One of them holds nothing, or names what it must not.

    Example:
        >>> raster_names(["scene.tif", "https://example.org/other.tif"])
        ['scene.tif', 'https://example.org/other.tif']
    """
    return [name for each in inputs for name in _names(str(each))]


def given_twice(names: Sequence[str]) -> str | None:
    """Return the first raster that is named again, be it by another path; None: each once.

    Example:
        >>> given_twice(["a.tif", "b.tif", "./a.tif"])
        './a.tif'
    """
    files: set[str | Path] = set()
    for name in names:
        file = name if is_remote(name) else Path(name).resolve()
        if file in files:
            return name
        files.add(file)
    return None


def short_name(name: str) -> str:
    """Return a raster's file name without suffix, or the id of an item in a STAC file.

    Example:
        >>> short_name("https://example.org/scene.tif?key=1"), short_name("items.json#S2A_7")
        ('scene', 'S2A_7')
    """
    file, _, item = name.partition("#")
    if item and file.lower().endswith((".json", ".geojson")):
        return item
    return Path(name.partition("?")[0] if is_remote(name) else name).stem


def _names(text: str) -> Iterator[str]:
    path = Path(text)
    if is_stac(text):
        yield from scenes_of_stac(text)
    elif is_remote(text) or text.startswith("/vsi"):
        yield text
    elif path.is_dir():
        yield from _in_folder(path)
    elif not path.exists() and glob.has_magic(text):
        yield from _matching(text)
    elif path.suffix.lower() == ".txt" and path.is_file():
        yield from _listed(path)
    else:
        yield text


def _in_folder(folder: Path) -> list[str]:
    """Its rasters; of a folder without any the name, for GDAL knows folders that are rasters."""
    files = [
        str(each)
        for each in sorted(folder.iterdir())
        if each.suffix.lower() in RASTER_SUFFIXES
        and each.is_file()
        and not each.name.startswith(".")
    ]
    return files or [str(folder)]


def _matching(pattern: str) -> list[str]:
    path = Path(pattern)
    found = Path(path.anchor).glob(str(path.relative_to(path.anchor)))
    files = [str(each) for each in sorted(found) if each.is_file()]
    if not files:
        raise SceneError(f"{pattern} matches no file")
    return files


def _listed(path: Path) -> list[str]:
    if path.stat().st_size > _MAX_LIST_BYTES:
        raise SceneError(f"{path} is too large for a list of rasters")
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except UnicodeDecodeError as error:
        raise SceneError(f"{path} is no list of rasters: it is not text in UTF-8") from error
    names = [line for line in lines if line and not line.startswith("#")]
    if not names:
        raise SceneError(f"{path} lists no raster")
    return [
        name if is_remote(name) or name.startswith("/") else str(path.parent / name)
        for name in names
    ]
