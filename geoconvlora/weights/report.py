"""What weights say of themselves, be they a model or base weights."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from geoconvlora.errors import ModelFileError
from geoconvlora.weights.card import ModelCard
from geoconvlora.weights.catalogue import (
    OFFICIAL,
    KnownBase,
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


@dataclass(frozen=True)
class KnownModel:
    """A bundled or registered model.

    Attributes:
        name: Its name.
        bytes: Size of its file.
        card: What its file says of it.
    """

    name: str
    bytes: int
    card: ModelCard


@dataclass(frozen=True)
class Unreadable:
    """A file of the weights folder that cannot be used.

    Attributes:
        name: By which it would be found.
        path: Where it is.
        reason: What is wrong with it, in a sentence that names the file.
    """

    name: str
    path: str
    reason: str


@dataclass(frozen=True)
class KnownWeights:
    """The models and base weights that can be named, and the files that cannot be read."""

    models: list[KnownModel]
    bases: list[KnownBase]
    unreadable: list[Unreadable]


def known_weights() -> KnownWeights:
    """Bundled and registered models, and known base weights; a damaged file hides no other."""
    models, unreadable, broken = [], [], set()
    for name, path in (registered_models() | bundled_models()).items():
        try:
            models.append(KnownModel(name, path.stat().st_size, read_card(path)))
        except (ModelFileError, OSError) as error:
            unreadable.append(Unreadable(name, str(path), str(error)))
    for name, path in registered_bases().items():
        try:
            with safe_open(path, framework="np"):
                pass
        except (SafetensorError, OSError) as error:
            reason = f"{path} is damaged ({error}): get it again"
            unreadable.append(Unreadable(name, str(path), reason))
            broken.add(name)
    return KnownWeights(models, [b for b in known_bases() if b.name not in broken], unreadable)


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
        path = (registered_bases() | bundled_bases()).get(name, Path(name))
        header = base_header(path)
        if header:
            return header
        if path.is_file():
            name = str(path)
    return read_card(name).model_dump(mode="json")


def _is_safetensors(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            start = file.read(9)
    except OSError:
        return False
    return start[8:] == b"{" and int.from_bytes(start[:8], "little") <= _MAX_HEADER_BYTES
