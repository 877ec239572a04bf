"""What weights say of themselves, be they a model or base weights."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from geoconvlora.weights.catalogue import (
    OFFICIAL,
    base_header,
    bundled_bases,
    bundled_models,
    known_bases,
    registered_bases,
    registered_models,
)
from geoconvlora.weights.foreign import is_foreign
from geoconvlora.weights.model_file import read_card

# A safetensors file is the length of its header, 8 bytes, and the header: JSON, up to this long.
_MAX_HEADER_BYTES = 100_000_000


def is_weights(name: str) -> bool:
    """Whether a name or file, whatever its suffix, is one of weights; tensors are not read."""
    path = Path(name)
    if path.suffix == ".safetensors" or is_foreign(path) or _is_safetensors(path):
        return True
    models, bases = registered_models() | bundled_models(), registered_bases() | bundled_bases()
    return not path.exists() and name in {*models, *bases, *OFFICIAL}


def describe_weights(name: str) -> dict[str, Any]:
    """A model's card, a base's header, or what is known of a checkpoint of Meta's.

    Args:
        name: A bundled model, base weights, or a file of either.

    Raises:
        ModelFileError: There is no such file, or it is damaged or not ours.
    """
    if name in OFFICIAL:
        return next(asdict(base) for base in known_bases() if base.name == name)
    if name not in bundled_models():
        header = base_header((registered_bases() | bundled_bases()).get(name, Path(name)))
        if header:
            return header
    return read_card(name).model_dump(mode="json")


def _is_safetensors(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            start = file.read(9)
    except OSError:
        return False
    return start[8:] == b"{" and int.from_bytes(start[:8], "little") <= _MAX_HEADER_BYTES
