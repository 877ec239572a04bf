"""The user's weights folder: Meta's base weights are fetched into it, own files are added."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from geoconvlora.errors import ModelFileError, OutputError, WeightsError
from geoconvlora.naming import check_name_length
from geoconvlora.weights.catalogue import (
    OFFICIAL,
    base_header,
    bundled_bases,
    bundled_models,
    models_home,
    registered_bases,
    registered_models,
    weights_home,
)
from geoconvlora.weights.download import Progress, download, verified
from geoconvlora.weights.foreign import is_foreign
from geoconvlora.weights.model_file import read_card, read_tensors


@dataclass(frozen=True)
class Stored:
    """A file of the weights folder.

    Attributes:
        name: By which models, configurations and commands find it.
        path: Where it is.
        sha256: In hexadecimal digits.
    """

    name: str
    path: Path
    sha256: str


def pull(name: str, *, url: str | None = None, progress: Progress | None = None) -> Stored:
    """Fetch base weights of Meta's into the weights folder, unless they are there.

    The file's sha256 must begin with the digits in its name; the whole of it is recorded beside the
    file, and from then on the whole of it is asked for.

    Args:
        name: Official name, such as ``sam_vit_b_01ec64.pth``.
        url: Where to get it instead of Meta's server: a mirror.
        progress: Told the bytes that are there and those that there will be.

    Returns:
        The file.

    Raises:
        WeightsError: The name is unknown, or the file cannot be had, verified or written.

    Example:
        >>> from geoconvlora.weights.store import pull
        >>> pull("sam_vit_b_01ec64.pth").path.name  # doctest: +SKIP
        'sam_vit_b_01ec64.pth'
    """
    if name in bundled_bases() or name in bundled_models():
        raise WeightsError(f"{name} comes with the package: there is nothing to fetch")
    if name not in OFFICIAL:
        raise WeightsError(f"{name} is no name of base weights; known: {', '.join(OFFICIAL)}")
    weights = OFFICIAL[name]
    path = weights_home() / name
    record = _record(path)
    expected = _recorded(record) or weights.sha256_prefix
    found = download(url or weights.url, path, sha256=expected, progress=progress)
    _write_record(record, found)
    return Stored(name, path, found)


def register(file: str | Path, *, name: str | None = None, overwrite: bool = False) -> Stored:
    """Copy a model or base weights into the weights folder, to be found by name.

    Args:
        file: A model file, a base of ours, or a checkpoint of Meta's under its official name.
        name: Another name; not for Meta's.
        overwrite: Replace a file of that name.

    Returns:
        The copy.

    Raises:
        ModelFileError: The file is none of these, or is damaged.
        WeightsError: There is no such file, or it is not what its official name promises.
        OutputError: The name is taken, too long or no plain name, or the folder cannot be written.
    """
    source = Path(file)
    if source.exists() and is_foreign(source):
        raise ModelFileError(
            f"{source} is of another library, with its card in a file of its own, and is not "
            "registered: name the file itself with --model"
        )
    if not source.is_file():
        raise WeightsError(f"{source}: there is no such file")
    if source.name in OFFICIAL:
        if name not in (None, source.name):
            raise OutputError(f"{source.name} keeps its name: models ask for it; leave --name out")
        stem, target = source.name, weights_home() / source.name
        found = verified(source, OFFICIAL[source.name].sha256_prefix)
    else:
        stem = source.stem if name is None else name
        _check_name(stem)
        target = _own_target(source, stem)
        found = verified(source, "")
    if target.exists() and not overwrite:
        raise OutputError(f"{stem} is registered already: choose another --name, or --overwrite")
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, part)
        verified(part, found)
        part.replace(target)
        _write_record(_record(target), found)
    except OSError as error:
        raise OutputError(f"{target} cannot be written: {error}") from None
    finally:
        # What hinders the removal has been said: it hindered the writing.
        with suppress(OSError):
            part.unlink()
    return Stored(stem, target, found)


def unregister(name: str) -> Path:
    """Remove what :func:`register` or :func:`pull` put into the weights folder.

    Args:
        name: By which it is found there.

    Returns:
        The file that was removed.

    Raises:
        WeightsError: Nothing of that name is registered, or it was put there by hand.
        OutputError: It cannot be removed.
    """
    official = {base: weights_home() / base for base in OFFICIAL}
    path = (official | registered_bases() | registered_models()).get(name)
    if path is None or not path.is_file():
        raise WeightsError(f"{name} is not registered: geoconvlora models list tells what there is")
    record = _record(path)
    if not record.is_file():
        raise WeightsError(f"{path} was put there by hand: remove it by hand")
    try:
        path.unlink()
        record.unlink()
    except OSError as error:
        raise OutputError(f"{path} cannot be removed: {error}") from None
    return path


def _own_target(source: Path, name: str) -> Path:
    """Where a model or a base of ours goes, once it is known to be whole and its name to be free.

    A model and a base cannot share a name: commands take either.
    """
    if base_header(source):
        home, other = weights_home(), models_home()
    else:
        read_card(source)
        read_tensors(source)
        home, other = models_home(), weights_home()
    file = f"{name}.safetensors"
    if (other / file).exists():
        raise OutputError(f"{name} is the name of {other / file}: choose another --name")
    return home / file


def _check_name(name: str) -> None:
    if not name.strip():
        raise OutputError("the name is empty: give another --name, or leave it out")
    if name.startswith((".", "-")) or any(mark in name for mark in "/\\:\0"):
        raise OutputError(f"{name!r} cannot be a name: leave out slashes and leading dots")
    check_name_length(models_home() / f"{name}.safetensors")
    if name in bundled_models() or name in bundled_bases() or name in OFFICIAL:
        raise OutputError(f"{name} is the name of known weights: choose another --name")


def _record(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _recorded(record: Path) -> str | None:
    """The digits of a file as ``sha256sum`` writes it; None where there is none, or it is odd."""
    try:
        digits = record.read_text(encoding="ascii").split()[0]
    except (OSError, ValueError, IndexError):
        return None
    return digits if len(digits) == 64 and set(digits) <= set("0123456789abcdef") else None


def _write_record(record: Path, sha256: str) -> None:
    if _recorded(record) == sha256:
        return
    part = record.with_name(f".{record.name}.{os.getpid()}.part")
    try:
        part.write_text(f"{sha256}  {record.name.removesuffix('.sha256')}\n", encoding="ascii")
        part.replace(record)
    except OSError as error:
        raise OutputError(f"{record} cannot be written: {error}") from None
    finally:
        with suppress(OSError):
            part.unlink()
