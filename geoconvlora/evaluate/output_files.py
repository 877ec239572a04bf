"""Files beside the numbers: refused early, written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from geoconvlora.errors import OutputError
from geoconvlora.naming import check_name_length


def check_output(
    path: Path, suffixes: Sequence[str], *, inputs: Sequence[str], overwrite: bool
) -> None:
    """Refuse what could not be written at the end.

    Args:
        path: The file.
        suffixes: That it may have.
        inputs: Files that are read, which it may not replace.
        overwrite: Whether it may replace another file.

    Raises:
        OutputError: Its suffix is another one, it exists, or its folder cannot be written.
    """
    check_name_length(path)
    if path.suffix.lower() not in suffixes:
        raise OutputError(f"{path}: give it a name that ends in {' or '.join(suffixes)}")
    if path.is_dir():
        raise OutputError(f"{path} is a folder: give the name of a file")
    if path.resolve() in [Path(each).resolve() for each in inputs]:
        raise OutputError(f"{path} is read: give another name")
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists already: replace it with --overwrite (overwrite=True)")
    if not path.parent.is_dir():
        raise OutputError(f"{path}: the folder {path.parent} does not exist; make it first")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise OutputError(f"{path}: the folder {path.parent} cannot be written")


def write_whole(path: Path, content: bytes) -> None:
    """Write a file beside its name and rename it.

    Raises:
        OutputError: The disk is full, for instance.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise OutputError(f"{path} could not be written ({error}): is the disk full?") from error
    finally:
        part.unlink(missing_ok=True)
